"""The mails about events: their recipients, their contents, and the attached calendar files.

Once an event is over, the only mails about it are those that confirm a registration.
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
    """What a mail to the attendees and the owner of an event is about."""

    CREATED = "created"
    CHANGED = "changed"
    CANCELLED = "cancelled"
    REMINDER = "reminder"


class Seating(StrEnum):
    """What a mail to an attendee says about their seat."""

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
    """Writes mails to some of an event's attendees; each address gets one for each `number` of a change."""
    shown = [change for change in changes if change.for_all]
    for registration in registrations:
        waits = registration.status == RegistrationStatus.WAITING
        if (news == News.CHANGED and not shown) or (news == News.REMINDER and waits):
            continue
        file = None if waits else _file(event, registration, off=news == News.CANCELLED)
        context = {"changes": shown, "waits": waits, "is_owner": False}
        _mail_of_event(service, registration.attendee.email, event, news, number, context, file)


def tell_owner(service: Service, event: Event, news: News, number: int, changes: Sequence[Change]) -> None:
    """Writes a mail to the owner, unless they get one as an attendee."""
    context = {"changes": changes, "waits": False, "is_owner": True}
    _mail_of_event(service, event.owner.email, event, news, number, context)


def tell_of_seats(service: Service, registrations: Iterable[Registration], seating: Seating) -> None:
    """Writes mails to people about their seats, or their places on waiting lists, if that is still their status."""
    expected_status = RegistrationStatus.WAITING if seating == Seating.WAITING else RegistrationStatus.REGISTERED
    for registration in registrations:
        event = registration.event
        if (
            registration.status == expected_status
            and event.is_active
            and not (event.is_over and seating == Seating.MOVED_UP)
        ):
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
        context=_event_context(event) | context,
        key=f"registration:{registration.pk}:{seating}",
        attachments=[file] if file else [],
    )


def changes_between(before: Event, after: Event) -> list[Change]:
    """The changes to mail about, with old and new values as readable text."""
    return [
        Change(
            name=name,
            old=format_value(getattr(before, field)),
            new=format_value(getattr(after, field)),
            for_all=for_all,
        )
        for field, name, format_value, for_all in _FIELDS
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
        context=_event_context(event) | context,
        key=f"event:{event.pk}:{news}:{number}",
        attachments=[file] if file else [],
    )


def _event_context(event: Event) -> dict[str, Any]:
    return {
        "title": event.name,
        "begins": in_words(event.start_date),
        "ends": in_words(event.end_date),
        "location": event.location,
        "description": event.description,
        "capacity": event.capacity,
    }


def _file(event: Event, registration: Registration, *, off: bool) -> Attachment:
    name, method, build = (
        ("cancel.ics", "CANCEL", calendar.cancellation) if off else ("event.ics", "REQUEST", calendar.seat)
    )
    return Attachment(name, build(event, registration.attendee), f"text/calendar; method={method}; charset=utf-8")


def _text_or_none(value: object) -> str:
    return str(value or "none")


_FIELDS: list[tuple[str, str, Callable[[Any], str], bool]] = [
    ("name", "Name", str, True),
    ("start_date", "Begins", in_words, True),
    ("end_date", "Ends", in_words, True),
    ("location", "Location", _text_or_none, True),
    ("category", "Category", _text_or_none, True),
    ("description", "Description", _text_or_none, True),
    ("capacity", "Capacity", lambda capacity: f"{capacity:,}" if capacity else "no limit", False),
]
