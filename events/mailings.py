"""The jobs that write the mails about events, in batches; their texts are in `events/notifications.py`."""

from collections.abc import Sequence
from typing import Annotated

from django.db.models import F
from pydantic import Field

from events import notifications
from events.models import Event, Registration, RegistrationQuerySet
from events.notifications import News, Seating
from events.schemas import Change
from mesh import Id, Service, job

MOST_AT_ONCE = 200  # mails in one run of a job

_Number = Annotated[int, Field(ge=0)]
_Ids = Annotated[list[Id], Field(max_length=MOST_AT_ONCE)]


def tell(
    service: Service, event: Event, news: News, *, number: int | None = None, changes: Sequence[Change] = ()
) -> None:
    """Has mails sent to the present attendees of an event, and to its owner; `number` defaults to its sequence."""
    if news != News.REMINDER:
        service.will_mail(_count_recipients(service, event, news, changes), owed=news == News.CANCELLED)
    service.defer(
        EventMailService.mail_event,
        id=event.pk,
        news=news,
        number=event.sequence if number is None else number,
        changes=list(changes),
        after=0,
        last=event.newest_registration(),
    )


def tell_moved_up(service: Service, registrations: Sequence[int]) -> None:
    """Has mails sent to those who got a seat from a waiting list."""
    if registrations:
        own = Registration.objects.filter(pk__in=registrations).with_email(service.actor.email).count()
        service.will_mail(len(registrations) - own)
    for batch in _batches(registrations):
        service.defer(EventMailService.mail_moved_up, ids=batch)


def tell_seats(service: Service, email: str, registrations: Sequence[int], seating: Seating) -> None:
    """Has mails sent to a person about their seats, or their places on waiting lists."""
    if email.lower() != service.actor.email.lower():
        service.will_mail(len(registrations))
    for batch in _batches(registrations):
        service.defer(EventMailService.mail_seats, ids=batch, seating=seating)


class EventMailService(Service):
    """The mails about events."""

    name = "event_mails"

    @job(queue="mail", lease=120, mails_only=True)
    def mail_event(
        self,
        *,
        id: int,
        news: News,
        number: _Number,
        changes: Annotated[list[Change], Field(max_length=10)],
        after: _Number,
        last: _Number,
    ) -> None:
        """Send the mails about an event to its attendees, and then to its owner.

        Attendees are those registered after `after` and up to `last`, 200 in a run. `number` is that of the change:
        each address is told of it once.
        """
        self.changed()
        event = Event.objects.select_related("owner").get(pk=id)
        if _is_overtaken(event, news):
            return
        attendees = event.registrations.filter(pk__gt=after, pk__lte=last).select_related("attendee").order_by("pk")
        batch = list(attendees[:MOST_AT_ONCE])
        notifications.tell_attendees(self, event, batch, news, number, changes)
        if len(batch) == MOST_AT_ONCE:
            rest = {"changes": changes, "after": batch[-1].pk, "last": last}
            self.defer(self.mail_event, id=id, news=news, number=number, **rest)
        elif news != News.REMINDER:
            notifications.tell_owner(self, event, news, number, changes)

    @job(queue="mail", lease=120, mails_only=True)
    def mail_seats(self, *, ids: _Ids, seating: Seating) -> None:
        """Send mails to people who have a seat, or wait for one."""
        notifications.tell_of_seats(self, _registrations(ids), seating)
        self.changed()

    # Not mails_only: a dry run of removing somebody must not reveal who gets the seat.
    @job(queue="mail", lease=120)
    def mail_moved_up(self, *, ids: _Ids) -> None:
        """Send mails to people who got a seat from a waiting list."""
        notifications.tell_of_seats(self, _registrations(ids), Seating.MOVED_UP)
        self.changed()

    @job(queue="mail", every=60, lease=60)
    def remind_of_events(self) -> None:
        """Start the reminders of the events that begin within a day."""
        due = Event.objects.to_remind_of()
        for event in self.claim_due(due, self.remind_of_events, reminded_for=F("start_date")):
            tell(self, event, News.REMINDER, number=int(event.start_date.timestamp()))


def _count_recipients(service: Service, event: Event, news: News, changes: Sequence[Change]) -> int:
    """The number of people who get the mail, without the actor."""
    attendees = event.attendee_count + event.waiting_count
    if not attendees or (news == News.CHANGED and not any(change.for_all for change in changes)):
        return int(event.owner_id != service.actor.id)
    own = event.registrations.with_email(service.actor.email).exists()
    return attendees - own + (event.owner_id != service.actor.id)


def _batches(ids: Sequence[int]) -> list[list[int]]:
    """Splits ids into batches for one run of a job each."""
    return [list(ids[first : first + MOST_AT_ONCE]) for first in range(0, len(ids), MOST_AT_ONCE)]


def _registrations(ids: Sequence[int]) -> RegistrationQuerySet:
    rows: RegistrationQuerySet = Registration.objects.filter(pk__in=ids)
    return rows.select_related("event", "attendee").order_by("pk")


def _is_overtaken(event: Event, news: News) -> bool:
    """Whether the mail is out of date, since a later change is announced instead."""
    if news == News.REMINDER:
        return not event.is_active or event.reminded_for != event.start_date
    return news == News.CHANGED and not event.is_active
