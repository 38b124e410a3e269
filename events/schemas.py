"""The input and output schemas of events, categories and attendees."""

from typing import Annotated

from django.db.models import Case, F, When
from pydantic import Field, ValidationInfo, field_validator

from events.models import MAX_CAPACITY, EventStatus, RegistrationStatus, place_in_line
from mesh import Column, Email, Id, In, Out, PageParams, Time, text
from mesh.declarations.fields import words
from mesh.declarations.words import MOST_WORDS

ENDS_FIRST = "An event ends when it begins, or later."
EventId = Annotated[Id, Field(description="The event's id, from list_events.")]
CategoryId = Annotated[Id, Field(description="The category's id, from list_categories.")]
AttendeeId = Annotated[Id, Field(description="The person's id, from list_attendees or list_event_attendees.")]
InCategory = Annotated[
    Id | None, Field(description="Only events in this category, by its id from list_categories; without it, all.")
]
_PERSON_NAME = "The person's full name."
_PERSON_PHONE = "The person's phone number, in any format; null: unknown."


class CategoryIn(In):
    """A new event category."""

    name: Annotated[str, text(1, 100)] = Field(
        examples=["Workshops"], description="What the category is called; no two have the same name, ignoring case."
    )
    description: Annotated[str, text(0, 5000)] = Field("", description="What belongs in it, as plain text.")


class CategoryPatch(CategoryIn, partial=True):
    """The changes to a category; fields that are not sent stay as they are."""


class CategoryOut(Out):
    """A category of events."""

    id: int
    name: str
    description: str


class EventIn(In):
    """A new event."""

    name: Annotated[str, text(1, 255)] = Field(description="What the event is called.", examples=["Summer school"])
    description: Annotated[str, text(0, 5000)] = Field("", description="What it is about, as plain text.")
    location: Annotated[str, text(0, 255)] = Field("", description="A room or an address.", examples=["Main hall"])
    start_date: Time = Field(
        description="When it begins, in UTC unless it has an offset; a date alone is its midnight in UTC."
    )
    end_date: Time = Field(
        description="When it ends, not before it begins; in UTC unless it has an offset.",
        examples=["2025-01-15T12:00:00Z"],
    )
    category_id: Id | None = Field(None, description="Its category: an id from list_categories; null: none.")
    capacity: int | None = Field(
        None, ge=1, le=MAX_CAPACITY, description="How many people can have a seat; null: no limit."
    )

    @field_validator("end_date")
    @classmethod
    def _not_before_it_begins(cls, end_date: Time, info: ValidationInfo) -> Time:
        start_date = info.data.get("start_date")
        if start_date is not None and end_date < start_date:
            raise ValueError(ENDS_FIRST)
        return end_date


class EventPatch(EventIn, partial=True):
    """The changes to an event; fields that are not sent stay as they are."""


class EventFilters(In):
    """Which events to list or count."""

    start_after: Time | None = Field(
        None, description="Only events that begin at this time or later, in UTC unless it has an offset."
    )
    end_before: Time | None = Field(
        None, description="Only events that end at this time or earlier, in UTC unless it has an offset."
    )
    category_id: Id | None = Field(None, description="Only events in this category, by its id from list_categories.")
    location: Annotated[str, words(255)] | None = Field(
        None,
        description="Only events whose location contains every word of this text, ignoring case; at most"
        f" {MOST_WORDS} words.",
    )
    status: EventStatus | None = Field(None, description="Only events with this status.")


class EventPage(PageParams):
    """Which page of the events, and how long it is."""

    limit: int = Field(100, ge=1, le=1000, description="The most items to return in one page.")


class EventOut(Out):
    """An event, with how many attend it."""

    id: int
    name: str
    description: str
    location: str
    start_date: Time
    end_date: Time
    category_id: int | None
    category: CategoryOut | None
    status: EventStatus
    capacity: int | None = Field(description="How many people can have a seat; null: no limit.")
    attendee_count: int = Field(description="How many people have a seat.")
    seats_left: Annotated[int | None, Column(F("capacity") - F("attendee_count"))] = Field(
        description="How many seats are free; null: no limit."
    )
    waiting_count: int = Field(description="How many people wait for a seat.")
    created_at: Time
    updated_at: Time


class CountOut(Out):
    """How many there are."""

    count: int = Field(description="The number of rows that match.")


class RegistrationIn(In):
    """The person to be registered for an event."""

    name: Annotated[str, text(1, 200)] = Field(description=_PERSON_NAME, examples=["Eve Example"])
    email: Email = Field(description="Where the person gets mails about the event; each e-mail once per event.")
    phone: Annotated[str, text(1, 50)] | None = Field(None, description=_PERSON_PHONE, examples=["+49 30 1234567"])
    waitlist: bool = Field(False, description="True to put the person on the waiting list if the event is full.")


class RegistrationFilters(In):
    """Which attendees of an event to list."""

    status: RegistrationStatus | None = Field(None, description="Only people with a seat, or only those who wait.")


class RegistrationOut(Out):
    """A person with a seat at an event, or on its waiting list."""

    id: Annotated[int, Column("attendee_id")] = Field(description="The id of the person, not of the registration.")
    name: Annotated[str, Column("attendee__name")]
    email: Annotated[str, Column("attendee__email")]
    phone: Annotated[str | None, Column("attendee__phone")]
    registration_date: Time
    status: RegistrationStatus = Field(description="`registered`: has a seat.")
    position: Annotated[int | None, Column(Case(When(status=RegistrationStatus.WAITING, then=place_in_line())))] = (
        Field(description="The place on the waiting list, from 1; null for people with a seat.")
    )


class EventAttendeePatch(In, partial=True):
    """The changes to a person; fields that are not sent stay as they are."""

    name: Annotated[str, text(1, 200)] = Field(description=_PERSON_NAME)
    email: Email = Field(description="Where the person gets mails about events, from now on.")
    phone: Annotated[str, text(1, 50)] | None = Field(description=_PERSON_PHONE)


class EventAttendeeOut(Out):
    """A person who attends events."""

    id: int
    name: str
    email: str
    phone: str | None
    created_at: Time
    updated_at: Time


class Change(In):
    """What of an event is other than it was, as people read it."""

    name: Annotated[str, text(1, 50)]
    old: Annotated[str, text(0, 5000)]
    new: Annotated[str, text(0, 5000)]
    #: Whether attendees get the mail too, and not the owner only.
    for_all: bool = True
