"""Payments: what a provider was asked to collect for an order, and how far that has come."""

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

MOST_CHECKED = 100  # payments that one look at what is due takes up
PATIENCE = timedelta(minutes=1)  # for which a provider's message is waited for, before it is asked
_LONGEST_PATIENCE = timedelta(hours=1)
_LONGEST_ERROR = 500


OPEN = (PaymentStatus.STARTING, PaymentStatus.PENDING)
#: Where something is still to come from the provider, which is asked in the end if it does not come by itself.
AWAITED = (PaymentStatus.PENDING, PaymentStatus.REFUNDING)


class PaymentQuerySet(MeshQuerySet["Payment"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(order__buyer_id=actor.id)

    def open(self) -> Self:
        """Those by which money may still come."""
        return self.filter(status__in=OPEN)

    def meant_by(self, report: "Report") -> "Payment | None":
        """The payment that a report is about, also where its reference is not known here yet."""
        mine = Q(reference=report.reference)
        if report.key is not None:
            mine |= Q(reference="", key=report.key)
        return self.filter(mine, provider=report.provider).first()

    def take_due(self) -> list[int]:
        """The ids of those of which nothing was heard for long; each is due again after twice the time."""
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
    """An order's amount that a provider is to collect from the buyer. An order has one open payment at the most."""

    order = models.ForeignKey("shop.Order", models.PROTECT, related_name="payments", db_index=False)
    provider = models.CharField(max_length=20)
    #: What the provider is told of it: another request with this key is the same request, also after a crash.
    key = models.UUIDField(default=uuid4, unique=True, editable=False)
    #: The provider's own name for it; empty until it has one.
    reference = models.CharField(max_length=255, blank=True, default="")
    status = models.CharField(max_length=13, choices=PaymentStatus.choices, default=PaymentStatus.STARTING)
    amount_cents = models.BigIntegerField()
    currency = models.CharField(max_length=3)
    #: With it the buyer's browser pays at the provider; kept only as long as it is good for that.
    client_secret = models.CharField(max_length=500, blank=True, default="")
    error = models.CharField(max_length=_LONGEST_ERROR, blank=True, default="")
    #: When the provider is asked, if it has said nothing by then.
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
        """Whether the report says more than is known here."""
        if report.status == self.status == PaymentStatus.PENDING:
            known = (self.client_secret, self.error)
            return (report.client_secret or self.client_secret, report.error[:_LONGEST_ERROR]) != known
        return report.status.is_beyond(PaymentStatus(self.status))

    def become(self, status: PaymentStatus, error: str = "") -> None:
        """Saves the payment with this status."""
        self.status, self.error = status, error[:_LONGEST_ERROR]
        if status != PaymentStatus.PENDING:
            self.client_secret = ""
        self.check_at, self.updated_at = Now() + PATIENCE, Now()
        self.save(update_fields=["reference", "status", "client_secret", "error", "check_at", "updated_at"])
