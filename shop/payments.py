"""How orders are paid: the protocol behind which a payment provider stands, and which one is set up.

`settings.PAYMENTS` names one of `PROVIDERS`, or says on whose word alone `pay_order` makes an order paid: `manual` on
its seller's or an ADMIN's, `trust` on its buyer's, too. Nothing here touches the database.
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
#: Of which an amount is not a number of hundredths, as ours are.
_WITHOUT_CENTS = frozenset("BIF CLP DJF GNF JPY KMF KRW MGA PYG RWF VND VUV XAF XOF XPF BHD JOD KWD OMR TND".split())


class ProviderError(Exception):
    """The provider did not do what it was asked for. `retryable`: it may do it later.

    The message names the cause without a credential, so that it can be stored and shown.
    """

    def __init__(self, message: str, *, retryable: bool) -> None:
        super().__init__(message)
        self.retryable = retryable


@dataclass(frozen=True, slots=True)
class Demand:
    """What a provider is to collect. `key` makes the request the same one, however often it is sent."""

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
    """Each call may be repeated: it then reports the same payment. All but the last go out, and raise ProviderError."""

    name: str

    def start(self, demand: Demand) -> Report:
        """Begins to collect; the buyer pays with the report's `client_secret`."""

    def look_up(self, reference: str) -> Report:
        """What has become of the payment."""

    def cancel(self, reference: str) -> Report:
        """Cancels the payment, unless the money has come meanwhile: the report tells."""

    def refund(self, reference: str, key: UUID) -> Report:
        """Sends the money back; a refusal for good is a report too, of a refund that has failed."""

    def report_of(self, body: bytes, signature: str) -> Report | None:
        """What a message of the provider reports; None where it is about something else.

        Raises Malformed where it is not the provider's, or an old one.
        """


def provider(name: str) -> PaymentProvider:
    """The provider of this name, also where payments have none by now: what it has begun is brought to its end."""
    made: PaymentProvider = import_string(PROVIDERS[name])()
    return made


@register()
def check_payments_are_set_up(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """The provider is known, has its keys, and counts money as we do."""
    if settings.PAYMENTS in (MANUAL, TRUST):
        return []
    if settings.PAYMENTS not in PROVIDERS:
        known = " or ".join((MANUAL, TRUST, *PROVIDERS))
        return [Error(f"PAYMENTS is {settings.PAYMENTS!r}; it can be {known}.", id="shop.E001")]
    missing = [name for name in ("STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET") if not getattr(settings, name)]
    found: list[CheckMessage] = [Error(f"PAYMENTS=stripe needs {name}.", id="shop.E002") for name in missing]
    if settings.CURRENCY.upper() in _WITHOUT_CENTS:
        found.append(Error(f"{settings.CURRENCY} has no cents: prices here are in hundredths.", id="shop.E003"))
    return found


@register(deploy=True)
def check_buyers_are_not_trusted(app_configs: Any, **kwargs: Any) -> list[CheckMessage]:
    """Whether buyers say themselves that they have paid, which is for a first look."""
    if settings.PAYMENTS != TRUST:
        return []
    hint = "Set PAYMENTS=manual, or stripe."
    return [Warning("PAYMENTS is trust: every buyer can mark their own order paid.", hint=hint, id="shop.W001")]
