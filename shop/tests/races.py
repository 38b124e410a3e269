"""What the tests of races need: a web server with clients, readers beside them, and locks that can be taken off."""

import http.client
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from django.db import close_old_connections, connections
from django.db.models import Count

from mesh.execution.service import Service
from mesh.tests.database import sql
from mesh.tests.processes import process
from shop import stock
from shop.models import CancelReason, Order, OrderQuerySet, StockMovement
from shop.reconciler import discrepancies
from shop.tests.conftest import out_of_balance


@dataclass
class Web:
    """A gunicorn of its own: calls it as one person."""

    port: int
    token: str

    def all(self, calls: Sequence[tuple[str, Any]], clients: int) -> list[tuple[int, Any]]:
        """POSTs all of these, from so many clients at once: `(status, body)` of each."""
        waiting, answers = list(enumerate(calls))[::-1], [(0, None)] * len(calls)
        headers = {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}

        def client(_: int) -> None:
            connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
            while waiting:
                try:
                    n, (path, data) = waiting.pop()
                except IndexError:  # another client was faster
                    break
                connection.request("POST", f"/api/v1{path}", "" if data is None else json.dumps(data), headers)
                response = connection.getresponse()
                body = response.read()
                answers[n] = (response.status, json.loads(body))
            connection.close()

        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(client, range(clients)))
        return answers

    def order(self, *orders: Sequence[tuple[int, int]], clients: int = 8) -> list[int]:
        """Places orders of `(product, quantity)`s: their ids. All of them are taken."""
        bodies = [{"items": [{"product_id": p, "quantity": q} for p, q in lines]} for lines in orders]
        answers = self.all([("/orders", body) for body in bodies], clients)
        assert Counter(status for status, _ in answers) == {201: len(orders)}, answers
        return [body["id"] for _, body in answers]


def gunicorn(start: Callable[..., Any], person: Any) -> Web:
    """Starts a web server as `./run` does, on the broker of `start`."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        "-m",
        "gunicorn",
        "config.wsgi:application",
        f"--bind=127.0.0.1:{port}",
        "--worker-class=config.gthread.Worker",
    ]
    options = ["--workers=2", "--threads=4", "--no-control-socket", "--preload"]
    plain = {"MESH_CHECK_ANSWERS": "off", "LOG_LEVEL": "WARNING", "PAYMENTS": "trust"}
    start(process, *command, *options, ready="Booting worker", **plain)
    return Web(port, person.api.token)


@contextmanager
def reading(owner: Any, product: int) -> Iterator[list[tuple[int, int, int, int]]]:
    """What a reader sees of a product meanwhile: `(stock, reserved, sold, received)`; each read adds up."""
    seen: list[tuple[int, int, int, int]] = []
    faults: list[Any] = []
    begun, ended = threading.Event(), threading.Event()

    def read() -> None:
        while not ended.is_set():
            found = owner.api.get(f"/products/{product}").json
            seen.append((found["stock"], found["reserved"], found["sold"], found["received"]))
            if sum(seen[-1][:3]) != seen[-1][3] or min(seen[-1]) < 0:
                faults.append(found)
            faults.extend(out_of_balance())
            close_old_connections()
            begun.set()
        connections.close_all()

    thread = threading.Thread(target=read)
    thread.start()
    assert begun.wait(10)
    try:
        yield seen
    finally:
        ended.set()
        thread.join()
    assert faults == []


def statuses() -> dict[str, int]:
    """How many orders there are of each status."""
    return dict(Order.objects.order_by().values_list("status").annotate(Count("pk")))


def none_is_pending() -> bool:
    return not Order.objects.filter(status="PENDING").exists()


def moved(kind: str) -> int:
    """How many lines the ledger says were `reserved`, `sold` …"""
    return StockMovement.objects.filter(kind=kind).count()


def all_adds_up() -> None:
    assert out_of_balance() == []
    assert discrepancies() == []


def deadlocks() -> int:
    """How many Postgres has seen in this database."""
    return int(sql("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()")[0][0])


@contextmanager
def without_constraints() -> Iterator[None]:
    """The shop's tables without what would stop the loser of a race; emptied at the end."""
    tables = ("shop_stockmovement", "shop_orderline", "shop_order", "shop_product")
    kept = [
        (table, name, definition)
        for table in tables
        for name, definition in sql(
            "SELECT conname, pg_get_constraintdef(oid) FROM pg_constraint WHERE conrelid = %s::regclass AND"
            " (contype = 'c' OR conname = 'shop_movement_once')",
            table,
        )
    ]
    for table, name, _ in kept:
        sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    yield
    sql(f"TRUNCATE {', '.join(tables)} CASCADE")
    for table, name, definition in kept:
        sql(f"ALTER TABLE {table} ADD CONSTRAINT {name} {definition}")


class Gate:
    """Where so many runs meet before they go on together. Locks that hold keep the others away: then, after a while,
    whoever came goes on alone."""

    def __init__(self, runs: int) -> None:
        self._barrier = threading.Barrier(runs)

    def __call__(self) -> None:
        try:
            self._barrier.wait(1)
        except threading.BrokenBarrierError:
            self._barrier.reset()


def take_locks_off(monkeypatch: Any) -> None:
    """Orders are read without their locks, and two that have read one write at the same time."""
    gate, release = Gate(2), stock.release

    def lock(service: Service, model: Any, ref: int) -> Any:
        row = service.rows(model).get(pk=ref)
        gate()
        return row

    def release_together(orders: Sequence[int], reason: CancelReason) -> None:
        if reason == CancelReason.EXPIRED:
            gate()
        release(orders, reason)

    monkeypatch.setattr(Service, "lock", lock)
    monkeypatch.setattr(OrderQuerySet, "select_for_update", lambda rows, **options: rows)
    monkeypatch.setattr(stock, "release", release_together)
