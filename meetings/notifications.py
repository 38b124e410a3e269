"""The mails about meetings: their recipients, their contents, and the attached calendar files.

No mail is written about a meeting that is over, or to an organizer about what they did themselves.
"""

import uuid
from collections.abc import Callable, Iterable
from typing import Any

from django.utils import dateformat

from accounts.models import MailKind
from meetings import calendar
from meetings.models import Invitee, Meeting, Response
from mesh import Attachment, Service
from mesh.mail.messages import in_words


def invite(service: Service, meeting: Meeting) -> None:
    """Writes the invitations to a new meeting."""
    if not meeting.is_over:
        _invite(service, meeting, _guests(meeting))


def tell_changes(service: Service, before: Meeting, after: Meeting) -> None:
    """Writes the mails about an update: changes to those who stay, invitations to new attendees, withdrawals."""
    guests_before = {guest.address.lower(): guest for guest in _guests(before)}
    guests = {guest.address.lower(): guest for guest in _guests(after)}
    changes = _changes(before, after)
    if not before.is_over:
        before.sequence = after.sequence
        _withdraw(service, before, [guest for address, guest in guests_before.items() if address not in guests])
    if changes and not (before.is_over and after.is_over):
        staying = [guest for address, guest in guests.items() if address in guests_before]
        context = {"changes": changes, "by": _by(service)}
        file = _file("REQUEST", calendar.request(after))
        for guest in staying:
            _mail(service, guest.address, MailKind.MEETING_CHANGES, "change", after, context, file, guest=guest)
        if service.actor.id != after.organizer_id:
            _mail(service, after.organizer.email, MailKind.MEETING_CHANGES, "change", after, context)
    if not after.is_over:
        _invite(service, after, [guest for address, guest in guests.items() if address not in guests_before])


def cancel(service: Service, meeting: Meeting) -> None:
    """Writes mails to everyone that the meeting is cancelled."""
    if meeting.is_over:
        return
    meeting.sequence += 1
    file = _file("CANCEL", calendar.cancellation(meeting))
    context = {"by": _by(service)}
    for guest in _guests(meeting):
        _mail(service, guest.address, MailKind.MEETING_CHANGES, "cancellation", meeting, context, file)
    if service.actor.id != meeting.organizer_id:
        _mail(service, meeting.organizer.email, MailKind.MEETING_CHANGES, "cancellation", meeting, context)


def tell_answer(service: Service, meeting: Meeting, attendee: Invitee) -> None:
    """Writes a mail to the organizer about an attendee's response."""
    if meeting.is_over or attendee.user_id == meeting.organizer_id:
        return
    context = {"name": attendee.name or attendee.address, "answer": _ANSWERS[Response(attendee.response)]}
    # A random key: the same response may be given again after another one, and is mailed each time.
    key = f"meeting:{meeting.pk}:answer:{uuid.uuid4().hex}"
    _mail(service, meeting.organizer.email, MailKind.RESPONSES, "answer", meeting, context, key=key)


def remind(service: Service, meeting: Meeting) -> None:
    """Writes reminders to the organizer and all who did not decline, once for each `scheduled_time`."""
    key = f"meeting:{meeting.pk}:{meeting.scheduled_time:%Y%m%dT%H%M%S.%fZ}:reminder"
    coming = [guest.address for guest in _guests(meeting) if guest.response != Response.DECLINED]
    for address in (meeting.organizer.email, *coming):
        _mail(service, address, MailKind.MEETING_REMINDERS, "reminder", meeting, {}, key=key)


_ANSWERS = {
    Response.ACCEPTED: "accepted",
    Response.DECLINED: "declined",
    Response.TENTATIVE: "may come",
}


def _guests(meeting: Meeting) -> list[Invitee]:
    """The attendees without the organizer."""
    return [attendee for attendee in meeting.attendees.all() if attendee.user_id != meeting.organizer_id]


def _invite(service: Service, meeting: Meeting, guests: Iterable[Invitee]) -> None:
    file = _file("REQUEST", calendar.request(meeting))
    for guest in guests:
        # One mail for each row of an attendee: the job for a new meeting may run after a change that invited more.
        key = f"meeting:{meeting.pk}:invitation:{guest.pk}"
        kind = MailKind.MEETING_INVITATIONS
        _mail(service, guest.address, kind, "invitation", meeting, {}, file, guest=guest, key=key)


def _withdraw(service: Service, meeting: Meeting, guests: Iterable[Invitee]) -> None:
    """Writes mails to people who are no longer invited, about the meeting as it was when they were."""
    for guest in guests:
        file = _file("CANCEL", calendar.withdrawal(meeting, guest))
        _mail(service, guest.address, MailKind.MEETING_CHANGES, "withdrawal", meeting, {"by": _by(service)}, file)


def _mail(
    service: Service,
    to: str,
    kind: MailKind,
    template: str,
    meeting: Meeting,
    context: dict[str, Any],
    *files: Attachment,
    guest: Invitee | None = None,
    key: str = "",
) -> None:
    organizer = meeting.organizer
    meeting_context = {
        "id": meeting.pk,
        "title": meeting.title,
        "when": in_words(meeting.scheduled_time),
        "begins": dateformat.format(meeting.scheduled_time, "H:i") + " UTC",
        "duration": _duration(meeting.duration_minutes),
        "location": meeting.location,
        "description": meeting.description,
        "organizer": organizer.name or organizer.email,
        "organizer_email": organizer.email,
        "is_user": guest is None or guest.user_id is not None,
    }
    service.mail(
        to=to,
        kind=kind,
        template=f"meetings/{template}",
        context=meeting_context | context,
        key=key or f"meeting:{meeting.pk}:{meeting.sequence}:{template}",
        attachments=files,
    )


def _file(method: str, text: str) -> Attachment:
    name = "cancel.ics" if method == "CANCEL" else "invite.ics"
    return Attachment(name, text, f"text/calendar; method={method}; charset=utf-8")


def _by(service: Service) -> str:
    return service.actor.name or service.actor.email


def _changes(before: Meeting, after: Meeting) -> list[dict[str, str]]:
    """The changes to mail about, with old and new values as readable text."""
    fields: list[tuple[str, str, Callable[[Any], str]]] = [
        ("title", "Title", str),
        ("scheduled_time", "Time", in_words),
        ("duration_minutes", "Duration", _duration),
        ("location", "Location", lambda location: location or "none"),
    ]
    return [
        {"name": name, "old": format_value(getattr(before, field)), "new": format_value(getattr(after, field))}
        for field, name, format_value in fields
        if getattr(before, field) != getattr(after, field)
    ]


def _duration(minutes: int) -> str:
    hours, rest = divmod(minutes, 60)
    parts = [(hours, "hour"), (rest, "minute")]
    return " ".join(f"{n} {name}{'' if n == 1 else 's'}" for n, name in parts if n)
