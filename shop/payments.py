"""How orders are paid: the protocol that a payment provider implements, and the provider that is configured.

`settings.PAYMENTS` names one of `PROVIDERS`, or says who may mark an order as paid with `pay_order`: with `manual` its
seller or an ADMIN, with `trust` its buyer too. Nothing here accesses the database.
"""

from dataclasses import dataclass
from typing import Any, Protocol
from uuid import UUID

from django.conf import settings
from django.core.checks import CheckMessage, Error, Warning, register
from django.utils.module_loading import import_string

from mesh import In
from shop.payment_status import PaymentStatus

MANUAL, TRUST = "manual", "trust"
PROVIDERS = {"stripe": "shop.stripe_payments.StripePayments"}
#: Currencies whose smallest unit is not a hundredth; all amounts here are in hundredths.
_WITHOUT_CENTS = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF BHD JOD KWD OMR TND".split())


class ProviderError(Exception):
    """A request to the provider failed; `retryable` says whether it may succeed later.

    The message contains no credentials, so it can be stored and shown.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Demand:
    """The amount that a provider is to collect. `key` is the idempotency key of the request."""

    key: UUID
    order_id: int
    amount_cents: int
    currency: str


class Report(In):
    """What a provider says of a payment: a fact that stays true, but for a payment that is `pending`.

    `amount_cents` is what has come. `key` is that of the demand, where the provider tells.
    """

    provider: str
    reference: str
    status: PaymentStatus
    key: UUID | None = None
    amount_cents: int = 0
    currency: str = ""
    client_secret: str = ""
    error: str = ""


class PaymentProvider(Protocol):
    """A payment provider.

    Every method may be repeated, and then reports the same payment. All methods but `report_of` send a request to the
    provider, and raise ProviderError if it fails.
    """

    name: str

    def start(self, demand: Demand) -> Report:
        """Starts a payment; the buyer pays with the report's `client_secret`."""

    def look_up(self, reference: str) -> Report:
        """Returns the current state of the payment."""

    def cancel(self, reference: str) -> Report:
        """Cancels the payment, unless the money has arrived meanwhile; the report says which."""

    def refund(self, reference: str, key: UUID) -> Report:
        """Sends the money back; if the provider refuses for good, the report has the status `refund_failed`."""

    def report_of(self, body: bytes, signature: str) -> Report | None:
        """Parses the body of a webhook; None if it is not about a payment of ours.

        Raises Malformed if the signature is not the provider's, or is too old.
        """


def provider(name: str) -> PaymentProvider:
    """The provider of this name, also if it is no longer configured: payments that it began are still completed."""
    instance: PaymentProvider = import_string(PROVIDERS[name])()
    return instance


@register()
def check_payments_are_set_up(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The provider exists and has its keys, and the currency has hundredths."""
    if settings.PAYMENTS in (MANUAL, TRUST):
        return []
    if settings.PAYMENTS not in PROVIDERS:
        choices = " or ".join((MANUAL, TRUST, *PROVIDERS))
        return [Error(f"PAYMENTS is {settings.PAYMENTS!r}; it can be {choices}.", id="shop.E001")]
    missing = [name for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET") if not getattr(settings, name)]
    errors: list[CheckMessage] = [Error(f"PAYMENTS=stripe needs {name}.", id="shop.E002") for name in missing]
    if settings.CURRENCY.upper() in _WITHOUT_CENTS:
        errors.append(Error(f"{settings.CURRENCY} has no cents: prices here are in hundredths.", id="shop.E003"))
    return errors


@register(deploy=True)
def check_buyers_are_not_trusted(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Warns if buyers can mark their own orders as paid, which is only meant for trying things out."""
    if settings.PAYMENTS != TRUST:
        return []
    hint = "Set PAYMENTS=manual, or stripe."
    return [Warning("PAYMENTS is trust: every buyer can mark their own order paid.", hint=hint, id="shop.W001")]
