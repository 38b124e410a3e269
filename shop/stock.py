"""Stock in motion: counters and ledger written together, for many orders at once.

The callers hold the orders' rows. Products are locked in the order of their keys, always and before anything is
written, so that no two transactions wait for each other in a circle.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from mesh.stores.postgres import fetch
from shop.models import CancelReason, reservation_ttl

MOST_AT_ONCE = 500  # orders that one run reserves


@dataclass
class Decided:
    """What a run made of the orders that it took, in the order of their arrival."""

    reserved: list[int] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)
    #: Products whose stock fell to their owner's limit.
    low: list[int] = field(default_factory=list)
    #: Whether there were more: too many, or held by somebody else just then.
    more: bool = False

    @property
    def orders(self) -> list[int]:
        return sorted(self.reserved + self.failed)


@dataclass
class _Product:
    id: int
    stock: int
    low_stock_at: int | None
    told: bool
    taken: int = 0

    @property
    def left(self) -> int:
        return self.stock - self.taken

    @property
    def became_low(self) -> bool:
        return self.low_stock_at is not None and not self.told and self.taken > 0 and self.left <= self.low_stock_at


_Line = tuple[int, int, int]  # order, product, quantity


def reserve_pending(most: int = MOST_AT_ONCE) -> Decided:
    """Reserves the oldest pending orders that nobody holds: all lines of each, or it fails.

    Where somebody holds all of them (a dry run, a cancel that will be refused, another run), it waits for them.
    """
    found = fetch(_TAKE_FREE, [most, most + 1]) or fetch(_TAKE_HELD, [most, most + 1])
    if not found:
        return Decided()
    lines: list[_Line] = [row[:3] for row in found]
    products = {row[0]: _Product(*row) for row in fetch(_LOCK_PRODUCTS, [sorted({product for _, product, _ in lines})])}
    decided, failures = _decide(lines, products)
    decided.more = found[0][3] > len(decided.orders)
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
    """Goes through the orders as they came; the failures are the JSON that each failed one keeps."""
    decided, failures = Decided(), []
    by_order: dict[int, list[_Line]] = {}
    for line in lines:
        by_order.setdefault(line[0], []).append(line)
    for order, wanted in by_order.items():
        short = next((line for line in wanted if line[2] > products[line[1]].left), None)
        if short is None:
            for _, product, quantity in wanted:
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
    """What these orders hold is sold: they are paid."""
    _lock_products_of(orders)
    fetch(_SELL, [list(orders)])


def release(orders: Sequence[int], reason: CancelReason) -> None:
    """What these orders hold can be ordered again: they are cancelled."""
    _lock_products_of(orders)
    fetch(_RELEASE, [list(orders), reason])


def sell_late(order: int) -> list[int] | None:
    """An order that had expired is paid after all: its units are sold from what is in stock.

    Returns the products whose stock fell to their owner's limit; None, and nothing written, where one is short.
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
    """Adds units to products that this transaction has locked, or takes them off (an adjustment)."""
    if quantities:
        fetch(_RECEIVE, [list(quantities), list(quantities.values()), kind])


def quantities(items: Iterable[Any]) -> Counter[int]:
    """How many of each product; of one that is named twice, the sum."""
    found: Counter[int] = Counter()
    for item in items:
        found[item.product_id] += item.quantity
    return found


#: The lines of the orders that it takes; and how many orders there were, one more than it takes being enough.
_TAKE_HELD = """
WITH batch AS MATERIALIZED (
    SELECT id FROM shop_order WHERE status = 'PENDING' ORDER BY id LIMIT %s FOR NO KEY UPDATE
), seen AS (
    SELECT count(*) AS orders FROM (SELECT FROM shop_order WHERE status = 'PENDING' LIMIT %s) AS pending
)
SELECT l.order_id, l.product_id, l.quantity, seen.orders
FROM seen, batch JOIN shop_orderline l ON l.order_id = batch.id
ORDER BY l.order_id, l.product_id
"""
_TAKE_FREE = _TAKE_HELD.replace("FOR NO KEY UPDATE", "FOR NO KEY UPDATE SKIP LOCKED")

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
