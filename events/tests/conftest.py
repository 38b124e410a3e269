"""What the tests of events have at hand: events of alice's, guests whom bob registers, and the mails of it all."""

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from django.utils import timezone

from events.models import Event, Registration
from mesh.models import Mail
from mesh.testing import Answered
from mesh.tests.jobs import run_jobs

BEGINS, ENDS = "2099-01-05T10:00:00Z", "2099-01-06T12:30:00Z"  # a Monday and a Tuesday
MONDAY, TUESDAY = "Monday, 5 January 2099, 10:00 UTC", "Tuesday, 6 January 2099, 12:30 UTC"
JOBS = ("mail_event", "mail_seats", "mail_moved_up")


@pytest.fixture
def event(alice) -> Callable[..., int]:
    """Makes events of alice's; their ids."""

    def make(**fields: Any) -> int:
        answer = alice.api.post("/events", {"name": "Open day", "start_date": BEGINS, "end_date": ENDS, **fields})
        assert answer.status == 201, answer
        return int(answer.json["id"])

    return make


@pytest.fixture
def mails() -> Callable[[], list[tuple[str, str]]]:
    """The mails since it was called last, with those that wait for their job, as (address, subject)."""
    seen = 0

    def new() -> list[tuple[str, str]]:
        nonlocal seen
        run_jobs(*JOBS)
        rows = list(Mail.objects.filter(pk__gt=seen).order_by("pk"))
        seen = rows[-1].pk if rows else seen
        return [(row.recipient, row.subject) for row in rows]

    return new


def register(person: Any, event: int, guest: str, **fields: Any) -> Answered:
    """A registration of `<guest>@example.com`."""
    data = {"name": guest.title(), "email": f"{guest}@example.com", **fields}
    answer: Answered = person.api.post(f"/events/{event}/attendees", data)
    return answer


def seats(person: Any, event: int) -> list[tuple[str, str, int | None]]:
    """`(name, status, position)` of those at an event whom this person sees, in the order in which they came."""
    rows = person.api.get(f"/events/{event}/attendees?limit=200").json["results"]
    return [(row["name"], row["status"], row["position"]) for row in reversed(rows)]


def counts(api: Any, event: int) -> tuple[int, int | None, int]:
    """`(attendee_count, seats_left, waiting_count)`, held against the rows."""
    found = api.get(f"/events/{event}").json
    rows = Registration.objects.filter(event_id=event)
    for status, count in (("registered", found["attendee_count"]), ("waiting", found["waiting_count"])):
        assert rows.filter(status=status).count() == count
    return found["attendee_count"], found["seats_left"], found["waiting_count"]


def is_over(event: int) -> None:
    """Time goes by: an event has ended."""
    ended = timezone.now() - timedelta(days=1)
    Event.objects.filter(pk=event).update(start_date=ended - timedelta(hours=2), end_date=ended)
