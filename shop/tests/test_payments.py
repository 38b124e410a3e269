"""Paying by Stripe, and its webhook: who sees what; what a message does, however often and in what order it comes."""

import itertools
import time

import pytest
from django.db import transaction

from accounts.tests.assertions import TIME, at_once, nothing_changes, refused
from mesh.models import AuditEntry, Mail, Outbox
from mesh.stores.postgres import fetch
from mesh.testing import Api
from mesh.tests.jobs import run_jobs
from shop.models import Payment
from shop.payments import check_payments_are_set_up
from shop.tests.conftest import counters, deliver, out_of_balance, pay, payment_of, reserved, status_of
from shop.tests.stripe_server import event, signed
from shop.tests.test_orders import ledger


def test_an_order_is_paid_when_the_money_has_come(alice, bob, product, stripe):
    shirt = product(price_cents=1999)
    number = reserved(bob, (shirt, 2))
    answer = bob.api.post(f"/orders/{number}/pay")
    assert (answer.status, answer.json["status"]) == (200, "RESERVED")
    payment = Payment.objects.get()
    expected = {
        "id": payment.pk,
        "status": "starting",
        "provider": "stripe",
        "amount_cents": 3998,
        "currency": "eur",
        "client_secret": None,
        "error": None,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert bob.api.get(f"/orders/{number}/payment").json == expected
    assert stripe.requests == []
    run_jobs("follow_payment")
    found = bob.api.get(f"/orders/{number}/payment").json
    assert found == expected | {"status": "pending", "client_secret": "pi_1_secret_x"}
    assert stripe.intent["metadata"] == {"payment": str(payment.key), "order": str(number)}
    assert (stripe.intent["amount"], stripe.intent["currency"]) == (3998, "eur")

    assert deliver(stripe.pays()).status == 200
    assert status_of(bob, number) == "PAID"
    assert bob.api.get(f"/orders/{number}/payment").json == expected | {"status": "succeeded"}
    assert counters(alice, shirt) == (8, 0, 2, 10)
    assert ledger() == [("reserved", shirt, 2), ("sold", shirt, 2)]
    assert [mail.subject for mail in Mail.objects.filter(key=f"order:{number}:paid")] == [f"Order {number} is paid"]
    audit = AuditEntry.objects.get(operation="record_payment")
    assert (audit.actor_id, audit.door, audit.outcome) == (None, "rest", "ok")
    refused(bob.api.post(f"/orders/{number}/pay"), 409, "shop.wrong_status")
    assert stripe.requests == ["POST /v1/payment_intents"]


def test_paying_again_returns_to_the_open_payment(ada, bob, product, stripe):
    number = reserved(bob, (product(), 1))
    ada.api.post(f"/orders/{number}/confirm")
    for person in (bob, ada, bob):
        assert person.api.post(f"/orders/{number}/pay").json["status"] == "CONFIRMED"
        run_jobs("follow_payment")
    assert (Payment.objects.count(), stripe.sent("payment_intents")) == (1, 1)


@pytest.mark.django_db(transaction=True)
def test_five_who_pay_at_once_begin_one_payment(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    answers = at_once(*[lambda: bob.api.post(f"/orders/{number}/pay")] * 5)
    assert [answer.status for answer in answers] == [200] * 5
    assert Payment.objects.count() == Outbox.objects.filter(operation="follow_payment").count() == 1


def test_only_the_buyer_sees_the_secret(ada, bob, charlie, product, stripe):
    number = reserved(bob, (product(), 1))
    refused(bob.api.get(f"/orders/{number}/payment"), 404, "not_found")
    pay(bob, number)
    assert bob.api.get(f"/orders/{number}/payment").json["client_secret"] == "pi_1_secret_x"
    assert ada.api.get(f"/orders/{number}/payment").json["client_secret"] is None
    refused(charlie.api.get(f"/orders/{number}/payment"), 404, "not_found")


def test_a_card_that_is_declined_can_be_followed_by_another(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    deliver(stripe.declines())
    found = bob.api.get(f"/orders/{number}/payment").json
    assert (found["status"], found["error"]) == ("pending", "Your card was declined.")
    assert found["client_secret"] == "pi_1_secret_x"
    deliver(stripe.pays())
    found = bob.api.get(f"/orders/{number}/payment").json
    assert (found["status"], found["error"], status_of(bob, number)) == ("succeeded", None, "PAID")


def test_what_costs_nothing_is_paid_at_once(bob, product, stripe):
    number = reserved(bob, (product(price_cents=0), 1))
    assert bob.api.post(f"/orders/{number}/pay").json["status"] == "PAID"
    assert Payment.objects.count() == 0


@pytest.mark.parametrize("path", ["", "/api/v1", "/api/v2"])
def test_a_message_that_comes_twice_counts_once(alice, bob, product, stripe, path):
    shirt = product()
    number = reserved(bob, (shirt, 3))
    pay(bob, number)
    body = stripe.pays()
    assert [deliver(body, path=f"{path}/payments/stripe/webhook").status for _ in range(3)] == [200] * 3
    assert counters(alice, shirt) == (7, 0, 3, 10)
    assert Mail.objects.filter(key=f"order:{number}:paid").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_message_that_comes_six_times_at_once_counts_once(alice, bob, product, stripe):
    shirt = product()
    number = reserved(bob, (shirt, 3))
    pay(bob, number)
    body = stripe.pays()
    assert [answer.status for answer in at_once(*[lambda: deliver(body)] * 6)] == [200] * 6
    assert status_of(bob, number) == "PAID"
    assert ledger("sold") == [("sold", shirt, 3)]
    assert counters(alice, shirt) == (7, 0, 3, 10)


def test_messages_may_come_in_any_order(alice, bob, product, stripe):
    shirt = product(100)
    for turn, order in enumerate(itertools.permutations(("created", "payment_failed", "processing", "succeeded"))):
        number = reserved(bob, (shirt, 1))
        bob.api.post(f"/orders/{number}/pay")
        if turn % 2:  # else they come before the answer to our own request is recorded
            run_jobs("follow_payment")
        key = str(Payment.objects.get(order=number).key)
        intent = {
            "id": f"pi_{turn + 1}", "status": "requires_payment_method", "amount_received": 0, "currency": "eur",
            "metadata": {"payment": key},
        }  # fmt: skip
        came = {"status": "succeeded", "amount_received": 1999}
        for kind in order:
            deliver(event(f"payment_intent.{kind}", intent | (came if kind == "succeeded" else {})))
        run_jobs("follow_payment")
        assert (status_of(bob, number), payment_of(number).status) == ("PAID", "succeeded")
        assert payment_of(number).reference == f"pi_{turn + 1}"
    assert counters(alice, shirt) == (76, 0, 24, 100)
    assert out_of_balance() == []


def test_a_refund_that_is_heard_of_first_is_the_last_word(bob, product, stripe):
    """Money that has gone back sells nothing."""
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    paid, refunded = stripe.pays(), stripe.refunds_by_hand()
    for body in (refunded, paid, refunded):
        assert deliver(body).status == 200
    assert (status_of(bob, number), payment_of(number).status) == ("RESERVED", "refunded")


def test_what_is_not_signed_by_stripe_is_refused(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    body = stripe.pays()
    good = signed(body)
    wrong = [
        (body, ""),
        (body, "t=1,v1=x"),
        (body, "nonsense"),
        (body, signed(body, "whsec_another")),
        (body, signed(body, at=int(time.time()) - 301)),
        (body, good.replace("v1=", "v0=")),
        (body.replace("1999", "1"), good),
        ("\u00e4" + body, good),
    ]
    with nothing_changes():
        for sent, signature in wrong:
            refused(deliver(sent, signature), 400, "malformed")
        refused(deliver("[", signed("[")), 400, "malformed")
    assert status_of(bob, number) == "RESERVED"


def test_the_webhook_has_its_limits(bob, stripe, settings):
    refused(deliver("x" * (1024 * 1024 + 1)), 413, "too_large")
    for method in ("GET", "PUT", "DELETE"):
        answer = Api(mount="").request(method, "/payments/stripe/webhook")
        refused(answer, 405)
        assert answer.headers["Allow"] == "POST"
    settings.STRIPE_WEBHOOK_SECRET = ""
    refused(deliver("{}"), 404)
    assert fetch("SELECT 1 FROM mesh_auditentry WHERE operation = 'record_payment'") == []


def test_what_is_about_something_else_is_taken_and_changes_nothing(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    foreign = {"id": "pi_x", "status": "succeeded", "amount_received": 1, "currency": "eur", "metadata": {}}
    charge = {"object": "charge", "payment_intent": None, "refunded": True}
    with nothing_changes():
        for body in (
            event("customer.created", {"id": "cus_1"}),
            event("payment_intent.succeeded", foreign),
            event("payment_intent.succeeded", foreign | {"metadata": {"payment": "7"}}),
            event("charge.refunded", charge),
            event("charge.refunded", charge | {"payment_intent": "pi_1", "refunded": False}),
            event("refund.failed", {"payment_intent": "pi_1", "metadata": {}}),
        ):
            assert deliver(body).status == 200


def test_a_message_arrives_over_a_real_socket(bob, product, stripe, live_server):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    assert stripe.sends(f"{live_server.url}/payments/stripe/webhook", stripe.pays()) == 200
    assert status_of(bob, number) == "PAID"


@pytest.mark.django_db(transaction=True)
def test_while_the_order_cannot_be_had_stripe_is_asked_to_come_again(bob, product, stripe):
    number = reserved(bob, (product(), 1))
    pay(bob, number)
    body = stripe.pays()
    with transaction.atomic():
        fetch("SELECT 1 FROM shop_order FOR UPDATE")
        (answer,) = at_once(lambda: _impatiently(body))
    assert (refused(answer, 503)["code"], answer.headers["Retry-After"]) == ("unavailable", "1")
    assert deliver(body).status == 200
    assert status_of(bob, number) == "PAID"


def _impatiently(body):
    fetch("SELECT set_config('lock_timeout', '200ms', false)")
    try:
        return deliver(body)
    finally:
        fetch("SELECT set_config('lock_timeout', '5s', false)")


@pytest.mark.server
@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({"PAYMENTS": "manual", "STRIPE_SECRET_KEY": ""}, []),
        ({}, []),
        ({"PAYMENTS": "paypal"}, ["shop.E001"]),
        ({"STRIPE_SECRET_KEY": "", "STRIPE_WEBHOOK_SECRET": ""}, ["shop.E002", "shop.E002"]),
        ({"CURRENCY": "JPY"}, ["shop.E003"]),
    ],
)
def test_a_set_up_that_cannot_work_is_told(stripe, settings, changes, codes):
    for name, value in changes.items():
        setattr(settings, name, value)
    assert [message.id for message in check_payments_are_set_up(None)] == codes
