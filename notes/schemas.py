"""What goes in and out of notes."""

from typing import Annotated, Any

from pydantic import AliasChoices, Field, model_validator

from mesh import Column, Id, In, Out, Ref, Time, text
from notes.models import NoteStatus

RawText = Annotated[str, text(1, 100_000, strip=False)]


class NoteIn(In):
    """A new note: its text as `raw_text` or as `content`."""

    raw_text: RawText = Field(
        validation_alias=AliasChoices("raw_text", "content"), examples=["Maria will send the offer by Friday."]
    )
    meeting_id: Id | None = Field(None, description="A meeting you can see.")
    contact_id: Ref | None = Field(None, description="A contact of yours.")

    @model_validator(mode="before")
    @classmethod
    def _one_text(cls, data: Any) -> Any:
        """Both names may be sent where they say the same."""
        if not isinstance(data, dict) or not {"raw_text", "content"} <= data.keys():
            return data
        if data["raw_text"] != data["content"]:
            raise ValueError("Send `raw_text` or `content`; both were sent, and they differ.")
        return {name: value for name, value in data.items() if name != "content"}


class NotePatch(NoteIn, partial=True):
    """What of a note changes; another text is summarized again."""


class NoteFilters(In):
    """Which notes."""

    meeting_id: Id | None = None
    contact_id: Ref | None = None
    status: NoteStatus | None = None


class AcceptIn(In):
    """Which action items become tasks: all of the note's, when none is named."""

    action_item_ids: list[Id] | None = Field(None, max_length=50)


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
    contact_id: int | None
    summary: str | None
    action_items: list[ActionItemOut]
    status: NoteStatus
    error: str | None
    created_at: Time
    updated_at: Time
