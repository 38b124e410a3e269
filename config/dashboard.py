"""The dashboard at /admin/: what an ADMIN should know at a glance. Each number links to the rows behind it.

A statement or two for each tile, and nothing kept: what is shown is what is there.
"""

from collections.abc import Iterable, Mapping
from datetime import date, datetime, time, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django.conf import settings
from django.contrib import admin
from django.db.models import Count, F, Model, Q, Window
from django.db.models.functions import TruncDate
from django.http import HttpRequest
from django.urls import reverse
from django.utils import timezone

from accounts.models import Role, Session, User
from events.models import Event, EventStatus
from mesh.admin import JOB_COLOURS, MAIL_COLOURS
from mesh.calling.cache import lookups
from mesh.declarations.registry import registry
from mesh.documents import mirror
from mesh.models import JobStatus, Mail, MailStatus, Outbox, WaitingDocument
from mesh.outbox import overdue
from mesh.stores.postgres import fetch
from notes.admin import STATUS_COLOURS as NOTE_COLOURS
from notes.models import Note, NoteStatus
from shop import reconciler
from shop.admin import STATUS_COLOURS as ORDER_COLOURS
from shop.models import Order, OrderStatus, StockDiscrepancy
from tasks.models import Task

DAYS = 14  # days in the chart of orders
_DAY = timedelta(days=1)
_EVENTS = 5  # events that are shown
_OPERATIONS = 5  # operations in the cache tile
#: The parts of a day's bar, from the bottom up.
_OUTCOMES = {
    "paid": (OrderStatus.PAID,),
    "open": (OrderStatus.PENDING, OrderStatus.RESERVED, OrderStatus.CONFIRMED),
    "lost": (OrderStatus.FAILED, OrderStatus.CANCELLED),
}


class Number(NamedTuple):
    """A number of rows, and the link to their list."""

    label: str
    number: int
    url: str
    colour: str = ""


class Day(NamedTuple):
    """The orders of a day; `parts` in percent of the fullest day."""

    date: date
    numbers: dict[str, int]
    parts: dict[str, float]
    url: str

    @property
    def total(self) -> int:
        return sum(self.numbers.values())


class Waiting(NamedTuple):
    """A queue, and for how long the oldest of its jobs has been due."""

    queue: str
    numbers: list[Number]
    oldest: str


class Failed(NamedTuple):
    """The failed jobs of an operation."""

    operation: str
    number: int
    error: str
    last: datetime | None
    url: str


class Found(NamedTuple):
    """Cache hits, and the number of lookups."""

    name: str
    hits: int
    total: int

    @property
    def percent(self) -> float | None:
        return 100 * self.hits / self.total if self.total else None


def dashboard(request: HttpRequest, context: dict[str, Any]) -> dict[str, Any]:
    """Unfold's callback for the context of the first page."""
    now = timezone.now()
    failed = _failed_jobs()
    mails = _by_status(Mail, MailStatus, MAIL_COLOURS)
    return context | {
        "title": "Dashboard",
        "orders": _by_status(Order, OrderStatus, ORDER_COLOURS),
        "days": _days(now),
        "decisions": _decisions(now),
        "notes": _by_status(Note, NoteStatus, NOTE_COLOURS),
        "queues": _queues(),
        "failed": failed,
        "failed_jobs": Number(
            "failed jobs", sum(row.number for row in failed), _list_of(Outbox, status__exact=JobStatus.FAILED)
        ),
        "mails": mails,
        "failed_mails": next(row for row in mails if row.label == MailStatus.FAILED),
        "cache": _cache(),
        "events": _events(),
        "events_url": _list_of(Event, when="upcoming"),
        "people": _people(now),
        "documents": _documents(),
        "discrepancies": Number(
            "stock discrepancies",
            reconciler.open_discrepancies(),
            _list_of(StockDiscrepancy, resolved_at__isempty=1),
        ),
        "overdue": Number("overdue tasks", Task.objects.overdue(True).count(), _list_of(Task, overdue="yes")),
    }


def environment(request: HttpRequest) -> list[str] | None:
    """Unfold's callback for the badge beside the title: production needs none."""
    return ["development", "warning"] if settings.DEVELOPMENT else None


def _span(seconds: float | None) -> str:
    """A duration in a suitable unit; a dash for None; negative durations count as zero."""
    if seconds is None:
        return "–"
    seconds = max(0.0, seconds)
    if seconds < 1:
        return f"{1000 * seconds:.0f} ms"
    if seconds < 10:
        return f"{seconds:.1f} s"
    for unit, length, below in (("s", 1, 120), ("min", 60, 7200), ("h", 3600, 172_800)):
        if seconds < below:
            return f"{seconds / length:.0f} {unit}"
    return f"{seconds / 86_400:.0f} days"


def _list_of(model: type[Model], **lookups: Any) -> str:
    url = reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
    return f"{url}?{urlencode(lookups)}" if lookups else url


def _by_status(model: type[Model], statuses: Iterable[str], colours: Mapping[Any, str]) -> list[Number]:
    """The number of rows of each status, including zeros."""
    counts = dict(model._default_manager.order_by().values_list("status").annotate(Count("pk")))
    return [
        Number(str(status), counts.get(status, 0), _list_of(model, status__exact=status), colours.get(status, ""))
        for status in map(str, statuses)
    ]


def _days(now: datetime) -> list[Day]:
    """The orders of the last days by outcome, today's last."""
    today = timezone.localdate(now)
    days = [today - timedelta(days=ago) for ago in reversed(range(DAYS))]
    rows = (
        Order.objects.filter(created_at__gte=_midnight(days[0]))
        .order_by()
        .values_list(TruncDate("created_at"), "status")
    )
    counts = {(day, status): number for day, status, number in rows.annotate(Count("pk"))}
    numbers = {
        day: {name: sum(counts.get((day, status), 0) for status in statuses) for name, statuses in _OUTCOMES.items()}
        for day in days
    }
    most = max(sum(outcomes.values()) for outcomes in numbers.values()) or 1
    return [
        Day(
            day,
            outcomes,
            {name: 100 * number / most for name, number in outcomes.items()},
            _list_of(Order, created_at__gte=_midnight(day), created_at__lt=_midnight(day + _DAY)),
        )
        for day, outcomes in numbers.items()
    ]


def _midnight(day: date) -> datetime:
    return timezone.make_aware(datetime.combine(day, time.min))


#: A reservation is written into the ledger when it is made; a failed order is never changed again.
_DECISIONS = """
SELECT count(*), percentile_cont(0.5) WITHIN GROUP (ORDER BY seconds),
    percentile_cont(0.95) WITHIN GROUP (ORDER BY seconds)
FROM (
    SELECT extract(epoch FROM min(m.at) - o.created_at)::float8 AS seconds
    FROM shop_order o
    JOIN shop_orderline l ON l.order_id = o.id
    JOIN shop_stockmovement m ON m.line_id = l.id AND m.kind = 'reserved'
    WHERE o.created_at >= %s GROUP BY o.id
    UNION ALL
    SELECT extract(epoch FROM updated_at - created_at)::float8 FROM shop_order
    WHERE created_at >= %s AND status = 'FAILED'
) AS decision
"""


def _decisions(now: datetime) -> dict[str, Any]:
    """How long orders of the last day waited until they were reserved or refused."""
    since = now - _DAY
    number, median, slow = fetch(_DECISIONS, [since, since])[0]
    return {"number": number, "p50": _span(median), "p95": _span(slow), "url": _list_of(Order, created_at__gte=since)}


def _queues() -> list[Waiting]:
    """Every queue that jobs are sent to."""
    names = {job.queue for operation in registry.operations.values() if (job := operation.declaration.job)}
    depths = {(queue, status): (number, oldest) for queue, status, number, oldest in overdue.depths()}
    return [
        Waiting(
            name,
            [
                Number(
                    status,
                    depths.get((name, status), (0, 0))[0],
                    _list_of(Outbox, queue=name, status__exact=status),
                    JOB_COLOURS[status],
                )
                for status in (JobStatus.WAITING, JobStatus.RUNNING, JobStatus.FAILED)
            ],
            _span(depths.get((name, JobStatus.WAITING), (0, None))[1]),
        )
        for name in sorted(names | {queue for queue, _ in depths})
    ]


def _failed_jobs() -> list[Failed]:
    """The operations with failed jobs, most failures first, each with its latest error."""
    rows = (
        Outbox.objects.filter(status=JobStatus.FAILED)
        .annotate(number=Window(Count("pk"), partition_by="operation"))
        .order_by("operation", F("finished_at").desc(nulls_last=True), "-pk")
        .distinct("operation")
        .values_list("operation", "number", "error", "finished_at")
    )
    failures = [Failed(*row, _list_of(Outbox, operation=row[0], status__exact=JobStatus.FAILED)) for row in rows]
    return sorted(failures, key=lambda failed: -failed.number)


def _cache() -> dict[str, Any]:
    """The cache statistics since the start of this server: in total, and for the most requested operations."""
    counts = lookups()
    operations = [
        Found(name, counts[name, "hit"], counts[name, "hit"] + counts[name, "miss"]) for name in {n for n, _ in counts}
    ]
    total = Found("all", sum(each.hits for each in operations), sum(each.total for each in operations))
    return {"all": total, "operations": sorted(operations, key=lambda each: (-each.total, each.name))[:_OPERATIONS]}


def _events() -> list[dict[str, Any]]:
    """The next events that are open, with a bar of their seats as in the list of events."""
    rows = Event.objects.current().filter(status=EventStatus.ACTIVE, start_date__gt=timezone.now())
    shown: Any = admin.site.get_model_admin(Event)
    return [
        {"event": event, "seats": shown.seats(event), "url": reverse("admin:events_event_change", args=[event.pk])}
        for event in rows.order_by("start_date", "pk")[:_EVENTS]
    ]


def _people(now: datetime) -> list[Number]:
    since = now - _DAY
    users = User.objects.aggregate(
        active=Count("pk", filter=Q(is_active=True)),
        admins=Count("pk", filter=Q(is_active=True, role=Role.ADMIN)),
        inside=Count("pk", filter=Q(last_login__gte=since)),
    )
    sessions = Session.objects.filter(created_at__gte=since)
    return [
        Number("active users", users["active"], _list_of(User, is_active__exact=1)),
        Number("of them ADMINs", users["admins"], _list_of(User, is_active__exact=1, role__exact=Role.ADMIN)),
        Number("sign-ins to the API", sessions.count(), _list_of(Session, created_at__gte=since)),
        Number("people in the admin", users["inside"], _list_of(User, last_login__gte=since)),
    ]


def _documents() -> dict[str, Any]:
    number, oldest = mirror.waiting()
    return {"number": number, "oldest": _span(oldest if number else None), "url": _list_of(WaitingDocument)}
