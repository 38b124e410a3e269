"""Events as iCalendar files (RFC 5545), and as the iTIP messages mailed to their attendees (RFC 5546)."""

from collections.abc import Iterable
from datetime import datetime
from email.utils import parseaddr

from django.conf import settings
from django.utils import timezone
from icalendar import Event as Entry

from events.models import Attendee, Event, EventStatus
from mesh.formats import ical


def document(event: Event) -> str:
    """An event as a file to import into a calendar."""
    return ical.calendar([_published(event)])


def feed(events: Iterable[Event], name: str) -> str:
    """Events as a feed to subscribe to; cancelled events have the status CANCELLED."""
    return ical.calendar(map(_published, events), "PUBLISH", name=name)


def seat(event: Event, attendee: Attendee) -> str:
    """An iTIP REQUEST that adds or updates the event in the calendar of somebody with a seat."""
    entry = _entry(event, timezone.now())
    entry.add("attendee", ical.person(attendee.name, attendee.email, PARTSTAT="ACCEPTED", RSVP="FALSE"))
    return ical.calendar([entry], "REQUEST")


def cancellation(event: Event, attendee: Attendee) -> str:
    """An iTIP CANCEL that removes the event from a calendar: it is cancelled, or the attendee lost the seat."""
    entry = _entry(event, timezone.now())
    if not event.is_active:
        entry.add("status", "CANCELLED")
    entry.add("attendee", ical.person(attendee.name, attendee.email, RSVP="FALSE"))
    return ical.calendar([entry], "CANCEL")


def _published(event: Event) -> Entry:
    """An entry for everyone, without attendees."""
    entry = _entry(event, event.updated_at)
    entry.add("status", "CANCELLED" if event.status == EventStatus.CANCELLED else "CONFIRMED")
    if event.category is not None:
        entry.add("categories", [ical.clean(event.category.name)])
    return entry


def _entry(event: Event, stamp: datetime) -> Entry:
    entry = ical.entry(
        f"event-{event.pk}",
        sequence=event.sequence,
        stamp=stamp,
        created=event.created_at,
        changed=event.updated_at,
        begins=event.start_date,
        ends=event.end_date,
        title=event.name,
        description=event.description,
        location=event.location,
    )
    name, email = parseaddr(settings.EMAIL_FROM)
    entry.add("organizer", ical.person(name or "Meshwork", email))
    return entry
