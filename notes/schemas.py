"""What goes in and out of notes."""

from typing import Annotated, Self

from pydantic import ConfigDict, Field, model_validator

from mesh import Column, Id, In, Out, Time, text
from notes.models import NoteStatus

RawText = Annotated[str, text(1, 100_000, strip=False)]


class NoteIn(In):
    """A new note: its text as `raw_text` or as `content`."""

    model_config = ConfigDict(json_schema_extra={"anyOf": [{"required": ["raw_text"]}, {"required": ["content"]}]})

    raw_text: RawText = Field(None, examples=["Maria will send the offer by Friday."])  # type: ignore[assignment]
    content: RawText = Field(None, description="As `raw_text`, by its other name.")  # type: ignore[assignment]
    meeting_id: Id | None = Field(None, description="A meeting you can see.")

    @property
    def text(self) -> str | None:
        """The text that was sent, under either name."""
        return self.raw_text if self.raw_text is not None else self.content

    @model_validator(mode="after")
    def _one_text(self) -> Self:
        if self.text is None and not self.partial:
            raise ValueError("Send the note's text as `raw_text`.")
        if None not in (self.raw_text, self.content) and self.raw_text != self.content:
            raise ValueError("Send `raw_text` or `content`; both were sent, and they differ.")
        return self


class NotePatch(NoteIn, partial=True):
    """What of a note changes; another text is summarized again."""

    model_config = ConfigDict(json_schema_extra={})


class NoteFilters(In):
    """Which notes."""

    meeting_id: Id | None = None
    status: NoteStatus | None = None


class ActionItemOut(Out):
    """Something to do that the summary found; `task_id` once it was accepted."""

    id: int
    title: str
    assignee: str | None
    due_date: Time | None
    quote: str
    task_id: int | None


class NoteOut(Out):
    """A note, and what its summary says so far."""

    id: int
    raw_text: str
    content: Annotated[str, Column("raw_text")]
    meeting_id: int | None
    summary: str | None
    action_items: list[ActionItemOut]
    status: NoteStatus
    error: str | None
    created_at: Time
    updated_at: Time
