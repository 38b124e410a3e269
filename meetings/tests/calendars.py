"""What the tests of calendars and mails say often: every calendar is read by two independent parsers."""

from datetime import UTC, datetime
from typing import Any

import vobject
from icalendar import Calendar, Event

WHEN = "2099-01-05T10:00:00Z"  # a Monday
BEGINS = datetime(2099, 1, 5, 10, tzinfo=UTC)


def parsed(text: str) -> Calendar:
    """A calendar, after both parsers have read the same in it, and every line of it has its form."""
    assert text.endswith("\r\n")
    for line in text.removesuffix("\r\n").split("\r\n"):
        assert line
        assert "\n" not in line
        assert len(line.encode()) <= 75, line
    calendar = Calendar.from_ical(text)
    assert calendar["VERSION"] == "2.0"
    assert calendar["PRODID"] == "-//Meshwork//Calendar//EN"
    assert [error for event in calendar.walk() for error in event.errors] == []
    other = vobject.readOne(text)
    other.validate(raiseException=True)
    theirs = {event.uid.value: event for event in other.contents.get("vevent", [])}
    assert list(theirs) == [str(event["UID"]) for event in events(calendar)]
    for event in events(calendar):
        their = theirs[str(event["UID"])]
        assert their.dtstart.value == event.start
        assert their.dtend.value == event.end
        assert int(their.sequence.value) == event["SEQUENCE"]
        for name in ("summary", "description", "location", "status"):
            mine = event.get(name)
            assert (their.contents[name][0].value if name in their.contents else None) == (mine and str(mine)), name
        assert [a.value for a in their.contents.get("attendee", [])] == [str(a) for a in attendees_of(event)]
    return calendar


def events(calendar: Calendar) -> list[Event]:
    return [part for part in calendar.walk("VEVENT") if isinstance(part, Event)]


def event_of(text: str) -> Event:
    """The one event of a calendar."""
    (event,) = events(parsed(text))
    return event


def attendees_of(event: Event) -> list[Any]:
    found = event.get("ATTENDEE", [])
    return found if isinstance(found, list) else [found]


def people(event: Event) -> list[tuple[str, str, str]]:
    """The attendees as (address, name, answer); each is asked to answer."""
    assert all(person.params["RSVP"] == "TRUE" for person in attendees_of(event))
    return [(str(person), person.params["CN"], person.params["PARTSTAT"]) for person in attendees_of(event)]
