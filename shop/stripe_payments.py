"""Payments through Stripe: one PaymentIntent for each payment, and Stripe's webhooks about it.

Settings: STRIPE_SECRET_KEY, STRIPE_WEBHOOK_SECRET, STRIPE_API_BASE. A PaymentIntent that has succeeded or is canceled
never changes its status, and a refund always follows a success: so reports may be processed in any order. Neither key
is ever logged or part of an error message.
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

TIMEOUT = (5.0, 20.0)  # seconds to connect, and between two bytes of the response
RETRIES = 2  # by the library, at once; after that the job is tried again
_FINAL = {"succeeded": PaymentStatus.SUCCEEDED, "canceled": PaymentStatus.CANCELLED}


class StripePayments:
    name = "stripe"

    def start(self, demand: Demand) -> Report:
        return _report(
            _request(
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
            _request(lambda client: client.v1.payment_intents.retrieve(reference, {"expand": ["latest_charge"]}))
        )

    def cancel(self, reference: str) -> Report:
        try:
            return _report(_request(lambda client: client.v1.payment_intents.cancel(reference)))
        except ProviderError as error:
            if error.retryable:
                raise
            return self.look_up(reference)  # it has ended otherwise, or can no longer be cancelled

    def refund(self, reference: str, key: UUID) -> Report:
        try:
            refund = _request(
                lambda client: client.v1.refunds.create(
                    {"payment_intent": reference, "metadata": {"payment": str(key)}},
                    {"idempotency_key": f"refund-{key}"},
                )
            )
        except ProviderError as error:
            if error.retryable:
                raise
            report = self.look_up(reference)  # somebody may have refunded it in Stripe's dashboard
            if report.status == PaymentStatus.REFUNDED:
                return report
            return _refund_report(reference, key, str(error))
        failed = refund["status"] in ("failed", "canceled")
        return _refund_report(
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
        kind, data = event["type"], event["data"]["object"]
        if kind.startswith("payment_intent."):
            return _report(data)
        if kind == "charge.refunded" and data["refunded"] and data["payment_intent"]:
            return _refund_report(data["payment_intent"], None, "")
        if kind == "refund.failed" and data["payment_intent"] and (key := _payment_key(data)):
            return _refund_report(data["payment_intent"], key, data.get("failure_reason") or "The refund failed.")
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
        key=_payment_key(intent),
        amount_cents=intent["amount_received"],
        currency=intent["currency"],
        client_secret=intent.get("client_secret") or "",
        error=(intent.get("last_payment_error") or {}).get("message") or "",
    )


def _refund_report(reference: str, key: UUID | None, error: str) -> Report:
    status = PaymentStatus.REFUND_FAILED if error else PaymentStatus.REFUNDED
    return Report(provider=StripePayments.name, reference=reference, status=status, key=key, error=error)


def _payment_key(data: Mapping[str, Any]) -> UUID | None:
    """The key of our payment; None for a payment that others made with the same account."""
    try:
        return UUID((data.get("metadata") or {}).get("payment", ""))
    except ValueError:
        return None


def _request(send: "Callable[[StripeClient], Any]") -> dict[str, Any]:
    """Sends a request to Stripe, and returns its response as a dict. Raises ProviderError."""
    import stripe  # the import takes a third of a second, and few processes call Stripe

    try:
        response: dict[str, Any] = send(_client(settings.STRIPE_SECRET_KEY, settings.STRIPE_API_BASE)).to_dict()
        return response
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

    logging.getLogger("stripe").setLevel(logging.WARNING)  # at DEBUG it logs whole responses with client secrets
    stripe.enable_telemetry = False
    return stripe.StripeClient(
        key,
        base_addresses={"api": base},
        max_network_retries=RETRIES,
        http_client=stripe.RequestsClient(timeout=TIMEOUT),
    )
