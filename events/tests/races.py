"""What the races of events need: connections for all who run, and what keeps them right, to be taken off."""

import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
from django.db import connection, connections

from accounts.tests.assertions import at_once
from events.models import Category, Event, Registration
from mesh.execution.service import Service, absent
from mesh.models import Outbox
from mesh.testing import Answered, Api
from mesh.tests.database import sql
from mesh.tests.jobs import due_now
from mesh.tests.processes import eventually
from mesh.worker import runs

MOST = 60  # connections that the threads of a test may have at the same time
TABLES = "events_registration, events_attendee, events_event, events_category"


@pytest.fixture
def everyone_connected(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Each of many threads has a connection, so that nobody waits for one in place of a lock."""
    with monkeypatch.context() as changed:
        changed.setitem(connection.settings_dict["OPTIONS"]["pool"], "max_size", MOST)
        connection.close_pool()
        yield
        connections.close_all()
    connection.close_pool()


def all_at_once(*calls: Callable[[Api], Answered], by: Any) -> list[Answered]:
    """The answers of calls that one person begins together, each from a client of its own."""
    return at_once(*[partial(call, Api(by.api.token)) for call in calls])


def taking(event: int, guest: str, **fields: Any) -> Callable[[Api], Answered]:
    """The call that registers `<guest>@example.com`."""
    data = {"name": guest, "email": f"{guest}@example.com", **fields}
    return lambda api: api.post(f"/events/{event}/attendees", data)


def outcomes(answers: Sequence[Answered]) -> Counter[tuple[int, str]]:
    """How many answers there are of each outcome."""
    return Counter(map(outcome, answers))


def outcome(answer: Answered) -> tuple[int, str]:
    """Its status, and the code of a refusal, or the state of what it shows."""
    body = answer.json or {}
    return answer.status, str(body.get("code") or body.get("status") or "")


def attend(event: int, registrar: Any, guests: int, status: str = "registered") -> list[int]:
    """So many more attend an event, or wait, without a word to anyone: the keys of their registrations, in order."""
    count = "waiting_count" if status == "waiting" else "attendee_count"
    names = [f"{status}{number}-{event}" for number in range(guests)]
    found = sql(
        "WITH people AS (INSERT INTO events_attendee (registrar_id, name, email)"
        " SELECT %s, name, name || '@example.com' FROM unnest(%s::text[]) AS name RETURNING id, email_key),"
        f" counted AS (UPDATE events_event SET {count} = {count} + %s WHERE id = %s)"
        " INSERT INTO events_registration (event_id, attendee_id, email_key, status)"
        " SELECT %s, id, email_key, %s FROM people ORDER BY id RETURNING id",
        registrar.id, names, guests, event, event, status,
    )  # fmt: skip
    return [row[0] for row in found]


def what_is_wrong(event: int) -> list[str]:
    """Where an event's counters, capacity and rows do not agree; nothing, where all is right."""
    found = Event.objects.get(pk=event)
    rows = Counter(Registration.objects.filter(event=event).values_list("status", flat=True))
    free = 0 if found.capacity is None else found.capacity - rows["registered"]
    wrong = {
        "over-full": free < 0,
        "waits while a seat is free": free > 0 and rows["waiting"] > 0,
        "attendees miscounted": found.attendee_count != rows["registered"],
        "waiting miscounted": found.waiting_count != rows["waiting"],
    }
    return [name for name, is_so in wrong.items() if is_so]


class Gate:
    """Where so many threads meet before they go on together; each of them stops there once."""

    def __init__(self, threads: int) -> None:
        self._barrier, self._seen = threading.Barrier(threads), threading.local()

    def __call__(self) -> None:
        if not hasattr(self._seen, "it"):
            self._seen.it = True
            self._barrier.wait(10)


def take_locks_off(monkeypatch: pytest.MonkeyPatch, gate: Callable[[], None] = lambda: None) -> None:
    """Rows are read without their locks; those who have read an event meet at the gate."""

    def lock(service: Service, model: Any, ref: int) -> Any:
        row = service.rows(model).filter(pk=ref).first()
        if model is Event:
            gate()
        if row is None:
            raise absent(model)
        return row

    monkeypatch.setattr(Service, "lock", lock)
    monkeypatch.setattr(type(Category.objects.all()), "hold", lambda rows, id: rows.filter(pk=id).exists())


@contextmanager
def without_constraints(*names: str) -> Iterator[None]:
    """The events' tables without these constraints, which would stop the loser of a race; emptied at the end."""
    kept = sql(
        "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE conname LIKE ANY(%s)",
        list(names),
    )
    assert len(kept) == len(names)
    for table, name, _ in kept:
        sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    sql(f"TRUNCATE {TABLES} CASCADE")
    for table, name, definition in kept:
        sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


def wait_until_waiting(threads: int) -> None:
    """Waits until so many wait for a lock; in a transaction too."""
    statement = "SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"
    eventually(lambda: sql("SELECT pg_stat_clear_snapshot()") and len(sql(statement)) == threads, 4)


def deadlocks() -> int:
    """How many Postgres has seen in this database: a connection tells of its own at its end."""
    connected = "SELECT pid FROM pg_stat_activity WHERE datname = current_database()"
    before = sql(connected)
    connections.close_all()
    connection.close_pool()
    eventually(lambda: not set(before) & set(sql(connected)))
    return int(sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0])


def run_thrice() -> int:
    """Runs all jobs, and those that they begin; each message comes three times, to three threads at once."""
    count = 0
    while ids := list(Outbox.objects.filter(status="waiting").order_by("pk").values_list("pk", flat=True)):
        due_now()
        count += sum(at_once(*[partial(runs.run, ids)] * 3))  # type: ignore[list-item]
    return count


class Storm:
    """Two people's clients register, change and remove guests of events at random; a reader looks on."""

    def __init__(self, people: Sequence[Any], events: Sequence[int]) -> None:
        self.people, self.events = people, events
        self.outcomes: Counter[tuple[str, int, str]] = Counter()
        self.reads = 0
        self.wrong_reads: list[Any] = []
        self._guests: list[tuple[int, int]] = []  # events, and who may attend them
        self._over = threading.Event()

    def rage(self, seconds: float, clients: int = 20) -> None:
        self._over.clear()
        end = threading.Timer(seconds, self._over.set)
        end.start()
        try:
            at_once(self._read, *[partial(self._act, n) for n in range(clients)])
        finally:
            self._over.set()

    def _read(self) -> None:
        api = Api()
        while not self._over.is_set():
            for event in self.events:
                found = api.get(f"/events/{event}").json
                count, capacity, left = found["attendee_count"], found["capacity"], found["seats_left"]
                if not 0 <= count <= capacity or left != capacity - count or (left and found["waiting_count"]):
                    self.wrong_reads.append(found)
                self.reads += 1

    def _act(self, number: int) -> None:
        api, dice = Api(self.people[number % len(self.people)].api.token), random.Random(number)
        api.client.raise_request_exception = False
        while not self._over.is_set():
            act = dice.choice([self._register, self._register, self._change, self._remove, self._remove])
            answer = act(api, dice)
            if answer is not None:
                self.outcomes[act.__name__.strip("_"), *outcome(answer)] += 1

    def _register(self, api: Api, dice: random.Random) -> Answered:
        event = dice.choice(self.events)
        answer = taking(event, f"guest{dice.randrange(40)}", waitlist=dice.random() < 0.3)(api)
        if answer.status == 201:
            self._guests.append((event, answer.json["id"]))
        return answer

    def _change(self, api: Api, dice: random.Random) -> Answered | None:
        guest = self._guest(dice)
        return guest and api.patch(f"/attendees/{guest[1]}", {"email": f"guest{dice.randrange(40)}@example.com"})

    def _remove(self, api: Api, dice: random.Random) -> Answered | None:
        guest = self._guest(dice)
        answer = guest and api.delete(f"/events/{guest[0]}/attendees/{guest[1]}")
        if guest and answer and answer.status == 204:
            with suppress(ValueError):  # they came again, and are not noted yet
                self._guests.remove(guest)
        return answer

    def _guest(self, dice: random.Random) -> tuple[int, int] | None:
        latest = self._guests[-20:]
        return dice.choice(latest) if latest else None
