"""Payments: the amounts that a provider was asked to collect for orders, and their status."""

from datetime import timedelta
from typing import TYPE_CHECKING, Self
from uuid import uuid4

from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from mesh import Actor, MeshModel, MeshQuerySet
from mesh.stores.postgres import fetch

if TYPE_CHECKING:
    from shop.payments import Report
from shop.payment_status import PaymentStatus

MOST_CHECKED = 100  # payments that one run of `check_payments` looks up
PATIENCE = timedelta(minutes=1)  # how long to wait for a provider's webhook before looking the payment up
_LONGEST_PATIENCE = timedelta(hours=1)
_LONGEST_ERROR = 500


OPEN = (PaymentStatus.STARTING, PaymentStatus.PENDING)
#: The provider is still to report something; if no webhook comes, the payment is looked up.
AWAITED = (PaymentStatus.PENDING, PaymentStatus.REFUNDING)


class PaymentQuerySet(MeshQuerySet["Payment"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(order__buyer_id=actor.id)

    def open(self) -> Self:
        """Payments that may still bring money."""
        return self.filter(status__in=OPEN)

    def meant_by(self, report: "Report") -> "Payment | None":
        """The payment that a report is about, also if its reference has not been stored yet."""
        matches = Q(reference=report.reference)
        if report.key is not None:
            matches |= Q(reference="", key=report.key)
        return self.filter(matches, provider=report.provider).first()

    def take_due(self) -> list[int]:
        """The ids of the payments to look up now; each is due again after a pause that doubles up to an hour."""
        return [row[0] for row in fetch(_TAKE_DUE, [PATIENCE, _LONGEST_PATIENCE, list(AWAITED), MOST_CHECKED])]


_TAKE_DUE = """
UPDATE shop_payment SET check_at = now() + greatest(%s, least(%s, now() - updated_at))
WHERE id = ANY(ARRAY(
    SELECT id FROM shop_payment WHERE status = ANY(%s) AND check_at <= now() ORDER BY check_at LIMIT %s
    FOR NO KEY UPDATE SKIP LOCKED
))
RETURNING id
"""


class Payment(MeshModel):
    """An order's amount that a provider is to collect from the buyer. An order has at most one open payment."""

    order = models.ForeignKey("shop.Order", models.PROTECT, related_name="payments", db_index=False)
    provider = models.CharField(max_length=20)
    #: The idempotency key that the provider gets: a request that is repeated, even after a crash, has the same key.
    key = models.UUIDField(default=uuid4, unique=True, editable=False)
    #: The provider's own id of it; empty until it has one.
    reference = models.CharField(max_length=255, blank=True, default="")
    status = models.CharField(max_length=13, choices=PaymentStatus.choices, default=PaymentStatus.STARTING)
    amount_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    #: The buyer's browser pays at the provider with it; kept only while it can be used.
    client_secret = models.CharField(max_length=500, blank=True, default="")
    error = models.CharField(max_length=_LONGEST_ERROR, blank=True, default="")
    #: When to look it up at the provider, if no webhook has come by then.
    check_at = models.DateTimeField(db_default=Now(), editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = PaymentQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["order", "-id"], name="shop_payment_order"),
            models.Index(fields=["check_at"], name="shop_payment_due", condition=Q(status__in=AWAITED)),
        ]
        constraints = [
            models.UniqueConstraint(fields=["order"], condition=Q(status__in=OPEN), name="shop_payment_open"),
            models.UniqueConstraint(
                fields=["provider", "reference"], condition=~Q(reference=""), name="shop_payment_reference"
            ),
            models.CheckConstraint(condition=Q(status__in=PaymentStatus.values), name="shop_payment_status"),
            models.CheckConstraint(
                condition=Q(status__in=("starting", "failed")) | ~Q(reference=""), name="shop_payment_referenced"
            ),
            models.CheckConstraint(condition=Q(amount_cents__gt=0), name="shop_payment_amount"),
            models.CheckConstraint(
                condition=Q(client_secret="") | Q(status=PaymentStatus.PENDING), name="shop_payment_secret"
            ),
        ]

    def __str__(self) -> str:
        return f"Payment {self.pk}"

    def audience(self) -> set[str]:
        return {f"user:{self.order.buyer_id}"}

    def is_news(self, report: "Report") -> bool:
        """Whether the report changes anything about this payment."""
        if report.status == self.status == PaymentStatus.PENDING:
            stored = (self.client_secret, self.error)
            return (report.client_secret or self.client_secret, report.error[:_LONGEST_ERROR]) != stored
        return report.status.is_beyond(PaymentStatus(self.status))

    def become(self, status: PaymentStatus, error: str = "") -> None:
        """Saves the payment with this status, and the error that goes with it."""
        self.status, self.error = status, error[:_LONGEST_ERROR]
        if status != PaymentStatus.PENDING:
            self.client_secret = ""
        self.check_at, self.updated_at = Now() + PATIENCE, Now()
        self.save(update_fields=["reference", "status", "client_secret", "error", "check_at", "updated_at"])
