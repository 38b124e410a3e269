"""What goes in and out of events, their categories and attendees."""

from typing import Annotated

from django.db.models import Case, F, When
from pydantic import Field, ValidationInfo, field_validator

from events.models import MAX_CAPACITY, EventStatus, RegistrationStatus, place_in_line
from mesh import Column, Email, Id, In, Out, PageParams, Time, text
from mesh.declarations.fields import words
from mesh.declarations.words import MOST_WORDS

ENDS_FIRST = "An event ends when it begins, or later."


class CategoryIn(In):
    """A new category."""

    name: Annotated[str, text(1, 100)] = Field(examples=["Workshops"], description="Unique, in any case.")
    description: Annotated[str, text(0, 5000)] = ""


class CategoryPatch(CategoryIn, partial=True):
    """What of a category changes."""


class CategoryOut(Out):
    """A category of events."""

    id: int
    name: str
    description: str


class EventIn(In):
    """A new event."""

    name: Annotated[str, text(1, 255)] = Field(examples=["Summer school"])
    description: Annotated[str, text(0, 5000)] = ""
    location: Annotated[str, text(0, 255)] = Field("", examples=["Main hall"])
    start_date: Time = Field(description="When it begins; a date alone is its midnight, in UTC.")
    end_date: Time = Field(description="When it ends: not before it begins.", examples=["2025-01-15T12:00:00Z"])
    category_id: Id | None = None
    capacity: int | None = Field(None, ge=1, le=MAX_CAPACITY, description="How many may attend; without it, anyone.")

    @field_validator("end_date")
    @classmethod
    def _not_before_it_begins(cls, end_date: Time, info: ValidationInfo) -> Time:
        start_date = info.data.get("start_date")
        if start_date is not None and end_date < start_date:
            raise ValueError(ENDS_FIRST)
        return end_date


class EventPatch(EventIn, partial=True):
    """What of an event changes."""


class EventFilters(In):
    """Which events."""

    start_after: Time | None = Field(None, description="Those that begin at this time or later.")
    end_before: Time | None = Field(None, description="Those that end at this time or earlier.")
    category_id: Id | None = None
    location: Annotated[str, words(255)] | None = Field(
        None, description=f"Every word must occur in the location; at most {MOST_WORDS} words."
    )
    status: EventStatus | None = None


class EventPage(PageParams):
    """Which page of the events."""

    limit: int = Field(100, ge=1, le=1000, description="How many rows a page holds.")


class EventOut(Out):
    """An event."""

    id: int
    name: str
    description: str
    location: str
    start_date: Time
    end_date: Time
    category_id: int | None
    category: CategoryOut | None
    status: EventStatus
    capacity: int | None = Field(description="How many may attend; null: anyone.")
    attendee_count: int = Field(description="How many have a seat.")
    seats_left: Annotated[int | None, Column(F("capacity") - F("attendee_count"))] = Field(
        description="Null where the capacity is."
    )
    waiting_count: int = Field(description="How many wait for a seat.")
    created_at: Time
    updated_at: Time


class CountOut(Out):
    """How many there are."""

    count: int


class RegistrationIn(In):
    """Who is to attend."""

    name: Annotated[str, text(1, 200)] = Field(examples=["Eve Example"])
    email: Email = Field(description="Once per event, in any case.")
    phone: Annotated[str, text(1, 50)] | None = Field(None, examples=["+49 30 1234567"])
    waitlist: bool = Field(False, description="Where the event is full: onto its waiting list.")


class RegistrationFilters(In):
    """Which attendees."""

    status: RegistrationStatus | None = None


class RegistrationOut(Out):
    """A person who attends an event, or waits for a seat."""

    id: Annotated[int, Column("attendee_id")] = Field(description="The attendee's.")
    name: Annotated[str, Column("attendee__name")]
    email: Annotated[str, Column("attendee__email")]
    phone: Annotated[str | None, Column("attendee__phone")]
    registration_date: Time
    status: RegistrationStatus
    position: Annotated[int | None, Column(Case(When(status=RegistrationStatus.WAITING, then=place_in_line())))] = (
        Field(description="The place on the waiting list, from 1; null for who has a seat.")
    )


class EventAttendeePatch(In, partial=True):
    """What of a person changes."""

    name: Annotated[str, text(1, 200)]
    email: Email
    phone: Annotated[str, text(1, 50)] | None


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
    #: Whether attendees are told too, and not the owner alone.
    for_all: bool = True
