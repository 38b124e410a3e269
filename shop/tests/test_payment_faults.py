"""Stripe that is down, slow or silent, and workers that are cut off: what was begun comes to its end, once."""

from datetime import timedelta

import pytest
from django.db import connection
from django.utils import timezone

from mesh.models import Outbox
from mesh.tests.jobs import due_now, run_jobs, run_periodic
from mesh.tests.query_plans import repeating_plans
from mesh.worker import runs
from shop import payment_models, stripe_payments
from shop.models import Payment
from shop.tests.conftest import deliver, pay, payment_of, reserved, status_of
from shop.tests.stripe_server import KEY


def asked_after():
    """Some time goes by, and the periodic look at payments begins."""
    Payment.objects.update(check_at=timezone.now() - timedelta(days=1))
    run_periodic("check_payments")
    run_jobs("follow_payment")


def test_stripe_that_is_down_is_asked_again(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    stripe.script = [503, 429, 500]
    pay(bob, number)
    for attempt in (1, 2, 3):
        assert payment_of(number).status == "starting"
        assert Outbox.objects.get(operation="follow_payment").attempt == attempt
        due_now()
        run_jobs("follow_payment")
    assert (payment_of(number).status, len(stripe.intents)) == ("pending", 1)
    deliver(stripe.pays())
    assert status_of(bob, number) == "PAID"


def test_the_library_asks_again_by_itself(bob, product, stripe, monkeypatch):
    monkeypatch.setattr(stripe_payments, "RETRIES", 2)
    number = reserved(bob, (product(), 1))
    stripe.script = [500]
    pay(bob, number)
    assert (payment_of(number).status, stripe.sent("payment_intents"), len(stripe.intents)) == ("pending", 2, 1)


def test_stripe_that_stays_down_fails_the_payment_and_the_next_one_is_new(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    stripe.script = [503] * 6
    bob.api.post(f"/orders/{number}/pay")
    for _ in range(6):
        run_jobs("follow_payment")
        due_now()
    found = bob.api.get(f"/orders/{number}/payment").json
    assert (found["status"], found["error"]) == ("failed", "ProviderError: Stripe answered 503.")
    pay(bob, number)
    deliver(stripe.pays())
    assert (status_of(bob, number), Payment.objects.count()) == ("PAID", 2)


def test_what_stripe_refuses_fails_at_once(bob, product, stripe):
    number = reserved(bob, (product(price_cents=49), 1))
    pay(bob, number)
    found = bob.api.get(f"/orders/{number}/payment").json
    assert found["status"] == "failed"
    assert found["error"] == "ProviderError: Stripe refused: Amount must be at least 50 cents."
    assert stripe.sent("payment_intents") == 1


def test_a_wrong_key_is_told_without_the_key(bob, product, stripe, settings):
    settings.STRIPE_SECRET_KEY = "sk_live_of_somebody_else"
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    waiting = Outbox.objects.get(operation="follow_payment")
    assert waiting.error == "ProviderError: Stripe does not accept the key that is set up here."
    settings.STRIPE_SECRET_KEY = KEY
    due_now()
    run_jobs("follow_payment")
    assert payment_of(number).status == "pending"


def test_stripe_that_hangs_is_asked_again(bob, product, stripe, monkeypatch):
    monkeypatch.setattr(stripe_payments, "TIMEOUT", (0.3, 0.3))
    number = reserved(bob, (product(), 1))
    stripe.script = [5.0]
    pay(bob, number)
    assert Outbox.objects.get(operation="follow_payment").error == "ProviderError: Stripe could not be reached."
    due_now()
    run_jobs("follow_payment")
    assert payment_of(number).status == "pending"


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_stripe_is_asked(bob, product, stripe):
    open_ones, mine = [], connection
    stripe.answered = lambda path: open_ones.append(mine.in_atomic_block)
    pay(bob, reserved(bob, (product(), 1)))
    assert open_ones == [False]


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_cut_off_after_stripe_answered_begins_one_payment_intent(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    stripe.cuts_off_the_worker()
    pay(bob, number)
    assert (payment_of(number).status, payment_of(number).reference) == ("starting", "")
    stripe.answered = lambda path: None
    due_now()
    runs.run([Outbox.objects.get(operation="follow_payment").pk])
    assert (payment_of(number).status, stripe.sent("payment_intents"), len(stripe.intents)) == ("pending", 2, 1)


def test_money_of_which_no_message_comes_is_found(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    stripe.pays()
    run_periodic("check_payments")
    run_jobs("follow_payment")
    assert status_of(bob, number) == "RESERVED"  # a message may still come
    asked_after()
    assert (status_of(bob, number), payment_of(number).status) == ("PAID", "succeeded")


def test_money_that_came_and_went_without_a_message_is_found(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    stripe.pays()
    stripe.refunds_by_hand()
    asked_after()
    assert (status_of(bob, number), payment_of(number).status) == ("RESERVED", "refunded")


def test_a_payment_that_is_cancelled_at_stripe_makes_room_for_another(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    stripe.intent["status"] = "canceled"
    asked_after()
    assert (payment_of(number).status, status_of(bob, number)) == ("cancelled", "RESERVED")
    pay(bob, number)
    assert payment_of(number).status == "pending"


def test_the_longer_nothing_is_heard_the_rarer_stripe_is_asked(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    for silent, pause in ((0.5, 1), (10, 10), (600, 60)):
        now = timezone.now()
        Payment.objects.update(updated_at=now - timedelta(minutes=silent), check_at=now - timedelta(days=1))
        run_periodic("check_payments")
        run_jobs("follow_payment")
        wait = payment_of(number).check_at - now
        assert abs(wait - timedelta(minutes=pause)) < timedelta(seconds=30)
    assert stripe.sent("GET") == 3


def test_one_look_asks_after_so_many_payments_and_no_more(bob, product, stripe, monkeypatch):
    monkeypatch.setattr(payment_models, "MOST_CHECKED", 2)
    for _ in range(5):
        pay(bob, reserved(bob, (product(), 1)))
    Payment.objects.update(check_at=timezone.now() - timedelta(days=1))
    with repeating_plans():
        assert len(Payment.objects.take_due()) == 2


def test_what_stripe_has_begun_is_ended_also_when_payments_are_manual_again(bob, product, stripe, settings):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    settings.PAYMENTS = "manual"
    stripe.pays()
    asked_after()
    assert status_of(bob, number) == "PAID"
