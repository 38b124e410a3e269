"""Who says that an order is paid: its buyer where they are trusted, else an ADMIN or who owns all of its products."""

from importlib import import_module

import pytest
from django.core.checks import run_checks

from accounts.tests.assertions import ids, nothing_changes, refused
from config.tests.test_deployment import setting
from mesh.testing import visibility_mismatches
from mesh.tests.database import sql
from shop.models import Order, Payment
from shop.payments import check_payments_are_set_up
from shop.tests.conftest import counters, order, out_of_balance, pay, reserved, status_of

NOT_YOURS = "That its money has come is said by the owner of all products of an order, or by an ADMIN."


@pytest.fixture
def bobs(bob):
    """A product of bob's."""
    return bob.api.post("/products", {"sku": "B", "name": "Cup", "price_cents": 5, "stock": 9}).json["id"]


def test_outside_debug_nobody_is_trusted(settings):
    assert settings.PAYMENTS == "manual"


def test_a_buyer_does_not_mark_the_own_order_paid(alice, bob, product):
    number = reserved(bob, (product(), 2))
    with nothing_changes():
        assert refused(bob.api.post(f"/orders/{number}/pay"), 403, "forbidden")["detail"] == NOT_YOURS
        tool = bob.api.post("/tools/pay_order", {"arguments": {"id": number}})
        assert refused(tool, 403)["detail"] == NOT_YOURS
    assert status_of(bob, number) == "RESERVED"


@pytest.mark.parametrize("who", ["alice", "ada"])
def test_the_owner_of_all_its_products_or_an_admin_says_that_the_money_came(request, alice, bob, product, who):
    shirt, cup = product(), product()
    number = reserved(bob, (shirt, 2), (cup, 1))
    paid = request.getfixturevalue(who).api.post(f"/orders/{number}/pay")
    assert (paid.status, paid.json["status"]) == (200, "PAID")
    assert (counters(alice, shirt), counters(alice, cup)) == ((8, 0, 2, 10), (9, 0, 1, 10))
    assert out_of_balance() == []


def test_who_owns_some_of_its_products_neither_sees_nor_settles_an_order(ada, alice, bob, charlie, product, bobs):
    number = reserved(charlie, (product(), 1), (bobs, 1))
    with nothing_changes():
        for person in (alice, bob):
            assert ids(person.api.get("/orders")) == []
            for call in ("pay", "cancel"):
                refused(person.api.post(f"/orders/{number}/{call}"), 404)
        refused(charlie.api.post(f"/orders/{number}/pay"), 403)
    assert ada.api.post(f"/orders/{number}/pay").json["status"] == "PAID"
    assert visibility_mismatches(Order, [alice.actor, bob.actor, charlie.actor]) == []


def test_a_seller_reads_the_order_and_does_nothing_else_with_it(alice, bob, charlie, product):
    number = reserved(bob, (product(), 1))
    assert alice.api.get(f"/orders/{number}").json == bob.api.get(f"/orders/{number}").json
    assert ids(alice.api.get("/orders")) == ids(alice.api.get("/orders?status=RESERVED")) == [number]
    assert ids(charlie.api.get("/orders")) == []
    with nothing_changes():
        said = refused(alice.api.post(f"/orders/{number}/cancel"), 403)["detail"]
        assert said == "Only the buyer of an order, or an ADMIN, changes it."
        refused(alice.api.post(f"/orders/{number}/confirm"), 403)
    assert alice.api.get("/orders/export").text.count("\n") == bob.api.get("/orders/export").text.count("\n") - 1
    assert visibility_mismatches(Order, [alice.actor, bob.actor, charlie.actor]) == []


def test_whose_the_order_is_stays_when_a_product_is_archived(alice, bob, product):
    shirt = product()
    number = reserved(bob, (shirt, 1))
    assert alice.api.delete(f"/products/{shirt}").status == 204
    assert alice.api.post(f"/orders/{number}/pay").json["status"] == "PAID"


def test_rights_are_told_before_the_state(alice, bob, product):
    number = order(bob, (product(), 1)).json["id"]
    refused(bob.api.post(f"/orders/{number}/pay"), 403)
    refused(alice.api.post(f"/orders/{number}/pay"), 409, "shop.wrong_status")


def test_a_buyer_who_is_trusted_pays(alice, bob, charlie, product, settings):
    settings.PAYMENTS = "trust"
    first, second = reserved(bob, (product(), 2)), reserved(bob, (product(), 2))
    refused(charlie.api.post(f"/orders/{first}/pay"), 404)
    assert bob.api.post(f"/orders/{first}/pay").json["status"] == "PAID"
    assert alice.api.post(f"/orders/{second}/pay").json["status"] == "PAID"
    assert not Payment.objects.exists()


def test_at_a_provider_the_seller_neither_pays_nor_sees_the_secret(alice, bob, product, stripe):
    number = reserved(bob, (product(), 1))
    with nothing_changes():
        refused(alice.api.post(f"/orders/{number}/pay"), 403)
    pay(bob, number)
    assert bob.api.get(f"/orders/{number}/payment").json["client_secret"]
    refused(alice.api.get(f"/orders/{number}/payment"), 404)
    assert visibility_mismatches(Payment, [alice.actor, bob.actor]) == []


def test_trust_is_known_and_a_deployment_is_warned_of_it(settings):
    settings.PAYMENTS = "trust"
    assert check_payments_are_set_up(None) == []
    warned = [found.id for found in run_checks(include_deployment_checks=True) if found.id.startswith("shop.")]
    assert warned == ["shop.W001"]
    settings.PAYMENTS = "manual"
    assert [found for found in run_checks(include_deployment_checks=True) if found.id.startswith("shop.")] == []


@pytest.mark.server
def test_the_default_is_trust_under_debug_alone():
    for debug, said, found in (("on", "", "trust"), ("off", "", "manual"), ("off", "trust", "trust")):
        assert setting("PAYMENTS", DEBUG=debug, PAYMENTS=said) == found


def test_orders_from_before_get_the_seller_of_what_can_still_be_paid(alice, bob, charlie, product, bobs):
    migration = import_module("shop.migrations.0002_seller")
    shirt = product()
    open_, mixed, over = (reserved(charlie, *lines) for lines in ([(shirt, 1)], [(shirt, 1), (bobs, 1)], [(shirt, 1)]))
    charlie.api.post(f"/orders/{over}/cancel")
    Order.objects.update(seller=None)
    sql(migration.SELLERS)
    assert dict(Order.objects.values_list("pk", "seller_id")) == {open_: alice.id, mixed: None, over: None}
