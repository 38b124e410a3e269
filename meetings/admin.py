from datetime import timedelta
from typing import Any

from django import forms
from django.conf import settings
from django.contrib import admin
from django.contrib.admin.widgets import AutocompleteSelectMultiple
from django.db.models import Count, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone
from django.utils.formats import date_format
from unfold.admin import TabularInline
from unfold.decorators import display

from accounts.models import User
from meetings.models import Call, CallStatus, Invitee, Meeting, Response
from mesh.doors.admin import MeshModelAdmin, badge

STATUS_COLOURS = {
    CallStatus.SCHEDULED: "info",
    CallStatus.RESCHEDULED: "warning",
    CallStatus.COMPLETED: "success",
    CallStatus.CANCELLED: "danger",
}
RESPONSE_COLOURS = {Response.ACCEPTED: "success", Response.DECLINED: "danger", Response.TENTATIVE: "warning"}


class WhenFilter(admin.SimpleListFilter):
    """Filters by the beginning."""

    title = parameter_name = "when"

    def __init__(self, request: HttpRequest, params: Any, model: Any, model_admin: Any) -> None:
        self.field = model_admin.date_hierarchy
        super().__init__(request, params, model, model_admin)

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("upcoming", "Upcoming"), ("today", "Today"), ("week", "This week"), ("past", "Past")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Any]) -> QuerySet[Any]:
        now = timezone.localtime()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        monday = today - timedelta(today.weekday())
        since, until = {
            "upcoming": (now, None),
            "today": (today, today + timedelta(1)),
            "week": (monday, monday + timedelta(7)),
            "past": (None, now),
        }.get(self.value() or "", (None, None))
        rows = queryset if since is None else queryset.filter(**{f"{self.field}__gte": since})
        return rows if until is None else rows.filter(**{f"{self.field}__lt": until})


class MeetingForm(forms.ModelForm):  # type: ignore[type-arg]
    attendee_ids = forms.ModelMultipleChoiceField(
        User.objects.order_by("email"),
        required=False,
        label="Attendees",
        widget=AutocompleteSelectMultiple(Invitee._meta.get_field("user"), admin.site),
    )

    class Meta:
        model = Meeting
        fields = ("title", "description", "scheduled_time", "duration_minutes", "location")

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        attending: list[int] = []
        if self.instance.pk:
            attending += self.instance.attendees.exclude(user=None).values_list("user", flat=True)
        self.initial["attendee_ids"] = attending
        # Attendees can stay selected after they were deactivated.
        field: Any = self.fields["attendee_ids"]
        field.queryset = field.queryset.filter(Q(is_active=True) | Q(pk__in=attending))


class AttendeeInline(TabularInline):  # type: ignore[misc]
    model = Invitee
    fields = readonly_fields = ("user", "email", "response_badge")
    extra = 0
    can_delete = False
    hide_title = True

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Invitee]:
        rows: QuerySet[Invitee] = super().get_queryset(request)
        return rows.select_related("user")

    @display(description="Response")
    def response_badge(self, attendee: Invitee) -> str:
        return badge(attendee.response, RESPONSE_COLOURS)


@admin.register(Meeting)
class MeetingAdmin(MeshModelAdmin):
    add, change, remove = "schedule_meeting", "update_meeting", "cancel_meeting"
    form = MeetingForm
    add_fields = ("title", "description", "scheduled_time", "duration_minutes", "location", "attendee_ids")
    change_fields = add_fields
    shown_fields = ("organizer", "sequence", "created_at", "updated_at")
    list_display = ("when", "title", "location", "organizer", "attendee_count")
    list_display_links = ("title",)
    list_filter = (WhenFilter, ("organizer", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("organizer",)
    search_fields = ("title", "description", "location", "organizer__email")
    date_hierarchy = "scheduled_time"
    ordering = ("-scheduled_time", "-id")
    inlines = (AttendeeInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Meeting]:
        rows: QuerySet[Meeting] = super().get_queryset(request)
        return rows.annotate(number=Count("attendees"))

    @display(description=f"When ({settings.TIME_ZONE})", ordering="scheduled_time")
    def when(self, meeting: Meeting) -> str:
        """The day, the beginning and the end."""
        begins, ends = timezone.localtime(meeting.scheduled_time), timezone.localtime(meeting.ends_at)
        return f"{date_format(begins, 'D j M Y, H:i')}–{date_format(ends, 'H:i')}"

    @display(description="Attendees", ordering="number")
    def attendee_count(self, meeting: Any) -> int:
        number: int = meeting.number
        return number


@admin.register(Call)
class CallAdmin(MeshModelAdmin):
    add, change, remove = "schedule_call", "update_call", "delete_call"
    add_fields = change_fields = ("contact", "title", "scheduled_for", "duration_minutes", "notes", "status")
    shown_fields = ("owner", "uuid", "reminded_for", "created_at", "updated_at")
    autocomplete_fields = ("contact",)
    list_display = ("scheduled_for", "title", "contact", "status_badge", "duration_minutes", "owner")
    list_display_links = ("title",)
    list_filter = ("status", WhenFilter, ("contact__owner", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("contact__owner",)
    search_fields = ("title", "notes", "contact__name", "contact__company", "contact__email", "contact__owner__email")
    date_hierarchy = "scheduled_for"
    ordering = ("-scheduled_for", "-id")
    actions = ("complete", "cancel")

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, call: Call) -> str:
        return call.status

    @display(ordering="contact__owner__email")
    def owner(self, call: Call) -> User:
        return call.contact.owner

    @admin.action(description="Completed", permissions=["change"])
    def complete(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        self.call_each(request, queryset, "set_call_status", "Completed", status=CallStatus.COMPLETED)

    @admin.action(description="Cancelled", permissions=["change"])
    def cancel(self, request: HttpRequest, queryset: QuerySet[Call]) -> None:
        self.call_each(request, queryset, "set_call_status", "Cancelled", status=CallStatus.CANCELLED)
