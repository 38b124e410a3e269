"""The shop in the admin: stock at a glance, the ledger, CSV; whatever changes passes through an operation."""

import csv
import io

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.test import Client

from accounts.tests.assertions import nothing_changes
from accounts.tests.browser import submit, text_of
from mesh.models import AuditEntry
from shop import stock
from shop.models import Order, Product, StockMovement
from shop.tests.conftest import counters, order, out_of_balance, reserve, reserved

PRODUCTS, ORDERS, LEDGER = "/admin/shop/product/", "/admin/shop/order/", "/admin/shop/stockmovement/"


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


def act(site, path, action, *ids, **fields):
    """The words of a list after an action on its rows."""
    sent = {"action": action, "_selected_action": [str(id) for id in ids], **fields}
    return text_of(site.post(path, sent, follow=True))


def upload(site, sheet, **fields):
    sent = {"file": SimpleUploadedFile("products.csv", sheet if isinstance(sheet, bytes) else sheet.encode())}
    return site.post(f"{PRODUCTS}import/", sent | fields, follow=True)


def audited():
    """The operations that came through the admin, and what became of them."""
    return list(AuditEntry.objects.filter(door="admin").order_by("pk").values_list("operation", "outcome"))


def names(page):
    return [row.sku for row in page.context["cl"].result_list]


def test_a_product_shows_what_became_of_every_unit(site, bob, alice, product):
    shirt, cup, _ = product(10), product(10, low_stock_at=8), product(0)
    reserved(bob, (shirt, 3), (cup, 2))
    sold = reserved(bob, (shirt, 1))
    stock.sell([sold])
    page = site.get(PRODUCTS)
    said = text_of(page)
    assert "6 available 3 reserved 1 sold" in said
    assert "8 available, low 2 reserved 0 sold" in said
    assert "sold out 0 reserved 0 sold" in said
    for style in ("bg-green-500", "bg-orange-500"):
        assert style in page.content.decode()
    assert 'style="width: 60.0%"' in page.content.decode()
    assert "8 available, low" in text_of(site.get(f"{PRODUCTS}{cup}/change/"))


def test_products_are_found_by_stock_sale_and_words(site, alice, product):
    product(5, sku="SOME"), product(2, sku="LOW", low_stock_at=2), product(0, sku="NONE", name="Rare")
    assert alice.api.delete(f"/products/{product(1, sku='GONE')}").status == 204
    for query, found in (
        ("stock=some", ["GONE", "LOW", "SOME"]), ("stock=low", ["LOW"]), ("stock=none", ["NONE"]),
        ("sale=off", ["GONE"]), ("sale=on", ["NONE", "LOW", "SOME"]), ("q=rare", ["NONE"]),
        ("q=alice%40example.com&stock=low", ["LOW"]),
    ):  # fmt: skip
        assert names(site.get(f"{PRODUCTS}?{query}")) == found, query


def test_products_are_added_and_changed_and_their_counters_are_not(site, ada, alice, product):
    sent = {"sku": "NEW", "name": "New", "price_cents": "100", "stock": "4"}
    assert submit(site, f"{PRODUCTS}add/", "product_form", **sent).status_code == 302
    new = Product.objects.get(sku="NEW")
    assert (new.owner_id, counters(ada, new.pk)) == (ada.id, (4, 0, 0, 4))
    shirt = product(10)
    path = f"{PRODUCTS}{shirt}/change/"
    with nothing_changes():
        assert submit(site, path, "product_form").status_code == 302
    forged = {"stock": "7", "low_stock_at": "2", "reserved": "5", "sold": "5", "received": "1", "owner": str(ada.id)}
    assert submit(site, path, "product_form", **forged).status_code == 302
    assert counters(alice, shirt) == (7, 0, 0, 7)
    assert Product.objects.get(pk=shirt).owner_id == alice.id
    with nothing_changes():
        assert "There is already a product with this SKU" in text_of(submit(site, path, "product_form", sku="NEW"))
    assert audited() == [("create_product", "ok"), ("update_product", "ok"), ("update_product", "shop.sku_taken")]


def test_restocking_writes_what_arrived_into_the_ledger(site, alice, product):
    shirt, cup, full = product(1), product(2), product(10**9)
    said = act(site, PRODUCTS, "restock", shirt, cup, full, quantity="5")
    assert "Restocked: 2." in said
    assert "SKU-3 Shirt 3: A product's stock is at most 1,000,000,000." in said
    assert (counters(alice, shirt), counters(alice, cup)) == ((6, 0, 0, 6), (7, 0, 0, 7))
    assert StockMovement.objects.latest("pk").kind == "received"
    assert audited() == [("receive_stock", "ok"), ("receive_stock", "ok"), ("receive_stock", "shop.stock_bounds")]
    with nothing_changes():
        for quantity in ("", "0", "-1", "x", "1000000001"):
            assert "Say how many units arrived" in act(site, PRODUCTS, "restock", shirt, quantity=quantity)
    assert out_of_balance() == []


def test_archiving(site, alice, product):
    shirt, cup = product(), product()
    assert "Archived: 2." in act(site, PRODUCTS, "archive", shirt, cup)
    assert Product.objects.current().count() == 0
    assert audited() == [("archive_product", "ok")] * 2
    assert site.get(f"{PRODUCTS}{shirt}/delete/").status_code == 403


def test_orders_show_their_status_lines_payments_and_movements(site, bob, product):
    shirt, cup = product(sku="TS"), product(1, sku="CUP", price_cents=500)
    number = reserved(bob, (shirt, 2), (cup, 1))
    failed = order(bob, (cup, 7)).json["id"]
    reserve()
    page = site.get(ORDERS)
    assert "RESERVED Bob 44.98 EUR" in text_of(page)
    assert "bg-red-100" in page.content.decode()
    said = text_of(site.get(f"{ORDERS}{number}/change/"))
    assert "TS Shirt 1 2 19.99 EUR 39.98 EUR" in said
    assert "reserved 2 TS" in said
    assert "Of product" not in said
    assert f"Of product {cup} there were 0, and 7 were ordered." in text_of(site.get(f"{ORDERS}{failed}/change/"))
    assert site.post(f"{ORDERS}{number}/change/", {"status": "PAID"}).status_code == 403
    assert site.get(f"{ORDERS}add/").status_code == 403


def test_orders_are_confirmed_and_cancelled_each_refusal_is_told_and_the_others_go_on(site, alice, bob, product):
    shirt = product(10)
    first, second = reserved(bob, (shirt, 1)), reserved(bob, (shirt, 2))
    failed = order(bob, (shirt, 99)).json["id"]
    reserve()
    said = act(site, ORDERS, "confirm", first, failed, second)
    assert "Confirmed: 2." in said
    assert f"Order {failed}: An order that is FAILED cannot be confirmed" in said
    assert "Cancelled: 1." in act(site, ORDERS, "cancel", second)
    assert dict(Order.objects.values_list("pk", "status")) == {
        first: "CONFIRMED", second: "CANCELLED", failed: "FAILED",
    }  # fmt: skip
    assert counters(alice, shirt) == (9, 1, 0, 10)
    assert audited() == [
        ("confirm_order", "ok"), ("confirm_order", "ok"), ("confirm_order", "shop.wrong_status"),
        ("cancel_order", "ok"),
    ]  # fmt: skip


def test_the_ledger_is_only_read(site, bob, product):
    shirt, cup = product(sku="TS"), product(sku="CUP")
    number = reserved(bob, (shirt, 2))
    rows = [(row.product.sku, row.kind) for row in site.get(LEDGER).context["cl"].result_list]
    assert rows == [("TS", "reserved"), ("CUP", "received"), ("TS", "received")]
    assert f'href="{ORDERS}{number}/change/"' in site.get(LEDGER).content.decode()
    link = f"{LEDGER}?product__id__exact={cup}"
    assert link in site.get(f"{PRODUCTS}{cup}/change/").content.decode()
    assert [row.kind for row in site.get(link).context["cl"].result_list] == ["received"]
    row = StockMovement.objects.latest("pk").pk
    with nothing_changes():
        assert site.post(f"{LEDGER}{row}/change/", {"quantity": "9"}).status_code == 403
        assert site.post(f"{LEDGER}{row}/delete/", {"post": "yes"}).status_code == 403
        assert site.get(f"{LEDGER}add/").status_code == 403


def test_what_is_exported_is_everyones(site, alice, bob, product):
    shirt = product(sku="TS")
    bob.api.post("/products", {"sku": "BOBS", "name": "B", "price_cents": 1})
    number = reserved(bob, (shirt, 1))
    for path, first in ((PRODUCTS, ["TS", "BOBS"]), (ORDERS, [str(number)])):
        answer = site.get(f"{path}export/")
        assert answer["Content-Type"] == "text/csv; charset=utf-8"
        assert "attachment" in answer["Content-Disposition"]
        rows = list(csv.reader(io.StringIO(answer.getvalue().decode())))
        assert [row[0] for row in rows[1:]] == first


def test_importing_a_sheet(site, ada):
    sheet = "\ufeffsku;name;price_cents;stock\r\nA;Ä;1;2\r\nB;B;1;0\r\n"
    with nothing_changes():
        said = text_of(upload(site, sheet, dry_run="on"))
    assert "Nothing was changed; it would be: created 2, updated 0, unchanged 0." in said
    assert "Imported: created 2, updated 0, unchanged 0." in text_of(upload(site, sheet))
    assert "Imported: created 0, updated 0, unchanged 2." in text_of(upload(site, sheet))
    assert counters(ada, Product.objects.get(name="Ä").pk) == (2, 0, 0, 2)
    assert audited() == [("import_products", "ok")] * 2


def test_a_sheet_with_errors_shows_each_on_its_line(site):
    with nothing_changes():
        page = upload(site, "sku,name,price_cents\nA,A,1\nB,B,x\nA,A,1\n<b>,,1\n")
    assert page.status_code == 422
    said = text_of(page)
    assert "Nothing was imported; the errors are below." in said
    assert "3 price_cents Input should be a valid integer" in said
    assert "4 sku Line 2 has this SKU too." in said
    assert "5 name Field required" in said


def test_a_file_that_is_no_sheet_is_refused_beside_its_field(site):
    with nothing_changes():
        assert "not valid UTF-8" in text_of(upload(site, b"sku\n\xff"))
        assert "The submitted file is empty." in text_of(upload(site, b""))
        assert "This field is required." in text_of(site.post(f"{PRODUCTS}import/"))
        assert "import_products FILE" in text_of(upload(site, b"x" * (1024 * 1024 + 1)))


def test_an_agent_with_a_session_cookie_reaches_none_of_it(alice, product):
    shirt = product()
    client = Client()
    client.force_login(alice.user)
    with nothing_changes():
        for path in (PRODUCTS, ORDERS, LEDGER, f"{PRODUCTS}export/", f"{ORDERS}export/", f"{PRODUCTS}import/"):
            assert client.get(path).status_code == 302
        assert client.post(PRODUCTS, {"action": "archive", "_selected_action": [shirt]}).status_code == 302
