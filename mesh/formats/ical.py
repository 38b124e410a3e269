"""iCalendar (RFC 5545): how a calendar, and a person in it, is written."""

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
    """The entries as a file; with a `method` as a message between calendars (iTIP, RFC 5546), `name`d to subscribe."""
    calendar = Calendar()
    calendar.add("prodid", "-//Meshwork//Calendar//EN")
    calendar.add("version", "2.0")
    if method:
        calendar.add("method", method)
    if name:
        name = _one_line(name)
        calendar.add("name", name)
        calendar.add("x-wr-calname", name)  # what most clients read in place of NAME
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
    """An entry that calendars know again by its `key`, such as `meeting-7`; `texts` are left out where empty."""
    event = Event()
    event.add("uid", f"{key}@{urlsplit(settings.SITE_URL).hostname}")
    event.add("sequence", sequence)
    event.add("dtstamp", stamp)
    event.add("created", created)
    event.add("last-modified", changed)
    event.add("dtstart", begins)
    if ends > begins:  # else it has none: an end may not be the beginning
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
    """The text without the control characters that iCalendar has no way to write."""
    return _CONTROL.sub("", value.replace("\r\n", "\n").replace("\r", "\n"))
