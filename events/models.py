"""Events and their categories; who attends them, and who waits for a seat.

An event's row counts its attendees and is locked by whoever changes them, so that it is never over-full: a CHECK says
so too, and that nobody waits while a seat is free.
"""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Func, OuterRef, Q, Value
from django.db.models.functions import Lower, Now
from django.utils import timezone

from mesh import Actor, ScopedModel, ScopedQuerySet
from mesh.database import fetch
from mesh.search import every_word

MAX_CAPACITY = 1_000_000


class Normalized(Func):
    """A text in Unicode's normal form NFKC, so that it is the same however it was typed."""

    function = "NORMALIZE"
    template = "%(function)s(%(expressions)s, NFKC)"


def folded(text: str | Value) -> Lower:
    """A text as uniqueness looks at it: in any case, and in any normal form."""
    return Lower(Normalized(text))


class CategoryQuerySet(ScopedQuerySet["Category"]):
    def visible_to(self, actor: Actor) -> Self:
        return self

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "description"))

    def hold(self, id: int) -> bool:
        """Whether there is one with this id; it stays until the transaction ends."""
        return bool(fetch("SELECT id FROM events_category WHERE id = %s FOR SHARE", [id]))


class Category(ScopedModel):
    """What kind of event: everyone reads it, its creator changes it."""

    creator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="event_categories")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=5000, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    versioned: ClassVar[bool] = True
    objects = CategoryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "categories"
        constraints = [
            models.UniqueConstraint(folded("name"), name="events_category_name_once"),
            models.CheckConstraint(condition=~Q(name=""), name="events_category_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def audience(self) -> set[str]:
        return {"categories"}

    def may_be_changed_by(self, actor: Actor) -> bool:
        return actor.is_admin or self.creator_id == actor.id


class EventStatus(models.TextChoices):
    ACTIVE = "active"
    CANCELLED = "cancelled"


class EventQuerySet(ScopedQuerySet["Event"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.current()

    def current(self) -> Self:
        """Those that are not deleted."""
        return self.filter(deleted_at=None)

    def between(self, start_after: datetime | None, end_before: datetime | None) -> Self:
        """Those that begin at `start_after` or later and end at `end_before` or earlier."""
        rows = self if start_after is None else self.filter(start_date__gte=start_after)
        return rows if end_before is None else rows.filter(end_date__lte=end_before)

    def with_status(self, status: EventStatus | None) -> Self:
        return self if status is None else self.filter(status=status)

    def in_category(self, category_id: int | None) -> Self:
        return self if category_id is None else self.filter(category_id=category_id)

    def at(self, location: str | None) -> Self:
        return self.filter(every_word(location, "location"))

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "description", "location"))

    def to_remind_of(self) -> Self:
        """Those that begin within a day, at a time that nobody was reminded of, the next one first."""
        soon = self.current().filter(
            status=EventStatus.ACTIVE, start_date__gt=Now(), start_date__lte=Now() + timedelta(days=1)
        )
        return soon.exclude(reminded_for=F("start_date")).order_by("start_date", "pk")

    def since(self, days: int) -> Self:
        """Those that ended so many days ago or later, in the order of their time."""
        return self.filter(end_date__gte=Now() - timedelta(days=days)).order_by("start_date", "pk")


class Event(ScopedModel):
    """Something to attend: everyone reads it, its owner edits it. Deleted ones stay here, and nobody sees them."""

    # Here and below: where an index or a unique constraint begins with it, a foreign key needs none of its own.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="events", db_index=False)
    name = models.CharField(max_length=255)
    description = models.CharField(max_length=5000, blank=True, default="")
    location = models.CharField(max_length=255, blank=True, default="")
    start_date = models.DateTimeField()
    end_date = models.DateTimeField()
    category = models.ForeignKey(Category, models.PROTECT, null=True, blank=True, related_name="events", db_index=False)
    #: How many may attend; null: anyone.
    capacity = models.IntegerField(null=True, blank=True)
    status = models.CharField(max_length=9, choices=EventStatus.choices, default=EventStatus.ACTIVE, editable=False)
    attendee_count = models.IntegerField(default=0, editable=False)
    waiting_count = models.IntegerField(default=0, editable=False)
    #: Grows with every change that attendees are told of, so that a calendar knows which form of it is newer.
    sequence = models.PositiveIntegerField(default=0, editable=False)
    #: The beginning that attendees were reminded of.
    reminded_for = models.DateTimeField(null=True, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    versioned: ClassVar[bool] = True
    objects = EventQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["owner", "-id"], name="events_event_owner"),
            models.Index(fields=["category", "-id"], name="events_event_category"),
            models.Index(fields=["start_date"], name="events_event_start", condition=Q(deleted_at=None)),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(name=""), name="events_event_name"),
            models.CheckConstraint(condition=Q(end_date__gte=F("start_date")), name="events_event_dates"),
            models.CheckConstraint(condition=Q(status__in=EventStatus.values), name="events_event_status"),
            models.CheckConstraint(
                condition=Q(capacity=None) | Q(capacity__gte=1, capacity__lte=MAX_CAPACITY),
                name="events_event_capacity",
            ),
            models.CheckConstraint(
                condition=Q(attendee_count__gte=0, waiting_count__gte=0), name="events_event_counts"
            ),
            models.CheckConstraint(
                condition=Q(capacity=None) | Q(attendee_count__lte=F("capacity")), name="events_event_not_over_full"
            ),
            models.CheckConstraint(
                condition=Q(waiting_count=0)
                | Q(status=EventStatus.CANCELLED)
                | Q(capacity__isnull=False, attendee_count__gte=F("capacity")),
                name="events_event_nobody_waits_in_vain",
            ),
        ]

    def __str__(self) -> str:
        return self.name

    @property
    def is_active(self) -> bool:
        return self.status == EventStatus.ACTIVE and self.deleted_at is None

    @property
    def is_over(self) -> bool:
        return self.end_date <= timezone.now()

    @property
    def is_full(self) -> bool:
        return self.capacity is not None and self.attendee_count >= self.capacity

    def audience(self) -> set[str]:
        return set() if self.deleted_at else {"events", f"event:{self.pk}"}

    def may_be_changed_by(self, actor: Actor) -> bool:
        return actor.is_admin or self.owner_id == actor.id

    def newest_registration(self) -> int:
        """The key of its last registration; 0 where there is none."""
        newest: int | None = self.registrations.aggregate(newest=models.Max("pk"))["newest"]
        return newest or 0

    def move_up(self) -> list[int]:
        """Gives the free seats to those who wait, in order. Returns their registrations; the event is to be saved."""
        if not self.waiting_count or self.status == EventStatus.CANCELLED:
            return []
        waiting = self.registrations.filter(status=RegistrationStatus.WAITING).order_by("pk")
        free = self.waiting_count if self.capacity is None else self.capacity - self.attendee_count
        moved = list(waiting.values_list("pk", flat=True)[: max(0, free)])
        self.registrations.filter(pk__in=moved).update(status=RegistrationStatus.REGISTERED)
        self.attendee_count += len(moved)
        self.waiting_count -= len(moved)
        return moved


class RegistrationStatus(models.TextChoices):
    REGISTERED = "registered"
    WAITING = "waiting"


class AttendeeQuerySet(ScopedQuerySet["Attendee"]):
    def visible_to(self, actor: Actor) -> Self:
        current = Registration.objects.current().values("attendee")
        if actor.is_admin:
            return self.filter(pk__in=current)
        own = current.filter(event__owner_id=actor.id).union(current.filter(attendee__registrar_id=actor.id))
        return self.filter(pk__in=own)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "email", "phone"))


class Attendee(ScopedModel):
    """A person who attends events. Whoever registers the same e-mail again registers the same person.

    Everyone's people are their own: who registers somebody neither sees nor changes what others know of that person.
    """

    registrar = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="registered_attendees", db_index=False
    )
    name = models.CharField(max_length=200)
    email = models.EmailField(max_length=254)
    email_key = models.GeneratedField(expression=folded("email"), output_field=models.TextField(), db_persist=True)
    phone = models.CharField(max_length=50, null=True, blank=True)  # noqa: DJ001  (the API answers null)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = AttendeeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["registrar", "email_key"], name="events_attendee_once"),
            # What registrations refer to: see their migration.
            models.UniqueConstraint(fields=["id", "email_key"], name="events_attendee_key"),
            models.CheckConstraint(condition=~Q(name=""), name="events_attendee_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"

    def audience(self) -> set[str]:
        owners = self.registrations.current().values_list("event__owner_id", flat=True)
        return {f"user:{user_id}" for user_id in (self.registrar_id, *owners)} if owners else set()

    def may_be_changed_by(self, actor: Actor) -> bool:
        """Its registrar may, and the owner of all the events that this person attends."""
        if actor.is_admin or self.registrar_id == actor.id:
            return True
        return not self.registrations.current().exclude(event__owner_id=actor.id).exists()


class RegistrationQuerySet(ScopedQuerySet["Registration"]):
    def visible_to(self, actor: Actor) -> Self:
        rows = self.current()
        if actor.is_admin:
            return rows
        return rows.filter(Q(event__owner_id=actor.id) | Q(attendee__registrar_id=actor.id))

    def current(self) -> Self:
        """Those of events that are not deleted."""
        return self.filter(event__deleted_at=None)

    def with_status(self, status: RegistrationStatus | None) -> Self:
        return self if status is None else self.filter(status=status)

    def to_come(self) -> Self:
        """Those of events that are neither over nor cancelled."""
        return self.current().filter(event__status=EventStatus.ACTIVE, event__end_date__gt=Now()).order_by("pk")

    def with_email(self, email: str) -> Self:
        return self.filter(email_key=folded(Value(email)))

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "attendee__name", "attendee__email", "attendee__phone"))

    def add(
        self, event: Event, *, registrar_id: int, status: RegistrationStatus, name: str, email: str, phone: str | None
    ) -> "Registration":
        """Registers a person for an event that is locked; a seat, or a place on its waiting list, is counted."""
        values = [registrar_id, name, email, phone, event.pk, status, event.pk]
        column = "waiting_count" if status == RegistrationStatus.WAITING else "attendee_count"
        id, attendee_id = fetch(_ADD[column], values)[0]
        return Registration(pk=id, event=event, attendee_id=attendee_id, status=status)


_ADD = {
    column: f"""
WITH person AS (
    INSERT INTO events_attendee (registrar_id, name, email, phone) VALUES (%s, %s, %s, %s)
    ON CONFLICT (registrar_id, email_key) DO UPDATE
    SET name = excluded.name, email = excluded.email, phone = COALESCE(excluded.phone, events_attendee.phone),
        updated_at = statement_timestamp()
    RETURNING id, email_key
), new AS (
    INSERT INTO events_registration (event_id, attendee_id, email_key, status)
    SELECT %s, id, email_key, %s FROM person RETURNING id, attendee_id
), counted AS (
    UPDATE events_event SET {column} = {column} + 1 WHERE id = %s
)
SELECT id, attendee_id FROM new
"""  # noqa: S608  (names of ours)
    for column in ("attendee_count", "waiting_count")
}


class Registration(ScopedModel):
    """A person's seat at an event, or their place on its waiting list, which is in the order of the keys."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="registrations", db_index=False)
    attendee = models.ForeignKey(Attendee, models.PROTECT, related_name="registrations", db_constraint=False)
    #: The attendee's, held equal by the foreign key over both columns.
    email_key = models.TextField(editable=False)
    status = models.CharField(max_length=10, choices=RegistrationStatus.choices)
    registration_date = models.DateTimeField(db_default=Now(), editable=False)

    objects = RegistrationQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["event", "-id"], name="events_registration_event"),
            models.Index(fields=["event", "id"], name="events_registration_waiting", condition=Q(status="waiting")),
        ]
        constraints = [
            models.UniqueConstraint(fields=["event", "email_key"], name="events_registration_once"),
            models.CheckConstraint(
                condition=Q(status__in=RegistrationStatus.values), name="events_registration_status"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.attendee.name}: {self.event.name}"

    def audience(self) -> set[str]:
        if self.event.deleted_at:
            return set()
        return {f"user:{self.event.owner_id}", f"user:{self.attendee.registrar_id}"}

    def place(self) -> int:
        """The place on the waiting list, from 1."""
        return self.event.registrations.filter(status=RegistrationStatus.WAITING, pk__lte=self.pk).count()


def place_in_line() -> models.Subquery:
    """The same as an expression."""
    ahead = Registration.objects.filter(
        event_id=OuterRef("event_id"), status=RegistrationStatus.WAITING, pk__lte=OuterRef("pk")
    )
    return models.Subquery(ahead.order_by().values("event_id").annotate(number=models.Count("pk")).values("number"))
