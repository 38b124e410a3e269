"""Notes and their summaries, which are created in the background."""

from collections.abc import Callable, Generator
from functools import partial
from typing import Any

from accounts import timeline
from accounts.contacts import ContactService
from accounts.timeline import TimelineEntries, TimelineEntry, TimelineQuery
from meetings.services import MeetingService
from mesh import Page, PageParams, Search, Service, command, job, query
from mesh.errors import Invalid
from notes.models import ActionItem, Note, NoteStatus
from notes.schemas import AcceptIn, NoteFilters, NoteId, NoteIn, NoteOut, NotePatch
from notes.summarizer import Summary, summarizer
from tasks.models import Task


class NoteService(Service):
    """Notes, each with a summary and action items that are made in the background."""

    name = "notes"

    @query("GET /notes")
    def list_notes(self, *, filters: NoteFilters, search: Search = None, page: PageParams) -> Page[NoteOut]:
        """List your notes, newest first.

        Each comes with its summary and action items, as far as they are ready. Only their author sees notes, and
        ADMINs, who see everyone's. The search looks in the text and in the summary.
        """
        conditions = filters.model_dump(exclude_none=True)
        if filters.meeting_id is not None:
            conditions["meeting_id"] = self.of(MeetingService).find_meeting_id(ref=filters.meeting_id) or 0
        if filters.contact_id is not None:
            conditions["contact_id"] = self.of(ContactService).find_contact_id(ref=filters.contact_id) or 0
        rows = self.rows(Note).filter(**conditions).search(search)
        return self.page(rows, NoteOut, page)

    @query("GET /notes/{id}")
    def get_note(self, *, id: NoteId) -> NoteOut:
        """Get one of your notes.

        Returns its text, summary and action items. The summary is made in the background: while `status` is `queued`
        or `processing`, ask again a little later.
        """
        return self.one(self.rows(Note), NoteOut, id)

    @command("POST /notes", creates=Note)
    def add_note(self, *, data: NoteIn) -> NoteOut:
        """Create a note.

        Its summary and its action items are made in the background: get_note has them once `status` is `done`. A note
        may belong to a meeting, to a contact, or to nothing. Only you and ADMINs see it. Returns the note.
        """
        references = self._resolve_references({"meeting_id": data.meeting_id, "contact_id": data.contact_id})
        note = Note.objects.create(author_id=self.actor.id, raw_text=data.raw_text, **references)
        return self._queue_summary(note)

    @command("PATCH /notes/{id}", "PUT /notes/{id}")
    def update_note(self, *, id: NoteId, data: NotePatch) -> NoteOut:
        """Update one of your notes.

        Changes only the fields that you send. A changed text is summarized again in the background; action items that
        are tasks already stay, the others are replaced. Returns the note.
        """
        note = self.lock(Note, id)
        sent = data.sent()
        references = {
            name: value for name, value in sent.items() if name != "raw_text" and value != getattr(note, name)
        }
        note.assign(self._resolve_references(references))
        is_new_text = "raw_text" in sent and data.raw_text != note.raw_text
        if is_new_text:
            note.raw_text = data.raw_text
            note.queue()
        self.save(note)
        if is_new_text:
            return self._queue_summary(note)
        return self.result_of(note, NoteOut)

    @command("DELETE /notes/{id}")
    def delete_note(self, *, id: NoteId) -> None:
        """Delete one of your notes, with its summary and action items.

        Tasks that were made of its action items stay. It cannot be undone.
        """
        note = self.lock(Note, id)
        self.changed(note)
        note.delete()

    @command("POST /notes/{id}/summarize")
    def summarize_again(self, *, id: NoteId) -> NoteOut:
        """Request a new summary of one of your notes.

        Use it after a summary failed, or for a better one. It is made in the background: get_note has it once `status`
        is `done`. Action items that are tasks already stay, the others are replaced. Returns the note.
        """
        note = self.lock(Note, id)
        note.queue()
        note.save(update_fields=["revision", "status", "error"])
        return self._queue_summary(note)

    @command("POST /notes/{id}/accept")
    def accept_action_items(self, *, id: NoteId, data: AcceptIn) -> NoteOut:
        """Create tasks from the action items of a note.

        Takes all action items, or those you name; each becomes a task once, however often you ask. The tasks are the
        note's author's, assigned to nobody, with the item's title, its due date, and its quote as the description.
        Returns the note, whose action items then have a `task_id`.
        """
        note = self.lock(Note, id)
        items = {item.pk: item for item in note.action_items.all()}
        item_ids = list(items) if data.action_item_ids is None else data.action_item_ids
        unknown_positions = [position for position, item_id in enumerate(item_ids) if item_id not in items]
        if unknown_positions:
            raise Invalid(
                [
                    {
                        "loc": ["body", "action_item_ids", position],
                        "msg": "The note has no such item.",
                        "type": "not_found",
                    }
                    for position in unknown_positions
                ]
            )
        self.room_for(Task, sum(items[item_id].task_id is None for item_id in set(item_ids)))
        for item_id in dict.fromkeys(item_ids):
            self._create_task(note, items[item_id])
        self.changed(note)
        return self.result_of(note, NoteOut)

    @query(tool=False)
    def notes_of_contact(self, *, query: TimelineQuery) -> TimelineEntries:
        """List your notes about a contact, for its timeline."""
        return timeline.entries(
            query,
            self.rows(Note).filter(contact_id=query.contact_id),
            "created_at",
            lambda note: TimelineEntry(
                service=self.name,
                id=note.pk,
                at=note.created_at,
                title=note.title(),
                status=note.status,
                details={"summary": note.summary, "text": note.raw_text[:1000]},
            ),
        )

    @job(queue="notes", attempts=4, gave_up="summary_failed")
    def summarize_note(self, *, id: int, revision: int) -> Generator[Callable[[], Summary], Summary, None]:
        """Create the summary of a note.

        Does nothing if the text has changed since this was asked for.
        """
        self.changed()
        started = Note.objects.begin_summary(id, revision)
        if started is None:
            return
        author_id, raw_text, written_at = started
        self.changed(Note(pk=id, author_id=author_id))
        summary = yield partial(summarizer().summarize, raw_text, now=written_at)
        if Note.objects.finish_summary(id, revision, summary) is not None:
            self.changed(Note(pk=id, author_id=author_id))

    def summary_failed(self, *, id: int, revision: int, error: str) -> None:
        """Set the note to failed after the last attempt at its summary."""
        self.changed()
        note = Note.objects.select_for_update(no_key=True).filter(pk=id, revision=revision).first()
        if note is not None:
            note.status, note.error = NoteStatus.FAILED, error
            note.save(update_fields=["status", "error"])
            self.changed(note)

    def _queue_summary(self, note: Note) -> NoteOut:
        self.defer(self.summarize_note, id=note.pk, revision=note.revision)
        self.changed(note)
        return self.result_of(note, NoteOut)

    def _create_task(self, note: Note, item: ActionItem) -> None:
        if item.task_id is None:
            item.task = Task.objects.create(
                creator_id=note.author_id, title=item.title, description=item.quote, due_date=item.due_date
            )
            item.save(update_fields=["task"])
            self.changed(item.task)

    def _resolve_references(self, fields: dict[str, Any]) -> dict[str, Any]:
        return self.resolve_references(
            fields,
            {
                "meeting_id": (self.of(MeetingService).find_meeting_id, "You see no such meeting."),
                "contact_id": (self.of(ContactService).find_contact_id, "You have no such contact."),
            },
        )
