"""/products: who reads, changes and archives them, and how their stock is corrected."""

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from shop.models import Product
from shop.tests.conftest import counters, out_of_balance


def movements(owner, product):
    return [(row["kind"], row["quantity"]) for row in owner.api.get(f"/products/{product}/movements").json["results"]]


def test_everyone_reads_a_product_and_its_owner_also_what_is_behind_it(ada, alice, bob, anonymous, product):
    shirt = product(10, description="Blue", low_stock_at=3)
    public = {
        "id": shirt,
        "sku": "SKU-1",
        "name": "Shirt 1",
        "description": "Blue",
        "price_cents": 1999,
        "stock": 10,
        "archived": False,
        "created_at": TIME,
        "updated_at": TIME,
    }
    behind = {"reserved": 0, "sold": 0, "received": 10, "low_stock_at": 3, "owner_id": alice.id}
    assert anonymous.get(f"/products/{shirt}").json == bob.api.get(f"/products/{shirt}").json == public
    assert anonymous.get("/products").json["results"] == alice.api.get("/products").json["results"] == [public]
    assert alice.api.get(f"/products/{shirt}").json == ada.api.get(f"/products/{shirt}").json == public | behind


def test_products_are_found_by_their_words_and_by_their_stock(anonymous, product):
    shirt, cup = product(name="Blue shirt"), product(0, name="Cup", description="blue")
    assert ids(anonymous.get("/products")) == [cup, shirt]
    assert ids(anonymous.get("/products?search=BLUE")) == [cup, shirt]
    assert ids(anonymous.get("/products?search=blue+shirt")) == [shirt]
    assert ids(anonymous.get("/products?in_stock=true")) == [shirt]
    assert ids(anonymous.get("/products?in_stock=false")) == [cup]
    assert ("query", "in_stock") in faults(anonymous.get("/products?in_stock=perhaps"))


def test_creating_needs_somebody_and_a_sku_of_its_own(alice, bob, anonymous, product):
    data = {"sku": "A", "name": "A", "price_cents": 0}
    refused(anonymous.post("/products", data), 401)
    made = bob.api.post("/products", data)
    assert (made.status, made.json["owner_id"], made.json["stock"]) == (201, bob.id, 0)
    assert made.headers["Location"] == f"/api/v1/products/{made.json['id']}"
    refused(alice.api.post("/products", data), 409, "shop.sku_taken")
    assert bob.api.delete(f"/products/{made.json['id']}").status == 204
    refused(alice.api.post("/products", data), 409, "shop.sku_taken")


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("sku", ""), ("sku", "x" * 65), ("name", ""), ("name", "x" * 201), ("description", "x" * 5001),
        ("price_cents", -1), ("price_cents", 10**9 + 1), ("stock", -1), ("stock", 10**9 + 1), ("low_stock_at", -1),
        ("reserved", 1),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_named(alice, field, value):
    with nothing_changes():
        answer = alice.api.post("/products", {"sku": "A", "name": "A", "price_cents": 1, field: value})
        assert faults(answer).keys() == {("body", field)}


def test_its_creator_and_the_admin_change_it_and_nobody_else(ada, alice, bob, product):
    shirt = product(10)
    with nothing_changes():
        refused(bob.api.patch(f"/products/{shirt}", {"name": "Mine"}), 403)
        refused(bob.api.delete(f"/products/{shirt}"), 403)
        refused(bob.api.patch(f"/products/{shirt}/stock?delta=1"), 403)
        refused(bob.api.post(f"/products/{shirt}/receive", {"quantity": 1}), 403)
        refused(bob.api.get(f"/products/{shirt}/movements"), 403)
    changed = alice.api.patch(f"/products/{shirt}", {"name": "New", "stock": 7})
    assert (changed.status, changed.json["name"], changed.json["stock"], changed.json["received"]) == (200, "New", 7, 7)
    assert ada.api.patch(f"/products/{shirt}", {"price_cents": 5}).json["price_cents"] == 5
    assert movements(alice, shirt) == [("adjusted", -3), ("received", 10)]


def test_the_stock_is_corrected_by_query_or_body_and_a_plus_may_arrive_as_a_blank(alice, product):
    shirt = product(10)
    for path, body in (("?delta=+5", None), ("?delta=%2B5", None), ("?delta=-3", None), ("", {"delta": -2})):
        assert alice.api.patch(f"/products/{shirt}/stock{path}", body).status == 200
    assert counters(alice, shirt) == (15, 0, 0, 15)
    assert movements(alice, shirt)[:4] == [("adjusted", -2), ("adjusted", -3), ("adjusted", 5), ("adjusted", 5)]
    with nothing_changes():
        refused(alice.api.patch(f"/products/{shirt}/stock?delta=-16"), 409, "shop.stock_bounds")
        refused(alice.api.patch(f"/products/{shirt}/stock?delta={10**9}"), 409, "shop.stock_bounds")
        assert alice.api.patch(f"/products/{shirt}/stock").status == 422
        assert faults(alice.api.patch(f"/products/{shirt}/stock?delta=many")).keys() == {("query", "delta")}
    assert alice.api.patch(f"/products/{shirt}/stock?delta=0").json["stock"] == 15
    assert out_of_balance() == []


def test_what_arrived_is_received(alice, product):
    shirt = product(10)
    assert alice.api.post(f"/products/{shirt}/receive", {"quantity": 5}).json["received"] == 15
    assert movements(alice, shirt) == [("received", 5), ("received", 10)]
    assert alice.api.post(f"/products/{shirt}/receive", {"quantity": 0}).status == 422


def test_an_archived_product_is_there_for_its_creator_and_the_admin_alone(ada, alice, bob, anonymous, product):
    shirt = product()
    for _ in range(2):
        assert alice.api.delete(f"/products/{shirt}").status == 204
    for api in (bob.api, anonymous):
        refused(api.get(f"/products/{shirt}"), 404, "not_found")
    for person in (alice, ada):
        assert person.api.get(f"/products/{shirt}").json["archived"] is True
        assert ids(person.api.get("/products")) == []
    assert Product.objects.filter(pk=shirt).exists()
