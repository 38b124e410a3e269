"""Background jobs: how many a second a worker finishes, and how long one takes from the POST until it is done."""

import contextlib
import http.client
import json
import os
import signal
import statistics
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from redis import Redis

from benchmarks.load import LoadError, Server, cpu_seconds
from benchmarks.stack import DATABASES, Stack, ask

TEXT = """We met Acme about the renewal. They are happy with the service, but the price is a problem: their new budget
is 40,000 EUR. We decided to offer a two-year contract at 42,000 EUR. Maria will send the offer by Friday."""
R = TypeVar("R")
NOTES = 20_000  # of the data set
#: Jobs are kept for a week after their end, so that the table is never empty.
OLD_JOBS = """
INSERT INTO mesh_outbox (operation, arguments, queue, lease, actor_id, request_id, status, attempt, finished_at, error)
SELECT 'summarize_note', '{}', 'notes', 30, 1, md5(i::text), 'done', 1, now(), '' FROM generate_series(1, 20000) AS i
"""
POSTERS = 4  # connections that post notes
LONGEST = 300.0  # seconds until what is not done counts as lost


@dataclass(frozen=True)
class Backlog:
    """Jobs of one kind; `job` is the operation of `services.py`, and what the peer's worker is told."""

    name: str
    job: str


BACKLOGS = (
    Backlog("a summary", "summarize_note"),
    Backlog("a call out for nothing", "call_out"),
    Backlog("one transaction", "settle_note"),
    Backlog("one run for all", "settle_notes"),
)


@dataclass(frozen=True)
class Drained:
    """A backlog that was worked off: jobs a second, and microseconds of CPU time a job."""

    per_second: float
    cpu: float
    database_cpu: float


@dataclass(frozen=True)
class Latency:
    """Milliseconds from before the POST until the summary can be read."""

    p50: float
    p99: float


class Side:
    """One server with its worker and its database."""

    def __init__(self, stack: Stack, server: Server) -> None:
        self.stack, self.server, self.worker = stack, server, stack.workers[server.name]
        ours = server is stack.meshwork
        self.database = DATABASES[0 if ours else 1]
        number, self.queue = (1, "notes") if ours else (2, "jobs")
        self.redis = Redis.from_url(stack.redis_url.replace("db=0", f"db={number}"))
        self.connection = stack.connect(self.database)
        self.open = f"SELECT EXISTS (SELECT FROM notes_note WHERE id > {NOTES} AND status <> 'done')"
        if ours:
            self.open += " OR EXISTS (SELECT FROM mesh_outbox WHERE status IN ('waiting', 'running', 'failed'))"
            self.connection.execute(OLD_JOBS)

    def clear(self) -> None:
        """Takes away what a run has made, so that every run meets the same data."""
        self.connection.execute(f"DELETE FROM notes_actionitem WHERE note_id > {NOTES}")
        self.connection.execute(f"DELETE FROM notes_note WHERE id > {NOTES}")
        self.connection.execute("VACUUM ANALYZE")

    def begin(self, job: str, count: int) -> None:
        """Posts a backlog and waits until its messages are in the queue."""
        body = {"job": job, "count": count, "raw_text": TEXT}
        ask(self.server, "POST", "/backlog", token=self.stack.tokens[0], body=body, expected=202)
        sent = -1
        while sent < (sent := self.redis.llen(self.queue)):
            time.sleep(0.3)

    def wait(self) -> float:
        """When all is done."""
        deadline = time.monotonic() + LONGEST
        while self._row(self.open)[0]:
            if time.monotonic() > deadline:
                raise LoadError(f"{self.server.name} does not finish:\n{self.stack.log(f'{self.server.name} worker')}")
            time.sleep(0.01)
        return time.monotonic()

    def result(self) -> Any:
        """What became of the first note."""
        item = "(title, assignee, due_date, quote) ORDER BY id"
        items = f"SELECT json_agg({item}) FROM notes_actionitem WHERE note_id = note.id"
        return self._row(f"SELECT summary, ({items}) FROM notes_note note WHERE id = {NOTES + 1}")

    def done(self, ids: list[int]) -> list[int]:
        found = self.connection.execute("SELECT id FROM notes_note WHERE id = ANY(%s) AND status = 'done'", [ids])
        return [row[0] for row in found]

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        os.kill(self.worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.worker, signal.SIGCONT)

    def _row(self, query: str) -> Any:
        return self.connection.execute(query).fetchone()


def measure(stack: Stack, *, only: str, rounds: int, count: int, rate: float, seconds: int) -> None:
    sides = [Side(stack, stack.peer), Side(stack, stack.meshwork)]
    _check(sides)
    print(f"{'':24} {'':8}  jobs/s       x   CPU µs       x   Postgres µs")
    for backlog in BACKLOGS:
        if only in backlog.name:
            _show_drained(backlog.name, _rounds(sides, rounds, lambda side, job=backlog.job: _drain(side, job, count)))
    if only in "from the POST until it is done":
        print(f"\n{'from the POST until it is done':33}  p50 ms       x   p99 ms       x")
        _show_latency(f"{rate:g} notes a second", _rounds(sides, rounds, lambda side: _latency(side, rate, seconds)))


def _check(sides: list[Side]) -> None:
    """Both workers run, and make the same summary."""
    for side in sides:
        side.begin("summarize_note", 50)
        side.wait()
    theirs, ours = (side.result() for side in sides)
    if theirs != ours:
        raise LoadError(f"the summaries differ:\n{theirs}\n{ours}")


def _rounds(sides: list[Side], rounds: int, measured: Callable[[Side], R]) -> list[tuple[R, R]]:
    peer, meshwork = sides
    found = []
    for number in range(rounds):
        if number % 2:
            ours = measured(meshwork)
            found.append((measured(peer), ours))
        else:
            theirs = measured(peer)
            found.append((theirs, measured(meshwork)))
    return found


def _drain(side: Side, job: str, count: int) -> Drained:
    side.clear()
    with side.paused():
        side.begin(job, count)
        before = _cpu(side)
        start = time.monotonic()
    took = side.wait() - start
    cpu, database_cpu = ((a - b) / count * 1e6 for a, b in zip(_cpu(side), before, strict=True))
    return Drained(count / took, cpu, database_cpu)


def _cpu(side: Side) -> tuple[float, float]:
    return cpu_seconds(side.worker), cpu_seconds(side.stack.database_pid)


def _latency(side: Side, rate: float, seconds: int) -> Latency:
    """Notes are posted at a steady rate; a poller on the database sees when the summary of each is there."""
    side.clear()
    posted: dict[int, float] = {}
    failures: list[str] = []
    start = time.monotonic() + 0.1
    threads = [
        threading.Thread(target=_post, args=(side, [start + i / rate for i in turns], posted, failures))
        for turns in (range(number, int(rate * seconds), POSTERS) for number in range(POSTERS))
    ]
    for thread in threads:
        thread.start()
    done: dict[int, float] = {}
    while any(thread.is_alive() for thread in threads) or len(done) < len(posted):
        if time.monotonic() > start + seconds + LONGEST:
            raise LoadError(f"{side.server.name}: {len(posted) - len(done)} notes were never summarized")
        found = side.done([id for id in list(posted) if id not in done])
        done.update(dict.fromkeys(found, time.monotonic()))
        time.sleep(0.001)
    if failures:
        raise LoadError(f"{side.server.name}, POST /notes: {failures[0]}")
    side.wait()
    taken = sorted((done[id] - posted[id]) * 1000 for id in posted)
    return Latency(statistics.median(taken), taken[int(len(taken) * 0.99)])


def _post(side: Side, times: list[float], posted: dict[int, float], failures: list[str]) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(side.server.url).netloc)
    headers = {"Authorization": f"Bearer {side.stack.tokens[0]}", "Content-Type": "application/json"}
    for moment in times:
        time.sleep(max(0.0, moment - time.monotonic()))
        began = time.monotonic()
        connection.request("POST", "/notes", json.dumps({"raw_text": TEXT}), headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 201:
            failures.append(f"{response.status} {answer[:500]!r}")
            return
        posted[json.loads(answer)["id"]] = began


def _show_drained(name: str, rounds: list[tuple[Drained, Drained]]) -> None:
    speed = statistics.median(ours.per_second / theirs.per_second for theirs, ours in rounds)
    cpu = statistics.median(theirs.cpu / ours.cpu for theirs, ours in rounds)
    for place, server in enumerate(("peer", "meshwork")):
        print(
            f"{'' if place else name:24} {server:8} {_median(rounds, place, 'per_second'):7.0f} "
            f"{speed if place else 1:7.2f} {_median(rounds, place, 'cpu'):8.0f} {cpu if place else 1:7.2f} "
            f"{_median(rounds, place, 'database_cpu'):13.0f}",
            flush=True,
        )


def _show_latency(name: str, rounds: list[tuple[Latency, Latency]]) -> None:
    p50 = statistics.median(theirs.p50 / ours.p50 for theirs, ours in rounds)
    p99 = statistics.median(theirs.p99 / ours.p99 for theirs, ours in rounds)
    for place, server in enumerate(("peer", "meshwork")):
        print(
            f"{'' if place else name:24} {server:8} {_median(rounds, place, 'p50'):7.1f} {p50 if place else 1:7.2f} "
            f"{_median(rounds, place, 'p99'):8.1f} {p99 if place else 1:7.2f}",
            flush=True,
        )


def _median(rounds: list[tuple[Any, Any]], place: int, name: str) -> float:
    of: Callable[[Any], float] = attrgetter(name)
    return statistics.median(of(pair[place]) for pair in rounds)
