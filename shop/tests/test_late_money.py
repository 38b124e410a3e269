"""Money that comes when its order is gone, twice, or in another amount: it pays the order or goes back, never lost."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tests.assertions import at_once, refused
from mesh.models import Mail, Outbox
from mesh.tests.jobs import due_now, run_jobs, run_periodic
from mesh.worker import runs
from shop.models import Order, Payment
from shop.reconciler import discrepancies
from shop.tests.conftest import counters, deliver, out_of_balance, pay, payment_of, reserved, status_of
from shop.tests.stripe_server import event
from shop.tests.test_orders import ledger


def expire(number):
    Order.objects.filter(pk=number).update(reserved_until=timezone.now() - timedelta(hours=1))
    run_periodic("expire_reservations")


def subjects(number):
    return sorted(Mail.objects.filter(key__startswith=f"order:{number}:").values_list("subject", flat=True))


def all_is_well():
    return out_of_balance() == [] and discrepancies() == []


def test_an_order_that_had_expired_is_honoured_where_the_stock_allows(alice, bob, product, stripe):
    shirt, cup = product(10, low_stock_at=7), product(5)
    number = reserved(bob, (cup, 2), (shirt, 4))
    pay(bob, number)
    expire(number)
    assert counters(alice, shirt) == (10, 0, 0, 10)
    alice.api.patch(f"/products/{shirt}/stock?delta=-1")
    deliver(stripe.pays())
    found = bob.api.get(f"/orders/{number}").json
    assert (found["status"], found["cancel_reason"]) == ("PAID", None)
    assert (counters(alice, shirt), counters(alice, cup)) == ((5, 0, 4, 9), (3, 0, 2, 5))
    for kind in ("reserved", "released", "sold"):
        assert sorted(ledger(kind)) == [(kind, shirt, 4), (kind, cup, 2)]
    assert all_is_well()
    run_jobs()
    assert payment_of(number).status == "succeeded"
    assert f"Order {number} is paid" in subjects(number)
    assert Mail.objects.filter(kind="low_stock").count() == 2  # when it was reserved, and now
    assert stripe.refunds == []


def test_an_order_that_had_expired_is_refunded_where_one_line_is_short(alice, bob, product, stripe):
    shirt, cup = product(10), product(4)
    number = reserved(bob, (shirt, 1), (cup, 4))
    pay(bob, number)
    expire(number)
    reserved(bob, (cup, 1))
    deliver(stripe.pays())
    assert (status_of(bob, number), payment_of(number).status) == ("CANCELLED", "refunding")
    run_jobs()
    assert bob.api.get(f"/orders/{number}/payment").json["status"] == "refunded"
    assert [refund["payment_intent"] for refund in stripe.refunds] == ["pi_1"]
    assert f"Order {number} has a refund" in subjects(number)
    assert f"Order {number} is paid" not in subjects(number)
    assert (counters(alice, shirt), counters(alice, cup)) == ((10, 0, 0, 10), (3, 1, 0, 4))
    assert all_is_well()


def test_an_order_that_its_buyer_cancelled_is_refunded(alice, bob, product, stripe):
    shirt = product()
    number = reserved(bob, (shirt, 1))
    pay(bob, number)
    body = stripe.pays()
    assert bob.api.post(f"/orders/{number}/cancel").json["status"] == "CANCELLED"
    deliver(body)
    run_jobs()
    assert (status_of(bob, number), payment_of(number).status) == ("CANCELLED", "refunded")
    assert counters(alice, shirt) == (10, 0, 0, 10)
    assert len(stripe.refunds) == 1


def test_the_payment_of_an_order_that_is_cancelled_is_cancelled(bob, product, stripe):
    first, second = reserved(bob, (product(), 1)), reserved(bob, (product(), 1))
    pay(bob, first)
    bob.api.post(f"/orders/{first}/cancel")
    run_jobs("follow_payment")
    assert (payment_of(first).status, stripe.intent["status"]) == ("cancelled", "canceled")
    pay(bob, second)
    expire(second)
    run_jobs("follow_payment")
    assert payment_of(second).status == "cancelled"
    assert {intent["status"] for intent in stripe.intents.values()} == {"canceled"}
    assert stripe.refunds == []


def test_an_order_that_is_cancelled_before_its_payment_has_begun_leaves_nothing_open(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    bob.api.post(f"/orders/{number}/pay")
    bob.api.post(f"/orders/{number}/cancel")
    run_jobs("follow_payment")
    assert (payment_of(number).status, stripe.intent["status"]) == ("cancelled", "canceled")


def test_money_that_comes_between_the_cancelling_here_and_there_goes_back(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    bob.api.post(f"/orders/{number}/cancel")
    stripe.pays()  # of which no message comes
    run_jobs("follow_payment")
    assert stripe.sent("/cancel") == 1
    assert (payment_of(number).status, len(stripe.refunds)) == ("refunded", 1)


@pytest.mark.parametrize(("amount", "currency"), [(1998, "eur"), (2000, "eur"), (1999, "usd")])
def test_another_amount_is_never_taken_as_paid(alice, bob, product, stripe, amount, currency):
    shirt = product(price_cents=1999)
    number = reserved(bob, (shirt, 1))
    pay(bob, number)
    stripe.intent["currency"] = currency
    deliver(stripe.pays(amount=amount))
    assert (status_of(bob, number), payment_of(number).status) == ("RESERVED", "refunding")
    run_jobs("follow_payment")
    assert (payment_of(number).status, len(stripe.refunds)) == ("refunded", 1)
    assert counters(alice, shirt) == (9, 1, 0, 10)
    pay(bob, number)
    deliver(stripe.pays(stripe.intents["pi_2"]))
    assert status_of(bob, number) == "PAID"


def test_of_two_payments_of_an_order_the_second_goes_back(alice, bob, product, stripe):
    shirt = product()
    number = reserved(bob, (shirt, 1))
    pay(bob, number)
    Payment.objects.update(status="failed", client_secret="")  # as when the answer never reached us
    pay(bob, number)
    for id in ("pi_2", "pi_1"):
        deliver(stripe.pays(stripe.intents[id]))
    run_jobs("follow_payment")
    assert list(Payment.objects.order_by("pk").values_list("status", flat=True)) == ["refunded", "succeeded"]
    assert [refund["payment_intent"] for refund in stripe.refunds] == ["pi_1"]
    assert (status_of(bob, number), counters(alice, shirt)) == ("PAID", (9, 0, 1, 10))


def late(bob, product, stripe):
    """An order whose payment is to be refunded."""
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    body = stripe.pays()
    bob.api.post(f"/orders/{number}/cancel")
    Outbox.objects.filter(operation="follow_payment").delete()
    deliver(body)
    return number


@pytest.mark.django_db(transaction=True)
def test_a_refund_whose_answer_is_lost_is_made_once(bob, product, stripe):
    number = late(bob, product, stripe)
    stripe.cuts_off_the_worker()
    run_jobs("follow_payment")
    assert (payment_of(number).status, len(stripe.refunds)) == ("refunding", 1)
    stripe.answered = lambda path: None
    due_now()
    runs.run([Outbox.objects.get(operation="follow_payment").pk])
    assert (payment_of(number).status, stripe.sent("/refunds"), len(stripe.refunds)) == ("refunded", 2, 1)
    assert stripe.refunds[0]["metadata"] == {"payment": str(payment_of(number).key)}
    assert Mail.objects.filter(key=f"order:{number}:refunded").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_refund_that_three_workers_make_at_once_is_made_once(bob, product, stripe):
    number = late(bob, product, stripe)
    for _ in range(2):
        Payment.objects.update(check_at=timezone.now() - timedelta(hours=1))
        run_periodic("check_payments")
    jobs = list(Outbox.objects.filter(operation="follow_payment", status="waiting").values_list("pk", flat=True))
    assert len(jobs) == 3
    at_once(*[lambda id=id: runs.run([id]) for id in jobs])
    assert (payment_of(number).status, len(stripe.refunds)) == ("refunded", 1)
    assert Mail.objects.filter(key=f"order:{number}:refunded").count() == 1


def test_a_refund_by_hand_is_enough(bob, product, stripe):
    number = late(bob, product, stripe)
    stripe.refunds_by_hand()
    run_jobs("follow_payment")
    assert (payment_of(number).status, stripe.refunds) == ("refunded", [])


def test_a_refund_that_fails_stays_visible(ada, bob, product, stripe):
    number = late(bob, product, stripe)
    stripe.refund_status = "failed"
    run_jobs("follow_payment")
    found = ada.api.get(f"/orders/{number}/payment").json
    assert (found["status"], found["error"]) == ("refund_failed", "lost_or_stolen_card")


def test_a_refund_that_the_bank_sends_back_later_stays_visible_in_whatever_order_it_is_heard_of(bob, product, stripe):
    number = late(bob, product, stripe)
    run_jobs("follow_payment")
    failed = event("refund.failed", stripe.refunds[0] | {"failure_reason": "expired_or_canceled_card"})
    refunded = event("charge.refunded", stripe.intent["latest_charge"])
    for body in (failed, refunded, failed):
        deliver(body)
    assert (payment_of(number).status, payment_of(number).error) == ("refund_failed", "expired_or_canceled_card")


def test_a_refund_waits_for_stripe_to_be_there_again(bob, product, stripe):
    number = late(bob, product, stripe)
    stripe.script = [500] * 6
    for _ in range(6):
        run_jobs("follow_payment")
        due_now()
    assert Outbox.objects.filter(operation="follow_payment", status="failed").count() == 1
    found = payment_of(number)
    assert (found.status, found.error) == ("refunding", "ProviderError: Stripe answered 500.")
    Payment.objects.update(check_at=timezone.now() - timedelta(hours=1))
    run_periodic("check_payments")
    run_jobs("follow_payment")
    assert (payment_of(number).status, payment_of(number).error, len(stripe.refunds)) == ("refunded", "", 1)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(4))
def test_money_and_a_cancellation_at_once(alice, bob, product, stripe, turn):
    shirt = product()
    number = reserved(bob, (shirt, 2))
    pay(bob, number)
    body = stripe.pays()
    cancelled, *delivered = at_once(
        lambda: bob.api.post(f"/orders/{number}/cancel"), lambda: deliver(body), lambda: deliver(body)
    )
    assert [answer.status for answer in delivered] == [200, 200]
    run_jobs("follow_payment")
    if cancelled.status == 200:
        expected = ("CANCELLED", "refunded", 1, (10, 0, 0, 10))
    else:
        refused(cancelled, 409, "shop.wrong_status")
        expected = ("PAID", "succeeded", 0, (8, 0, 2, 10))
    found = (status_of(bob, number), payment_of(number).status, len(stripe.refunds), counters(alice, shirt))
    assert found == expected
    assert all_is_well()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("turn", range(4))
def test_money_and_an_expiry_at_once(alice, bob, product, stripe, turn):
    shirt = product()
    number = reserved(bob, (shirt, 2))
    pay(bob, number)
    body = stripe.pays()
    Order.objects.update(reserved_until=timezone.now() - timedelta(hours=1))
    at_once(lambda: deliver(body), lambda: run_periodic("expire_reservations"), lambda: deliver(body))
    run_jobs("follow_payment")
    assert (status_of(bob, number), payment_of(number).status) == ("PAID", "succeeded")
    assert (counters(alice, shirt), stripe.refunds) == ((8, 0, 2, 10), [])
    assert all_is_well()


@pytest.mark.django_db(transaction=True)
def test_late_money_for_the_last_units_is_honoured_for_one_of_two(alice, bob, product, stripe):
    shirt = product(1)
    bodies, numbers = [], []
    for place in (1, 2):
        numbers.append(reserved(bob, (shirt, 1)))
        pay(bob, numbers[-1])
        expire(numbers[-1])
        bodies.append(stripe.pays(stripe.intents[f"pi_{place}"]))
    Outbox.objects.filter(operation="follow_payment", status="waiting").delete()
    at_once(*[lambda body=body: deliver(body) for body in bodies])
    run_jobs("follow_payment")
    assert sorted(status_of(bob, number) for number in numbers) == ["CANCELLED", "PAID"]
    assert (counters(alice, shirt), len(stripe.refunds)) == ((0, 0, 1, 1), 1)
    assert all_is_well()
