"""The jobs that write the mails about events, some at a time; what they say is in `events/notifications.py`."""

from collections.abc import Sequence
from typing import Annotated

from django.db.models import F
from pydantic import Field

from events import notifications
from events.models import Event, Registration, RegistrationQuerySet
from events.notifications import News, Seating
from events.schemas import Change
from mesh import Id, Service, job

MOST_AT_ONCE = 200  # mails that one run of a job writes

_Number = Annotated[int, Field(ge=0)]
_Ids = Annotated[list[Id], Field(max_length=MOST_AT_ONCE)]


def tell(
    service: Service, event: Event, news: News, *, number: int | None = None, changes: Sequence[Change] = ()
) -> None:
    """Everyone who attends an event by now, and its owner, is told of it; `number` is by default its sequence."""
    if news != News.REMINDER:
        service.will_mail(_others_told(service, event, news, changes), owed=news == News.CANCELLED)
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
    """Those who have moved up from a waiting list are told so."""
    if registrations:
        own = Registration.objects.filter(pk__in=registrations).with_email(service.actor.email).count()
        service.will_mail(len(registrations) - own)
    for part in _parts(registrations):
        service.defer(EventMailService.mail_moved_up, ids=part)


def tell_seats(service: Service, email: str, registrations: Sequence[int], seating: Seating) -> None:
    """A person is told that they have these seats, or wait for them."""
    if email.lower() != service.actor.email.lower():
        service.will_mail(len(registrations))
    for part in _parts(registrations):
        service.defer(EventMailService.mail_seats, ids=part, seating=seating)


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
        attending = event.registrations.filter(pk__gt=after, pk__lte=last).select_related("attendee").order_by("pk")
        part = list(attending[:MOST_AT_ONCE])
        notifications.tell_attendees(self, event, part, news, number, changes)
        if len(part) == MOST_AT_ONCE:
            rest = {"changes": changes, "after": part[-1].pk, "last": last}
            self.defer(self.mail_event, id=id, news=news, number=number, **rest)
        elif news != News.REMINDER:
            notifications.tell_owner(self, event, news, number, changes)

    @job(queue="mail", lease=120, mails_only=True)
    def mail_seats(self, *, ids: _Ids, seating: Seating) -> None:
        """Send mails to people who have a seat, or wait for one."""
        notifications.tell_of_seats(self, _registrations(ids), seating)
        self.changed()

    # Not mails_only: who removes somebody must not see, in a dry run, who gets the seat.
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


def _others_told(service: Service, event: Event, news: News, changes: Sequence[Change]) -> int:
    """How many are told of it, without the actor."""
    attending = event.attendee_count + event.waiting_count
    if not attending or (news == News.CHANGED and not any(change.for_all for change in changes)):
        return int(event.owner_id != service.actor.id)
    own = event.registrations.with_email(service.actor.email).exists()
    return attending - own + (event.owner_id != service.actor.id)


def _parts(ids: Sequence[int]) -> list[list[int]]:
    """As many at a time as one run of a job takes."""
    return [list(ids[first : first + MOST_AT_ONCE]) for first in range(0, len(ids), MOST_AT_ONCE)]


def _registrations(ids: Sequence[int]) -> RegistrationQuerySet:
    found: RegistrationQuerySet = Registration.objects.filter(pk__in=ids)
    return found.select_related("event", "attendee").order_by("pk")


def _is_overtaken(event: Event, news: News) -> bool:
    """Whether it need not be told any more: what came after it is told instead."""
    if news == News.REMINDER:
        return not event.is_active or event.reminded_for != event.start_date
    return news == News.CHANGED and not event.is_active
