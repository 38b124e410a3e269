from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.http import HttpRequest
from unfold.admin import TabularInline
from unfold.decorators import display

from mesh.doors.admin import MeshModelAdmin, badge
from notes.models import ActionItem, Note, NoteStatus

STATUS_COLOURS = {
    NoteStatus.QUEUED: "info",
    NoteStatus.PROCESSING: "primary",
    NoteStatus.DONE: "success",
    NoteStatus.FAILED: "danger",
}


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
    add_fields = change_fields = ("raw_text", "meeting", "contact")
    shown_fields = ("author", "status_badge", "summary", "error", "created_at", "updated_at")
    autocomplete_fields = ("meeting", "contact")
    list_display = ("title", "status_badge", "author", "meeting", "contact", "created_at")
    list_filter = ("status", "created_at", ("author", admin.RelatedOnlyFieldListFilter))
    list_select_related = ("author", "meeting", "contact")
    search_fields = ("raw_text", "summary", "author__email", "meeting__title", "contact__name")
    ordering = ("-id",)
    inlines = (ActionItemInline,)
    readonly_preprocess_fields = {"status_badge": lambda status: badge(status, STATUS_COLOURS)}
    actions = ("summarize",)

    @display(description="Note")
    def title(self, note: Note) -> str:
        return note.title()

    @display(description="Status", ordering="status", label=STATUS_COLOURS)
    def status_badge(self, note: Note) -> str:
        return note.status

    @admin.action(description="Summarize again", permissions=["change"])
    def summarize(self, request: HttpRequest, queryset: QuerySet[Note]) -> None:
        self.call_each(request, queryset, "summarize_again", "To be summarized again")
