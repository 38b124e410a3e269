"""Payments by Stripe: a PaymentIntent for each payment, and what Stripe's webhook says of it.

Settings: STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_API_BASE. A PaymentIntent that has succeeded or is canceled
stays so, and a refund follows a success: so what one says may be taken in any order. Neither key is ever logged or part
of an error.
"""

import logging
from collections.abc import Callable, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any
from uuid import UUID

from django.conf import settings

from mesh.doors.http.requests import parse_json
from mesh.errors import Malformed
from shop.payment_status import PaymentStatus
from shop.payments import Demand, ProviderError, Report

if TYPE_CHECKING:
    from stripe import StripeClient

TIMEOUT = (5.0, 20.0)  # seconds to connect, and between two bytes of an answer
RETRIES = 2  # of the library's own, at once; then the job's, later
_FINAL = {"succeeded": PaymentStatus.SUCCEEDED, "canceled": PaymentStatus.CANCELLED}


class StripePayments:
    name = "stripe"

    def start(self, demand: Demand) -> Report:
        return _report(
            _asked(
                lambda client: client.v1.payment_intents.create(
                    {
                        "amount": demand.amount_cents,
                        "currency": demand.currency,
                        "automatic_payment_methods": {"enabled": True},
                        "description": f"Order {demand.order_id}",
                        "metadata": {"payment": str(demand.key), "order": str(demand.order_id)},
                    },
                    {"idempotency_key": f"order-{demand.order_id}-{demand.key}"},
                )
            )
        )

    def look_up(self, reference: str) -> Report:
        return _report(
            _asked(lambda client: client.v1.payment_intents.retrieve(reference, {"expand": ["latest_charge"]}))
        )

    def cancel(self, reference: str) -> Report:
        try:
            return _report(_asked(lambda client: client.v1.payment_intents.cancel(reference)))
        except ProviderError as error:
            if error.retryable:
                raise
            return self.look_up(reference)  # it has come to another end, or cannot be cancelled any more

    def refund(self, reference: str, key: UUID) -> Report:
        try:
            refund = _asked(
                lambda client: client.v1.refunds.create(
                    {"payment_intent": reference, "metadata": {"payment": str(key)}},
                    {"idempotency_key": f"refund-{key}"},
                )
            )
        except ProviderError as error:
            if error.retryable:
                raise
            found = self.look_up(reference)  # somebody may have refunded it by hand
            if found.status == PaymentStatus.REFUNDED:
                return found
            return _of_refund(reference, key, str(error))
        failed = refund["status"] in ("failed", "canceled")
        return _of_refund(
            reference, key, refund.get("failure_reason") or "Stripe could not refund it." if failed else ""
        )

    def report_of(self, body: bytes, signature: str) -> Report | None:
        import stripe

        try:
            stripe.WebhookSignature.verify_header(
                body, signature, settings.STRIPE_WEBHOOK_SECRET, stripe.Webhook.DEFAULT_TOLERANCE
            )
        except (stripe.SignatureVerificationError, UnicodeDecodeError):
            raise Malformed("This is not signed by Stripe, or was signed too long ago.") from None
        event = parse_json(body)
        kind, about = event["type"], event["data"]["object"]
        if kind.startswith("payment_intent."):
            return _report(about)
        if kind == "charge.refunded" and about["refunded"] and about["payment_intent"]:
            return _of_refund(about["payment_intent"], None, "")
        if kind == "refund.failed" and about["payment_intent"] and (key := _key_of(about)):
            return _of_refund(about["payment_intent"], key, about.get("failure_reason") or "The refund failed.")
        return None


def _report(intent: Mapping[str, Any]) -> Report:
    status = _FINAL.get(intent["status"], PaymentStatus.PENDING)
    charge = intent.get("latest_charge")
    if isinstance(charge, dict) and charge["refunded"]:
        status = PaymentStatus.REFUNDED
    return Report(
        provider=StripePayments.name,
        reference=intent["id"],
        status=status,
        key=_key_of(intent),
        amount_cents=intent["amount_received"],
        currency=intent["currency"],
        client_secret=intent.get("client_secret") or "",
        error=(intent.get("last_payment_error") or {}).get("message") or "",
    )


def _of_refund(reference: str, key: UUID | None, error: str) -> Report:
    status = PaymentStatus.REFUND_FAILED if error else PaymentStatus.REFUNDED
    return Report(provider=StripePayments.name, reference=reference, status=status, key=key, error=error)


def _key_of(about: Mapping[str, Any]) -> UUID | None:
    """The key of our payment; None for what others do with the same account."""
    try:
        return UUID((about.get("metadata") or {}).get("payment", ""))
    except ValueError:
        return None


def _asked(request: "Callable[[StripeClient], Any]") -> dict[str, Any]:
    """What Stripe answers. Raises ProviderError."""
    import stripe  # a third of a second to import, and only needed where Stripe is asked

    try:
        answer: dict[str, Any] = request(_client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)).to_dict()
        return answer
    except (stripe.InvalidRequestError, stripe.CardError, stripe.IdempotencyError) as error:
        raise ProviderError(f"Stripe refused: {error.user_message}", retryable=False) from None
    except (stripe.AuthenticationError, stripe.PermissionError):
        raise ProviderError("Stripe does not accept the key that is set up here.", retryable=True) from None
    except stripe.APIConnectionError:
        raise ProviderError("Stripe could not be reached.", retryable=True) from None
    except stripe.StripeError as error:
        raise ProviderError(f"Stripe answered {error.http_status}.", retryable=True) from None


@cache
def _client(key: str, base: str) -> "StripeClient":
    import stripe

    logging.getLogger("stripe").setLevel(logging.WARNING)  # at DEBUG it logs whole answers, client secrets among them
    stripe.enable_telemetry = False
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    )
