"""POST /orders and what becomes of an order: reserved or failed, confirmed, paid, cancelled, expired."""

from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from django.db import connections, transaction
from django.utils import timezone

from accounts.tests.assertions import TIME, at_once, faults, ids, refused
from mesh.models import Outbox
from mesh.tests.database import sql, wait_for_a_lock
from mesh.tests.jobs import run_periodic
from shop.models import Order, StockMovement
from shop.tests.conftest import counters, order, out_of_balance, reserve, reserved


def ledger(kind=None):
    rows = StockMovement.objects.exclude(line=None).order_by("pk")
    return [(row.kind, row.product_id, row.quantity) for row in rows if kind in (None, row.kind)]


def test_an_order_starts_pending_with_the_prices_of_now(alice, bob, product):
    shirt, cup = product(price_cents=1999), product(price_cents=500)
    placed = order(bob, (cup, 1), (shirt, 2))
    assert placed.status == 201, placed
    number = Order.objects.get().pk
    assert placed.headers["Location"] == f"/api/v1/orders/{number}"
    assert placed.json == {
        "id": number,
        "status": "PENDING",
        "buyer": {"id": bob.id, "name": "Bob", "email": "bob@example.com"},
        "items": [
            {"product_id": shirt, "sku": "SKU-1", "name": "Shirt 1", "quantity": 2, "price_cents": 1999},
            {"product_id": cup, "sku": "SKU-2", "name": "Shirt 2", "quantity": 1, "price_cents": 500},
        ],
        "total_cents": 4498,
        "reserved_until": None,
        "failure": None,
        "cancel_reason": None,
        "created_at": TIME,
        "updated_at": TIME,
    }
    alice.api.patch(f"/products/{shirt}", {"price_cents": 1, "name": "Sale"})
    assert bob.api.get(f"/orders/{number}").json == placed.json
    assert counters(alice, shirt) == (10, 0, 0, 10)


def test_a_worker_reserves_all_of_it(alice, bob, product, settings):
    settings.RESERVATION_TTL = timedelta(minutes=20)
    shirt, cup = product(), product(3)
    number = reserved(bob, (shirt, 2), (cup, 3))
    found = bob.api.get(f"/orders/{number}").json
    left = timezone.datetime.fromisoformat(found["reserved_until"]) - timezone.now()
    assert timedelta(minutes=19) < left <= timedelta(minutes=20)
    assert (counters(alice, shirt), counters(alice, cup)) == ((8, 2, 0, 10), (0, 3, 0, 3))
    assert ledger() == [("reserved", shirt, 2), ("reserved", cup, 3)]
    assert out_of_balance() == []


def test_an_order_that_is_short_of_one_line_takes_nothing(alice, bob, product):
    shirt, cup = product(), product(3)
    number = order(bob, (shirt, 2), (cup, 4)).json["id"]
    reserve()
    found = bob.api.get(f"/orders/{number}").json
    assert found["status"] == "FAILED"
    assert found["failure"] == {"code": "shop.out_of_stock", "product_id": cup, "requested": 4, "available": 3}
    assert found["reserved_until"] is None
    assert (counters(alice, shirt), counters(alice, cup)) == ((10, 0, 0, 10), (3, 0, 0, 3))
    assert ledger() == []


def test_orders_are_decided_in_the_order_of_their_arrival(alice, bob, product):
    shirt = product(5)
    numbers = [order(bob, (shirt, quantity)).json["id"] for quantity in (3, 3, 2, 1)]
    reserve()
    statuses = dict(Order.objects.values_list("pk", "status"))
    assert [statuses[number] for number in numbers] == ["RESERVED", "FAILED", "RESERVED", "FAILED"]
    assert Order.objects.get(pk=numbers[3]).failure["available"] == 0
    assert counters(alice, shirt) == (0, 5, 0, 5)


def test_a_product_that_is_named_twice_is_ordered_in_sum(bob, product):
    shirt = product(2000)
    placed = order(bob, (shirt, 1000), (shirt, 500)).json
    assert [(line["product_id"], line["quantity"]) for line in placed["items"]] == [(shirt, 1500)]
    reserve()
    assert bob.api.get(f"/orders/{placed['id']}").json["status"] == "RESERVED"


def test_products_that_cannot_be_ordered_are_all_named(alice, bob, product):
    shirt, gone = product(), product()
    assert alice.api.delete(f"/products/{gone}").status == 204
    answer = order(bob, (gone, 1), (shirt, 1), (10**12, 1))
    assert faults(answer).keys() == {("body", "items", 0, "product_id"), ("body", "items", 2, "product_id")}
    assert faults(order(alice, (gone, 1))).keys() == {("body", "items", 0, "product_id")}
    assert Order.objects.count() == 0


@pytest.mark.parametrize(
    ("items", "place"),
    [
        ([], ("items",)),
        ([{"product_id": 1, "quantity": 0}], ("items", 0, "quantity")),
        ([{"product_id": 1, "quantity": 1001}], ("items", 0, "quantity")),
        ([{"product_id": 1}], ("items", 0, "quantity")),
        ([{"product_id": 1, "quantity": 1}] * 101, ("items",)),
        ([{"product_id": 1, "quantity": 1, "price_cents": 1}], ("items", 0, "price_cents")),
    ],
)
def test_bad_lines_are_named(bob, items, place):
    assert ("body", *place) in faults(bob.api.post("/orders", {"items": items}))


def test_an_admin_confirms_and_then_it_does_not_expire(ada, alice, bob, product):
    number = reserved(bob, (product(), 1))
    refused(bob.api.post(f"/orders/{number}/confirm"), 403)
    confirmed = ada.api.post(f"/orders/{number}/confirm")
    assert (confirmed.status, confirmed.json["status"], confirmed.json["reserved_until"]) == (200, "CONFIRMED", None)
    refused(ada.api.post(f"/orders/{number}/confirm"), 409, "shop.wrong_status")
    run_periodic("expire_reservations")
    assert alice.api.post(f"/orders/{number}/pay").json["status"] == "PAID"


def test_paying_sells_what_was_reserved_once(alice, bob, product):
    shirt = product()
    number = reserved(bob, (shirt, 4))
    paid = alice.api.post(f"/orders/{number}/pay")
    assert (paid.status, paid.json["status"], paid.json["reserved_until"]) == (200, "PAID", None)
    assert counters(alice, shirt) == (6, 0, 4, 10)
    for person, call in ((alice, "pay"), (bob, "cancel")):
        refused(person.api.post(f"/orders/{number}/{call}"), 409, "shop.wrong_status")
    assert ledger() == [("reserved", shirt, 4), ("sold", shirt, 4)]
    assert out_of_balance() == []


def test_cancelling_gives_the_stock_back_once(alice, bob, product):
    shirt = product()
    number = reserved(bob, (shirt, 4))
    cancelled = bob.api.post(f"/orders/{number}/cancel")
    assert (cancelled.status, cancelled.json["status"]) == (200, "CANCELLED")
    assert cancelled.json["cancel_reason"] == "requested"
    for person, call in ((bob, "cancel"), (alice, "pay")):
        refused(person.api.post(f"/orders/{number}/{call}"), 409, "shop.wrong_status")
    assert counters(alice, shirt) == (10, 0, 0, 10)
    assert ledger() == [("reserved", shirt, 4), ("released", shirt, 4)]


def test_a_pending_order_can_be_cancelled_and_is_never_reserved(alice, bob, product):
    shirt = product()
    number = order(bob, (shirt, 4)).json["id"]
    refused(alice.api.post(f"/orders/{number}/pay"), 409, "shop.wrong_status")
    assert bob.api.post(f"/orders/{number}/cancel").json["status"] == "CANCELLED"
    reserve()
    assert counters(alice, shirt) == (10, 0, 0, 10)
    assert ledger() == []


def test_a_failed_order_stays_failed(ada, alice, bob, product):
    number = order(bob, (product(0), 1)).json["id"]
    reserve()
    for person, call in ((alice, "pay"), (bob, "cancel"), (ada, "confirm")):
        refused(person.api.post(f"/orders/{number}/{call}"), 409, "shop.wrong_status")


def test_an_unpaid_reservation_expires_and_its_stock_comes_back(alice, bob, product):
    shirt = product()
    late, early = reserved(bob, (shirt, 4)), reserved(bob, (shirt, 1))
    Order.objects.filter(pk=late).update(reserved_until=timezone.now() - timedelta(hours=1))
    run_periodic("expire_reservations")
    found = bob.api.get(f"/orders/{late}").json
    assert (found["status"], found["cancel_reason"], found["reserved_until"]) == ("CANCELLED", "expired", None)
    assert bob.api.get(f"/orders/{early}").json["status"] == "RESERVED"
    assert counters(alice, shirt) == (9, 1, 0, 10)
    refused(alice.api.post(f"/orders/{late}/pay"), 409, "shop.wrong_status")
    assert out_of_balance() == []


def test_buyers_see_their_own_orders_the_seller_and_the_admin_all(ada, alice, bob, charlie, product):
    shirt = product()
    first, second = order(bob, (shirt, 1)).json["id"], order(alice, (shirt, 99)).json["id"]
    reserve()
    assert ids(bob.api.get("/orders")) == [first]
    assert ids(ada.api.get("/orders")) == ids(alice.api.get("/orders")) == [second, first]
    assert ids(ada.api.get("/orders?status=FAILED")) == [second]
    assert ids(charlie.api.get("/orders")) == []
    for call in ("", "/pay", "/cancel"):
        refused(charlie.api.request("POST" if call else "GET", f"/orders/{first}{call}"), 404, "not_found")
    assert ("query", "status") in faults(bob.api.get("/orders?status=LOST"))


@pytest.mark.django_db(transaction=True)
def test_five_cancels_at_once_release_once(alice, bob, product):
    shirt = product()
    number = reserved(bob, (shirt, 4))
    answers = at_once(*[lambda: bob.api.post(f"/orders/{number}/cancel")] * 5)
    assert sorted(answer.status for answer in answers) == [200, 409, 409, 409, 409]
    assert counters(alice, shirt) == (10, 0, 0, 10)


@pytest.mark.django_db(transaction=True)
def test_an_order_that_is_held_when_a_run_comes_by_is_not_forgotten(bob, product):
    """Of a dry run, or a cancel that is refused, it is known that it ends, but not to whom it would tell so."""
    shirt = product(10)
    free, held = (order(bob, (shirt, 1)).json["id"] for _ in range(2))
    with ThreadPoolExecutor(1) as pool:
        with transaction.atomic():
            sql("SELECT 1 FROM shop_order WHERE id = %s FOR NO KEY UPDATE", held)
            run = pool.submit(run_in_a_thread)
            wait_for_a_lock()
            statuses = sql("SELECT id, status FROM shop_order ORDER BY id")
        run.result(10)
    assert statuses == [(free, "RESERVED"), (held, "PENDING")]
    assert bob.api.get(f"/orders/{held}").json["status"] == "RESERVED"
    assert not Outbox.objects.filter(operation="reserve_stock", status="waiting").exists()


def run_in_a_thread():
    try:
        reserve()
    finally:
        connections.close_all()
