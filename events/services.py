"""Events; attendees are in `events/attendees.py`, mails in `events/mailings.py`."""

from copy import copy

from django.db.models.functions import Now

from events import calendar, notifications
from events.attendees import AttendeeService as AttendeeService
from events.categories import CategoryService as CategoryService
from events.mailings import tell, tell_moved_up
from events.models import Category, Event, EventQuerySet, EventStatus, Registration
from events.notifications import News
from events.schemas import (
    ENDS_FIRST,
    CountOut,
    EventFilters,
    EventId,
    EventIn,
    EventOut,
    EventPage,
    EventPatch,
    InCategory,
)
from mesh import Page, Search, Service, anyone, command, query
from mesh.errors import Conflict, Invalid
from mesh.execution.service import absent
from mesh.formats import ical

MOST_IN_FEED = 2000
#: The cache tags of lists and of single events.
_LIST, _ROW = ("events", "categories"), ("event:{id}", "categories")


class CapacityTaken(Conflict):
    code = "events.capacity_taken"


class EventService(Service):
    """Events that people can attend; everyone sees them."""

    name = "events"

    @query("GET /events", allow=anyone, ttl=300, cache_tags=_LIST)
    def list_events(self, *, filters: EventFilters, search: Search = None, page: EventPage) -> Page[EventOut]:
        """List events, newest first.

        Everyone sees all events, signed in or not; cancelled ones too, unless you ask for `status=active`. The newest
        is the one created last: for events of a certain time, use `start_after` and `end_before`. The search looks in
        name, description and location.
        """
        return self.page(self._filtered(filters, search), EventOut, page)

    @query("GET /events/count", allow=anyone, ttl=300, cache_tags=_LIST)
    def count_events(self, *, filters: EventFilters, search: Search = None) -> CountOut:
        """Count the events that are neither cancelled nor deleted.

        Takes the filters of list_events; cancelled events never count. Returns `count`. Needs no sign-in.
        """
        return CountOut(count=self._filtered(filters, search).with_status(EventStatus.ACTIVE).count())

    @query("GET /events/calendar.ics", allow=anyone, ttl=300, cache_tags=_LIST, tool=False, media=ical.MEDIA)
    def read_event_calendar(self, *, category_id: InCategory = None) -> str:
        """Get events as an iCalendar feed.

        Returns the events of the last 90 days and all to come, of one category or of all. A calendar application can
        subscribe to this address; it needs no sign-in.
        """
        category = None if category_id is None else self.rows(Category).filter(pk=category_id).first()
        if category_id is not None and category is None:
            raise absent(Category)
        rows = self.rows(Event).in_category(category_id).since(days=90).soonest_first().select_related("category")
        events = sorted(rows[:MOST_IN_FEED], key=lambda event: (event.start_date, event.pk))
        return calendar.feed(events, category.name if category else "Events")

    @query("GET /events/{id}", allow=anyone, ttl=600, cache_tags=_ROW)
    def get_event(self, *, id: EventId) -> EventOut:
        """Get one event.

        Returns it with its category, how many have a seat, how many seats are left and how many wait for one. Needs no
        sign-in.
        """
        return self.one(self.rows(Event), EventOut, id)

    @query("GET /events/{id}/ics", allow=anyone, ttl=600, cache_tags=_ROW, tool=False, media=ical.MEDIA)
    def export_event(self, *, id: EventId) -> str:
        """Export one event as an iCalendar file.

        Returns a text/calendar file, to be opened in a calendar application. Needs no sign-in.
        """
        event = self.rows(Event).select_related("category").filter(pk=id).first()
        if event is None:
            raise absent(Event)
        return calendar.document(event)

    @command("POST /events", creates=Event)
    def create_event(self, *, data: EventIn) -> EventOut:
        """Create an event.

        You become its owner: you may change it, and you see all who attend. Everyone sees the event. You get a mail
        that confirms it. Returns the event.
        """
        self._require_category(data.category_id)
        event = Event(owner_id=self.actor.id, **data.model_dump())
        event.save(force_insert=True)
        tell(self, event, News.CREATED)
        self.changed(event)
        return self.result_of(event, EventOut)

    @command("PATCH /events/{id}", "PUT /events/{id}")
    def update_event(self, *, id: EventId, data: EventPatch) -> EventOut:
        """Update an event that you own.

        Changes only the fields that you send. You and its attendees get a mail that says what changed, unless the
        event is over or cancelled. More capacity gives seats to those who wait, in order, who get a mail too; less
        than the seats taken is refused (409). Returns the event. An ADMIN may update any.
        """
        event, sent = self.lock_to_change(Event, id), data.sent()
        self._require_category(sent.get("category_id"))
        before = copy(event)
        event.assign(sent)
        if event.end_date < event.start_date:
            raise Invalid.field(["body", "end_date" if "end_date" in sent else "start_date"], ENDS_FIRST)
        if event.capacity is not None and event.capacity < event.attendee_count:
            raise CapacityTaken(f"{event.attendee_count} have a seat already, so there cannot be fewer seats.")
        moved_up, changes = Registration.objects.move_up(event), notifications.changes_between(before, event)
        event.sequence += bool(changes)
        self.save(event)
        if changes and event.is_active and not (before.is_over and event.is_over):
            tell(self, event, News.CHANGED, changes=changes)
        tell_moved_up(self, moved_up)
        return self.result_of(event, EventOut)

    @command("POST /events/{id}/cancel")
    def cancel_event(self, *, id: EventId) -> EventOut:
        """Cancel an event that you own.

        It can still be seen, with the status `cancelled`, but nobody can be registered any more. You, its attendees
        and those who wait get a mail, unless it is over. It cannot be undone. Returns the event. An ADMIN may cancel
        any.
        """
        event = self.lock_to_change(Event, id)
        if event.is_active:
            event.status = EventStatus.CANCELLED
            self._cancel_event(event)
        self.changed(event)
        return self.result_of(event, EventOut)

    @command("DELETE /events/{id}")
    def delete_event(self, *, id: EventId) -> None:
        """Delete an event that you own.

        Nobody sees it or its attendees any more. Unless it is over or cancelled already, you, its attendees and those
        who wait get a mail. It cannot be undone. An ADMIN may delete any.
        """
        event = self.lock_to_change(Event, id)
        if event.is_active:
            self._cancel_event(event)
        Event.objects.filter(pk=event.pk).update(deleted_at=Now())
        self.changed(event)

    def _filtered(self, filters: EventFilters, search: str | None) -> EventQuerySet:
        rows: EventQuerySet = self.rows(Event).between(filters.start_after, filters.end_before)
        return rows.in_category(filters.category_id).with_status(filters.status).at(filters.location).search(search)

    def _require_category(self, id: int | None) -> None:
        if id is not None and not Category.objects.hold(id):
            raise Invalid.field(["body", "category_id"], "There is no such category.", "not_found")

    def _cancel_event(self, event: Event) -> None:
        event.sequence += 1
        self.save(event, ["status", "sequence"])
        if not event.is_over:
            tell(self, event, News.CANCELLED)
