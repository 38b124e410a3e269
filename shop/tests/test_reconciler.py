"""The reconciler finds whatever does not agree with the ledger, says so once, and leaves it as it is."""

from datetime import timedelta
from io import StringIO

import pytest
from django.core.management import CommandError, call_command
from django.db import transaction
from django.utils import timezone

from mesh.testing import Api
from mesh.tests.database import sql
from mesh.tests.jobs import run_periodic
from shop import stock
from shop.models import Order, Product, StockMovement
from shop.reconciler import Discrepancy, StockDiscrepancy, discrepancies
from shop.tests.conftest import order, out_of_balance, reserve, reserved


@pytest.fixture
def shop(ada, alice, bob, product):
    """A product of 100 with an order of each kind, of 1, 2, 3 … units: what each is called, and its id."""
    shirt = product(100)
    made = {"shirt": shirt}
    for quantity, name in enumerate(("reserved", "confirmed", "paid", "cancelled", "expired"), 1):
        made[name] = reserved(bob, (shirt, quantity))
    assert ada.api.post(f"/orders/{made['confirmed']}/confirm").status == 200
    assert alice.api.post(f"/orders/{made['paid']}/pay").status == 200
    Order.objects.filter(pk=made["expired"]).update(reserved_until=timezone.now() - timedelta(seconds=1))
    run_periodic("expire_reservations")
    made["failed"] = order(bob, (shirt, 900)).json["id"]
    reserve()
    made["never held"] = order(bob, (shirt, 6)).json["id"]
    for name in ("cancelled", "never held"):
        assert bob.api.post(f"/orders/{made[name]}/cancel").status == 200
    made["pending"] = order(bob, (shirt, 7)).json["id"]
    assert alice.api.patch(f"/products/{shirt}/stock?delta=-10").status == 200
    statuses = dict(Order.objects.values_list("pk", "status"))
    assert [statuses[made[name]] for name in ("reserved", "confirmed", "paid", "expired", "failed", "pending")] == [
        "RESERVED", "CONFIRMED", "PAID", "CANCELLED", "FAILED", "PENDING",
    ]  # fmt: skip
    return made


def everything():
    return [list(model.objects.order_by("pk").values()) for model in (Product, Order, StockMovement)]


def tamper(statement, *params):
    """Runs what the constraints would refuse; they are back when the test's transaction is rolled back."""
    sql("SET CONSTRAINTS ALL IMMEDIATE")
    for table in ("shop_product", "shop_order", "shop_stockmovement"):
        for (name,) in sql("SELECT conname FROM pg_constraint WHERE conrelid = %s::regclass AND contype = 'c'", table):
            sql(f"ALTER TABLE {table} DROP CONSTRAINT {name}")
    sql(statement, *params)


def test_a_shop_with_orders_of_every_kind_agrees_with_its_ledger(shop):
    assert discrepancies() == []
    with transaction.atomic():
        assert stock.sell_late(shop["expired"]) == []
    assert discrepancies() == []
    assert out_of_balance() == []


LINE = "(SELECT id FROM shop_orderline WHERE order_id = %s)"
MOVEMENT = f"shop_stockmovement WHERE line_id = {LINE} AND kind"

#: What is done to which of the shop's rows, and the discrepancies: (order or "", counter, expected, found).
#: The shirt's counters are: received 90, sold 3, reserved 1 + 2, stock 84.
TAMPERED = [
    ("UPDATE shop_product SET stock = stock + 1 WHERE id = %s", "shirt", [("", "stock", 84, 85)]),
    ("UPDATE shop_product SET received = 0 WHERE id = %s", "shirt", [("", "received", 90, 0)]),
    ("UPDATE shop_product SET sold = -1, stock = 88 WHERE id = %s", "shirt",
     [("", "sold", 3, -1), ("", "stock", 84, 88)]),
    ("UPDATE shop_product SET reserved = 2, sold = 4 WHERE id = %s", "shirt",
     [("", "reserved", 3, 2), ("", "sold", 3, 4)]),
    (f"DELETE FROM {MOVEMENT} = 'reserved'", "reserved",
     [("", "reserved", 2, 3), ("", "stock", 85, 84), ("reserved", "reserved", 1, 0)]),
    (f"DELETE FROM {MOVEMENT} = 'reserved'", "paid", [("paid", "reserved", 3, 0)]),
    (f"DELETE FROM {MOVEMENT} = 'sold'", "paid",
     [("", "reserved", 6, 3), ("", "sold", 0, 3), ("paid", "sold", 3, 0)]),
    (f"DELETE FROM {MOVEMENT} = 'released'", "cancelled",
     [("", "reserved", 7, 3), ("", "stock", 80, 84), ("cancelled", "released", 4, 0)]),
    (f"DELETE FROM {MOVEMENT} = 'reserved'", "expired", [("expired", "reserved", 5, 0)]),
    ("DELETE FROM shop_stockmovement WHERE kind = 'adjusted' AND product_id = %s", "shirt",
     [("", "received", 100, 90), ("", "stock", 94, 84)]),
    (f"UPDATE shop_stockmovement SET quantity = 9 WHERE line_id = {LINE} AND kind = 'sold'", "paid",
     [("", "sold", 9, 3), ("", "stock", 78, 84), ("paid", "sold", 3, 9)]),
    (f"INSERT INTO shop_stockmovement (product_id, line_id, kind, quantity) SELECT product_id, id, 'sold', quantity"
     f" FROM shop_orderline WHERE id = {LINE}", "confirmed",
     [("", "reserved", 1, 3), ("", "sold", 5, 3), ("confirmed", "sold", 0, 2)]),
    ("UPDATE shop_order SET status = 'PAID' WHERE id = %s", "reserved", [("reserved", "sold", 1, 0)]),
    ("UPDATE shop_order SET status = 'RESERVED' WHERE id = %s", "confirmed", []),  # it holds its stock all the same
    ("UPDATE shop_order SET status = 'CANCELLED' WHERE id = %s", "reserved", [("reserved", "released", 1, 0)]),
    ("UPDATE shop_order SET status = 'CONFIRMED' WHERE id = %s", "paid", [("paid", "sold", 0, 3)]),
    ("UPDATE shop_order SET status = 'RESERVED' WHERE id = %s", "pending", [("pending", "reserved", 7, 0)]),
    ("UPDATE shop_order SET status = 'PENDING' WHERE id = %s", "reserved", [("reserved", "reserved", 0, 1)]),
    ("UPDATE shop_order SET status = 'FAILED' WHERE id = %s", "cancelled",
     [("cancelled", "released", 0, 4), ("cancelled", "reserved", 0, 4)]),
]  # fmt: skip


@pytest.mark.parametrize(("statement", "name", "expected"), TAMPERED)
def test_what_was_tampered_with_is_found_told_once_and_left_as_it_is(shop, caplog, statement, name, expected):
    wrong = [
        Discrepancy("order" if of else "counter", shop["shirt"], shop[of] if of else None, counter, should, found)
        for of, counter, should, found in expected
    ]
    tamper(statement, shop[name])
    before = everything()
    for _ in range(3):
        run_periodic("reconcile_stock")
        rows = StockDiscrepancy.objects.filter(resolved_at=None).order_by("product_id", "order_id", "counter")
        kept = [Discrepancy(r.what, r.product_id, r.order_id, r.counter, r.expected, r.found) for r in rows]
        assert sorted(kept, key=str) == sorted(wrong, key=str)
        assert StockDiscrepancy.objects.count() == len(wrong)
    told = [record.msg for record in caplog.records if record.name == "shop.reconciler"]
    assert [(line["event"], line["level"]) for line in told] == [("stock_discrepancy", "error")] * len(wrong)
    assert {(line["order"], line["counter"], line["expected"], line["found"]) for line in told} == {
        (d.order, d.counter, d.expected, d.found) for d in wrong
    }
    assert everything() == before


def gauge():
    lines = Api(mount="").get("/metrics").text.splitlines()
    return next(float(line.split()[1]) for line in lines if line.startswith("meshwork_stock_discrepancies "))


def test_a_discrepancy_is_resolved_when_it_is_mended_and_new_when_it_comes_back(shop, caplog):
    run_periodic("reconcile_stock")
    assert gauge() == 0
    for change, wrong in ((1, 1), (-1, 0), (1, 1), (1, 1), (-2, 0)):
        tamper("UPDATE shop_product SET stock = stock + %s", change)
        run_periodic("reconcile_stock")
        assert gauge() == wrong
    rows = StockDiscrepancy.objects.order_by("pk").values_list("what", "counter", "expected", "found", "product_id")
    assert list(rows) == [("counter", "stock", 84, 85, shop["shirt"]), ("counter", "stock", 84, 86, shop["shirt"])]
    assert not StockDiscrepancy.objects.filter(resolved_at=None).exists()
    assert len([record for record in caplog.records if record.name == "shop.reconciler"]) == 2


def test_an_admin_reads_of_it_and_can_change_nothing(shop, ada, client):
    tamper("UPDATE shop_product SET stock = stock + 1")
    run_periodic("reconcile_stock")
    row = StockDiscrepancy.objects.get()
    client.force_login(ada.user)
    listed = client.get("/admin/shop/stockdiscrepancy/?resolved_at__isempty=1").content.decode()
    assert [text in listed for text in ("stock", "84", "85", "Shirt 1")] == [True] * 4
    page = f"/admin/shop/stockdiscrepancy/{row.pk}"
    assert client.get(f"{page}/change/").status_code == 200
    assert client.post(f"{page}/change/", {"found": 84}).status_code == 403
    assert client.post(f"{page}/delete/", {"post": "yes"}).status_code == 403
    assert client.get("/admin/shop/stockdiscrepancy/add/").status_code == 403
    assert StockDiscrepancy.objects.get().found == 85


def reconcile_by_hand():
    out = StringIO()
    try:
        call_command("reconcile", stdout=out)
    except CommandError as error:
        return error.returncode, str(error), out.getvalue().splitlines()
    return 0, "", out.getvalue().splitlines()


def test_the_command_says_what_is_wrong_and_writes_nothing(shop, product):
    product()
    assert reconcile_by_hand() == (0, "", ["all 2 products agree"])
    tamper("UPDATE shop_product SET stock = stock + 1 WHERE id = %s", shop["shirt"])
    tamper("UPDATE shop_order SET status = 'PAID' WHERE id = %s", shop["reserved"])
    assert reconcile_by_hand() == (
        1,
        "2 numbers do not agree with the ledger.",
        [
            f"Product {shop['shirt']}: stock is 85, and should be 84.",
            f"Order {shop['reserved']}, product {shop['shirt']}: sold is 0, and should be 1.",
        ],
    )
    assert not StockDiscrepancy.objects.exists()
