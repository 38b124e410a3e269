from django.contrib import admin

from mesh.admin import MeshModelAdmin
from tasks.models import Project, Task


@admin.register(Project)
class ProjectAdmin(MeshModelAdmin):
    add, change, remove = "create_project", "update_project", "delete_project"
    add_fields = change_fields = ("title", "description")
    shown_fields = ("owner", "created_at", "updated_at")
    list_display = ("title", "owner", "created_at")
    list_select_related = ("owner",)
    search_fields = ("title", "description", "owner__email")
    ordering = ("-id",)


@admin.register(Task)
class TaskAdmin(MeshModelAdmin):
    add, change, remove = "create_task", "update_task", "delete_task"
    add_fields = change_fields = (
        "title", "description", "status", "due_date", "due_meeting", "project", "assignee",
    )  # fmt: skip
    shown_fields = ("uuid", "creator", "created_at", "updated_at")
    autocomplete_fields = ("due_meeting", "project", "assignee")
    list_display = ("title", "status", "assignee", "due_date", "project", "creator")
    list_filter = ("status", "due_date")
    list_select_related = ("assignee", "project", "creator")
    search_fields = ("title", "description", "creator__email", "assignee__email")
    ordering = ("-id",)
