"""CSV over REST: products in and out again, orders out."""

import csv
import io
import tracemalloc

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections, connection
from django.test.utils import CaptureQueriesContext

from accounts.tests.assertions import at_once, faults, nothing_changes, refused
from mesh.doors.rest.middleware import MeshLane
from mesh.models import AuditEntry
from mesh.stores.postgres import fetch
from shop.models import Order, Product, StockMovement
from shop.tests.conftest import out_of_balance, reserved

HEADER = "sku,name,description,price_cents,stock,low_stock_at"


def sent(person, sheet, **headers):
    """The answer to a sheet, sent as it is."""
    body = sheet if isinstance(sheet, bytes) else sheet.encode()
    return person.api.request("POST", "/products/import", body, Content_Type="text/csv", **headers)


def imported(person, sheet, **headers):
    """`(created, updated, unchanged)`."""
    answer = sent(person, sheet, **headers)
    assert answer.status == 200, answer
    return tuple(answer.json[name] for name in ("created", "updated", "unchanged"))


def exported(person, path="/products/export"):
    answer = person.api.get(path)
    assert answer.status == 200, answer
    return list(csv.reader(io.StringIO(answer.text, newline="")))


def stocked():
    fields = ("sku", "name", "description", "price_cents", "stock", "low_stock_at")
    return sorted(Product.objects.values_list(*fields))


def ledger():
    return list(StockMovement.objects.order_by("pk").values_list("product__sku", "kind", "quantity"))


def test_a_sheet_creates_changes_and_leaves(alice, product):
    product(10, sku="A"), product(5, sku="B"), product(3, sku="C")
    sheet = "stock,sku,name,price_cents,low_stock_at\n7,A,,,\n5,B,Cup,250,2\n,C,,1999,\n4,D,New,0,\n"
    assert imported(alice, sheet) == (1, 2, 1)
    assert stocked() == [
        ("A", "Shirt 1", "", 1999, 7, None),
        ("B", "Cup", "", 250, 5, 2),
        ("C", "Shirt 3", "", 1999, 3, None),
        ("D", "New", "", 0, 4, None),
    ]
    assert ledger()[3:] == [("D", "received", 4), ("A", "adjusted", -3)]
    assert out_of_balance() == []
    assert Product.objects.get(sku="D").owner_id == alice.id
    with nothing_changes():
        assert imported(alice, sheet) == (0, 0, 4)


def test_what_changes_is_dated_and_what_does_not_is_not(alice, product):
    a, b = product(sku="A"), product(sku="B")
    Product.objects.update(updated_at="2020-01-01T00:00:00Z")
    assert imported(alice, "sku,name\nA,Other\nB,Shirt 2\n") == (0, 1, 1)
    dates = dict(Product.objects.values_list("pk", "updated_at__year"))
    assert (dates[a] > 2020, dates[b]) == (True, 2020)


@pytest.mark.parametrize(
    "sheet",
    [
        "sku,name,price_cents\nÄ-1,Größe,100\n",
        "\ufeffsku,name,price_cents\r\nÄ-1,Größe,100\r\n",
        "sku;name;price_cents\nÄ-1;Größe;100",
        "sku,name,price_cents\rÄ-1,Größe,100\r",
        '"sku" , name,"price_cents"\n\n "Ä-1",Größe, 100 \n,,\n\n'.replace(' "', '"').replace('" ,', '",'),
        "name,price_cents,sku\nGröße,100,'Ä-1\n".replace("'Ä", "Ä"),
    ],
)
def test_sheets_are_read_however_spreadsheets_write_them(alice, sheet):
    assert imported(alice, sheet) == (1, 0, 0)
    assert stocked() == [("Ä-1", "Größe", "", 100, 0, None)]


NASTY = [
    ("=1+1", "+1", '-1 "quoted"\n=second line', 1, 2, 3),
    ("'=kept", "'quoted'", "''=x", 0, 0, None),
    ("@sum", "a;b,c", "\u4e2d\U0001f600 \r\n x", 10**9, 10**9, 0),
    ("-5", "'", "plain", 1, 0, None),
]


def test_what_is_exported_can_be_imported_again(alice, bob, product):
    for sku, name, description, price, stock, low in NASTY:
        product(stock, price, sku=sku, name=name, description=description, low_stock_at=low)
    sheet = alice.api.get("/products/export").text
    before = stocked()
    with nothing_changes():
        assert imported(alice, sheet) == (0, 0, 4)
    StockMovement.objects.all().delete()
    Product.objects.all().delete()
    assert imported(bob, sheet) == (4, 0, 0)
    assert stocked() == before == sorted(NASTY)
    assert out_of_balance() == []


def test_no_cell_of_an_export_is_a_formula(alice, product):
    for sku, name, description, *_ in NASTY:
        product(sku=sku, name=name, description=description)
    cells = [cell for row in exported(alice)[1:] for cell in row[:3]]
    assert [cell for cell in cells if cell[:1] in ("=", "+", "-", "@", "\t", "\r")] == []
    assert {"'=1+1", "'+1", "''=kept", "'quoted'", "'@sum", "'-5", "'"} <= set(cells)


def test_all_errors_are_said_at_once_each_with_its_line_and_column(alice, product):
    product(sku="A")
    sheet = (
        f"{HEADER}\n"
        'A,"two\nlines",,x,1,\n'  # lines 2 and 3
        "B,,,-1,,\n"
        "\n"
        "C,Cup,,1\n"
        "A,Again,,,,\n"
        ",No SKU,,1,1.5,2000000000\n"
        f"{'D' * 65},Cup,,1,,\n"
    )
    with nothing_changes():
        found = faults(sent(alice, sheet))
    assert found == {
        ("body", "csv", 2, "price_cents"): "Input should be a valid integer, unable to parse string as an integer",
        ("body", "csv", 4, "name"): "Field required",
        ("body", "csv", 4, "price_cents"): "Input should be greater than or equal to 0",
        ("body", "csv", 6): "A row has 6 cells, as the header has; here are 4.",
        ("body", "csv", 7, "sku"): "Line 2 has this SKU too.",
        ("body", "csv", 8, "sku"): "Field required",
        ("body", "csv", 8, "stock"): "Input should be a valid integer, unable to parse string as an integer",
        ("body", "csv", 8, "low_stock_at"): "Input should be less than or equal to 1000000000",
        ("body", "csv", 9, "sku"): "String should have at most 64 characters",
    }
    assert [place[2] for place in found] == sorted(place[2] for place in found)


@pytest.mark.parametrize(
    ("sheet", "found"),
    [
        ("sku,colour,price\nA,red,1", {(1, "colour"), (1, "price")}),
        ("sku,name,sku\nA,B,A", {(1, "sku")}),
        ("name,price_cents\nA,1", {(1,)}),
        ("", {()}),
        ("\n", {(1,)}),
        ('sku,name\n"A,B\nC,D', {(2,)}),
        ('sku,name\nA,"B"x\nC,D', {(2,)}),
        ("sku,name\nA," + "x" * 131_073, {(2,)}),
        ("sku,name,price_cents\n" + "".join(f"{n},A,1\n" for n in range(10_001)), {()}),
        ("sku,name,price_cents\nA,B\x00,1", {()}),
    ],
)
def test_what_is_no_sheet_of_products_is_refused(alice, sheet, found):
    with nothing_changes():
        told = faults(sent(alice, sheet))
    assert {place[2:] for place in told} >= found
    assert {place[:2] for place in told} == {("body", "csv")}
    assert "the columns are sku, name, description" in str(told) or "colour" not in sheet


def test_bytes_that_are_no_text_or_too_many_or_of_another_kind_are_refused(alice):
    with nothing_changes():
        assert "UTF-8" in refused(sent(alice, b"sku,name\nA,\xff"), 400, "malformed")["detail"]
        assert "import_products FILE" in refused(sent(alice, b"x" * (1024 * 1024 + 1)), 413, "too_large")["detail"]
        answer = alice.api.request("POST", "/products/import", b"sku", Content_Type="text/plain")
        assert "text/csv" in refused(answer, 415)["detail"]
        refused(alice.api.request("POST", "/products", b"sku", Content_Type="text/csv"), 415)


def test_products_of_others_are_neither_changed_nor_shown(alice, charlie, product):
    product(sku="LIVE", name="Hers"), product(sku="GONE", name="Hers")
    assert alice.api.delete(f"/products/{Product.objects.get(sku='GONE').pk}").status == 204
    with nothing_changes():
        found = sent(charlie, "sku,name,price_cents\nMINE,Mine,1\nLIVE,Mine,1\nGONE,Mine,x\n")
    assert "Hers" not in found.text
    taken = "There is already a product with this SKU, and it is not yours."
    assert {place[2:]: said for place, said in faults(found).items() if place[-1] == "sku"} == {
        (3, "sku"): taken,
        (4, "sku"): taken,
    }
    assert ("body", "csv", 4, "price_cents") in faults(found)


def test_an_admin_changes_products_of_others(ada, alice, product):
    product(sku="A")
    assert imported(ada, "sku,name\nA,Changed\n") == (0, 1, 0)
    assert Product.objects.get().owner_id == alice.id


def test_a_dry_run_tells_what_would_happen(alice, product):
    product(sku="A")
    with nothing_changes():
        answer = sent(alice, "sku,name,price_cents,stock\nA,New,,3\nB,B,1,5\n", Prefer="dry-run")
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "dry-run")
    assert answer.json["result"] == {"created": 1, "updated": 1, "unchanged": 0}


def test_json_and_tools_take_the_same_sheet(alice):
    sheet = "sku,name,price_cents\nA,A,1\n"
    assert alice.api.post("/products/import", {"csv": sheet}).json == {"created": 1, "updated": 0, "unchanged": 0}
    tool = alice.api.post("/tools/import_products", {"arguments": {"csv": sheet}})
    assert tool.json == {"result": {"created": 0, "updated": 0, "unchanged": 1}}
    first, again = (sent(alice, "sku,name,price_cents\nB,B,1\n", Idempotency_Key="k") for _ in range(2))
    assert (first.json, again.headers["Idempotent-Replay"]) == (again.json, "true")
    assert AuditEntry.objects.filter(operation="import_products", outcome="ok").count() == 3


def sheet_of(many, price=1):
    return "sku,name,price_cents,stock\n" + "".join(f"S{n},Product {n},{price},{n % 3}\n" for n in range(many))


def test_a_thousand_rows_take_a_handful_of_statements(alice):
    for sheet, done in ((sheet_of(1000), (1000, 0, 0)), (sheet_of(1000, 2), (0, 1000, 0))):
        with CaptureQueriesContext(
            connection,
        ) as queries:
            assert imported(alice, sheet) == done
        assert len(queries) <= 12, [query["sql"][:80] for query in queries]
    assert out_of_balance() == []


@pytest.mark.django_db(transaction=True)
def test_the_same_new_products_sent_at_once_are_there_once(alice):
    rows = [f"S{n},Product {n},1,2" for n in range(200)]
    sheets = ["\n".join(["sku,name,price_cents,stock", *order]) for order in (rows, rows[::-1])] * 2
    answers = at_once(*[lambda sheet=sheet: sent(alice, sheet) for sheet in sheets])
    assert {answer.status for answer in answers} <= {200, 409}, answers
    assert Product.objects.count() == 200
    assert imported(alice, sheets[0]) == (0, 0, 200)
    assert out_of_balance() == []


def test_an_export_is_a_file_of_ones_own_products_on_sale(ada, alice, bob, charlie, anonymous, product, settings):
    settings.MESH = settings.MESH | {"RATE_LIMIT_READ": "600/min"}
    first, second = product(3, 100, sku="A", name="Cup", low_stock_at=1), product(sku="B")
    bob.api.post("/products", {"sku": "BOBS", "name": "B", "price_cents": 1})
    answer = alice.api.get("/products/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="products.csv"'
    assert answer.headers["Cache-Control"] == "no-store"
    assert "q=600;w=60" in answer.headers["RateLimit-Policy"]
    rows = [HEADER.split(","), ["A", "Cup", "", "100", "3", "1"], ["B", "Shirt 2", "", "1999", "10", ""]]
    assert answer.text == "".join(",".join(f'"{cell}"' for cell in row) + "\r\n" for row in rows)
    assert alice.api.delete(f"/products/{second}").status == 204
    assert [row[0] for row in exported(alice)] == ["sku", "A"]
    assert [row[0] for row in exported(ada)] == ["sku", "A", "BOBS"]
    assert exported(charlie) == [HEADER.split(",")]
    refused(anonymous.get("/products/export"), 401)
    assert alice.api.get(f"/products/{first}").json["sku"] == "A"


def test_head_of_an_export_says_all_but_the_rows(alice, product):
    product()
    head = alice.api.request("HEAD", "/products/export")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert "Content-Length" not in head.headers


def test_inside_the_mesh_an_export_is_an_iterator(alice, product):
    product(sku="A")
    assert "".join(alice.mesh.products.export_products()) == alice.api.get("/products/export").text


def test_fixed_paths_come_before_the_id_of_a_product(alice):
    assert alice.api.request("OPTIONS", "/products/export").headers["Allow"] == "GET, HEAD, OPTIONS"
    assert alice.api.request("OPTIONS", "/products/import").headers["Allow"] == "POST, OPTIONS"
    refused(alice.api.get("/products/import"), 405)
    refused(alice.api.get("/products/exports"), 404)


def test_orders_are_exported_line_by_line(ada, alice, bob, charlie, product):
    shirt, cup = product(sku="A", name="=Shirt"), product(price_cents=500, sku="B", name="Cup")
    number = reserved(bob, (shirt, 2), (cup, 1))
    other = reserved(alice, (cup, 3))
    Order.objects.filter(pk=number).update(created_at="2030-01-01T10:00:00Z")
    header = "order_id,status,buyer,created_at,sku,name,quantity,price_cents,line_total_cents,order_total_cents".split(
        ","
    )
    start = [str(number), "RESERVED", "bob@example.com", "2030-01-01T10:00:00Z"]
    rows = [[*start, "A", "'=Shirt", "2", "1999", "3998", "4498"], [*start, "B", "Cup", "1", "500", "500", "4498"]]
    assert exported(bob, "/orders/export") == [header, *rows]
    assert alice.api.get("/orders/export").headers["Content-Disposition"] == 'attachment; filename="orders.csv"'
    assert [row[0] for row in exported(ada, "/orders/export")] == ["order_id", str(number), str(number), str(other)]
    assert exported(charlie, "/orders/export") == [header]
    for query, found in (
        ("status=RESERVED", 2), ("status=PAID", 0), ("from=2030-01-01T10:00:00Z", 2), ("from=2030-01-02", 0),
        ("to=2030-01-01T10:00:00Z", 2), ("to=2029-12-31", 0),
    ):  # fmt: skip
        assert len(exported(bob, f"/orders/export?{query}")) == 1 + found, query
    assert faults(bob.api.get("/orders/export?status=LOST&from=x")).keys() == {("query", "status"), ("query", "from")}


_MANY = """
INSERT INTO shop_product (owner_id, sku, name, description, price_cents, stock, reserved, sold, received,
    low_stock_told) SELECT %s, 'S' || n, 'Product ' || n, repeat('x', 500), 1, 0, 0, 0, 0, false
FROM generate_series(1, 20000) AS n
"""


def through_the_lane(person, method="GET"):
    """An export as the web server asks for it: what it is told, and what it is given to send."""
    told = []
    environ = {
        "REQUEST_METHOD": method, "PATH_INFO": "/products/export", "HTTP_AUTHORIZATION": f"Bearer {person.api.token}",
        "wsgi.input": io.BytesIO(), "SERVER_NAME": "localhost", "SERVER_PORT": "80", "wsgi.url_scheme": "http",
    }  # fmt: skip
    return told, MeshLane(None)(environ, lambda status, headers: told.extend((status, dict(headers))))


@pytest.fixture
def lane():
    """The lane closes connections, which in a test are those of the test."""
    request_finished.disconnect(close_old_connections)
    yield through_the_lane
    request_finished.connect(close_old_connections)


@pytest.mark.django_db(transaction=True)
def test_an_export_of_any_size_is_streamed_from_one_moment_and_little_memory(alice, lane):
    fetch(_MANY, [alice.id])
    told, answer = lane(alice)
    assert (told[0], "Content-Length" in told[1]) == ("200 OK", False)
    parts = iter(answer)
    size = len(next(parts))
    gone = at_once(lambda: alice.api.delete(f"/products/{Product.objects.get(sku='S20000').pk}"))
    assert gone[0].status == 204
    last = b""
    tracemalloc.start()
    for part in parts:
        size, last = size + len(part), part or last
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    answer.close()
    assert b'\r\n"S20000",' in last
    assert size > 10_000_000
    assert peak < 5_000_000
    assert not connection.in_atomic_block


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_an_export_that_nobody_reads_to_its_end_leaves_no_transaction_open(alice, lane, method):
    fetch(_MANY, [alice.id])
    _, answer = lane(alice, method)
    next(iter(answer), b"")
    assert connection.in_atomic_block
    answer.close()
    assert not connection.in_atomic_block


def test_what_refuses_an_export_has_its_own_status(alice, product, monkeypatch):
    def late(*args):
        fetch("SET LOCAL statement_timeout = '10ms'")
        fetch("SELECT pg_sleep(1)")
        yield ""

    monkeypatch.setattr("mesh.formats.sheets.written", late)
    refused(alice.api.get("/products/export"), 504)


def test_receiving_adds_to_the_stock_and_says_so_in_the_ledger(alice, bob, product):
    shirt = product(3)
    answer = alice.api.post(f"/products/{shirt}/receive", {"quantity": 4})
    assert (answer.status, answer.json["stock"], answer.json["received"]) == (200, 7, 7)
    assert ledger() == [("SKU-1", "received", 3), ("SKU-1", "received", 4)]
    with nothing_changes():
        refused(bob.api.post(f"/products/{shirt}/receive", {"quantity": 4}), 403)
        assert ("body", "quantity") in faults(alice.api.post(f"/products/{shirt}/receive", {"quantity": 0}))
        refused(alice.api.post(f"/products/{shirt}/receive", {"quantity": 10**9}), 409, "shop.stock_bounds")
    assert out_of_balance() == []
