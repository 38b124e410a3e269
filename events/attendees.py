"""The people who attend events: registrations, waiting lists, and lists to export or print."""

from collections.abc import Iterable, Iterator
from itertools import islice
from typing import Any

from django.db.models import BigIntegerField, Case, F, When
from django.db.models.functions import Lower
from django.template.loader import render_to_string

from events import notifications
from events.mailings import tell_moved_up, tell_seats
from events.models import Attendee, Event, Registration, RegistrationStatus
from events.notifications import Seating
from events.schemas import (
    AttendeeId,
    EventAttendeeOut,
    EventAttendeePatch,
    EventId,
    RegistrationFilters,
    RegistrationIn,
    RegistrationOut,
)
from mesh import Page, PageParams, Search, Service, command, query
from mesh.errors import Conflict, Forbidden
from mesh.execution.service import absent
from mesh.formats import sheets

#: The columns of exported and printed lists; `position` is computed.
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
    """The people who attend events, and waiting lists."""

    name = "attendees"

    @query("GET /events/{id}/attendees")
    def list_event_attendees(
        self, *, id: EventId, filters: RegistrationFilters, search: Search = None, page: PageParams
    ) -> Page[RegistrationOut]:
        """List who attends an event or waits for a seat, newest first.

        The event's owner and ADMINs see everyone; others see those whom they registered. The search looks in name,
        e-mail and phone.
        """
        self._get_event(id)
        rows = self.rows(Registration).filter(event_id=id).with_status(filters.status).search(search)
        return self.page(rows, RegistrationOut, page)

    @command("POST /events/{id}/attendees", location="/attendees/{id}", creates=Registration)
    def register_attendee(self, *, id: EventId, data: RegistrationIn) -> RegistrationOut:
        """Register a person for an event.

        Any signed-in user may register anyone. The person gets a mail with a calendar file. A full event is refused
        (409), unless `waitlist` is true: then the person waits, and gets a seat and a mail when one becomes free. A
        cancelled event is refused too (409), and so is an e-mail that is already registered for the event. Returns the
        registration.
        """
        event = self.lock(Event, id)
        if not event.is_active:
            raise EventCancelled("This event is cancelled.")
        if event.is_full and not data.waitlist:
            if event.registrations.with_email(data.email).exists():
                raise AlreadyRegistered
            raise EventFull("This event is full. Send `waitlist: true` to wait for a seat.")
        status = RegistrationStatus.WAITING if event.is_full else RegistrationStatus.REGISTERED
        person = data.model_dump(include={"name", "email", "phone"})
        registration = Registration.objects.add(event, registrar_id=self.actor.id, status=status, **person)
        self._mail_person(data.email, [registration])
        self.changed(event)
        return self.result_of(registration, RegistrationOut, id=registration.attendee_id)

    @command("DELETE /events/{id}/attendees/{attendee_id}")
    def remove_attendee(self, *, id: EventId, attendee_id: AttendeeId) -> None:
        """Remove a person from an event or from its waiting list.

        The event's owner, whoever registered the person, and ADMINs may do this. The person gets a mail, unless the
        event is over. A seat that becomes free goes to whoever has waited longest, who gets a mail. A person who
        attends no other event is deleted.
        """
        event = self.lock(Event, id)
        registration = self.rows(Registration).filter(event=event, attendee_id=attendee_id).first()
        if registration is None:
            raise absent(Attendee)
        person = self.lock(Attendee, attendee_id)
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
    def export_attendees(self, *, id: EventId) -> Iterator[str]:
        """Export the attendees of an event as CSV.

        The same people as in list_event_attendees: first those with a seat, by name, then those who wait, in order. A
        cell that a spreadsheet could take for a formula begins with `'`.
        """
        people = self._attendee_rows(self._get_event(id))
        return sheets.written(COLUMNS, ([person[column] for column in COLUMNS] for person in people))

    @query("GET /events/{id}/attendees/print", tool=False, media="text/html; charset=utf-8")
    def print_attendees(self, *, id: EventId) -> Iterator[str]:
        """Get the attendees of an event as a page to print.

        An HTML page with the same people as in list_event_attendees: first those with a seat, by name, then those who
        wait, in order.
        """
        event = self._get_event(id)
        yield render_to_string("events/attendees/head.html", {"event": event})
        people = self._attendee_rows(event)
        while part := list(islice(people, sheets.PART)):
            yield render_to_string("events/attendees/rows.html", {"people": part})
        yield render_to_string("events/attendees/foot.html")

    @query("GET /attendees")
    def list_attendees(self, *, search: Search = None, page: PageParams) -> Page[EventAttendeeOut]:
        """List the people who attend events, newest first.

        These are the people at events that you own, and those whom you registered; an ADMIN sees all. The search looks
        in name, e-mail and phone.
        """
        return self.page(self.rows(Attendee).search(search), EventAttendeeOut, page)

    @query("GET /attendees/{id}")
    def get_attendee(self, *, id: AttendeeId) -> EventAttendeeOut:
        """Get one person who attends events.

        Returns a person at an event that you own, or whom you registered.
        """
        return self.one(self.rows(Attendee), EventAttendeeOut, id)

    @command("PATCH /attendees/{id}")
    def update_attendee(self, *, id: AttendeeId, data: EventAttendeePatch) -> EventAttendeeOut:
        """Update the name, e-mail or phone of a person who attends events.

        Changes only the fields that you send, at all events of the person. Whoever registered the person may do this,
        and ADMINs; the owner of all these events may change name and phone. At a new e-mail the person gets a mail for
        each event to come. Returns the person.
        """
        person, sent = self.lock(Attendee, id), data.sent()
        is_new_address = sent.get("email", person.email) != person.email
        # Checked first, and with one message for all cases: a refusal must not reveal other events of the person.
        if is_new_address and not person.belongs_to(self.actor):
            raise Forbidden("Only who registered this person may change their e-mail.")
        if not person.may_be_changed_by(self.actor):
            raise Forbidden("Only who registered this person may change them.")
        if is_new_address:
            person.claim_address(sent["email"])
        self.update(person, sent)
        if is_new_address:
            self._mail_person(person.email, person.registrations.to_come().select_related("event"))
        return self.result_of(person, EventAttendeeOut)

    def _get_event(self, id: int) -> Event:
        event: Event | None = self.rows(Event).filter(pk=id).first()
        if event is None:
            raise absent(Event)
        return event

    def _attendee_rows(self, event: Event) -> Iterator[dict[str, Any]]:
        """Yields the cells of the attendees whom the actor sees: those with a seat by name, then those who wait."""
        waiting = event.registrations.with_status(RegistrationStatus.WAITING).order_by("pk")
        positions = {pk: position for position, pk in enumerate(waiting.values_list("pk", flat=True), 1)}
        rows = (
            self.rows(Registration)
            .filter(event=event)
            .order_by("status", _WAITING_ORDER, Lower("attendee__name"), "pk")
        )
        for pk, *cells in rows.values_list("pk", *_CELLS).iterator(sheets.PART):
            yield dict(zip(COLUMNS, (*cells, positions.get(pk)), strict=True))

    def _mail_person(self, email: str, registrations: Iterable[Registration]) -> None:
        """Has mails sent to a person about their seats, and their places on waiting lists."""
        ids: dict[Seating, list[int]] = {Seating.CONFIRMED: [], Seating.WAITING: []}
        for registration in registrations:
            waits = registration.status == RegistrationStatus.WAITING
            ids[Seating.WAITING if waits else Seating.CONFIRMED].append(registration.pk)
        for seating, registration_ids in ids.items():
            tell_seats(self, email, registration_ids, seating)


#: Sorts waiting registrations by id, after all others, which compare equal.
_WAITING_ORDER = Case(When(status=RegistrationStatus.WAITING, then=F("pk")), default=0, output_field=BigIntegerField())
