"""iCalendar (RFC 5545): writing calendars, their entries, and the people in them."""

import re
from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any, Literal
from urllib.parse import quote, urlsplit

from django.conf import settings
from icalendar import Calendar, Event, vCalAddress

MEDIA = "text/calendar; charset=utf-8"

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def calendar(entries: Iterable[Event], method: Literal["", "REQUEST", "CANCEL", "PUBLISH"] = "", name: str = "") -> str:
    """The entries as a calendar file.

    With a `method` it is a message between calendars (iTIP, RFC 5546). With a `name` it is a calendar to subscribe to.
    """
    calendar = Calendar()
    calendar.add("prodid", "-//Meshwork//Calendar//EN")
    calendar.add("version", "2.0")
    if method:
        calendar.add("method", method)
    if name:
        name = _one_line(name)
        calendar.add("name", name)
        calendar.add("x-wr-calname", name)  # what most clients read instead of NAME
        calendar.add("refresh-interval", timedelta(minutes=15), parameters={"VALUE": "DURATION"})
    for entry in entries:
        calendar.add_component(entry)
    text: str = calendar.to_ical().decode()
    return text


def entry(
    key: str,
    *,
    sequence: int,
    stamp: datetime,
    created: datetime,
    changed: datetime,
    begins: datetime,
    ends: datetime,
    title: str,
    **texts: str | None,
) -> Event:
    """A calendar entry. Calendars recognize it by its `key`, such as `meeting-7`. Empty `texts` are left out."""
    event = Event()
    event.add("uid", f"{key}@{urlsplit(settings.SITE_URL).hostname}")
    event.add("sequence", sequence)
    event.add("dtstamp", stamp)
    event.add("created", created)
    event.add("last-modified", changed)
    event.add("dtstart", begins)
    if ends > begins:  # else no end: it may not equal the beginning
        event.add("dtend", ends)
    event.add("summary", clean(title))
    for name, text in texts.items():
        if text:
            event.add(name, clean(text))
    return event


def person(name: str, email: str, **parameters: str) -> Any:
    """An organizer or attendee."""
    person = vCalAddress("mailto:" + quote(email, safe="@!$'*+-._~"))
    person.params.update({"CN": _one_line(name) or email, **parameters})
    return person


def _one_line(value: str) -> str:
    return " ".join(clean(value).split())


def clean(value: str) -> str:
    """The text without control characters, which iCalendar cannot represent."""
    return _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
