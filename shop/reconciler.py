"""The reconciler: compares product counters and order statuses with the ledger. It raises alarms, and repairs nothing.

They are always written together in one transaction, so a single statement, which reads one snapshot, must find them in
agreement.
"""

from typing import NamedTuple

import structlog
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Coalesce, Now

from mesh.stores.postgres import fetch

log = structlog.get_logger(__name__)


class Subject(models.TextChoices):
    """What disagrees with the ledger."""

    COUNTER = "counter", "A product's counter"
    ORDER = "order", "What an order's status says"


class StockDiscrepancy(models.Model):
    """A number that disagrees with the ledger; open until the reconciler finds that it agrees again."""

    what = models.CharField(max_length=7, choices=Subject.choices)
    product = models.ForeignKey("shop.Product", models.PROTECT, related_name="+")
    order = models.ForeignKey("shop.Order", models.PROTECT, null=True, related_name="+")
    #: A counter of the product, or the kind of movement that the order line has too many or too few units of.
    counter = models.CharField(max_length=8)
    expected = models.BigIntegerField()
    found = models.BigIntegerField()
    first_seen = models.DateTimeField(db_default=Now())
    last_seen = models.DateTimeField(db_default=Now())
    resolved_at = models.DateTimeField(null=True)

    class Meta:
        verbose_name_plural = "stock discrepancies"
        constraints = [
            models.UniqueConstraint(
                "product",
                Coalesce(F("order_id"), 0, output_field=models.BigIntegerField()),
                "counter",
                condition=Q(resolved_at=None),
                name="shop_stockdiscrepancy_open",
            ),
            models.CheckConstraint(
                condition=Q(what="counter", order=None) | Q(what="order", order__isnull=False),
                name="shop_stockdiscrepancy_what",
            ),
        ]

    def __str__(self) -> str:
        return str(Discrepancy(self.what, self.product_id, self.order_id, self.counter, self.expected, self.found))


class Discrepancy(NamedTuple):
    """One disagreement, as the reconciler found it."""

    what: str
    product: int
    order: int | None
    counter: str
    expected: int
    found: int

    def __str__(self) -> str:
        where = f"Product {self.product}" if self.order is None else f"Order {self.order}, product {self.product}"
        return f"{where}: {self.counter} is {self.found}, and should be {self.expected}."


def discrepancies() -> list[Discrepancy]:
    """Where counters and statuses disagree with the ledger now; changes nothing."""
    return [Discrepancy(*row) for row in fetch(_COMPARE)]


def reconcile() -> None:
    """Updates the rows of `StockDiscrepancy`, and logs an error for each new discrepancy."""
    current = discrepancies()
    columns = [list(column) for column in zip(*current, strict=True)] or [[] for _ in Discrepancy._fields]
    for row in fetch(_INSERT_NEW, columns):
        log.error("stock_discrepancy", **Discrepancy(*row)._asdict())
    fetch(_UPDATE, columns)
    fetch(_RESOLVE, columns)


def open_discrepancies() -> int:
    """How many discrepancies the last run of the reconciler found."""
    return StockDiscrepancy.objects.filter(resolved_at=None).count()


#: A cancelled order has reserved and released all of its lines, or none; one that was paid after it had expired has
#: released and sold them all. A movement of a line that names another product does not count.
_COMPARE = """
WITH moved AS MATERIALIZED (
    SELECT product_id, line_id,
        coalesce(sum(quantity) FILTER (WHERE kind IN ('received', 'adjusted')), 0)::bigint AS received,
        coalesce(sum(quantity) FILTER (WHERE kind = 'reserved'), 0)::bigint AS reserved,
        coalesce(sum(quantity) FILTER (WHERE kind = 'released'), 0)::bigint AS released,
        coalesce(sum(quantity) FILTER (WHERE kind = 'sold'), 0)::bigint AS sold
    FROM shop_stockmovement GROUP BY product_id, line_id
), ledger AS (
    SELECT p.id, p.stock, p.reserved, p.sold, p.received,
        coalesce(sum(m.received), 0)::bigint AS all_received, coalesce(sum(m.sold), 0)::bigint AS all_sold,
        coalesce(sum(m.reserved) FILTER (WHERE m.released = 0 AND m.sold = 0), 0)::bigint AS held
    FROM shop_product p LEFT JOIN moved m ON m.product_id = p.id GROUP BY p.id
), line AS (
    SELECT l.order_id, l.product_id, l.quantity, o.status,
        coalesce(m.reserved, 0) AS reserved, coalesce(m.released, 0) AS released, coalesce(m.sold, 0) AS sold,
        count(m.line_id) OVER its_order > 0 AS moved, coalesce(sum(m.released) OVER its_order, 0) > 0 AS freed
    FROM shop_orderline l JOIN shop_order o ON o.id = l.order_id
    LEFT JOIN moved m ON m.line_id = l.id AND m.product_id = l.product_id
    WINDOW its_order AS (PARTITION BY l.order_id)
)
SELECT 'counter', id, NULL::bigint AS order_id, counter, expected, found FROM ledger, LATERAL (VALUES
    ('received', all_received, received), ('sold', all_sold, sold), ('reserved', held, reserved),
    ('stock', all_received - held - all_sold, stock)
) AS compared (counter, expected, found) WHERE expected <> found
UNION ALL
SELECT 'order', product_id, order_id, counter, quantity * wanted::int, found FROM line, LATERAL (VALUES
    ('reserved', status IN ('RESERVED', 'CONFIRMED', 'PAID') OR status = 'CANCELLED' AND moved, reserved),
    ('released', status = 'CANCELLED' AND moved OR status = 'PAID' AND freed, released), ('sold', status = 'PAID', sold)
) AS compared (counter, wanted, found) WHERE quantity * wanted::int <> found
ORDER BY 2, 3 NULLS FIRST, 4
"""

_CURRENT = (
    "unnest(%s::text[], %s::bigint[], %s::bigint[], %s::text[], %s::bigint[], %s::bigint[])"
    " AS f (what, product_id, order_id, counter, expected, found)"
)
_SAME = "f.product_id = d.product_id AND f.order_id IS NOT DISTINCT FROM d.order_id AND f.counter = d.counter"
_INSERT_NEW = (
    "INSERT INTO shop_stockdiscrepancy AS d (what, product_id, order_id, counter, expected, found)"  # noqa: S608
    f" SELECT * FROM {_CURRENT} ON CONFLICT DO NOTHING RETURNING what, product_id, order_id, counter, expected, found"
)
_UPDATE = (
    "UPDATE shop_stockdiscrepancy d SET expected = f.expected, found = f.found, last_seen = now()"  # noqa: S608
    f" FROM {_CURRENT} WHERE {_SAME} AND d.resolved_at IS NULL"
)
_RESOLVE = (
    "UPDATE shop_stockdiscrepancy d SET resolved_at = now() WHERE d.resolved_at IS NULL"  # noqa: S608
    f" AND NOT EXISTS (SELECT 1 FROM {_CURRENT} WHERE {_SAME})"
)
