"""Notes of meetings."""

from django.db.models.functions import Now

from meetings.services import MeetingService
from mesh import Page, PageParams, Search, Service, command, query
from mesh.errors import Invalid
from notes.models import Note
from notes.schemas import NoteFilters, NoteIn, NoteOut, NotePatch


class NoteService(Service):
    """Notes, each with a summary."""

    name = "notes"

    @query("GET /notes")
    def list_notes(self, *, filters: NoteFilters, search: Search = None, page: PageParams) -> Page[NoteOut]:
        """List your notes, newest first."""
        rows = self.rows(Note).filter(**filters.model_dump(exclude_none=True)).search(search)
        return self.page(rows, NoteOut, page)

    @query("GET /notes/{id}")
    def get_note(self, *, id: int) -> NoteOut:
        """Show one note, its summary's status and, when it is done, the summary."""
        return self.one(self.rows(Note), NoteOut, id)

    @command("POST /notes")
    def add_note(self, *, data: NoteIn) -> NoteOut:
        """Write a note, of a meeting or of nothing in particular. Its summary is queued."""
        self._check_meeting(data.meeting_id)
        note = Note.objects.create(author_id=self.actor.id, raw_text=data.raw_text, meeting_id=data.meeting_id)
        self.changed(note)
        return self.show(note, NoteOut)

    @command("PATCH /notes/{id}", "PUT /notes/{id}")
    def update_note(self, *, id: int, data: NotePatch) -> NoteOut:
        """Change a note of yours. Another text queues another summary."""
        note = self.take(Note, id)
        if "raw_text" in data.sent() and data.raw_text != note.raw_text:
            note.rewrite(data.raw_text)
        if "meeting_id" in data.sent() and data.meeting_id != note.meeting_id:
            self._check_meeting(data.meeting_id)
            note.meeting_id = data.meeting_id
        note.updated_at = Now()
        note.save()
        self.changed(note)
        return self.show(note, NoteOut)

    @command("DELETE /notes/{id}")
    def delete_note(self, *, id: int) -> None:
        """Remove a note of yours; tasks made from it stay."""
        note = self.take(Note, id)
        self.changed(note)
        note.delete()

    def _check_meeting(self, meeting_id: int | None) -> None:
        if meeting_id is not None and not self.of(MeetingService).known_meetings(ids=[meeting_id]):
            raise Invalid.field(["body", "meeting_id"], "You see no such meeting.", "not_found")
