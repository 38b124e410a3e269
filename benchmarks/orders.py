"""Orders: how many a second are reserved, and how long one takes from the POST until its stock is held."""

import random
import statistics
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import cycle, islice
from typing import Any

from benchmarks.jobs import JOBS_OPEN, OLD_JOBS
from benchmarks.load import LoadError, Server, run
from benchmarks.scenarios import Request, Scenario
from benchmarks.sides import (
    Drained,
    Side,
    drained,
    latency,
    rounds,
    show_drained,
    show_drained_head,
    show_latency,
)
from benchmarks.stack import Stack

ORDERS = 20_000  # of the data set
BACKLOG = 5000
CONNECTIONS = 16
Body = Mapping[str, Any]


@dataclass(frozen=True)
class Shape:
    """Which products the orders want, of the thousand that there are."""

    name: str
    bodies: Sequence[Body]


def _body(*products: int) -> Body:
    return {"items": [{"product_id": product, "quantity": 1} for product in products]}


_dice = random.Random(1)
SHAPES = (
    Shape("one hot product", [_body(1)]),
    Shape("1,000 products, two lines", [_body(_dice.randint(1, 500), _dice.randint(501, 1000)) for _ in range(1000)]),
)

#: Orders of the peer's database, reserved in one statement for up to 500: what Postgres can do without a ledger, a
#: mail, a job, or anyone running short.
PLAIN_SQL = """
WITH batch AS MATERIALIZED (
    SELECT id FROM shop_order WHERE status = 'PENDING' ORDER BY id LIMIT 500 FOR UPDATE SKIP LOCKED
), need AS MATERIALIZED (
    SELECT product_id, sum(quantity) AS quantity FROM shop_orderline JOIN batch ON batch.id = order_id GROUP BY 1
), locked AS MATERIALIZED (
    SELECT id FROM shop_product WHERE id IN (SELECT product_id FROM need) ORDER BY id FOR UPDATE
), counted AS (
    UPDATE shop_product p SET stock = p.stock - need.quantity FROM need, locked
    WHERE p.id = need.product_id AND locked.id = p.id
)
UPDATE shop_order SET status = 'RESERVED', updated_at = now() WHERE id IN (SELECT id FROM batch)
"""


class Orders(Side):
    """The orders of one side."""

    done = "SELECT id FROM shop_order WHERE id = ANY(%s) AND status = 'RESERVED'"

    def __init__(self, stack: Stack, server: Server) -> None:
        super().__init__(stack, server)
        self.open = "SELECT EXISTS (SELECT FROM shop_order WHERE status = 'PENDING')"
        counters = "stock = 1000000, reserved = 0, received = 1000000"
        self.undo = (
            *(["DELETE FROM shop_stockmovement"] if self.is_ours else []),
            f"DELETE FROM shop_orderline WHERE order_id > {ORDERS}",
            f"DELETE FROM shop_order WHERE id > {ORDERS}",
            f"UPDATE shop_product SET {counters} WHERE stock <> 1000000",
        )
        if self.is_ours:
            self.connection.execute(OLD_JOBS)
            self.connection.execute(  # the peer writes no mails
                "INSERT INTO accounts_unwantedmail (email, kind) SELECT email, 'orders' FROM accounts_user"
            )

    def clear(self) -> None:
        """Waits for the jobs too, such as the mails that nobody wants."""
        while self.is_ours and self.row(f"SELECT EXISTS ({JOBS_OPEN})")[0]:
            time.sleep(0.05)
        super().clear()

    def post(self, shape: Shape, seconds: float) -> float:
        """Posts as fast as it can; how many orders a second were accepted."""
        tokens = self.stack.tokens
        bodies = islice(cycle(shape.bodies), 1000)
        requests = [Request(tokens[n % len(tokens)], "/orders", body) for n, body in enumerate(bodies)]
        found = run(
            self.server,
            Scenario("post orders", lambda people: requests, method="POST", status=201),
            requests,
            database_pid=self.stack.database_pid,
            seconds=seconds,
            connections=CONNECTIONS,
        )
        return found.per_second

    def begin(self, shape: Shape, count: int) -> int:
        """Posts until so many orders wait; how many."""
        while (waiting := self.waiting()) < count:
            self.post(shape, 2)
        return waiting

    def waiting(self) -> int:
        return int(self.row("SELECT count(*) FROM shop_order WHERE status = 'PENDING'")[0])

    def check(self, wanted: int) -> None:
        """All orders that were made hold their stock, and the counters say so."""
        taken = "sum(reserved)" if self.is_ours else "sum(1000000 - stock)"
        held = self.row(
            "SELECT count(*) FILTER (WHERE status = 'RESERVED'), (SELECT coalesce(sum(quantity), 0)"
            f" FROM shop_orderline WHERE order_id > {ORDERS}) - (SELECT {taken} FROM shop_product)"
            f" FROM shop_order WHERE id > {ORDERS}"
        )
        if tuple(map(int, held)) != (wanted, 0):
            raise LoadError(f"{self.server.name}: of {wanted} orders {held[0]} are reserved, and {held[1]} units lost")


@dataclass(frozen=True)
class Flow:
    """Orders a second that were accepted, and that were accepted and reserved."""

    accepted: float
    per_second: float


def measure(stack: Stack, *, only: str, count: int, times: int, rate: float, seconds: int) -> None:
    sides = [Orders(stack, stack.peer), Orders(stack, stack.meshwork)]
    show_drained_head("orders/s")
    for shape in SHAPES:
        if only in shape.name:
            show_drained(shape.name, rounds(sides, times, partial(_drained, shape=shape, count=count)))
            plain = statistics.median(_plain_sql(sides[0], shape, count) for _ in range(times))
            print(f"{'':24} {'SQL':8} {plain:8.0f}")
    title = "accepted and reserved together"
    if only in title:
        print(f"\n{title:33} accepted/s  reserved/s       x")
        for shape in SHAPES:
            _show_flow(shape.name, rounds(sides, times, partial(_flow, shape=shape, seconds=seconds)))
    title = "from the POST until it is reserved"
    if only in title:
        bodies = SHAPES[1].bodies
        measured = rounds(sides, times, lambda side: latency(side, "/orders", bodies, rate, seconds))
        show_latency(title, f"{rate:g} orders a second", measured)


def _drained(side: Orders, shape: Shape, count: int) -> Drained:
    found = drained(side, lambda side: side.begin(shape, count))
    side.check(int(side.row(f"SELECT count(*) FROM shop_order WHERE id > {ORDERS}")[0]))
    return found


def _plain_sql(peer: Orders, shape: Shape, count: int) -> float:
    """Orders a second that one connection reserves with `PLAIN_SQL`, while the peer's worker is stopped."""
    peer.wait()
    peer.clear()
    with peer.paused():
        waiting = peer.begin(shape, count)
        start = time.monotonic()
        while peer.connection.execute(PLAIN_SQL).rowcount:
            pass
        took = time.monotonic() - start
    peer.wait()
    return waiting / took


def _flow(side: Orders, shape: Shape, seconds: int) -> Flow:
    side.clear()
    start = time.monotonic()
    accepted = side.post(shape, seconds)
    took = side.wait() - start
    made = int(side.row(f"SELECT count(*) FROM shop_order WHERE id > {ORDERS}")[0])
    side.check(made)
    return Flow(accepted, made / took)


def _show_flow(name: str, measured: list[tuple[Flow, Flow]]) -> None:
    ratio = statistics.median(ours.per_second / theirs.per_second for theirs, ours in measured)
    for place, server in enumerate(("peer", "meshwork")):
        accepted, per_second = (
            statistics.median(getattr(pair[place], field) for pair in measured) for field in ("accepted", "per_second")
        )
        shown = "" if place else name
        print(f"{shown:24} {server:8} {accepted:10.0f}  {per_second:10.0f} {ratio if place else 1:7.2f}", flush=True)
