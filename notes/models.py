"""Notes and the action items found in them."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Length, Now
from django.db.models.lookups import GreaterThanOrEqual, LessThanOrEqual

from mesh import Actor, ScopedModel, ScopedQuerySet
from mesh.search import every_word
from notes.summarizer import Summary


class NoteStatus(models.TextChoices):
    QUEUED = "queued"
    PROCESSING = "processing"
    DONE = "done"
    FAILED = "failed"


class NoteQuerySet(ScopedQuerySet["Note"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(author_id=actor.id)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "raw_text", "summary"))


class Note(ScopedModel):
    """A note of its author's; its summary is made in the background."""

    author = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="notes")
    meeting = models.ForeignKey("meetings.Meeting", models.SET_NULL, null=True, blank=True, related_name="notes")
    raw_text = models.TextField(max_length=100_000)
    summary = models.TextField(null=True, blank=True)  # noqa: DJ001  (null until there is one)
    status = models.CharField(max_length=10, choices=NoteStatus.choices, default=NoteStatus.QUEUED)
    #: Grows with every text and every wish for a summary: a summary counts only for the revision it was made of.
    revision = models.PositiveIntegerField(default=1)
    error = models.CharField(max_length=500, null=True, blank=True)  # noqa: DJ001  (null where nothing failed)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

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

    def audience(self) -> set[str]:
        return {f"user:{self.author_id}"}

    def queue(self) -> None:
        """To be summarized, again; what a summary of an older revision says does not count any more."""
        self.revision += 1
        self.status, self.error = NoteStatus.QUEUED, None

    def accept(self, summary: Summary) -> None:
        """Takes a summary over. Action items that are tasks already stay; the others are replaced."""
        self.summary, self.status, self.error = summary.text, NoteStatus.DONE, None
        self.save(update_fields=["summary", "status", "error"])
        self.action_items.filter(task=None).delete()
        kept = set(self.action_items.values_list("title", flat=True))
        ActionItem.objects.bulk_create(
            ActionItem(note=self, title=item.title, assignee=item.assignee, due_date=item.due_date, quote=item.quote)
            for item in summary.action_items
            if item.title not in kept
        )


class ActionItemQuerySet(ScopedQuerySet["ActionItem"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(note__author_id=actor.id)


class ActionItem(ScopedModel):
    """Something to do that a note's summary found; it may become a task."""

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
