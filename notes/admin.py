from typing import Any

from django.contrib import admin
from unfold.admin import TabularInline

from mesh.admin import MeshModelAdmin
from notes.models import ActionItem, Note


class ActionItemInline(TabularInline):  # type: ignore[misc]
    model = ActionItem
    fields = readonly_fields = ("title", "assignee", "due_date", "quote", "task")
    extra = 0
    can_delete = False

    def has_add_permission(self, request: Any, obj: Any = None) -> bool:
        return False


@admin.register(Note)
class NoteAdmin(MeshModelAdmin):
    add, change, remove = "add_note", "update_note", "delete_note"
    add_fields = change_fields = ("raw_text", "meeting")
    shown_fields = ("author", "status", "summary", "error", "created_at", "updated_at")
    autocomplete_fields = ("meeting",)
    list_display = ("__str__", "author", "meeting", "status", "created_at")
    list_filter = ("status",)
    list_select_related = ("author", "meeting")
    search_fields = ("raw_text", "summary", "author__email")
    ordering = ("-id",)
    inlines = (ActionItemInline,)
