"""The mails about events: who is told of what, and the calendar file that goes with it.

Of an event that is over nobody is told anything, but that they were registered.
"""

from collections.abc import Callable, Iterable, Sequence
from enum import StrEnum
from typing import Any

from accounts.models import MailKind
from events import calendar
from events.models import Event, Registration, RegistrationStatus
from events.schemas import Change
from mesh import Attachment, Service
from mesh.mail.messages import in_words


class News(StrEnum):
    """What the attendees and the owner of an event are told of it."""

    CREATED = "created"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    REMINDER = "reminder"


class Seating(StrEnum):
    """What somebody is told of their seat."""

    CONFIRMED = "confirmed"
    WAITING = "waiting"
    MOVED_UP = "moved_up"
    WITHDRAWN = "withdrawn"


def tell_attendees(
    service: Service,
    event: Event,
    registrations: Iterable[Registration],
    news: News,
    number: int,
    changes: Sequence[Change],
) -> None:
    """Tells some of its attendees. `number` is that of the change: each address is told of it once."""
    told = [change for change in changes if change.for_all]
    for registration in registrations:
        waits = registration.status == RegistrationStatus.WAITING
        if (news == News.CHANGED and not told) or (news == News.REMINDER and waits):
            continue
        file = None if waits else _file(event, registration, off=news == News.CANCELLED)
        context = {"changes": told, "waits": waits, "is_owner": False}
        _mail_of_event(service, registration.attendee.email, event, news, number, context, file)


def tell_owner(service: Service, event: Event, news: News, number: int, changes: Sequence[Change]) -> None:
    """Tells the owner, unless they are told as an attendee."""
    context = {"changes": changes, "waits": False, "is_owner": True}
    _mail_of_event(service, event.owner.email, event, news, number, context)


def tell_of_seats(service: Service, registrations: Iterable[Registration], seating: Seating) -> None:
    """Tells people of their seats at events, or on waiting lists, as long as it is so; each of them once."""
    right = RegistrationStatus.WAITING if seating == Seating.WAITING else RegistrationStatus.REGISTERED
    for registration in registrations:
        event = registration.event
        if registration.status == right and event.is_active and not (event.is_over and seating == Seating.MOVED_UP):
            tell_of_seat(service, registration, seating)


def tell_of_seat(service: Service, registration: Registration, seating: Seating) -> None:
    event = registration.event
    had_seat = registration.status == RegistrationStatus.REGISTERED
    file = _file(event, registration, off=seating == Seating.WITHDRAWN) if had_seat else None
    context = {"name": registration.attendee.name, "position": None if had_seat else registration.place()}
    service.mail(
        to=registration.attendee.email,
        kind=MailKind.EVENT_REGISTRATIONS,
        template=f"events/{seating}",
        context=_shown(event) | context,
        key=f"registration:{registration.pk}:{seating}",
        attachments=[file] if file else [],
    )


def changes_between(before: Event, after: Event) -> list[Change]:
    """What its attendees and its owner are told of, old and new, as people read it."""
    return [
        Change(name=name, old=said(getattr(before, field)), new=said(getattr(after, field)), for_all=for_all)
        for field, name, said, for_all in _TOLD
        if getattr(before, field) != getattr(after, field)
    ]


def _mail_of_event(
    service: Service,
    to: str,
    event: Event,
    news: News,
    number: int,
    context: dict[str, Any],
    file: Attachment | None = None,
) -> None:
    service.mail(
        to=to,
        kind=MailKind.EVENT_REMINDERS if news == News.REMINDER else MailKind.EVENT_CHANGES,
        template=f"events/{news}",
        context=_shown(event) | context,
        key=f"event:{event.pk}:{news}:{number}",
        attachments=[file] if file else [],
    )


def _shown(event: Event) -> dict[str, Any]:
    return {
        "title": event.name,
        "begins": in_words(event.start_date),
        "ends": in_words(event.end_date),
        "location": event.location,
        "description": event.description,
        "capacity": event.capacity,
    }


def _file(event: Event, registration: Registration, *, off: bool) -> Attachment:
    name, method, made = (
        ("cancel.ics", "CANCEL", calendar.cancellation) if off else ("event.ics", "REQUEST", calendar.seat)
    )
    return Attachment(name, made(event, registration.attendee), f"text/calendar; method={method}; charset=utf-8")


def _said(value: object) -> str:
    return str(value or "none")


_TOLD: list[tuple[str, str, Callable[[Any], str], bool]] = [
    ("name", "Name", str, True),
    ("start_date", "Begins", in_words, True),
    ("end_date", "Ends", in_words, True),
    ("location", "Location", _said, True),
    ("category", "Category", _said, True),
    ("description", "Description", _said, True),
    ("capacity", "Capacity", lambda capacity: f"{capacity:,}" if capacity else "no limit", False),
]
