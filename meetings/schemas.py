"""What goes in and out of meetings and calls."""

from typing import Annotated, Literal
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import Coalesce
from pydantic import Field

from accounts.contact_schemas import ContactOut
from accounts.schemas import PersonOut
from accounts.timeline import TimelineEntry
from meetings.models import CallStatus, Response
from mesh import Column, Email, Id, In, Out, Ref, Time, text


class MeetingIn(In):
    """A meeting to schedule."""

    title: Annotated[str, text(1, 200)] = Field(examples=["Sprint Planning"])
    description: Annotated[str, text(0, 5000)] = Field("", examples=["Q1 Sprint Planning"])
    scheduled_time: Time
    duration_minutes: int = Field(30, ge=5, le=1440)
    location: Annotated[str, text(1, 255)] | None = Field(None, examples=["Room 2"])
    attendee_ids: list[Id] = Field(default=[], max_length=200, description="Users you know, by id.", examples=[[1, 2]])
    attendee_emails: list[Email] = Field(
        default=[], max_length=200, description="Anyone, by e-mail.", examples=[["guest@example.com"]]
    )


class MeetingPatch(MeetingIn, partial=True):
    """What of a meeting changes. A list of attendees replaces the one before; who stays keeps their answer."""


class MeetingFilters(In):
    """Which meetings."""

    from_: Time | None = Field(None, alias="from", description="Those that begin at this time or later.")
    to: Time | None = Field(None, description="Those that begin at this time or earlier.")


class ResponseIn(In):
    """Your answer to an invitation."""

    response: Literal["accepted", "declined", "tentative"]


class CalendarKeyOut(Out):
    """The secret address of your meetings."""

    key: str
    url: str = Field(examples=["https://meshwork.example.com/calendar.ics?key=…"])


class CallIn(In):
    """A call to schedule."""

    contact_id: Ref = Field(description="A contact of yours.")
    title: Annotated[str, text(1, 200)] = Field(examples=["Onboarding call"])
    scheduled_for: Time
    duration_minutes: int = Field(30, ge=15, le=240)
    notes: Annotated[str, text(0, 500)] = ""
    status: CallStatus = CallStatus.SCHEDULED


class CallPatch(CallIn, partial=True):
    """What of a call changes."""


class CallFilters(In):
    """Which calls."""

    contact_id: Ref | None = None
    status: CallStatus | None = None
    from_: Time | None = Field(None, alias="from", description="Those that begin at this time or later.")
    to: Time | None = Field(None, description="Those that begin at this time or earlier.")


class CallOut(Out):
    """A call with a contact."""

    id: int
    uuid: UUID
    contact_id: int
    title: str
    scheduled_for: Time
    duration_minutes: int
    notes: str
    status: CallStatus
    created_at: Time
    updated_at: Time


class BriefOut(Out):
    """What there is to know before a call."""

    call: CallOut
    contact: ContactOut
    talks: list[TimelineEntry] = Field(description="The last calls, meetings and notes before this call, newest first.")
    open_tasks: list[TimelineEntry] = Field(description="What is still to do, newest first.")
    orders: list[TimelineEntry] = Field(description="The contact's last orders, as far as you see them.")
    text: str = Field(description="The same in words.")


class AttendeeOut(Out):
    """Someone invited; `id` is the user's, null for a guest of whom there is only an e-mail."""

    id: Annotated[int | None, Column("user_id")]
    name: Annotated[str, Column(Coalesce(F("user__name"), Value("")))]
    email: Annotated[str, Column(Coalesce(F("user__email"), F("email")))]
    response: Response


class MeetingOut(Out):
    """A meeting."""

    id: int
    title: str
    description: str
    scheduled_time: Time
    duration_minutes: int
    location: str | None
    organizer: PersonOut
    attendees: list[AttendeeOut]
    created_at: Time
    updated_at: Time
