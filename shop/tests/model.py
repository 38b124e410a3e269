"""The shop in plain Python, without a database: what the counters, the ledger and the orders should be."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stocked:
    """A product."""

    id: int
    owner: str
    stock: int = 0
    reserved: int = 0
    sold: int = 0
    received: int = 0
    archived: bool = False

    def may_change(self, who: str) -> bool:
        return who in ("ada", self.owner)


@dataclass
class Ordered:
    """An order; its lines by their products' ids."""

    id: int
    buyer: str
    lines: list[tuple[Stocked, int]]
    status: str = "PENDING"
    failure: dict[str, Any] | None = None
    overdue: bool = False
    expired: bool = False

    @property
    def seller(self) -> str | None:
        owners = {product.owner for product, _ in self.lines}
        return owners.pop() if len(owners) == 1 else None

    def may(self, who: str, verb: str) -> bool:
        """Whether they may confirm, pay or cancel it, where payments are manual."""
        return who in {"confirm": ("ada",), "pay": ("ada", self.seller), "cancel": ("ada", self.buyer)}[verb]

    def is_seen_by(self, who: str) -> bool:
        return who in ("ada", self.buyer, self.seller)

    @property
    def is_over(self) -> bool:
        return self.status in ("FAILED", "PAID", "CANCELLED")


@dataclass
class Model:
    """Products, orders, and the ledger: how often each `(product, order, kind, quantity)` was written."""

    products: list[Stocked] = field(default_factory=list)
    orders: list[Ordered] = field(default_factory=list)
    ledger: Counter[tuple[int, int | None, str, int]] = field(default_factory=Counter)

    def receive(self, product: Stocked, units: int, kind: str) -> None:
        product.stock += units
        product.received += units
        if units:
            self.ledger[product.id, None, kind, units] += 1

    def place(self, id: int, buyer: str, lines: list[tuple[Stocked, int]]) -> None:
        wanted: Counter[int] = Counter()
        for product, quantity in lines:
            wanted[product.id] += quantity
        products = {product.id: product for product, _ in lines}
        self.orders.append(Ordered(id, buyer, [(products[id], wanted[id]) for id in sorted(wanted)]))

    def reserve(self, most: int) -> None:
        for order in [order for order in self.orders if order.status == "PENDING"][:most]:
            short = next(((product, wanted) for product, wanted in order.lines if wanted > product.stock), None)
            if short is None:
                order.status = "RESERVED"
                self._move(order, "reserved", "stock", "reserved")
            else:
                product, wanted = short
                order.status = "FAILED"
                order.failure = {
                    "code": "shop.out_of_stock",
                    "product_id": product.id,
                    "requested": wanted,
                    "available": product.stock,
                }

    def confirm(self, order: Ordered) -> None:
        order.status = "CONFIRMED"

    def pay(self, order: Ordered) -> None:
        order.status = "PAID"
        self._move(order, "sold", "reserved", "sold")

    def cancel(self, order: Ordered) -> None:
        if order.status != "PENDING":
            self._move(order, "released", "reserved", "stock")
        order.status = "CANCELLED"

    def expire(self) -> None:
        for order in self.orders:
            if order.overdue and order.status == "RESERVED":
                self.cancel(order)
                order.expired = True

    def pay_late(self, order: Ordered) -> bool:
        enough = all(quantity <= product.stock for product, quantity in order.lines)
        if enough:
            order.status, order.expired = "PAID", False
            self._move(order, "sold", "stock", "sold")
        return enough

    def _move(self, order: Ordered, kind: str, source: str, target: str) -> None:
        for product, quantity in order.lines:
            self.ledger[product.id, order.id, kind, quantity] += 1
            setattr(product, source, getattr(product, source) - quantity)
            setattr(product, target, getattr(product, target) + quantity)
