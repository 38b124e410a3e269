"""The people who attend events: registering them, the waiting list, and lists to take along."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db.models import BigIntegerField, Case, F, When
from django.db.models.functions import Lower, Now
from django.template.loader import render_to_string

from events import notifications
from events.mailings import tell_moved_up, tell_seats
from events.models import Attendee, Event, Registration, RegistrationStatus
from events.notifications import Seating
from events.schemas import (
    EventAttendeeOut,
    EventAttendeePatch,
    RegistrationFilters,
    RegistrationIn,
    RegistrationOut,
)
from mesh import Page, PageParams, Search, Service, command, query
from mesh.errors import Conflict, Forbidden
from mesh.execution.service import absent
from mesh.formats import sheets

#: The columns of the lists to take along; the last one is counted.
COLUMNS = ("name", "email", "phone", "status", "registration_date", "position")
_CELLS = ("attendee__name", "attendee__email", "attendee__phone", "status", "registration_date")


class AlreadyRegistered(Conflict):
    code, constraint = "events.already_registered", "events_registration_once"
    message = "Somebody with this e-mail is registered for this event, or waits for a seat."


class EventFull(Conflict):
    code = "events.full"


class EventCancelled(Conflict):
    code = "events.cancelled"


class PersonKnown(Conflict):
    code, constraint = "attendees.email_taken", "events_attendee_once"
    message = "You have registered another person with this e-mail."


class AttendeeService(Service):
    """People who attend events."""

    name = "attendees"

    @query("GET /events/{id}/attendees")
    def list_event_attendees(
        self, *, id: int, filters: RegistrationFilters, search: Search = None, page: PageParams
    ) -> Page[RegistrationOut]:
        """List who attends an event, or waits for a seat, newest first.

        Its owner and the ADMIN see everyone; others see those whom they registered.
        """
        self._event(id)
        rows = self.rows(Registration).filter(event_id=id).with_status(filters.status).search(search)
        return self.page(rows, RegistrationOut, page)

    @command("POST /events/{id}/attendees", location="/attendees/{id}", creates=Registration)
    def register_attendee(self, *, id: int, data: RegistrationIn) -> RegistrationOut:
        """Register someone for an event; they get a mail with a calendar file.

        Where it is full, `waitlist` puts them onto its waiting list; in their turn they get a seat, and a mail.
        """
        event = self.take(Event, id)
        if not event.is_active:
            raise EventCancelled("This event is cancelled.")
        if event.is_full and not data.waitlist:
            if event.registrations.with_email(data.email).exists():
                raise AlreadyRegistered
            raise EventFull("This event is full. Send `waitlist: true` to wait for a seat.")
        status = RegistrationStatus.WAITING if event.is_full else RegistrationStatus.REGISTERED
        person = data.model_dump(include={"name", "email", "phone"})
        registration = Registration.objects.add(event, registrar_id=self.actor.id, status=status, **person)
        self._tell(data.email, [registration])
        self.changed(event)
        return self.show(registration, RegistrationOut, id=registration.attendee_id)

    @command("DELETE /events/{id}/attendees/{attendee_id}")
    def remove_attendee(self, *, id: int, attendee_id: int) -> None:
        """Remove someone from an event, or from its waiting list; they are told by mail.

        A seat that frees goes to whoever waits longest.
        """
        event = self.take(Event, id)
        registration = self.rows(Registration).filter(event=event, attendee_id=attendee_id).first()
        if registration is None:
            raise absent(Attendee)
        person = self.take(Attendee, attendee_id)
        if not event.is_over:
            registration.event, registration.attendee = event, person
            notifications.tell_of_seat(self, registration, Seating.WITHDRAWN)
        if registration.status == RegistrationStatus.WAITING:
            event.waiting_count -= 1
        else:
            event.attendee_count -= 1
        registration.delete()
        if not Registration.objects.filter(attendee=person).exists():
            person.delete()
        moved_up = Registration.objects.move_up(event)
        event.save(update_fields=["attendee_count", "waiting_count"])
        tell_moved_up(self, moved_up)
        self.changed(event)

    @query("GET /events/{id}/attendees/export", tool=False, media=sheets.MEDIA, filename="attendees.csv")
    def export_attendees(self, *, id: int) -> Iterator[str]:
        """Get who attends an event, by name, and who waits for a seat, as CSV.

        A cell that a spreadsheet would take for a formula begins with a `'`.
        """
        people = self._people(self._event(id))
        return sheets.written(COLUMNS, ([person[column] for column in COLUMNS] for person in people))

    @query("GET /events/{id}/attendees/print", tool=False, media="text/html; charset=utf-8")
    def print_attendees(self, *, id: int) -> Iterator[str]:
        """Get who attends an event, by name, and who waits for a seat, as a page to print and take along."""
        event = self._event(id)
        yield render_to_string("events/attendees/head.html", {"event": event})
        people = self._people(event)
        while part := list(islice(people, sheets.PART)):
            yield render_to_string("events/attendees/rows.html", {"people": part})
        yield render_to_string("events/attendees/foot.html")

    @query("GET /attendees")
    def list_attendees(self, *, search: Search = None, page: PageParams) -> Page[EventAttendeeOut]:
        """List the people of your events, and those whom you registered, newest first."""
        return self.page(self.rows(Attendee).search(search), EventAttendeeOut, page)

    @query("GET /attendees/{id}")
    def get_attendee(self, *, id: int) -> EventAttendeeOut:
        """Show one person who attends events of yours, or whom you registered."""
        return self.one(self.rows(Attendee), EventAttendeeOut, id)

    @command("PATCH /attendees/{id}")
    def update_attendee(self, *, id: int, data: EventAttendeePatch) -> EventAttendeeOut:
        """Change a person's name, e-mail or phone, at all the events that they attend.

        Who registered them may; name and phone also the owner of all these events. At a new e-mail they are told of
        their seats.
        """
        person, sent = self.take(Attendee, id), data.sent()
        is_new_address = sent.get("email", person.email) != person.email
        # First, and in words that are the same wherever they attend: what is refused tells nothing of other events.
        if is_new_address and not person.belongs_to(self.actor):
            raise Forbidden("Only who registered this person may change their e-mail.")
        if not person.may_be_changed_by(self.actor):
            raise Forbidden("Only who registered this person may change them.")
        if is_new_address:
            person.claim_address(sent["email"])
        for field, value in sent.items():
            setattr(person, field, value)
        person.updated_at = Now()
        person.save(update_fields=[*sent, "updated_at"])
        if is_new_address:
            self._tell(person.email, person.registrations.to_come().select_related("event"))
        self.changed(person)
        return self.show(person, EventAttendeeOut)

    def _event(self, id: int) -> Event:
        event: Event | None = self.rows(Event).filter(pk=id).first()
        if event is None:
            raise absent(Event)
        return event

    def _people(self, event: Event) -> Iterator[dict[str, Any]]:
        """The cells of those at an event whom the actor sees: by name, and then who waits."""
        waiting = event.registrations.with_status(RegistrationStatus.WAITING).order_by("pk")
        places = {pk: place for place, pk in enumerate(waiting.values_list("pk", flat=True), 1)}
        seen = self.rows(Registration).filter(event=event).order_by("status", _PLACE, Lower("attendee__name"), "pk")
        for pk, *cells in seen.values_list("pk", *_CELLS).iterator(sheets.PART):
            yield dict(zip(COLUMNS, (*cells, places.get(pk)), strict=True))

    def _tell(self, email: str, registrations: Iterable[Registration]) -> None:
        """A person is told that they have these seats, or wait for them."""
        ids: dict[Seating, list[int]] = {Seating.CONFIRMED: [], Seating.WAITING: []}
        for registration in registrations:
            waits = registration.status == RegistrationStatus.WAITING
            ids[Seating.WAITING if waits else Seating.CONFIRMED].append(registration.pk)
        for seating, chosen in ids.items():
            tell_seats(self, email, chosen, seating)


#: Orders those who wait among themselves; all others come first, and alike.
_PLACE = Case(When(status=RegistrationStatus.WAITING, then=F("pk")), default=0, output_field=BigIntegerField())
