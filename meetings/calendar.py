"""Meetings as iCalendar (RFC 5545) and as the messages that mail carries between calendars (iTIP, RFC 5546)."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from django.conf import settings
from django.utils import timezone
from icalendar import Calendar, Event, vCalAddress

from meetings.models import Attendee, Meeting, Response

MEDIA = "text/calendar; charset=utf-8"

_PARTSTAT = {
    Response.PENDING: "NEEDS-ACTION",
    Response.ACCEPTED: "ACCEPTED",
    Response.DECLINED: "DECLINED",
    Response.TENTATIVE: "TENTATIVE",
}
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def document(meeting: Meeting) -> str:
    """A meeting with its attendees and their answers, to be put into a calendar."""
    event = _event(meeting, meeting.updated_at)
    _add_attendees(event, meeting.attendees.all())
    return _calendar([event])


def request(meeting: Meeting) -> str:
    """An invitation, or its newest form: the calendars of those who are invited take it up."""
    event = _event(meeting, timezone.now())
    _add_attendees(event, meeting.attendees.all())
    return _calendar([event], "REQUEST")


def cancellation(meeting: Meeting) -> str:
    """The meeting is off: it leaves the calendars of all who were invited."""
    event = _event(meeting, timezone.now())
    event.add("status", "CANCELLED")
    _add_attendees(event, meeting.attendees.all())
    return _calendar([event], "CANCEL")


def withdrawal(meeting: Meeting, attendee: Attendee) -> str:
    """One person is no longer invited: it leaves their calendar. The meeting itself is on, so it has no status."""
    event = _event(meeting, timezone.now())
    _add_attendees(event, [attendee])
    return _calendar([event], "CANCEL")


def feed(meetings: Iterable[Meeting], declined: set[int]) -> str:
    """The meetings of one person, to subscribe to; those they declined leave their time free.

    What is published names no attendees (RFC 5546, 3.2.1).
    """
    events = []
    for meeting in meetings:
        event = _event(meeting, meeting.updated_at)
        event.add("transp", "TRANSPARENT" if meeting.pk in declined else "OPAQUE")
        events.append(event)
    return _calendar(events, "PUBLISH", name="Meshwork")


def _calendar(events: list[Event], method: Literal["", "REQUEST", "CANCEL", "PUBLISH"] = "", name: str = "") -> str:
    calendar = Calendar()
    calendar.add("prodid", "-//Meshwork//Meetings//EN")
    calendar.add("version", "2.0")
    if method:
        calendar.add("method", method)
    if name:
        calendar.add("name", name)
        calendar.add("x-wr-calname", name)  # what most clients read in place of NAME
        calendar.add("refresh-interval", timedelta(minutes=15), parameters={"VALUE": "DURATION"})
    for event in events:
        calendar.add_component(event)
    text: str = calendar.to_ical().decode()
    return text


def _event(meeting: Meeting, stamp: datetime) -> Event:
    event = Event()
    event.add("uid", f"meeting-{meeting.pk}@{urlsplit(settings.SITE_URL).hostname}")
    event.add("sequence", meeting.sequence)
    event.add("dtstamp", stamp)
    event.add("created", meeting.created_at)
    event.add("last-modified", meeting.updated_at)
    event.add("dtstart", meeting.scheduled_time)
    event.add("dtend", meeting.ends_at)
    event.add("summary", _text(meeting.title))
    if meeting.description:
        event.add("description", _text(meeting.description))
    if meeting.location:
        event.add("location", _text(meeting.location))
    event.add("organizer", _person(meeting.organizer.name, meeting.organizer.email))
    return event


def _add_attendees(event: Event, attendees: Iterable[Attendee]) -> None:
    for attendee in attendees:
        answer = _PARTSTAT[Response(attendee.response)]
        event.add("attendee", _person(attendee.name, attendee.address, PARTSTAT=answer, RSVP="TRUE"))


def _person(name: str, email: str, **parameters: str) -> Any:
    person = vCalAddress("mailto:" + quote(email, safe="@!$'*+-._~"))
    person.params.update({"CN": " ".join(_text(name).split()) or email, **parameters})
    return person


def _text(value: str) -> str:
    """The text without the control characters that iCalendar has no way to write."""
    return _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
