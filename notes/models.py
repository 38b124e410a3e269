"""Notes and the action items found in them."""

from datetime import datetime
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Now
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual

from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word
from mesh.stores.postgres import fetch
from notes.summarizer import Summary


class NoteStatus(models.TextChoices):
    """How far the summary of a note is."""

    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


class NoteQuerySet(MeshQuerySet["Note"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(author_id=actor.id)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "raw_text", "summary"))

    def begin_summary(self, id: int, revision: int) -> tuple[int, str, datetime] | None:
        """Marks a note as being summarized; returns its author's id, its text, and the time that its dates relate to.

        None if the note was deleted, or has another revision by now.
        """
        rows = fetch(_BEGIN, [id, revision])
        return (rows[0][0], rows[0][1], rows[0][2]) if rows else None

    def finish_summary(self, id: int, revision: int, summary: Summary) -> int | None:
        """Saves a summary and returns the id of the note's author; None if the note has another revision by now.

        Action items that already became tasks stay; the others are replaced.
        """
        items = summary.action_items
        columns = [[getattr(item, name) for item in items] for name in ("title", "assignee", "due_date", "quote")]
        rows = fetch(_FINISH, [summary.text, id, revision, *columns])
        return rows[0][0] if rows else None


_BEGIN = """
UPDATE notes_note note SET status = 'processing' WHERE id = %s AND revision = %s
RETURNING author_id, raw_text,
    coalesce((SELECT scheduled_time FROM meetings_meeting WHERE id = note.meeting_id), created_at)
"""
_FINISH = """
WITH note AS (
    UPDATE notes_note SET summary = %s, status = 'done', error = NULL WHERE id = %s AND revision = %s
    RETURNING id, author_id
), deleted AS (
    DELETE FROM notes_actionitem USING note WHERE note_id = note.id AND task_id IS NULL
), new AS (
    INSERT INTO notes_actionitem (note_id, title, assignee, due_date, quote)
    SELECT note.id, item.title, item.assignee, item.due_date, item.quote
    FROM note, unnest(%s::text[], %s::text[], %s::timestamptz[], %s::text[])
        WITH ORDINALITY AS item (title, assignee, due_date, quote, place)
    WHERE NOT EXISTS (
        SELECT FROM notes_actionitem accepted
        WHERE accepted.note_id = note.id AND accepted.task_id IS NOT NULL AND accepted.title = item.title
    )
    ORDER BY item.place
)
SELECT author_id FROM note
"""


class Note(MeshModel):
    """A user's note; its summary is created in the background."""

    # `db_index=False`: another index begins with the foreign key.
    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="notes", db_index=False)
    meeting = models.ForeignKey("meetings.Meeting", models.SET_NULL, null=True, blank=True, related_name="notes")
    contact = models.ForeignKey(
        "accounts.Contact", models.SET_NULL, null=True, blank=True, related_name="written_notes"
    )
    raw_text = models.TextField(max_length=100_000)
    summary = models.TextField(null=True, blank=True)  # noqa: DJ001  (null until there is one)
    status = models.CharField(max_length=10, choices=NoteStatus.choices, default=NoteStatus.QUEUED)
    #: Grows with every change of the text and every request for a summary; a summary of an older one is discarded.
    revision = models.PositiveIntegerField(default=1)
    error = models.CharField(max_length=500, null=True, blank=True)  # noqa: DJ001  (null: nothing failed)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = "author"
    objects = NoteQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["author", "-id"], name="notes_note_author")]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=NoteStatus.values), name="notes_note_status"),
            models.CheckConstraint(
                condition=Q(GreaterThanOrEqual(Length("raw_text"), 1), LessThanOrEqual(Length("raw_text"), 100_000)),
                name="notes_note_text",
            ),
            models.CheckConstraint(condition=Q(LessThanOrEqual(Length("summary"), 20_000)), name="notes_note_summary"),
        ]

    def __str__(self) -> str:
        return self.raw_text[:60]

    def title(self) -> str:
        """The first line of its summary, or else of its text; at most 100 characters."""
        first = next(iter((self.summary or self.raw_text).strip().splitlines()), "").rstrip()
        return first if len(first) <= 100 else first[:99] + "…"

    def audience(self) -> set[str]:
        return {f"user:{self.author_id}"}

    def queue(self) -> None:
        """Marks the note as waiting for a summary; summaries of older revisions are discarded from now on."""
        self.revision += 1
        self.status, self.error = NoteStatus.QUEUED, None


class ActionItemQuerySet(MeshQuerySet["ActionItem"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(note__author_id=actor.id)


class ActionItem(MeshModel):
    """An action item that was found in a note; it may become a task."""

    note = models.ForeignKey(Note, models.CASCADE, related_name="action_items")
    title = models.CharField(max_length=200)
    assignee = models.CharField(max_length=100, null=True, blank=True)  # noqa: DJ001  (null where the text names none)
    due_date = models.DateTimeField(null=True, blank=True)
    quote = models.CharField(max_length=500)
    task = models.OneToOneField("tasks.Task", models.SET_NULL, null=True, blank=True, related_name="action_item")

    objects = ActionItemQuerySet.as_manager()

    class Meta:
        constraints = [models.CheckConstraint(condition=~Q(title=""), name="notes_actionitem_title")]

    def __str__(self) -> str:
        return self.title

    def audience(self) -> set[str]:
        return self.note.audience()
