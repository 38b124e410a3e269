"""A server with its worker and its database, and the measurements of what is done in the background."""

import contextlib
import http.client
import json
import os
import signal
import statistics
import threading
import time
import urllib.parse
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Any, TypeVar

from benchmarks.load import LoadError, Server, cpu_seconds
from benchmarks.stack import DATABASES, Stack

R = TypeVar("R")
POSTERS = 4  # connections that post at a steady rate
LONGEST = 120.0  # seconds until what is not done counts as lost


@dataclass(frozen=True)
class Drained:
    """A backlog that was worked off: how many a second, and microseconds of CPU time each."""

    per_second: float
    cpu: float
    database_cpu: float


@dataclass(frozen=True)
class Latency:
    """Milliseconds from before the POST until it is done."""

    p50: float
    p99: float


class Side:
    """One server with its worker and its database. Subclasses say which rows wait, are done, and are taken away."""

    #: Whether anything waits, as a query for one truth.
    open: str
    #: Which of these ids are done, as a query with one parameter.
    done: str
    #: Statements that take away what a run has made, so that every run meets the same data.
    undo: Sequence[str]

    def __init__(self, stack: Stack, server: Server) -> None:
        self.stack, self.server, self.worker = stack, server, stack.workers[server.name]
        self.is_ours = server is stack.meshwork
        self.connection = stack.connect(DATABASES[0 if self.is_ours else 1])

    def clear(self) -> None:
        for statement in (*self.undo, "VACUUM ANALYZE"):
            self.connection.execute(statement)

    def wait(self) -> float:
        """When all is done."""
        deadline = time.monotonic() + LONGEST
        while self.row(self.open)[0]:
            if time.monotonic() > deadline:
                raise LoadError(f"{self.server.name} does not finish:\n{self.stack.log(f'{self.server.name} worker')}")
            time.sleep(0.01)
        return time.monotonic()

    @contextlib.contextmanager
    def paused(self) -> Iterator[None]:
        os.kill(self.worker, signal.SIGSTOP)
        try:
            yield
        finally:
            os.kill(self.worker, signal.SIGCONT)

    def cpu(self) -> tuple[float, float]:
        return cpu_seconds(self.worker), cpu_seconds(self.stack.database_pid)

    def row(self, query: str) -> Any:
        return self.connection.execute(query).fetchone()


S = TypeVar("S", bound=Side)


def rounds(sides: Sequence[S], count: int, measured: Callable[[S], R]) -> list[tuple[R, R]]:
    """Rounds of (peer, Meshwork): A B, B A, A B, … so that a neighbour's noise falls on both."""
    peer, meshwork = sides
    found = []
    for number in range(count):
        if number % 2:
            ours = measured(meshwork)
            found.append((measured(peer), ours))
        else:
            theirs = measured(peer)
            found.append((theirs, measured(meshwork)))
    return found


def drained(side: S, begin: Callable[[S], int]) -> Drained:
    """`begin` posts a backlog while the worker is stopped, and says how many wait."""
    side.clear()
    with side.paused():
        count = begin(side)
        before = side.cpu()
        start = time.monotonic()
    took = side.wait() - start
    cpu, database_cpu = ((a - b) / count * 1e6 for a, b in zip(side.cpu(), before, strict=True))
    return Drained(count / took, cpu, database_cpu)


def latency(side: Side, path: str, bodies: Sequence[Mapping[str, Any]], rate: float, seconds: int) -> Latency:
    """The bodies are posted in turn at a steady rate; a poller on the database sees when each is done."""
    side.clear()
    posted: dict[int, float] = {}
    failures: list[str] = []
    start = time.monotonic() + 0.1
    turns = [range(number, int(rate * seconds), POSTERS) for number in range(POSTERS)]
    plans = [[(start + i / rate, bodies[i % len(bodies)]) for i in turn] for turn in turns]
    threads = [threading.Thread(target=_post, args=(side, path, plan, posted, failures)) for plan in plans]
    for thread in threads:
        thread.start()
    done: dict[int, float] = {}
    while any(thread.is_alive() for thread in threads) or len(done) < len(posted):
        if time.monotonic() > start + seconds + LONGEST:
            raise LoadError(f"{side.server.name}: {len(posted) - len(done)} of {path} were never done")
        waiting = [id for id in list(posted) if id not in done]
        found = [row[0] for row in side.connection.execute(side.done, [waiting])]
        done.update(dict.fromkeys(found, time.monotonic()))
        time.sleep(0.001)
    if failures:
        raise LoadError(f"{side.server.name}, POST {path}: {failures[0]}")
    side.wait()
    taken = sorted((done[id] - posted[id]) * 1000 for id in posted)
    return Latency(statistics.median(taken), taken[int(len(taken) * 0.99)])


def _post(
    side: Side,
    path: str,
    plan: Sequence[tuple[float, Mapping[str, Any]]],
    posted: dict[int, float],
    failures: list[str],
) -> None:
    connection = http.client.HTTPConnection(urllib.parse.urlsplit(side.server.url).netloc)
    headers = {"Authorization": f"Bearer {side.stack.tokens[0]}", "Content-Type": "application/json"}
    for moment, body in plan:
        time.sleep(max(0.0, moment - time.monotonic()))
        began = time.monotonic()
        connection.request("POST", path, json.dumps(body), headers)
        response = connection.getresponse()
        answer = response.read()
        if response.status != 201:
            failures.append(f"{response.status} {answer[:500]!r}")
            return
        posted[json.loads(answer)["id"]] = began


def show_drained_head(what: str) -> None:
    print(f"{'':24} {'':8}  {what:>7}       x   CPU µs       x   Postgres µs")


def show_drained(name: str, measured: list[tuple[Drained, Drained]]) -> None:
    speed = statistics.median(ours.per_second / theirs.per_second for theirs, ours in measured)
    cpu = statistics.median(theirs.cpu / ours.cpu for theirs, ours in measured)
    for place, server in enumerate(("peer", "meshwork")):
        print(
            f"{'' if place else name:24} {server:8} {median(measured, place, 'per_second'):8.0f} "
            f"{speed if place else 1:7.2f} {median(measured, place, 'cpu'):8.0f} {cpu if place else 1:7.2f} "
            f"{median(measured, place, 'database_cpu'):13.0f}",
            flush=True,
        )


def show_latency(title: str, name: str, measured: list[tuple[Latency, Latency]]) -> None:
    print(f"\n{title:33}  p50 ms       x   p99 ms       x")
    p50 = statistics.median(theirs.p50 / ours.p50 for theirs, ours in measured)
    p99 = statistics.median(theirs.p99 / ours.p99 for theirs, ours in measured)
    for place, server in enumerate(("peer", "meshwork")):
        print(
            f"{'' if place else name:24} {server:8} {median(measured, place, 'p50'):7.1f} {p50 if place else 1:7.2f} "
            f"{median(measured, place, 'p99'):8.1f} {p99 if place else 1:7.2f}",
            flush=True,
        )


def median(measured: list[tuple[Any, Any]], place: int, name: str) -> float:
    of: Callable[[Any], float] = attrgetter(name)
    return statistics.median(of(pair[place]) for pair in measured)
