"""The admin pages of the mesh's own tables: jobs, audit, mails, documents."""

import json

from django.contrib import admin, messages
from django.contrib.auth.models import Group
from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.urls import URLPattern, path, reverse
from django.utils.html import format_html
from django.utils.http import urlencode
from django.views.decorators.http import require_POST
from unfold.decorators import display

from mesh.doors.admin import MeshModelAdmin, badge
from mesh.errors import MeshError
from mesh.models import AuditEntry, JobStatus, Mail, MailStatus, Outbox, WaitingDocument

JOB_COLOURS = {
    JobStatus.WAITING: "info",
    JobStatus.RUNNING: "primary",
    JobStatus.DONE: "success",
    JobStatus.FAILED: "danger",
}
MAIL_COLOURS = {MailStatus.WAITING: "info", MailStatus.SENT: "success", MailStatus.FAILED: "danger"}


admin.site.unregister(Group)


@admin.register(AuditEntry)
class AuditEntryAdmin(MeshModelAdmin):
    list_display = ("at", "actor", "operation", "row_id", "outcome_badge", "door", "key", "address")
    list_filter = ("outcome", "door", "at", "key", "operation")
    search_fields = ("operation", "=request_id", "=row_id", "actor__email", "address")
    list_select_related = ("actor",)
    ordering = ("-id",)
    shown_fields = (
        "at", "actor", "key", "operation", "door", "row_id", "outcome_badge", "request_links", "address",
    )  # fmt: skip

    @display(description="Outcome", ordering="outcome")
    def outcome_badge(self, entry: AuditEntry) -> str:
        return badge(entry.outcome, {"ok": "success"} if entry.outcome == "ok" else {entry.outcome: "warning"})

    @display(description="Request")
    def request_links(self, entry: AuditEntry) -> str:
        """Its id, and what else came of it."""
        asked = urlencode({"q": entry.request_id})
        entries, jobs = (reverse(f"admin:mesh_{name}_changelist") for name in ("auditentry", "outbox"))
        link = '{} <a href="{}?{}" class="text-link">entries</a> <a href="{}?{}" class="text-link">jobs</a>'
        return format_html(link, entry.request_id, entries, asked, jobs, asked) if entry.request_id else ""


@admin.register(Mail)
class MailAdmin(MeshModelAdmin):
    """What was sent to whom, or why not; not what it says: some links in mails open accounts."""

    list_display = ("created_at", "recipient", "subject", "kind", "status_badge", "error")
    list_filter = ("status", "kind", "created_at")
    search_fields = ("recipient", "subject", "key", "message_id", "error")
    ordering = ("-id",)
    shown_fields = (
        "created_at", "recipient", "subject", "kind", "status_badge", "error", "sent_at", "key", "message_id",
    )  # fmt: skip
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, MAIL_COLOURS)}
    actions = ("try_again",)

    @display(description="Status", ordering="status", label=MAIL_COLOURS)
    def status_badge(self, mail: Mail) -> str:
        return mail.status

    @admin.action(description="Try again what has failed")
    def try_again(self, request: HttpRequest, queryset: QuerySet[Mail]) -> None:
        failed = list(queryset.filter(status=MailStatus.FAILED).values_list("pk", flat=True))
        jobs = Outbox.objects.filter(operation="send_mail", arguments__id__in=failed)
        _try_again(self, request, jobs)


@admin.register(Outbox)
class JobAdmin(MeshModelAdmin):
    list_display = ("operation", "status_badge", "queue", "attempt", "actor", "created_at", "finished_at", "error")
    list_filter = ("status", "queue", "created_at", "operation")
    search_fields = ("operation", "=request_id", "actor__email", "error")
    list_select_related = ("actor",)
    ordering = ("-id",)
    shown_fields = (
        "operation", "arguments", "status_badge", "queue", "attempt", "actor", "request_id", "created_at", "due_at",
        "lease_until", "finished_at", "error",
    )  # fmt: skip
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, JOB_COLOURS)}
    actions = ("try_again",)

    def get_urls(self) -> list[URLPattern]:
        retry = self.admin_site.admin_view(require_POST(self.retry))
        return [path("retry/", retry, name="mesh_outbox_retry"), *super().get_urls()]

    def retry(self, request: HttpRequest) -> HttpResponse:
        """Tries again all failed jobs of an operation: the dashboard's button."""
        operation = request.POST.get("operation", "")
        try:
            answer = self.call(request, "retry_jobs", {"operation": operation})
            messages.success(request, f"{operation} is tried again: {json.loads(answer.body)['count']}.")
        except MeshError as refusal:
            messages.error(request, refusal.detail)
        return HttpResponseRedirect(reverse("admin:index"))

    @display(description="Status", ordering="status", label=JOB_COLOURS)
    def status_badge(self, job: Outbox) -> str:
        return job.status

    @admin.action(description="Try again what has failed")
    def try_again(self, request: HttpRequest, queryset: QuerySet[Outbox]) -> None:
        _try_again(self, request, queryset)


def _try_again(model_admin: MeshModelAdmin, request: HttpRequest, jobs: QuerySet[Outbox]) -> None:
    failed = jobs.filter(status=JobStatus.FAILED)
    if failed:
        model_admin.call_each(request, failed, "retry_job", "Tried again")
    else:
        messages.warning(request, "Nothing of it has failed.")


@admin.register(WaitingDocument)
class WaitingDocumentAdmin(MeshModelAdmin):
    """What is not stored yet, and why."""

    list_display = ("__str__", "changed_at", "attempt", "error", "due_at")
    list_filter = ("kind", ("error", admin.EmptyFieldListFilter))
    search_fields = ("error",)
    ordering = ("changed_at", "id")
    shown_fields = ("kind", "uuid", "changed_at", "due_at", "attempt", "error", "lease_until", "unsure_until")
