"""The people who attend events or wait for a seat, and their registrations."""

from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import Exists, OuterRef, Q, Value
from django.db.models.functions import Now

from events.folding import folded
from events.models.events import Event, EventStatus
from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word
from mesh.stores.postgres import fetch


class RegistrationStatus(models.TextChoices):
    """Whether a person has a seat at an event, or waits for one."""

    REGISTERED = "registered"
    WAITING = "waiting"


class EventAttendeeQuerySet(MeshQuerySet["Attendee"]):
    def visible_to(self, actor: Actor) -> Self:
        current = Registration.objects.current().values("attendee")
        if actor.is_admin:
            return self.filter(pk__in=current)
        own = current.filter(event__owner_id=actor.id).union(current.filter(attendee__registrar_id=actor.id))
        return self.filter(pk__in=own)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "email", "phone"))


class Attendee(MeshModel):
    """A person who attends events. Registering the same e-mail again registers the same person.

    Every registrar has rows of their own: they neither see nor change what others entered about the same person.
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

    objects = EventAttendeeQuerySet.as_manager()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["registrar", "email_key"], name="events_attendee_once"),
            # Registrations refer to both columns: see their migration.
            models.UniqueConstraint(fields=["id", "email_key"], name="events_attendee_key"),
            models.CheckConstraint(condition=~Q(name=""), name="events_attendee_name"),
        ]

    def __str__(self) -> str:
        return f"{self.name} <{self.email}>"

    def audience(self) -> set[str]:
        owners = self.registrations.current().values_list("event__owner_id", flat=True)
        return {f"user:{user_id}" for user_id in (self.registrar_id, *owners)} if owners else set()

    def belongs_to(self, actor: Actor) -> bool:
        """Whether the actor registered this person, or is an ADMIN."""
        return actor.is_admin or self.registrar_id == actor.id

    def may_be_changed_by(self, actor: Actor) -> bool:
        """Whether the actor registered this person, is an ADMIN, or owns all events that the person attends."""
        if self.belongs_to(actor):
            return True
        return not self.registrations.current().exclude(event__owner_id=actor.id).exists()

    def claim_address(self, email: str) -> None:
        """Frees an e-mail before it is set, by merging an invisible attendee of the same registrar who has it.

        That is an attendee of deleted events only. Their registrations become this attendee's, since mails about these
        events may still be sent to that e-mail; an event that has both keeps one, and its counts.
        """
        others = Registration.objects.with_email(email).exclude(attendee=self)
        at_deleted = self.registrations.exclude(event__deleted_at=None)
        at_deleted.filter(event__in=others.values("event")).delete()
        same = Attendee.objects.filter(registrar=self.registrar_id, email_key=folded(Value(email))).exclude(pk=self.pk)
        is_visible = Exists(Registration.objects.current().filter(attendee=OuterRef("pk")))
        invisible = same.filter(~is_visible).select_for_update().first()
        # Checked again after waiting for the lock: they may have been registered for an event meanwhile.
        if invisible is not None and not invisible.registrations.current().exists():
            fetch(_MERGE, [self.pk, invisible.pk, invisible.pk, email, self.pk])


class RegistrationQuerySet(MeshQuerySet["Registration"]):
    def visible_to(self, actor: Actor) -> Self:
        rows = self.current()
        if actor.is_admin:
            return rows
        return rows.filter(Q(event__owner_id=actor.id) | Q(attendee__registrar_id=actor.id))

    def current(self) -> Self:
        """Registrations for events that are not deleted."""
        return self.filter(event__deleted_at=None)

    def with_status(self, status: RegistrationStatus | None) -> Self:
        return self if status is None else self.filter(status=status)

    def to_come(self) -> Self:
        """Registrations for events that are neither over nor cancelled."""
        return self.current().filter(event__status=EventStatus.ACTIVE, event__end_date__gt=Now()).order_by("pk")

    def with_email(self, email: str) -> Self:
        return self.filter(email_key=folded(Value(email)))

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "attendee__name", "attendee__email", "attendee__phone"))

    def add(
        self, event: Event, *, registrar_id: int, status: RegistrationStatus, name: str, email: str, phone: str | None
    ) -> "Registration":
        """Registers a person for a locked event, and counts the seat or the place on the waiting list."""
        values = [registrar_id, name, email, phone, event.pk, status, event.pk]
        column = "waiting_count" if status == RegistrationStatus.WAITING else "attendee_count"
        id, attendee_id = fetch(_ADD[column], values)[0]
        return Registration(pk=id, event=event, attendee_id=attendee_id, status=status)

    def move_up(self, event: Event) -> list[int]:
        """Gives the free seats of a locked event to those who wait, in order; returns the ids of their registrations.

        Changes the counts of `event`, which the caller saves.
        """
        if not event.waiting_count or event.status == EventStatus.CANCELLED:
            return []
        waiting = self.filter(event=event, status=RegistrationStatus.WAITING).order_by("pk")
        free = event.waiting_count if event.capacity is None else event.capacity - event.attendee_count
        moved = list(waiting.values_list("pk", flat=True)[: max(0, free)])
        self.filter(pk__in=moved).update(status=RegistrationStatus.REGISTERED)
        event.attendee_count += len(moved)
        event.waiting_count -= len(moved)
        return moved


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
"""  # noqa: S608  (constant column names)
    for column in ("attendee_count", "waiting_count")
}


#: One statement, since the foreign key over person and e-mail is only checked at its end.
_MERGE = """
WITH moved AS (
    UPDATE events_registration SET attendee_id = %s WHERE attendee_id = %s
), deleted AS (
    DELETE FROM events_attendee WHERE id = %s RETURNING id
)
UPDATE events_attendee SET email = %s WHERE id = %s AND EXISTS (SELECT FROM deleted)
"""


class Registration(MeshModel):
    """A person's seat at an event, or their place on its waiting list, which is ordered by id."""

    event = models.ForeignKey(Event, models.PROTECT, related_name="registrations", db_index=False)
    attendee = models.ForeignKey(Attendee, models.PROTECT, related_name="registrations", db_constraint=False)
    #: The attendee's `email_key`, kept equal by a foreign key over both columns.
    email_key = models.TextField(editable=False)
    status = models.CharField(max_length=10, choices=RegistrationStatus.choices)
    registration_date = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = "attendee__registrar"
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
    """`Registration.place` as an expression."""
    ahead = Registration.objects.filter(
        event_id=OuterRef("event_id"), status=RegistrationStatus.WAITING, pk__lte=OuterRef("pk")
    )
    return models.Subquery(ahead.order_by().values("event_id").annotate(number=models.Count("pk")).values("number"))
