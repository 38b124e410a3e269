"""Meshwork and its peer under the same load, side by side: `python -m benchmarks`. README.md tells how to read it."""

import argparse
import json
import os
import shutil
import signal
import statistics
import sys
from collections.abc import Callable
from operator import attrgetter
from typing import Any

from benchmarks import jobs, orders
from benchmarks.load import LoadError, Run, Server, run
from benchmarks.scenarios import SCENARIOS, Person, Request, Scenario
from benchmarks.stack import DATABASES, PEOPLE, Stack, StackError, ask

WARM_UP = 1  # second
BACKGROUND = {"jobs": jobs, "orders": orders}  # what a worker is needed for
ROWS = 20  # of each person, to be asked for one by one


def main() -> int:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    if options.what != "jobs" and shutil.which("wrk") is None:
        print("wrk is missing: apt-get install wrk", file=sys.stderr)
        return 1
    cpus = sorted(os.sched_getaffinity(0))
    if len(cpus) < 2:
        print("There is one CPU only: the load disturbs the servers, so that only the CPU columns mean much.")
    os.sched_setaffinity(0, cpus[1:] or cpus)
    try:
        with Stack(server_cpu=cpus[0], threads=options.threads, workers=options.what in BACKGROUND) as stack:
            if options.serve:
                _serve(stack)
            elif options.what in BACKGROUND:
                BACKGROUND[options.what].measure(
                    stack,
                    only=options.only,
                    times=options.rounds,
                    count=options.backlog or BACKGROUND[options.what].BACKLOG,
                    rate=options.rate,
                    seconds=options.seconds,
                )
            else:
                _measure_all(stack, options)
    except (LoadError, StackError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("what", nargs="?", choices=("requests", *BACKGROUND), default="requests")
    parser.add_argument("--only", metavar="TEXT", default="", help="the scenarios whose name contains this")
    parser.add_argument("--rounds", type=int, default=5, help="how often each server is measured (default 5)")
    parser.add_argument("--seconds", type=int, default=3, help="how long each time (default 3)")
    parser.add_argument("--connections", type=int, default=16, help="how many at once (default 16)")
    parser.add_argument("--threads", type=int, default=4, help="the threads of Meshwork's one process (default 4)")
    parser.add_argument("--backlog", type=int, help="how many wait for a worker (default 2000, of orders 5000)")
    parser.add_argument(
        "--rate", type=float, default=20, help="how many a second are posted, for the latency (default 20)"
    )
    parser.add_argument("--serve", action="store_true", help="start everything and wait: to look around, to profile")
    return parser.parse_args()


def _serve(stack: Stack) -> None:
    for server in (stack.peer, stack.meshwork):
        print(f"{server.name}: {server.url}, process {server.pid}")
    print(f"Postgres: process {stack.database_pid}\nTOKEN={stack.tokens[0]}\nCtrl-C stops all of it.", flush=True)
    signal.pause()


def _measure_all(stack: Stack, options: argparse.Namespace) -> None:
    people = _people(stack)
    print(f"{'':30} {'':8}   req/s       x   p50 ms   p99 ms   CPU µs       x   Postgres µs    bytes")
    for scenario in SCENARIOS:
        if options.only in scenario.name:
            requests = scenario.requests(people)
            sizes = [_size(server, scenario, requests[0]) for server in (stack.peer, stack.meshwork)]
            _show(scenario, _measure(stack, scenario, requests, options), sizes)


def _people(stack: Stack) -> list[Person]:
    """Those who send the requests, after making sure that both servers give them the same answers."""
    for path in ("/meetings", "/events?limit=50", "/tasks"):
        theirs, ours = _answers(stack, path, stack.tokens[0])
        if not len(theirs) == len(ours["results"]) == 50 or theirs[0] != ours["results"][0]:
            raise StackError(f"the answers to {path} differ:\n{theirs[0]}\n{ours['results'][0]}")
    events = _newest(stack, "/events", PEOPLE * ROWS, stack.tokens[0])
    people = []
    for number, token in enumerate(stack.tokens):
        person = Person(token, _newest(stack, "/meetings", ROWS, token), events[number::PEOPLE])
        for path, rows in (("/meetings", person.meetings), ("/events", person.events)):
            for row in rows:
                theirs, ours = _answers(stack, f"{path}/{row['id']}", token)
                if not theirs == ours == row:
                    raise StackError(f"the answers to {path}/{row['id']} differ:\n{theirs}\n{ours}")
        people.append(person)
    return people


def _newest(stack: Stack, path: str, count: int, token: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = json.loads(ask(stack.meshwork, "GET", f"{path}?limit={count}", token=token))["results"]
    return rows


def _answers(stack: Stack, path: str, token: str) -> list[Any]:
    return [json.loads(ask(server, "GET", path, token=token)) for server in (stack.peer, stack.meshwork)]


def _size(server: Server, scenario: Scenario, request: Request) -> int:
    """How many bytes an answer has."""
    answer = ask(
        server,
        scenario.method,
        request.path,
        token=request.token,
        body=request.body,
        headers=scenario.headers,
        expected=scenario.status,
    )
    return len(answer)


def _measure(
    stack: Stack, scenario: Scenario, requests: list[Request], options: argparse.Namespace
) -> list[tuple[Run, Run]]:
    """Rounds of (peer, Meshwork): A B, B A, A B, … so that a neighbour's noise falls on both."""

    def measure(server: Server, seconds: int) -> Run:
        found = run(
            server,
            scenario,
            requests,
            database_pid=stack.database_pid,
            seconds=seconds,
            connections=options.connections,
        )
        if scenario.undo:
            for database in DATABASES:
                stack.execute(database, scenario.undo, "VACUUM ANALYZE")
        return found

    for server in (stack.peer, stack.meshwork):
        measure(server, WARM_UP)
    rounds = []
    for number in range(options.rounds):
        if number % 2:
            ours = measure(stack.meshwork, options.seconds)
            rounds.append((measure(stack.peer, options.seconds), ours))
        else:
            theirs = measure(stack.peer, options.seconds)
            rounds.append((theirs, measure(stack.meshwork, options.seconds)))
    return rounds


def _show(scenario: Scenario, rounds: list[tuple[Run, Run]], sizes: list[int]) -> None:
    ratio = statistics.median(ours.per_second / theirs.per_second for theirs, ours in rounds)
    cpu_ratio = statistics.median(theirs.cpu / ours.cpu for theirs, ours in rounds)
    for place, (server, factors) in enumerate({"peer": (1.0, 1.0), "meshwork": (ratio, cpu_ratio)}.items()):

        def median(name: str, place: int = place) -> float:
            of: Callable[[Run], float] = attrgetter(name)
            return statistics.median(of(pair[place]) for pair in rounds)

        print(
            f"{'' if place else scenario.name:30} {server:8} {median('per_second'):7.0f} {factors[0]:7.2f} "
            f"{median('p50'):8.2f} {median('p99'):8.2f} {median('cpu'):8.0f} {factors[1]:7.2f} "
            f"{median('database_cpu'):13.0f} {sizes[place]:8}",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
