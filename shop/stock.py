"""Stock movements: counters and ledger written together, for many orders at once.

The callers have locked the orders. Products are always locked in the order of their ids, before anything is written,
so that transactions cannot deadlock.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mesh.stores.postgres import fetch
from shop.models import CancelReason, reservation_ttl

MOST_AT_ONCE = 500  # orders in one run


@dataclass
class Decided:
    """The result of a run: the ids of the orders that it reserved and failed, in the order of their arrival."""

    reserved: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    #: Ids of the products whose stock fell to their owner's limit.
    low: list[int] = field(default_factory=list)
    #: Whether more orders are pending: beyond the limit of one run, or locked by another transaction.
    more: bool = False

    @property
    def orders(self) -> list[int]:
        return sorted(self.reserved + self.failed)


@dataclass
class _Product:
    id: int
    stock: int
    low_stock_at: int | None
    owner_told: bool
    taken: int = 0

    @property
    def left(self) -> int:
        return self.stock - self.taken

    @property
    def became_low(self) -> bool:
        return (
            self.low_stock_at is not None and not self.owner_told and self.taken > 0 and self.left <= self.low_stock_at
        )


_Line = tuple[int, int, int]  # order, product, quantity


def reserve_pending(most: int = MOST_AT_ONCE) -> Decided:
    """Reserves the stock of the oldest pending orders that are not locked, at most `most`; a short order fails.

    If others hold the locks of all of them (a dry run, a cancel that will be refused, another run), it waits for them.
    """
    rows = fetch(_LOCK_FREE, [most, most + 1]) or fetch(_LOCK_WAITING, [most, most + 1])
    if not rows:
        return Decided()
    lines: list[_Line] = [row[:3] for row in rows]
    products = {row[0]: _Product(*row) for row in fetch(_LOCK_PRODUCTS, [sorted({product for _, product, _ in lines})])}
    decided, failures = _decide(lines, products)
    decided.more = rows[0][3] > len(decided.orders)
    taken = [product for product in products.values() if product.taken]
    decided.low = [product.id for product in taken if product.became_low]
    fetch(
        _RESERVE,
        [
            decided.low,
            [product.id for product in taken],
            [product.taken for product in taken],
            decided.reserved,
            reservation_ttl(),
            decided.reserved,
            decided.failed,
            failures,
        ],
    )
    return decided


def _decide(lines: Sequence[_Line], products: dict[int, _Product]) -> tuple[Decided, list[str]]:
    """Reserves or fails the orders in the order of their arrival; also returns `Order.failure` as JSON for each failed.

    Counts what it reserves in `products`.
    """
    decided, failures = Decided(), []
    by_order: dict[int, list[_Line]] = {}
    for line in lines:
        by_order.setdefault(line[0], []).append(line)
    for order, order_lines in by_order.items():
        short = next((line for line in order_lines if line[2] > products[line[1]].left), None)
        if short is None:
            for _, product, quantity in order_lines:
                products[product].taken += quantity
            decided.reserved.append(order)
        else:
            decided.failed.append(order)
            failure = {
                "code": "shop.out_of_stock",
                "product_id": short[1],
                "requested": short[2],
                "available": products[short[1]].left,
            }
            failures.append(msgspec.json.encode(failure).decode())
    return decided, failures


def sell(orders: Sequence[int]) -> None:
    """Marks these orders as paid, and the units that they hold as sold."""
    _lock_products_of(orders)
    fetch(_SELL, [list(orders)])


def release(orders: Sequence[int], reason: CancelReason) -> None:
    """Cancels these orders, and returns the units that they hold to the stock."""
    _lock_products_of(orders)
    fetch(_RELEASE, [list(orders), reason])


def sell_late(order: int) -> list[int] | None:
    """Marks an expired order as paid after all, and sells its units from the stock.

    Returns the ids of the products whose stock fell to their owner's limit. Returns None, and writes nothing, if a
    product is short of stock.
    """
    lines: list[_Line] = fetch(_LINES, [order])
    products = {row[0]: _Product(*row) for row in fetch(_LOCK_PRODUCTS, [[product for _, product, _ in lines]])}
    for _, product, quantity in lines:
        products[product].taken = quantity
    if any(product.left < 0 for product in products.values()):
        return None
    low = [product.id for product in products.values() if product.became_low]
    fetch(_SELL_LATE, [order, low])
    return low


def _lock_products_of(orders: Iterable[int]) -> None:
    fetch(
        "SELECT id FROM shop_product WHERE id IN (SELECT product_id FROM shop_orderline WHERE order_id = ANY(%s))"
        " ORDER BY id FOR NO KEY UPDATE",
        [list(orders)],
    )


def receive(quantities: Mapping[int, int], kind: str) -> None:
    """Adds units to products that this transaction has locked; an adjustment may be negative."""
    if quantities:
        fetch(_RECEIVE, [list(quantities), list(quantities.values()), kind])


def quantities(items: Iterable[Any]) -> Counter[int]:
    """Units by product id; the quantities of a repeated product are added up."""
    units: Counter[int] = Counter()
    for item in items:
        units[item.product_id] += item.quantity
    return units


#: Locks pending orders and returns their lines, each with the number of pending orders, counted up to limit + 1.
_LOCK_WAITING = """
WITH batch AS MATERIALIZED (
    SELECT id FROM shop_order WHERE status = 'PENDING' ORDER BY id LIMIT %s FOR NO KEY UPDATE
), pending AS (
    SELECT count(*) AS orders FROM (SELECT FROM shop_order WHERE status = 'PENDING' LIMIT %s) AS counted
)
SELECT l.order_id, l.product_id, l.quantity, pending.orders
FROM pending, batch JOIN shop_orderline l ON l.order_id = batch.id
ORDER BY l.order_id, l.product_id
"""
_LOCK_FREE = _LOCK_WAITING.replace("FOR NO KEY UPDATE", "FOR NO KEY UPDATE SKIP LOCKED")

_LOCK_PRODUCTS = """
SELECT id, stock, low_stock_at, low_stock_told FROM shop_product WHERE id = ANY(%s) ORDER BY id FOR NO KEY UPDATE
"""

_RESERVE = """
WITH counted AS (
    UPDATE shop_product p SET stock = p.stock - need.quantity, reserved = p.reserved + need.quantity,
        low_stock_told = p.low_stock_told OR p.id = ANY(%s)
    FROM unnest(%s::bigint[], %s::bigint[]) AS need (id, quantity) WHERE p.id = need.id
), ledger AS (
    INSERT INTO shop_stockmovement (product_id, line_id, kind, quantity)
    SELECT product_id, id, 'reserved', quantity FROM shop_orderline WHERE order_id = ANY(%s)
), reserved AS (
    UPDATE shop_order SET status = 'RESERVED', reserved_until = now() + %s, updated_at = statement_timestamp()
    WHERE id = ANY(%s)
)
UPDATE shop_order o SET status = 'FAILED', failure = failed.failure::jsonb, updated_at = statement_timestamp()
FROM unnest(%s::bigint[], %s::text[]) AS failed (id, failure) WHERE o.id = failed.id
"""

_SELL = """
WITH line AS MATERIALIZED (
    SELECT id, order_id, product_id, quantity FROM shop_orderline WHERE order_id = ANY(%s)
), counted AS (
    UPDATE shop_product p SET reserved = p.reserved - need.quantity, sold = p.sold + need.quantity
    FROM (SELECT product_id, sum(quantity) AS quantity FROM line GROUP BY product_id) AS need
    WHERE p.id = need.product_id
), ledger AS (
    INSERT INTO shop_stockmovement (product_id, line_id, kind, quantity)
    SELECT product_id, id, 'sold', quantity FROM line
)
UPDATE shop_order SET status = 'PAID', reserved_until = NULL, updated_at = statement_timestamp()
WHERE id IN (SELECT order_id FROM line)
"""

_LINES = "SELECT order_id, product_id, quantity FROM shop_orderline WHERE order_id = %s"

_SELL_LATE = """
WITH line AS MATERIALIZED (
    SELECT id, order_id, product_id, quantity FROM shop_orderline WHERE order_id = %s
), counted AS (
    UPDATE shop_product p SET stock = p.stock - line.quantity, sold = p.sold + line.quantity,
        low_stock_told = p.low_stock_told OR p.id = ANY(%s)
    FROM line WHERE p.id = line.product_id
), ledger AS (
    INSERT INTO shop_stockmovement (product_id, line_id, kind, quantity)
    SELECT product_id, id, 'sold', quantity FROM line
)
UPDATE shop_order SET status = 'PAID', cancel_reason = NULL, updated_at = statement_timestamp()
WHERE id IN (SELECT order_id FROM line)
"""

_RELEASE = """
WITH line AS MATERIALIZED (
    SELECT id, order_id, product_id, quantity FROM shop_orderline WHERE order_id = ANY(%s)
), counted AS (
    UPDATE shop_product p SET stock = p.stock + need.quantity, reserved = p.reserved - need.quantity
    FROM (SELECT product_id, sum(quantity) AS quantity FROM line GROUP BY product_id) AS need
    WHERE p.id = need.product_id
), ledger AS (
    INSERT INTO shop_stockmovement (product_id, line_id, kind, quantity)
    SELECT product_id, id, 'released', quantity FROM line
)
UPDATE shop_order
SET status = 'CANCELLED', reserved_until = NULL, cancel_reason = %s, updated_at = statement_timestamp()
WHERE id IN (SELECT order_id FROM line)
"""

_RECEIVE = """
WITH units AS MATERIALIZED (
    SELECT id, quantity FROM unnest(%s::bigint[], %s::bigint[]) AS units (id, quantity)
), counted AS (
    UPDATE shop_product p SET stock = p.stock + units.quantity, received = p.received + units.quantity,
        low_stock_told = p.low_stock_told AND p.stock + units.quantity <= coalesce(p.low_stock_at, 0),
        updated_at = statement_timestamp()
    FROM units WHERE p.id = units.id
)
INSERT INTO shop_stockmovement (product_id, kind, quantity) SELECT id, %s, quantity FROM units ORDER BY id
"""
