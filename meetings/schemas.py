"""The input and output schemas of meetings and calls."""

from typing import Annotated, Literal
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import Coalesce
from pydantic import Field

from accounts.contact_schemas import ContactOut
from accounts.schemas import PersonOut
from accounts.timeline import TimelineEntry
from meetings.models import CallStatus, Response
from mesh import Also, Column, Email, Id, In, Out, Ref, Time, text

_CALL_STATUS = "How far it is: still to come (`scheduled`, `rescheduled`), `completed` or `cancelled`."
MeetingId = Annotated[Id, Field(description="The meeting's id, from list_meetings.")]
CallRef = Annotated[Ref, Field(description="The call's id or uuid, from list_calls.")]
NewCallStatus = Annotated[CallStatus, Also("new_status"), Field(description=_CALL_STATUS)]
FeedKey = Annotated[str, text(1, 100), Field(description="The secret key that make_calendar_key returned.")]


class MeetingIn(In):
    """A new meeting."""

    title: Annotated[str, text(1, 200)] = Field(description="What the meeting is about.", examples=["Sprint Planning"])
    description: Annotated[str, text(0, 5000)] = Field(
        "",
        description="The agenda, or what else attendees should know, as plain text.",
        examples=["Q1 Sprint Planning"],
    )
    scheduled_time: Time = Field(description="When it begins, in UTC unless it has an offset.")
    duration_minutes: int = Field(30, ge=5, le=1440, description="How long it takes, in minutes.")
    location: Annotated[str, text(1, 255)] | None = Field(
        None, description="A room, an address or a link; null: none.", examples=["Room 2"]
    )
    attendee_ids: list[Id] = Field(
        default=[], max_length=200, description="The users to invite, by their ids from list_users.", examples=[[1, 2]]
    )
    attendee_emails: list[Email] = Field(
        default=[],
        max_length=200,
        description="Anyone else to invite, by their e-mail addresses.",
        examples=[["guest@example.com"]],
    )


class MeetingPatch(MeetingIn, partial=True):
    """The changes to a meeting; fields that are not sent stay as they are."""


class MeetingFilters(In):
    """Which meetings to list."""

    from_: Time | None = Field(
        None,
        alias="from",
        description="Only meetings that begin at this time or later, in UTC unless it has an offset.",
    )
    to: Time | None = Field(
        None, description="Only meetings that begin at this time or earlier, in UTC unless it has an offset."
    )


class ResponseIn(In):
    """Your response to an invitation."""

    response: Literal["accepted", "declined", "tentative"] = Field(
        description="Whether you will come; `tentative` means perhaps. You can change it later."
    )


class CalendarKeyOut(Out):
    """The secret address of your calendar feed."""

    key: str = Field(description="The secret part of the address.")
    url: str = Field(
        description="What to give to the calendar application.",
        examples=["https://meshwork.example.com/calendar.ics?key=…"],
    )


class CallIn(In):
    """A new call."""

    contact_id: Ref = Field(description="Whom to call: the id or uuid of a contact of yours, from list_contacts.")
    title: Annotated[str, text(1, 200)] = Field(description="What the call is about.", examples=["Onboarding call"])
    scheduled_for: Time = Field(description="When it begins, in UTC unless it has an offset.")
    duration_minutes: int = Field(30, ge=15, le=240, description="How long it takes, in minutes.")
    notes: Annotated[str, text(0, 500)] = Field("", description="What to remember about it, as plain text.")
    status: CallStatus = Field(CallStatus.SCHEDULED, description=_CALL_STATUS)


class CallPatch(CallIn, partial=True):
    """The changes to a call; fields that are not sent stay as they are."""


class CallFilters(In):
    """Which calls to list."""

    contact_id: Ref | None = Field(
        None, description="Only calls with this contact, by its id or uuid from list_contacts."
    )
    status: CallStatus | None = Field(None, description="Only calls with this status.")
    from_: Time | None = Field(
        None, alias="from", description="Only calls that begin at this time or later, in UTC unless it has an offset."
    )
    to: Time | None = Field(
        None, description="Only calls that begin at this time or earlier, in UTC unless it has an offset."
    )


class CallOut(Out):
    """A call with a contact."""

    id: int
    uuid: UUID = Field(description="Taken wherever the id is.")
    contact_id: int
    title: str
    scheduled_for: Time = Field(description="When it begins.")
    duration_minutes: int
    notes: str
    status: CallStatus = Field(description=_CALL_STATUS)
    created_at: Time
    updated_at: Time


class BriefOut(Out):
    """What to know before a call."""

    call: CallOut
    contact: ContactOut
    talks: list[TimelineEntry] = Field(
        description="The last calls, meetings and notes before this call, the latest first; five at most."
    )
    open_tasks: list[TimelineEntry] = Field(description="Tasks with the contact that are not done, newest first.")
    orders: list[TimelineEntry] = Field(description="The contact's last orders that you may see; five at most.")
    text: str = Field(description="All of it as plain text.")


class AttendeeOut(Out):
    """Someone who is invited to a meeting."""

    id: Annotated[int | None, Column("user_id")] = Field(
        description="The user's id; null for a guest who was invited by e-mail."
    )
    name: Annotated[str, Column(Coalesce(F("user__name"), Value("")))] = Field(description="Empty for a guest.")
    email: Annotated[str, Column(Coalesce(F("user__email"), F("email")))]
    response: Response = Field(description="`pending` until they respond.")


class MeetingOut(Out):
    """A meeting with those who are invited to it."""

    id: int
    title: str
    description: str
    scheduled_time: Time = Field(description="When it begins.")
    duration_minutes: int
    location: str | None
    organizer: PersonOut = Field(description="Who may change and cancel it.")
    attendees: list[AttendeeOut] = Field(description="Who is invited, with their responses.")
    created_at: Time
    updated_at: Time
