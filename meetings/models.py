"""Meetings, their attendees, the keys of calendar feeds, and calls with contacts."""

import hashlib
import secrets
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models import Case, F, Prefetch, Q, QuerySet, When
from django.db.models.functions import Lower, Now
from django.utils import timezone
from uuid_utils.compat import uuid7

from accounts.models import Contact, peer_source
from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word
from mesh.stores.postgres import fetch


class MeetingQuerySet(MeshQuerySet["Meeting"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.of_user(actor.id)

    def between(self, first: datetime | None, last: datetime | None) -> Self:
        """Meetings that begin from `first` to `last`, both included; None is no bound."""
        rows = self if first is None else self.filter(scheduled_time__gte=first)
        return rows if last is None else rows.filter(scheduled_time__lte=last)

    def to_remind_of(self) -> Self:
        """Meetings that begin within an hour, and whose people were not reminded of that time; the next one first."""
        soon = self.filter(scheduled_time__gt=Now(), scheduled_time__lte=Now() + timedelta(hours=1))
        return soon.exclude(reminded_for=F("scheduled_time")).order_by("scheduled_time", "pk")

    def since(self, days: int) -> Self:
        """Meetings that began at most this many days ago, or have not begun yet."""
        return self.filter(scheduled_time__gte=Now() - timedelta(days=days))

    def soonest_first(self) -> Self:
        """Meetings to come, the next one first; then those that have begun, the latest first."""
        to_come = Case(When(scheduled_time__gt=Now(), then="scheduled_time"))
        return self.order_by(to_come.asc(nulls_last=True), "-scheduled_time", "-pk")

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "title", "description", "location"))

    def with_emails(self, emails: Sequence[str]) -> Self:
        """Meetings that somebody with one of these e-mails, which are in lower case, organizes or is invited to."""
        people = get_user_model().objects.alias(lower_email=Lower("email")).filter(lower_email__in=emails).values("pk")
        guests = Invitee.objects.alias(lower_email=Lower("email")).filter(lower_email__in=emails)
        invited = guests.values("meeting_id").union(Invitee.objects.filter(user__in=people).values("meeting_id"))
        return self.filter(Q(pk__in=invited) | Q(organizer__in=people))

    def of_user(self, user_id: int) -> Self:
        """Meetings that a user organizes or is invited to."""
        return self.filter(pk__in=_meeting_ids_of(user_id))

    def with_people(self) -> Self:
        """Prefetches the organizer and the attendees."""
        return self.select_related("organizer").prefetch_related(
            Prefetch("attendees", Invitee.objects.select_related("user").order_by("pk"))
        )

    def schedule(
        self, *, organizer_id: int, user_ids: Sequence[int], emails: Sequence[str], **fields: Any
    ) -> "Meeting":
        """Inserts a meeting and its attendees, in one statement."""
        values = [organizer_id, *(fields[name] for name in _FIELDS), list(user_ids), list(emails)]
        meeting = Meeting(pk=fetch(_SCHEDULE, values)[0][0], organizer_id=organizer_id, **fields)
        meeting.invited_ids = list(user_ids)
        return meeting


_FIELDS = ("title", "description", "scheduled_time", "duration_minutes", "location")
_SCHEDULE = """
WITH new AS (
    INSERT INTO meetings_meeting (organizer_id, title, description, scheduled_time, duration_minutes, location)
    VALUES (%s, %s, %s, %s, %s, %s) RETURNING id
), invited AS (
    INSERT INTO meetings_attendee (meeting_id, user_id, email, response)
    SELECT new.id, user_id, NULL, 'pending' FROM new, unnest(%s::bigint[]) AS user_id
    UNION ALL
    SELECT new.id, NULL, email, 'pending' FROM new, unnest(%s::text[]) AS email
)
SELECT id FROM new
"""


class Meeting(MeshModel):
    """A meeting: its organizer edits it, its attendees read it."""

    # Here and below, `db_index=False`: another index or a unique constraint begins with the foreign key.
    organizer = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, related_name="organized_meetings", db_index=False
    )
    title = models.CharField(max_length=200)
    description = models.CharField(max_length=5000, blank=True, default="")
    scheduled_time = models.DateTimeField()
    duration_minutes = models.PositiveSmallIntegerField(default=30)
    #: Grows with every change: calendars need it to tell which version is newer.
    sequence = models.PositiveIntegerField(default=0, db_default=0, editable=False)
    #: The `scheduled_time` that people were reminded of.
    reminded_for = models.DateTimeField(null=True, editable=False)
    location = models.CharField(max_length=255, null=True, blank=True)  # noqa: DJ001  (the API answers null)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    versioned: ClassVar[bool] = True
    owner_field = editor_field = "organizer"
    change_refusal = "Only the organizer changes a meeting; you may answer its invitation."
    objects = MeetingQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["organizer", "-id"], name="meetings_meeting_organizer"),
            models.Index(fields=["scheduled_time"], name="meetings_meeting_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(title=""), name="meetings_meeting_title"),
            models.CheckConstraint(
                condition=Q(duration_minutes__gte=5, duration_minutes__lte=1440), name="meetings_meeting_duration"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    #: The ids of the invited users, if they are known without a query.
    invited_ids: list[int] | None = None

    @property
    def ends_at(self) -> datetime:
        last = datetime.max.replace(tzinfo=UTC)
        return self.scheduled_time + min(timedelta(minutes=self.duration_minutes), last - self.scheduled_time)

    @property
    def is_over(self) -> bool:
        return self.ends_at <= timezone.now()

    def audience(self) -> set[str]:
        invited: Iterable[int] | None = self.invited_ids
        if invited is None:
            invited = self.attendees.exclude(user=None).values_list("user_id", flat=True)
        return {f"user:{user_id}" for user_id in (self.organizer_id, *invited)}

    def invite(self, user_ids: Iterable[int], emails: Iterable[str]) -> bool:
        """Replaces the attendees; those who stay keep their response. Returns whether anyone was added or removed."""
        users, guests = set(user_ids), {email.lower(): email for email in emails}
        current = {(a.user_id, a.email and a.email.lower()): a for a in self.attendees.all()}
        keep = {(user_id, None) for user_id in users} | {(None, email) for email in guests}
        removed = [attendee.pk for key, attendee in current.items() if key not in keep]
        if removed:
            self.attendees.filter(pk__in=removed).delete()
        new = [Invitee(meeting=self, user_id=user_id) for user_id in sorted(users) if (user_id, None) not in current]
        new += [Invitee(meeting=self, email=guests[e]) for e in guests if (None, e) not in current]
        Invitee.objects.bulk_create(new)
        return bool(removed or new)


class Response(models.TextChoices):
    """How someone responded to an invitation."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    DECLINED = "declined"
    TENTATIVE = "tentative"


class InviteeQuerySet(MeshQuerySet["Invitee"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(meeting_id__in=_meeting_ids_of(actor.id))

    def declined_by(self, user_id: int) -> set[int]:
        """The ids of the meetings that a user declined."""
        declined = self.filter(user_id=user_id, response=Response.DECLINED)
        return set(declined.values_list("meeting_id", flat=True))


class Invitee(MeshModel):
    """Someone invited to a meeting: a user, or a guest with an e-mail only. The API calls them attendees."""

    meeting = models.ForeignKey(Meeting, models.CASCADE, related_name="attendees", db_index=False)
    user = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, related_name="invitations", db_index=False
    )
    email = models.EmailField(max_length=254, null=True, blank=True)  # noqa: DJ001  (null for a user)
    response = models.CharField(max_length=9, choices=Response.choices, default=Response.PENDING)

    versioned: ClassVar[bool] = True
    objects = InviteeQuerySet.as_manager()

    class Meta:
        db_table = "meetings_attendee"
        indexes = [models.Index(fields=["user", "meeting"], name="meetings_attendee_user")]
        constraints = [
            models.UniqueConstraint(fields=["meeting", "user"], name="meetings_attendee_user_once"),
            models.UniqueConstraint("meeting", Lower("email"), name="meetings_attendee_email_once"),
            models.CheckConstraint(
                condition=Q(user=None, email__isnull=False) | Q(user__isnull=False, email=None),
                name="meetings_attendee_user_or_email",
            ),
            models.CheckConstraint(condition=Q(response__in=Response.values), name="meetings_attendee_response"),
        ]

    def __str__(self) -> str:
        return str(self.user or self.email)

    @property
    def name(self) -> str:
        return self.user.name if self.user else ""

    @property
    def address(self) -> str:
        """The e-mail of the user or the guest."""
        return self.user.email if self.user else self.email or ""

    def audience(self) -> set[str]:
        return self.meeting.audience()


class CallStatus(models.TextChoices):
    """How far a call is."""

    SCHEDULED = "scheduled"
    COMPLETED = "completed"
    CANCELLED = "cancelled"
    RESCHEDULED = "rescheduled"

    @property
    def is_to_come(self) -> bool:
        return self in (CallStatus.SCHEDULED, CallStatus.RESCHEDULED)


class CallQuerySet(MeshQuerySet["Call"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(contact__owner_id=actor.id)

    def with_status(self, status: CallStatus | None) -> Self:
        return self if status is None else self.filter(status=status)

    def between(self, first: datetime | None, last: datetime | None) -> Self:
        """Calls that begin from `first` to `last`, both included; None is no bound."""
        rows = self if first is None else self.filter(scheduled_for__gte=first)
        return rows if last is None else rows.filter(scheduled_for__lte=last)

    def to_remind_of(self) -> Self:
        """Calls that begin within 15 minutes, and whose owner was not reminded of that time; the next one first."""
        to_come = self.filter(status__in=[status for status in CallStatus if status.is_to_come])
        soon = to_come.filter(scheduled_for__gt=Now(), scheduled_for__lte=Now() + timedelta(minutes=15))
        return soon.exclude(reminded_for=F("scheduled_for")).order_by("scheduled_for", "pk")

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "title", "notes"))


class Call(MeshModel):
    """A call with a contact; it belongs to the contact's owner."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    contact = models.ForeignKey(Contact, models.CASCADE, related_name="calls", db_index=False)
    title = models.CharField(max_length=200)
    scheduled_for = models.DateTimeField()
    duration_minutes = models.PositiveSmallIntegerField(default=30)
    notes = models.CharField(max_length=500, blank=True, default="")
    status = models.CharField(max_length=11, choices=CallStatus.choices, default=CallStatus.SCHEDULED)
    #: The `scheduled_for` that its owner was reminded of.
    reminded_for = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = "contact__owner"
    objects = CallQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["contact", "-id"], name="meetings_call_contact"),
            models.Index(fields=["scheduled_for"], name="meetings_call_time"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(title=""), name="meetings_call_title"),
            models.CheckConstraint(condition=Q(status__in=CallStatus.values), name="meetings_call_status"),
            models.CheckConstraint(
                condition=Q(duration_minutes__gte=15, duration_minutes__lte=240), name="meetings_call_duration"
            ),
        ]

    def __str__(self) -> str:
        return self.title

    def audience(self) -> set[str]:
        return self.contact.audience()


class CalendarKeyQuerySet(models.QuerySet["CalendarKey"]):
    def issue(self, user_id: int) -> str:
        """Creates a key for a user, which replaces the previous one; returns the key itself."""
        key = secrets.token_urlsafe(32)
        row = CalendarKey(user_id=user_id, key_hash=_hash(key))
        self.bulk_create([row], update_conflicts=True, unique_fields=["user"], update_fields=["key_hash"])
        return key

    def owner_of(self, key: str) -> int | None:
        """The id of the active user whose key this is; None if there is none."""
        return self.filter(key_hash=_hash(key), user__is_active=True).values_list("user_id", flat=True).first()


class CalendarKey(models.Model):
    """The secret in the address of a user's calendar feed; only its hash is kept."""

    user = models.OneToOneField(settings.AUTH_USER_MODEL, models.CASCADE, related_name="calendar_key")
    key_hash = models.CharField(max_length=64, unique=True)

    objects = CalendarKeyQuerySet.as_manager()


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _meeting_ids_of(user_id: int) -> QuerySet[Any]:
    """The ids of the meetings that a user organizes or is invited to."""
    invited = Invitee.objects.filter(user_id=user_id).values_list("meeting_id", flat=True)
    return invited.union(Meeting.objects.filter(organizer_id=user_id).values_list("pk", flat=True))


@peer_source
def attendees_met(user_id: int) -> QuerySet[Any]:
    """The attendees of the meetings that a user organizes or is invited to."""
    attendees = Invitee.objects.filter(meeting_id__in=_meeting_ids_of(user_id))
    return attendees.exclude(user=None).values_list("user_id", flat=True)


@peer_source
def organizers_met(user_id: int) -> QuerySet[Any]:
    """The organizers of the meetings that a user organizes or is invited to."""
    return Meeting.objects.filter(pk__in=_meeting_ids_of(user_id)).values_list("organizer_id", flat=True)
