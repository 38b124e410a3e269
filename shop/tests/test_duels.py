"""Two at once who want different things of one order: one of them wins. Without the locks both do."""

from datetime import timedelta
from functools import partial

import pytest
from django.utils import timezone

from accounts.tests.assertions import at_once
from mesh.tests.jobs import run_periodic
from shop.models import Order
from shop.tests.conftest import counters, order, out_of_balance, reserve
from shop.tests.races import all_adds_up, moved, statuses, take_locks_off, without_constraints

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def locks_off(monkeypatch):
    with without_constraints():
        take_locks_off(monkeypatch)
        yield


def pay(seller, number):
    return seller.api.post(f"/orders/{number}/pay")


def cancel(buyer, number):
    return buyer.api.post(f"/orders/{number}/cancel")


def confirm(admin, number):
    return admin.api.post(f"/orders/{number}/confirm")


def held(buyer, product, orders):
    """Orders of one unit each, of 100: their ids."""
    numbers = [order(buyer, (product, 1)).json["id"] for _ in range(orders)]
    reserve()
    assert statuses() == {"RESERVED": orders}
    return numbers


def make_overdue(number):
    Order.objects.filter(pk=number).update(reserved_until=timezone.now() - timedelta(seconds=1))


expire = partial(run_periodic, "expire_reservations")


def test_of_paying_and_cancelling_at_once_one_wins(alice, bob, product):
    shirt, paid = product(100), 0
    for number in held(bob, shirt, 50):
        payment, cancellation = at_once(partial(pay, alice, number), partial(cancel, bob, number))
        assert sorted((payment.status, cancellation.status)) == [200, 409]
        paid += payment.status == 200
    assert statuses().items() == {"PAID": paid, "CANCELLED": 50 - paid}.items()
    assert (moved("sold"), moved("released")) == (paid, 50 - paid)
    assert counters(alice, shirt) == (100 - paid, 0, paid, 100)
    all_adds_up()


def test_without_locks_both_win(locks_off, alice, bob, product):
    shirt = product(100)
    (number,) = held(bob, shirt, 1)
    answers = at_once(partial(pay, alice, number), partial(cancel, bob, number))
    assert [answer.status for answer in answers] == [200, 200]
    assert counters(alice, shirt) == (100, -1, 1, 100)
    assert out_of_balance() != []


@pytest.mark.parametrize(("verb", "status", "left"), [(pay, "PAID", "sold"), (confirm, "CONFIRMED", "reserved")])
def test_an_order_that_expires_meanwhile_is_saved_or_gone(ada, alice, bob, product, verb, status, left):
    shirt, saved = product(100), 0
    for number in held(bob, shirt, 20):
        make_overdue(number)
        answer, _ = at_once(partial(verb, ada, number), expire)
        ended = Order.objects.get(pk=number)
        assert (answer.status, ended.status, ended.cancel_reason) in [
            (200, status, None), (409, "CANCELLED", "expired"),
        ]  # fmt: skip
        saved += answer.status == 200
    assert moved("released") == 20 - saved
    of = {"sold": (0, saved), "reserved": (saved, 0)}[left]
    assert counters(alice, shirt) == (100 - saved, *of, 100)
    all_adds_up()


@pytest.mark.parametrize("verb", [pay, confirm])
def test_without_locks_it_is_both(locks_off, ada, bob, product, verb):
    (number,) = held(bob, product(100), 1)
    make_overdue(number)
    answer, _ = at_once(partial(verb, ada, number), expire)
    assert answer.status == 200
    assert moved("released") == 1
