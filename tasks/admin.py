from typing import Any

from django.contrib import admin
from django.db.models import Count, QuerySet
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone
from django.utils.formats import localize
from django.utils.html import format_html
from unfold.admin import TabularInline
from unfold.decorators import display

from mesh.doors.admin import MeshModelAdmin, badge
from tasks.models import Project, Task, TaskStatus

STATUS_COLOURS = {TaskStatus.TODO: "info", TaskStatus.IN_PROGRESS: "primary", TaskStatus.DONE: "success"}


class OverdueFilter(admin.SimpleListFilter):
    title = parameter_name = "overdue"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Overdue"), ("no", "Not overdue")]

    def queryset(self, request: HttpRequest, queryset: Any) -> Any:
        return queryset.overdue({"yes": True, "no": False}.get(self.value() or ""))


class TaskInline(TabularInline):  # type: ignore[misc]
    model = Task
    fields = readonly_fields = ("title", "status_badge", "assignee", "due_date")
    ordering = ("-id",)
    per_page = 50
    extra = 0
    can_delete = False
    hide_title = True
    show_change_link = True

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False

    def get_queryset(self, request: HttpRequest) -> QuerySet[Task]:
        rows: QuerySet[Task] = super().get_queryset(request)
        return rows.select_related("assignee")

    @display(description="Status")
    def status_badge(self, task: Task) -> str:
        return badge(task.status, STATUS_COLOURS)


@admin.register(Project)
class ProjectAdmin(MeshModelAdmin):
    add, change, remove = "create_project", "update_project", "delete_project"
    add_fields = change_fields = ("title", "description")
    shown_fields = ("owner", "created_at", "updated_at")
    list_display = ("title", "owner", "task_count", "created_at")
    list_filter = (("owner", admin.RelatedOnlyFieldListFilter), "created_at")
    list_select_related = ("owner",)
    search_fields = ("title", "description", "owner__email")
    ordering = ("-id",)
    inlines = (TaskInline,)

    def get_queryset(self, request: HttpRequest) -> QuerySet[Project]:
        rows: QuerySet[Project] = super().get_queryset(request)
        return rows.annotate(number=Count("tasks"))

    @display(description="Tasks", ordering="number")
    def task_count(self, project: Any) -> str:
        url = reverse("admin:tasks_task_changelist")
        link = '<a href="{}?project__id__exact={}" class="text-link">{}</a>'
        return format_html(link, url, project.pk, project.number)


@admin.register(Task)
class TaskAdmin(MeshModelAdmin):
    add, change, remove = "create_task", "update_task", "delete_task"
    add_fields = change_fields = (
        "title", "description", "status", "due_date", "due_meeting", "project", "assignee", "contact",
    )  # fmt: skip
    shown_fields = ("uuid", "creator", "created_at", "updated_at")
    autocomplete_fields = ("due_meeting", "project", "assignee", "contact")
    list_display = ("title", "status_badge", "assignee", "due", "project", "creator")
    list_filter = (
        "status", OverdueFilter, "due_date", ("project", admin.RelatedOnlyFieldListFilter),
        ("assignee", admin.RelatedOnlyFieldListFilter),
    )  # fmt: skip
    list_select_related = ("assignee", "project", "creator")
    search_fields = ("title", "description", "creator__email", "assignee__email", "project__title")
    ordering = ("-id",)
    actions = ("done",)

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, task: Task) -> str:
        return task.status

    @display(ordering="due_date")
    def due(self, task: Task) -> str:
        if task.due_date is None:
            return "–"
        late = TaskStatus(task.status).is_open and task.due_date < timezone.now()
        when = localize(timezone.localtime(task.due_date))
        return format_html("{} {}", when, badge("overdue", {"overdue": "danger"})) if late else when

    @admin.action(description="Done", permissions=["change"])
    def done(self, request: HttpRequest, queryset: QuerySet[Task]) -> None:
        self.call_each(request, queryset, "set_task_status", "Done", status=TaskStatus.DONE)
