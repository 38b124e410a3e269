"""A contact's timeline: the rows of every service that belong to a contact, newest first.

A service joins with a query of its own, without a route, that takes a `TimelineQuery` and returns `TimelineEntries`.
This module finds it in the registry, so accounts do not import the apps above it.
"""

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Annotated, Any, NamedTuple

from django.db.models import Q, QuerySet
from pydantic import AfterValidator, Field

from mesh import Id, In, Out, Service, Time, text
from mesh.declarations.cursors import sealed, unsealed
from mesh.declarations.fields import MAX_BIGINT
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry

MOST_EMAILS = 1000  # present and former e-mails of a contact


class Place(NamedTuple):
    """The position of an entry in a timeline, which is sorted by time, service name and id."""

    at: datetime
    service: str
    id: int

    def encode(self) -> str:
        return sealed(f"{self.at.isoformat()} {self.service} {self.id}")

    @classmethod
    def decode(cls, cursor: str) -> "Place":
        return unsealed(cursor, cls._read, cls.encode)

    @classmethod
    def _read(cls, text: str) -> "Place":
        at, service, id = text.split(" ")
        place = cls(datetime.fromisoformat(at), service, int(id))
        if place.at.utcoffset() != timedelta(0) or not 0 < place.id <= MAX_BIGINT:
            raise ValueError("There is no such place.")
        return place


def _check_cursor(cursor: str) -> str:
    Place.decode(cursor)
    return cursor


class TimelineParams(In):
    """Which page of a timeline, and how long it is."""

    limit: int = Field(50, ge=1, le=200, description="The most entries to return in one page.")
    cursor: Annotated[str, text(1, 200), AfterValidator(_check_cursor)] | None = Field(
        None, description="The value of `next` in the page before; omit it for the first page."
    )


class TimelineEntry(Out):
    """One entry of a contact's timeline."""

    service: str = Field(description="The service whose row it is.", examples=["calls"])
    id: int = Field(description="The id of the row in that service.")
    at: Time = Field(description="When a call or a meeting takes place; when any other row was created.")
    title: str
    status: str | None = Field(None, description="The row's status, where it has one.")
    details: dict[str, Any] = Field({}, description="More fields of the row; which ones depends on the service.")


class TimelineOut(Out):
    """A page of a timeline, the latest entry first."""

    count: int | None = Field(description="The number of entries on all pages; only on the first page, else null.")
    next: str | None = Field(description="Send it as `cursor` to get the next page; null on the last page.")
    results: list[TimelineEntry] = Field(description="The entries of this page.")


class TimelineQuery(In):
    """What a service is asked for: its newest entries of a contact, or those before a time and an id."""

    contact_id: Id
    emails: list[Annotated[str, text(1, 254)]] = Field(max_length=MOST_EMAILS, description="In lower case.")
    before: Time | None = None
    before_id: int = Field(MAX_BIGINT, ge=0, le=MAX_BIGINT)
    limit: int = Field(ge=1, le=201)


class TimelineEntries(Out):
    """What a service answers: how many entries it has in all, on the first page, and some of them."""

    count: int | None
    entries: list[TimelineEntry]


def entries(
    query: TimelineQuery, rows: QuerySet[Any], at: str, entry: Callable[[Any], TimelineEntry]
) -> TimelineEntries:
    """Builds a service's answer from `rows`; `at` is the name of the column with an entry's time."""
    selected = rows
    if query.before is not None:
        selected = rows.filter(Q(**{f"{at}__lt": query.before}) | Q(**{at: query.before, "pk__lt": query.before_id}))
    newest = selected.order_by(f"-{at}", "-pk")[: query.limit]
    return TimelineEntries(count=rows.count() if query.before is None else None, entries=list(map(entry, newest)))


def page(service: Service, contact: int, emails: Sequence[str], params: TimelineParams) -> TimelineOut:
    """A page of the entries of all services that the actor may see."""
    after = None if params.cursor is None else Place.decode(params.cursor)
    parts = [_ask(service, source, contact, emails, after, params.limit + 1) for source in _sources(service)]
    merged = sorted((entry for part in parts for entry in part.entries), key=_place, reverse=True)
    results = merged[: params.limit]
    return TimelineOut(
        count=sum(part.count or 0 for part in parts) if after is None else None,
        next=_place(results[-1]).encode() if len(merged) > params.limit else None,
        results=results,
    )


def newest(
    service: Service, contact: int, emails: Sequence[str], services: Sequence[str], *, before: datetime, limit: int
) -> list[TimelineEntry]:
    """The newest entries of the named services, before a time; at most `limit`."""
    after = Place(before, "", 1)
    sources = [source for source in _sources(service) if source.service_name in services]
    parts = [_ask(service, source, contact, emails, after, limit) for source in sources]
    return sorted((entry for part in parts for entry in part.entries), key=_place, reverse=True)[:limit]


def _ask(
    service: Service, source: Operation, contact: int, emails: Sequence[str], after: Place | None, limit: int
) -> TimelineEntries:
    query = TimelineQuery(contact_id=contact, emails=list(emails), limit=limit)
    if after is not None:
        query.before = after.at
        # Entries of the same time are sorted by service: those of a lower name are still to come, all of them.
        if source.service_name != after.service:
            query.before_id = MAX_BIGINT if source.service_name < after.service else 0
        else:
            query.before_id = after.id
    answer: TimelineEntries = getattr(getattr(service.mesh, source.service_name), source.name)(query=query)
    return answer


def _place(entry: TimelineEntry) -> Place:
    return Place(entry.at, entry.service, entry.id)


def _sources(service: Service) -> list[Operation]:
    """The timeline queries of all services that the actor may read."""
    queries = [operation for operation in registry.operations.values() if operation.returns is TimelineEntries]
    return [source for source in queries if service.actor.may(f"{source.service_name}:read")]
