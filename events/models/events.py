"""Events, with the numbers of their attendees."""

from datetime import datetime, timedelta
from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Case, F, Q, When
from django.db.models.functions import Now
from django.utils import timezone

from events.models.categories import Category
from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word

MAX_CAPACITY = 1_000_000
#: Events to come, the next one first; then past events, the latest first.
SOONEST_FIRST = (Case(When(end_date__gt=Now(), then="start_date")).asc(nulls_last=True), "-start_date", "-pk")


class EventStatus(models.TextChoices):
    """Whether an event takes place."""

    ACTIVE = "active"
    CANCELLED = "cancelled"


class EventQuerySet(MeshQuerySet["Event"]):
    def visible_to(self, actor: Actor) -> Self:
        return self.current()

    def current(self) -> Self:
        """Events that are not deleted."""
        return self.filter(deleted_at=None)

    def between(self, start_after: datetime | None, end_before: datetime | None) -> Self:
        """Events that begin at `start_after` or later and end at `end_before` or earlier; None is no bound."""
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
        """Events that begin within a day, and whose attendees were not reminded of that time; the next one first."""
        soon = self.current().filter(
            status=EventStatus.ACTIVE, start_date__gt=Now(), start_date__lte=Now() + timedelta(days=1)
        )
        return soon.exclude(reminded_for=F("start_date")).order_by("start_date", "pk")

    def since(self, days: int) -> Self:
        """Events that ended at most this many days ago, or have not ended yet."""
        return self.filter(end_date__gte=Now() - timedelta(days=days))

    def soonest_first(self) -> Self:
        return self.order_by(*SOONEST_FIRST)


class Event(MeshModel):
    """An event: everyone reads it, its owner edits it. Deleted events keep their rows, which nobody sees."""

    # `db_index=False`: another index begins with the foreign key.
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
    #: Grows with every change that is mailed to attendees: calendars need it to tell which version is newer.
    sequence = models.PositiveIntegerField(default=0, editable=False)
    #: The `start_date` that attendees were reminded of.
    reminded_for = models.DateTimeField(null=True, editable=False)
    deleted_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    versioned: ClassVar[bool] = True
    owner_field = editor_field = "owner"
    change_refusal = "Only its owner changes an event."
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

    def newest_registration(self) -> int:
        """The id of its last registration; 0 if there is none."""
        newest: int | None = self.registrations.aggregate(newest=models.Max("pk"))["newest"]
        return newest or 0
