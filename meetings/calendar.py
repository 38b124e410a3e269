"""Meetings as iCalendar files (RFC 5545), and as the iTIP messages mailed to their attendees (RFC 5546)."""

from collections.abc import Iterable
from datetime import datetime

from django.utils import timezone
from icalendar import Event

from meetings.models import Invitee, Meeting, Response
from mesh.formats import ical

_PARTSTAT = {
    Response.PENDING: "NEEDS-ACTION",
    Response.ACCEPTED: "ACCEPTED",
    Response.DECLINED: "DECLINED",
    Response.TENTATIVE: "TENTATIVE",
}


def document(meeting: Meeting) -> str:
    """A meeting with its attendees and their responses, as a file to import into a calendar."""
    event = _event(meeting, meeting.updated_at)
    _add_attendees(event, meeting.attendees.all())
    return ical.calendar([event])


def request(meeting: Meeting) -> str:
    """An iTIP REQUEST that adds or updates the meeting in the attendees' calendars."""
    event = _event(meeting, timezone.now())
    _add_attendees(event, meeting.attendees.all())
    return ical.calendar([event], "REQUEST")


def cancellation(meeting: Meeting) -> str:
    """An iTIP CANCEL that removes a cancelled meeting from the attendees' calendars."""
    event = _event(meeting, timezone.now())
    event.add("status", "CANCELLED")
    _add_attendees(event, meeting.attendees.all())
    return ical.calendar([event], "CANCEL")


def withdrawal(meeting: Meeting, attendee: Invitee) -> str:
    """An iTIP CANCEL for one person who is no longer invited; without STATUS, since the meeting takes place."""
    event = _event(meeting, timezone.now())
    _add_attendees(event, [attendee])
    return ical.calendar([event], "CANCEL")


def feed(meetings: Iterable[Meeting], declined: set[int]) -> str:
    """One user's meetings as a feed to subscribe to; those they declined do not block their time.

    A published calendar has no attendees (RFC 5546, 3.2.1).
    """
    events = []
    for meeting in meetings:
        event = _event(meeting, meeting.updated_at)
        event.add("transp", "TRANSPARENT" if meeting.pk in declined else "OPAQUE")
        events.append(event)
    return ical.calendar(events, "PUBLISH", name="Meshwork")


def _event(meeting: Meeting, stamp: datetime) -> Event:
    event = ical.entry(
        f"meeting-{meeting.pk}",
        sequence=meeting.sequence,
        stamp=stamp,
        created=meeting.created_at,
        changed=meeting.updated_at,
        begins=meeting.scheduled_time,
        ends=meeting.ends_at,
        title=meeting.title,
        description=meeting.description,
        location=meeting.location,
    )
    event.add("organizer", ical.person(meeting.organizer.name, meeting.organizer.email))
    return event


def _add_attendees(event: Event, attendees: Iterable[Invitee]) -> None:
    for attendee in attendees:
        answer = _PARTSTAT[Response(attendee.response)]
        event.add("attendee", ical.person(attendee.name, attendee.address, PARTSTAT=answer, RSVP="TRUE"))
