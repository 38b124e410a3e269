"""What is measured: one line a scenario."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Person:
    """A user with a token, and the meetings and events to ask for one by one, as both servers answer them."""

    token: str
    meetings: list[dict[str, Any]]
    events: list[dict[str, Any]]


@dataclass(frozen=True)
class Request:
    token: str
    path: str
    body: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Scenario:
    """Requests that both servers answer alike; `requests` makes those that are sent in turn."""

    name: str
    requests: Callable[[list[Person]], list[Request]]
    method: str = "GET"
    headers: Mapping[str, str] = field(default_factory=dict)
    status: int = 200
    #: Takes the rows away that a run has made, in one statement, so that every run meets the same data.
    undo: str = ""


UNCACHED = {"Cache-Control": "no-cache"}


def _meetings(people: list[Person]) -> list[Request]:
    return [Request(person.token, "/meetings") for person in people]


def _meeting(people: list[Person]) -> list[Request]:
    return [Request(person.token, f"/meetings/{m['id']}") for person in people for m in person.meetings]


def _events(people: list[Person]) -> list[Request]:
    return [Request(person.token, "/events?limit=50") for person in people]


def _event(people: list[Person]) -> list[Request]:
    return [Request(person.token, f"/events/{e['id']}") for person in people for e in person.events]


def _tasks(people: list[Person]) -> list[Request]:
    return [Request(person.token, "/tasks") for person in people]


def _new_meeting(people: list[Person]) -> list[Request]:
    body = {
        "title": "Planning",
        "description": "What we have to decide before the summer.",
        "scheduled_time": "2026-01-15T10:00:00Z",
        "duration_minutes": 45,
        "location": "Room 2",
    }
    known = [[attendee["id"] for attendee in person.meetings[0]["attendees"]] for person in people]
    return [
        Request(person.token, "/meetings", {**body, "attendee_ids": ids})
        for person, ids in zip(people, known, strict=True)
    ]


def _new_order(people: list[Person]) -> list[Request]:
    lines = [{"product_id": 1 + place * 19, "quantity": 1 + place % 3} for place in range(2 * len(people))]
    return [Request(person.token, "/orders", {"items": lines[n * 2 : n * 2 + 2]}) for n, person in enumerate(people)]


SCENARIOS = (
    Scenario("list of 50 meetings, uncached", _meetings, headers=UNCACHED),
    Scenario("list of 50 meetings, cached", _meetings),
    Scenario("one meeting, uncached", _meeting, headers=UNCACHED),
    Scenario("one meeting, cached", _meeting),
    Scenario("list of 50 events, uncached", _events, headers=UNCACHED),
    Scenario("list of 50 events, cached", _events),
    Scenario("one event, uncached", _event, headers=UNCACHED),
    Scenario("one event, cached", _event),
    Scenario("list of 50 tasks", _tasks),
    Scenario(
        "create a meeting",
        _new_meeting,
        method="POST",
        status=201,
        undo="WITH attendees AS (DELETE FROM meetings_attendee WHERE meeting_id > 5000) "
        "DELETE FROM meetings_meeting WHERE id > 5000",
    ),
    Scenario(
        "place an order",
        _new_order,
        method="POST",
        status=201,
        undo="WITH lines AS (DELETE FROM shop_orderline WHERE order_id > 20000) "
        "DELETE FROM shop_order WHERE id > 20000",
    ),
)
