"""The mails of the shop: one for each change of an order, and to owners whose products run low."""

from datetime import timedelta

import pytest
from django.utils import timezone

from mesh.tests.jobs import run_jobs, run_periodic
from mesh.tests.mail_server import mails_in, texts_of
from shop.models import Order
from shop.tests.conftest import order, reserved


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def sent(folder):
    """`(to, subject)` of each mail, in their order."""
    run_jobs()
    return [(mail["To"], mail["Subject"]) for mail in mails_in(folder)]


def of_bob(number, *news):
    return [("bob@example.com", f"Order {number} {item}") for item in news]


def test_a_buyer_hears_of_an_order_at_every_step(alice, bob, product, folder):
    number = reserved(bob, (product(), 2))
    assert sent(folder) == of_bob(number, "is received", "is reserved")
    alice.api.post(f"/orders/{number}/pay")
    run_jobs()
    assert sent(folder) == of_bob(number, "is received", "is reserved", "is paid")
    for text in texts_of(mails_in(folder)[1]):
        assert "2 × Shirt 1" in text
        assert "39.98 EUR" in text
        assert "Everything you ordered is set aside for you until " in text


def test_an_order_that_fails_names_what_was_short(bob, product, folder):
    number = order(bob, (product(3), 4)).json["id"]
    assert sent(folder) == of_bob(number, "is received", "could not be filled")
    short = "Of Shirt 1 you ordered 4, and only 3 are left. Nothing of your order was taken."
    assert short in " ".join(texts_of(mails_in(folder)[1])[0].split())


def test_a_cancelled_and_an_expired_order_are_told(bob, product, folder):
    shirt = product()
    first, second = reserved(bob, (shirt, 1)), reserved(bob, (shirt, 1))
    bob.api.post(f"/orders/{first}/cancel")
    Order.objects.filter(pk=second).update(reserved_until=timezone.now() - timedelta(hours=1))
    run_periodic("expire_reservations")
    told = sent(folder)
    assert sorted(told[-2:]) == sorted([*of_bob(first, "is cancelled"), *of_bob(second, "has expired")])
    assert len(told) == 6


def test_a_dry_run_tells_the_mail_and_sends_none(bob, product, folder):
    number = reserved(bob, (product(), 1))
    before = sent(folder)
    tried = bob.api.post(f"/orders/{number}/cancel", Prefer="dry-run").json
    assert tried["mails"] == [{"to": "bob@example.com", "subject": f"Order {number} is cancelled"}]
    assert sent(folder) == before


def test_who_wants_no_mails_of_orders_gets_none(bob, product, folder):
    bob.api.patch("/users/me/notifications", {"orders": False})
    reserved(bob, (product(), 1))
    assert sent(folder) == []


def low(folder):
    return [mail for mail in sent(folder) if mail[0] == "alice@example.com"]


def test_an_owner_hears_once_that_a_product_runs_low_until_it_is_filled_up(alice, bob, product, folder):
    shirt = product(10, low_stock_at=5)
    mail = ("alice@example.com", "Shirt 1 runs low")
    reserved(bob, (shirt, 4))
    assert low(folder) == []
    cancelled = reserved(bob, (shirt, 1))
    assert low(folder) == [mail]
    bob.api.post(f"/orders/{cancelled}/cancel")
    reserved(bob, (shirt, 2))
    assert low(folder) == [mail]
    alice.api.post(f"/products/{shirt}/receive", {"quantity": 6})
    reserved(bob, (shirt, 5))
    assert low(folder) == [mail, mail]


def test_a_new_limit_is_told_of_anew(alice, bob, product, folder):
    shirt = product(10, low_stock_at=8)
    reserved(bob, (shirt, 2))
    alice.api.patch(f"/products/{shirt}", {"low_stock_at": 3})
    reserved(bob, (shirt, 5))
    assert len(low(folder)) == 2
    sheet = "sku,low_stock_at\nSKU-1,1\n"
    assert alice.api.post("/products/import", {"csv": sheet}).json["updated"] == 1
    reserved(bob, (shirt, 2))
    assert len(low(folder)) == 3
