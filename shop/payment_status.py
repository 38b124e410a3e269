"""The status of a payment."""

from django.db import models


class PaymentStatus(models.TextChoices):
    """How far a payment is. It only moves down this list, so reports may come twice and in any order."""

    STARTING = "starting"
    PENDING = "pending"
    FAILED = "failed"
    CANCELLED = "cancelled"
    SUCCEEDED = "succeeded"
    REFUNDING = "refunding"
    REFUNDED = "refunded"
    REFUND_FAILED = "refund_failed"

    def is_beyond(self, other: "PaymentStatus") -> bool:
        order = list(PaymentStatus)
        return order.index(self) > order.index(other)
