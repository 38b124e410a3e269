"""The input and output schemas of notes."""

from typing import Annotated, Any

from pydantic import AliasChoices, Field, model_validator

from mesh import Column, Id, In, Out, Ref, Time, text
from notes.models import NoteStatus

RawText = Annotated[str, text(1, 100_000, strip=False)]


NoteId = Annotated[Id, Field(description="The note's id, from list_notes.")]


class NoteIn(In):
    """A new note; its text is sent as `raw_text` or as `content`."""

    raw_text: RawText = Field(
        validation_alias=AliasChoices("raw_text", "content"),
        description="What was written down, as plain text.",
        examples=["Maria will send the offer by Friday."],
    )
    meeting_id: Id | None = Field(
        None, description="The meeting that it was taken in: an id from list_meetings; null: none."
    )
    contact_id: Ref | None = Field(
        None, description="The contact that it is about: an id or uuid from list_contacts; null: none."
    )

    @model_validator(mode="before")
    @classmethod
    def _one_text(cls, data: Any) -> Any:
        """Accepts both names if their values are equal. Raises ValueError."""
        if not isinstance(data, dict) or not {"raw_text", "content"} <= data.keys():
            return data
        if data["raw_text"] != data["content"]:
            raise ValueError("Send `raw_text` or `content`; both were sent, and they differ.")
        return {name: value for name, value in data.items() if name != "content"}


class NotePatch(NoteIn, partial=True):
    """The changes to a note; fields that are not sent stay as they are."""


class NoteFilters(In):
    """Which notes to list."""

    meeting_id: Id | None = Field(None, description="Only notes of this meeting, by its id from list_meetings.")
    contact_id: Ref | None = Field(
        None, description="Only notes about this contact, by its id or uuid from list_contacts."
    )
    status: NoteStatus | None = Field(None, description="Only notes whose summary is in this state.")


class AcceptIn(In):
    """Which action items become tasks."""

    action_item_ids: list[Id] | None = Field(
        None, max_length=50, description="The ids of action items of this note, from get_note; without it, all of them."
    )


class ActionItemOut(Out):
    """Something to do that was found in a note."""

    id: int
    title: str
    assignee: str | None = Field(description="Who is to do it, as the note names them; null where it does not.")
    due_date: Time | None = Field(description="By when, where the note says so.")
    quote: str = Field(description="The sentence of the note that says so.")
    task_id: int | None = Field(description="The task that was made of it; null before.")


class NoteOut(Out):
    """A note, with its summary as far as it is ready."""

    id: int
    raw_text: str = Field(description="The text of the note.")
    content: Annotated[str, Column("raw_text")] = Field(description="The same as `raw_text`.")
    meeting_id: int | None
    contact_id: int | None
    summary: str | None = Field(description="Null until the first one is done.")
    action_items: list[ActionItemOut]
    status: NoteStatus = Field(description="How far the summary is.")
    error: str | None = Field(description="Why the summary failed; null if it did not.")
    created_at: Time
    updated_at: Time
