"""Products with their stock, orders, and the ledger of all stock movements.

In every read `stock + reserved + sold = received` holds for each product, and no counter is negative. The counters and
the ledger are written together, by the statements in `shop/stock.py`.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower, Now

from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word
from mesh.stores.postgres import fetch
from shop.payment_models import Payment as Payment
from shop.payment_status import PaymentStatus as PaymentStatus
from shop.reconciler import StockDiscrepancy as StockDiscrepancy

MAX_QUANTITY = 1000  # units in one line of a request
MAX_LINES = 100
MAX_STOCK = 10**9
MAX_PRICE = 10**9


class ProductQuerySet(MeshQuerySet["Product"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(Q(archived_at=None) | Q(owner_id=actor.id))

    def changeable_by(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(owner_id=actor.id)

    def current(self) -> Self:
        """Products that are not archived."""
        return self.filter(archived_at=None)

    def in_stock(self, value: bool | None) -> Self:
        """Products in stock (true), or out of stock (false); all for None."""
        if value is None:
            return self
        return self.filter(stock__gt=0) if value else self.filter(stock=0)

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "sku", "name", "description"))


class Product(MeshModel):
    """A product for sale. `stock` units can be ordered; `reserved` units are held for orders."""

    # Here and below, `db_index=False`: another index or a unique constraint begins with the foreign key.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="products", db_index=False)
    sku = models.CharField("SKU", max_length=64)
    name = models.CharField(max_length=200)
    description = models.CharField(max_length=5000, blank=True, default="")
    price_cents = models.BigIntegerField()
    stock = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0, editable=False)
    sold = models.BigIntegerField(default=0, editable=False)
    received = models.BigIntegerField(default=0, editable=False)
    #: The owner is mailed when orders bring the stock down to this number or below; null: never.
    low_stock_at = models.BigIntegerField(null=True, blank=True)
    #: Whether the owner was mailed since the stock was last above the limit.
    low_stock_told = models.BooleanField(default=False, editable=False)
    archived_at = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = editor_field = "owner"
    change_refusal = "Only who created a product changes it."
    objects = ProductQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "-id"], name="shop_product_owner")]
        constraints = [
            models.UniqueConstraint(fields=["sku"], name="shop_product_sku"),
            models.CheckConstraint(condition=~Q(sku="") & ~Q(name=""), name="shop_product_texts"),
            models.CheckConstraint(
                condition=Q(price_cents__gte=0, price_cents__lte=MAX_PRICE), name="shop_product_price"
            ),
            models.CheckConstraint(condition=Q(stock__gte=0), name="shop_product_stock"),
            models.CheckConstraint(condition=Q(reserved__gte=0), name="shop_product_reserved"),
            models.CheckConstraint(condition=Q(sold__gte=0), name="shop_product_sold"),
            models.CheckConstraint(
                condition=Q(received=F("stock") + F("reserved") + F("sold")), name="shop_product_balance"
            ),
            models.CheckConstraint(
                condition=Q(low_stock_at=None) | Q(low_stock_at__gte=0, low_stock_at__lte=MAX_STOCK),
                name="shop_product_low_stock_at",
            ),
        ]

    def __str__(self) -> str:
        return f"{self.sku} {self.name}"

    @property
    def archived(self) -> bool:
        return self.archived_at is not None

    def audience(self) -> set[str]:
        return {f"user:{self.owner_id}"} if self.archived else {"products"}


class OrderStatus(models.TextChoices):
    """How far an order is."""

    PENDING = "PENDING"
    RESERVED = "RESERVED"
    FAILED = "FAILED"
    CONFIRMED = "CONFIRMED"
    PAID = "PAID"
    CANCELLED = "CANCELLED"

    @property
    def holds_stock(self) -> bool:
        return self in HOLDING


HOLDING = (OrderStatus.RESERVED, OrderStatus.CONFIRMED)


class CancelReason(models.TextChoices):
    """Why an order was cancelled."""

    REQUESTED = "requested"
    EXPIRED = "expired"


class OrderQuerySet(MeshQuerySet["Order"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(Q(buyer_id=actor.id) | Q(seller_id=actor.id))

    def placed_by(self, actor: Actor) -> Self:
        """Orders that the actor placed; all for an ADMIN."""
        return self if actor.is_admin else self.filter(buyer_id=actor.id)

    def place(self, buyer_id: int, quantities: Mapping[int, int]) -> int | None:
        """Inserts an order at the current prices, in one statement, and returns its id.

        `quantities` maps product ids to units. Returns None, and writes nothing, if a product cannot be ordered.
        """
        rows = fetch(_PLACE, [list(quantities), list(quantities.values()), buyer_id, len(quantities)])
        return rows[0][0] if rows else None

    def with_status(self, status: "OrderStatus | None") -> Self:
        return self if status is None else self.filter(status=status)

    def between(self, first: datetime | None, last: datetime | None) -> Self:
        """Orders placed from `first` to `last`, both included; None is no bound."""
        rows = self if first is None else self.filter(created_at__gte=first)
        return rows if last is None else rows.filter(created_at__lte=last)

    def of_buyers(self, emails: Sequence[str]) -> Self:
        """Orders of buyers with one of these e-mails, which are in lower case."""
        return self.alias(buyer_email=Lower("buyer__email")).filter(buyer_email__in=emails)

    def overdue(self) -> Self:
        """Orders whose reservation has expired, the earliest first."""
        return self.filter(status=OrderStatus.RESERVED, reserved_until__lt=Now()).order_by("reserved_until")


_PLACE = """
WITH item AS MATERIALIZED (
    SELECT p.id, p.owner_id, p.sku, p.name, p.price_cents, requested.quantity
    FROM unnest(%s::bigint[], %s::bigint[]) AS requested (id, quantity)
    JOIN shop_product p ON p.id = requested.id AND p.archived_at IS NULL
), placed AS (
    INSERT INTO shop_order (buyer_id, seller_id, status, total_cents)
    SELECT %s, CASE WHEN min(owner_id) = max(owner_id) THEN min(owner_id) END, 'PENDING', sum(price_cents * quantity)
    FROM item HAVING count(*) = %s
    RETURNING id
), lines AS (
    INSERT INTO shop_orderline (order_id, product_id, sku, name, quantity, price_cents)
    SELECT placed.id, item.id, sku, name, quantity, price_cents FROM placed, item ORDER BY item.id
)
SELECT id FROM placed
"""


class Order(MeshModel):
    """An order: pending until a worker has reserved its stock, all of it or nothing."""

    buyer = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="orders", db_index=False)
    #: The owner of all its products; null if they have several owners.
    seller = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        editable=False,
        db_index=False,
        db_constraint=False,
        related_name="sales",
    )
    status = models.CharField(max_length=9, choices=OrderStatus.choices, default=OrderStatus.PENDING)
    total_cents = models.BigIntegerField()
    reserved_until = models.DateTimeField(null=True, editable=False)
    #: The first line that was short of stock: `{code, product_id, requested, available}`.
    failure = models.JSONField(null=True, editable=False)
    cancel_reason = models.CharField(  # noqa: DJ001  (null: not cancelled)
        max_length=9, choices=CancelReason.choices, null=True, editable=False
    )
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = "buyer"
    objects = OrderQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["buyer", "-id"], name="shop_order_buyer"),
            models.Index(fields=["seller", "-id"], name="shop_order_seller", condition=Q(seller__isnull=False)),
            models.Index(fields=["id"], name="shop_order_pending", condition=Q(status="PENDING")),
            models.Index(fields=["reserved_until"], name="shop_order_overdue", condition=Q(status="RESERVED")),
        ]
        constraints = [
            models.CheckConstraint(condition=Q(status__in=OrderStatus.values), name="shop_order_status"),
            models.CheckConstraint(condition=Q(total_cents__gte=0), name="shop_order_total"),
            models.CheckConstraint(
                condition=Q(status="RESERVED", reserved_until__isnull=False)
                | (~Q(status="RESERVED") & Q(reserved_until=None)),
                name="shop_order_reserved_until",
            ),
            models.CheckConstraint(
                condition=Q(status="FAILED", failure__isnull=False) | (~Q(status="FAILED") & Q(failure__isnull=True)),
                name="shop_order_failure",
            ),
            models.CheckConstraint(
                condition=Q(status="CANCELLED", cancel_reason__in=CancelReason.values)
                | (~Q(status="CANCELLED") & Q(cancel_reason=None)),
                name="shop_order_cancel_reason",
            ),
        ]

    def __str__(self) -> str:
        return f"Order {self.pk}"

    def audience(self) -> set[str]:
        return {f"user:{user_id}" for user_id in (self.buyer_id, self.seller_id) if user_id is not None}

    def may_be_changed_by(self, actor: Actor) -> bool:
        """Whether the actor may cancel the order, or pay it at a provider; its seller may only read it."""
        return actor.is_admin or self.buyer_id == actor.id

    def may_be_marked_paid_by(self, actor: Actor) -> bool:
        """Whether the actor may report that the money has arrived."""
        return actor.is_admin or self.seller_id == actor.id


class OrderLine(models.Model):
    """One product of an order, as it was when the order was placed."""

    order = models.ForeignKey(Order, models.CASCADE, related_name="lines", db_index=False)
    product = models.ForeignKey(Product, models.PROTECT, related_name="lines", db_index=False)  # never deleted
    sku = models.CharField("SKU", max_length=64)
    name = models.CharField(max_length=200)
    quantity = models.IntegerField()
    price_cents = models.BigIntegerField()

    class Meta:
        constraints = [
            models.UniqueConstraint(fields=["order", "product"], name="shop_orderline_once"),
            models.CheckConstraint(
                condition=Q(quantity__gte=1, quantity__lte=MAX_QUANTITY * MAX_LINES), name="shop_orderline_quantity"
            ),
            models.CheckConstraint(
                condition=Q(price_cents__gte=0, price_cents__lte=MAX_PRICE), name="shop_orderline_price"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} × {self.sku}"


class MovementKind(models.TextChoices):
    """What happened to units of a product."""

    RECEIVED = "received"
    RESERVED = "reserved"
    RELEASED = "released"
    SOLD = "sold"
    ADJUSTED = "adjusted"


class MovementQuerySet(MeshQuerySet["StockMovement"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(product__owner_id=actor.id)


class StockMovement(MeshModel):
    """One row of the ledger: units of a product that were received, held, sold and so on. Rows are only ever added.

    An order line has at most one row of each kind, so nothing can be applied to it twice.
    """

    # No foreign key constraints: the statement that writes this row reads both ids from the rows themselves. Checking
    # them again, one by one, would take a quarter of the time of a reservation.
    product = models.ForeignKey(Product, models.PROTECT, related_name="movements", db_index=False, db_constraint=False)
    line = models.ForeignKey(
        OrderLine, models.PROTECT, null=True, related_name="movements", db_index=False, db_constraint=False
    )
    kind = models.CharField(max_length=8, choices=MovementKind.choices)
    #: Positive, except for adjustments, which may be negative.
    quantity = models.BigIntegerField()
    at = models.DateTimeField(db_default=Now(), editable=False)

    objects = MovementQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["product", "-id"], name="shop_movement_product")]
        constraints = [
            models.UniqueConstraint(fields=["line", "kind"], name="shop_movement_once"),
            models.CheckConstraint(
                condition=Q(kind__in=("reserved", "released", "sold"), line__isnull=False)
                | Q(kind__in=("received", "adjusted"), line=None),
                name="shop_movement_line",
            ),
            models.CheckConstraint(
                condition=Q(quantity__gt=0) | Q(kind="adjusted", quantity__lt=0), name="shop_movement_quantity"
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.quantity}"

    def audience(self) -> set[str]:
        return {f"user:{self.product.owner_id}"}


def reservation_ttl() -> timedelta:
    """How long an unpaid reservation holds its stock."""
    ttl: timedelta = settings.RESERVATION_TTL
    return ttl
