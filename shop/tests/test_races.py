"""Many at once, with real servers, workers and connections: nothing is sold twice, lost or left lying.

Each race is first lost with the locks off, so the setup is known to bite.
"""

import re
import signal
from functools import partial

import pytest
from django.db import transaction

from accounts.tests.assertions import at_once
from config.tests.all_apps.worker.test_faults import broker as broker
from config.tests.all_apps.worker.test_faults import kill
from config.tests.all_apps.worker.test_faults import start as start
from mesh.models import Outbox
from mesh.tests.database import sql, wait_for_a_lock
from mesh.tests.processes import eventually, relay, worker
from shop import stock
from shop.reconciler import discrepancies
from shop.tests.conftest import counters, order
from shop.tests.races import (
    Gate,
    all_adds_up,
    deadlocks,
    gunicorn,
    moved,
    none_is_pending,
    reading,
    statuses,
    without_constraints,
)

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def quiet(bob):
    """Bob buys, and wants no mail about it."""
    assert bob.api.patch("/users/me/notifications", {"orders": False}).status == 200
    return bob


@pytest.fixture
def unconstrained():
    with without_constraints():
        yield


def every_run_went_well():
    """At the first try: no victim of a deadlock, no lease that was lost."""
    return set(Outbox.objects.filter(operation="reserve_stock").values_list("status", "attempt")) == {("done", 1)}


@pytest.fixture
def web(quiet, start):
    return gunicorn(start, quiet)


# 100 units, and more who want one.


def test_of_2000_orders_for_100_units_exactly_100_are_held(alice, product, web, start):
    shirt = product(100)
    start(worker), start(worker)
    with reading(alice, shirt) as seen:
        web.order(*[[(shirt, 1)]] * 2000, clients=50)
        eventually(none_is_pending)
    assert statuses() == {"RESERVED": 100, "FAILED": 1900}
    assert (seen[0], seen[-1]) == ((100, 0, 0, 100), (0, 100, 0, 100))
    assert counters(alice, shirt) == (0, 100, 0, 100)
    assert moved("reserved") == 100
    all_adds_up()


@pytest.fixture
def together(monkeypatch):
    """So many runs have all read before one of them writes, where no lock keeps them apart."""

    def meet(runs):
        gate, decide = Gate(runs), stock._decide

        def decide_together(*given):
            decided = decide(*given)
            gate()
            return decided

        monkeypatch.setattr(stock, "_decide", decide_together)

    return meet


def without_lock(monkeypatch, *names):
    for name in names:
        monkeypatch.setattr(stock, name, re.sub("FOR NO KEY UPDATE( SKIP LOCKED)?", "", getattr(stock, name)))


@pytest.mark.parametrize(("locked", "held"), [(False, 200), (True, 100)])
def test_four_runs_at_once_sell_what_there_is_and_without_locks_more(
    unconstrained, alice, product, web, together, monkeypatch, locked, held
):
    shirt = product(100)
    web.order(*[[(shirt, 1)]] * 200, clients=50)
    if not locked:
        without_lock(monkeypatch, "_LOCK_PRODUCTS")
    together(4)
    at_once(*[partial(transaction.atomic(stock.reserve_pending), 50)] * 4)
    assert statuses().get("RESERVED") == moved("reserved") == held
    assert counters(alice, shirt) == (100 - held, held, 0, 100)


# Orders of the same products, named crosswise.


def crossed(web, shirt, cup):
    """Crossed orders; while they are reserved every other one is cancelled, and the rest is paid, where it can be."""
    placed = web.order(*[[(shirt, 1), (cup, 2)], [(cup, 1), (shirt, 2)]] * 15)
    calls = [(f"/orders/{number}/{('cancel', 'pay')[n % 2]}", None) for n, number in enumerate(placed)]
    return [status for status, _ in web.all(calls, clients=8)]


def test_crossed_orders_never_wait_for_each_other_in_a_circle(product, web, start):
    shirt, cup, before = product(1000), product(1000), deadlocks()
    start(worker), start(worker)
    for _ in range(10):
        answers = crossed(web, shirt, cup)
        assert set(answers[::2]) == {200}
        assert set(answers[1::2]) <= {200, 409}  # 409: not reserved yet
    eventually(none_is_pending)
    assert statuses()["CANCELLED"] == 150
    assert {"CANCELLED", "PAID"} <= statuses().keys() <= {"CANCELLED", "PAID", "RESERVED"}  # RESERVED after a 409
    eventually(every_run_went_well)
    assert deadlocks() == before
    all_adds_up()


def test_locked_in_no_order_the_same_orders_do(product, web, start):
    shirt, cup, before = product(1000), product(1000), deadlocks()
    start(worker, ["shop.tests.loose_worker"]), start(worker, ["shop.tests.loose_worker"])

    def seen():
        crossed(web, shirt, cup)
        return deadlocks() > before

    eventually(seen)


# Work that comes more than once, or whose worker dies.


@pytest.mark.parametrize(("locked", "times"), [(False, 4), (True, 1)])
def test_four_runs_at_once_reserve_each_order_once_and_without_locks_each_of_them(
    unconstrained, alice, bob, product, together, monkeypatch, locked, times
):
    shirt = product(100)
    for _ in range(5):
        order(bob, (shirt, 3))
    if not locked:
        without_lock(monkeypatch, "_LOCK_FREE", "_LOCK_WAITING", "_LOCK_PRODUCTS")
    together(4)
    at_once(*[transaction.atomic(stock.reserve_pending)] * 4)
    assert moved("reserved") == 5 * times
    assert counters(alice, shirt) == (100 - 15 * times, 15 * times, 0, 100)
    assert bool(discrepancies()) is not locked


def test_every_message_delivered_three_times_reserves_each_order_once(alice, product, web, start, broker):
    shirt = product(1000)
    web.order(*[[(shirt, 2)]] * 60)
    queue = broker.client()
    eventually(lambda: queue.llen("stock") > 0 and not Outbox.objects.filter(sent_at=None).exists())
    messages = queue.lrange("stock", 0, -1)
    queue.rpush("stock", *messages * 2)
    start(worker), start(worker)
    eventually(lambda: queue.llen("stock") == queue.hlen("unacked") == 0)
    assert statuses() == {"RESERVED": 60}
    assert moved("reserved") == 60
    assert counters(alice, shirt) == (880, 120, 0, 1000)
    eventually(every_run_went_well)
    all_adds_up()


def test_a_worker_killed_in_the_middle_of_reserving_leaves_nothing_lying_and_does_nothing_twice(
    alice, product, web, start
):
    shirt = product(1000)
    (killed, _), _ = start(worker), start(relay)
    with transaction.atomic():
        sql("SELECT 1 FROM shop_product WHERE id = %s FOR NO KEY UPDATE", shirt)
        web.order(*[[(shirt, 2)]] * 20)
        wait_for_a_lock()
        kill(killed)
    start(worker)
    eventually(none_is_pending)
    assert statuses() == {"RESERVED": 20}
    assert moved("reserved") == 20
    assert counters(alice, shirt) == (960, 40, 0, 1000)
    all_adds_up()


def test_a_broker_that_lost_everything_loses_no_order(alice, product, web, start, broker):
    shirt = product(1000)
    web.order(*[[(shirt, 1)]] * 500)
    assert statuses() == {"PENDING": 500}
    broker.client().flushall()
    start(worker), start(relay)
    eventually(none_is_pending)
    assert statuses() == {"RESERVED": 500}
    broker.client().flushall()  # under a worker that listens
    web.order(*[[(shirt, 1)]] * 10)
    eventually(none_is_pending)
    assert counters(alice, shirt) == (490, 510, 0, 1000)
    all_adds_up()


def test_while_the_broker_is_away_orders_are_taken_at_once_and_all_finish(alice, product, web, start, broker):
    shirt = product(1000)
    start(worker), start(relay)
    web.order(*[[(shirt, 1)]] * 20)
    broker.send(signal.SIGSTOP)
    web.order(*[[(shirt, 1)]] * 150)
    eventually(none_is_pending)
    broker.send(signal.SIGKILL)
    web.order(*[[(shirt, 1)]] * 150)
    eventually(none_is_pending)
    assert counters(alice, shirt) == (680, 320, 0, 1000)
    all_adds_up()
