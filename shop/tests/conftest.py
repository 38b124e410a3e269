"""What the shop's tests have at hand: products of alice's, bob who buys, and the invariant of every read."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from mesh.stores.postgres import fetch
from mesh.testing import Answered, Api
from mesh.tests.jobs import run_jobs
from shop import stripe_payments
from shop.models import Payment
from shop.tests.stripe_server import KEY, WEBHOOK_SECRET, Stripe, running, signed

_OUT_OF_BALANCE = """
SELECT p.id, p.stock, p.reserved, p.sold, p.received, l.received, l.sold, l.held FROM shop_product p
CROSS JOIN LATERAL (
    SELECT coalesce(sum(quantity) FILTER (WHERE kind IN ('received', 'adjusted')), 0) AS received,
        coalesce(sum(quantity) FILTER (WHERE kind = 'sold'), 0) AS sold,
        coalesce(sum(quantity) FILTER (WHERE kind = 'reserved' AND NOT EXISTS (
            SELECT 1 FROM shop_stockmovement o WHERE o.line_id = m.line_id AND o.kind IN ('released', 'sold'))), 0)
        AS held
    FROM shop_stockmovement m WHERE m.product_id = p.id
) AS l
WHERE p.stock + p.reserved + p.sold <> p.received OR least(p.stock, p.reserved, p.sold) < 0
    OR l.received <> p.received OR l.sold <> p.sold OR l.held <> p.reserved
"""


def out_of_balance() -> list[Any]:
    """The products whose counters are not what the ledger says, or do not add up."""
    return fetch(_OUT_OF_BALANCE)


@pytest.fixture
def product(alice) -> Callable[..., int]:
    """Makes products of alice's, by default with ten in stock; their ids."""
    made = 0

    def make(stock: int = 10, price_cents: int = 1999, **fields: Any) -> int:
        nonlocal made
        made += 1
        data = {"sku": f"SKU-{made}", "name": f"Shirt {made}", "price_cents": price_cents, "stock": stock}
        answer = alice.api.post("/products", data | fields)
        assert answer.status == 201, answer
        return int(answer.json["id"])

    return make


def order(buyer: Any, *lines: tuple[int, int], **headers: str) -> Answered:
    """An order of `(product, quantity)`s."""
    items = [{"product_id": product, "quantity": quantity} for product, quantity in lines]
    return buyer.api.post("/orders", {"items": items}, **headers)


def reserve() -> None:
    run_jobs("reserve_stock")


def reserved(buyer: Any, *lines: tuple[int, int]) -> int:
    """The id of an order that holds its stock."""
    placed = order(buyer, *lines)
    assert placed.status == 201, placed
    reserve()
    assert buyer.api.get(f"/orders/{placed.json['id']}").json["status"] == "RESERVED"
    return int(placed.json["id"])


def counters(owner: Any, product: int) -> tuple[int, int, int, int]:
    """`(stock, reserved, sold, received)` as the product's owner reads them."""
    found = owner.api.get(f"/products/{product}").json
    return found["stock"], found["reserved"], found["sold"], found["received"]


@pytest.fixture
def stripe(settings, monkeypatch) -> Iterator[Stripe]:
    """Payments go to a local Stripe; the library does not ask it again by itself."""
    monkeypatch.setattr(stripe_payments, "RETRIES", 0)
    with running() as server:
        settings.PAYMENTS = "stripe"
        settings.STRIPE_SECRET_KEY, settings.STRIPE_WEBHOOK_SECRET = KEY, WEBHOOK_SECRET
        settings.STRIPE_API_BASE = server.url
        yield server


def pay(buyer: Any, order: int) -> None:
    """Begins the payment of an order at Stripe."""
    answer = buyer.api.post(f"/orders/{order}/pay")
    assert answer.status == 200, answer
    run_jobs("follow_payment")


def deliver(body: str, signature: str | None = None, path: str = "/payments/stripe/webhook") -> Answered:
    """A message of Stripe's, as it reaches the webhook."""
    signature = signed(body) if signature is None else signature
    return Api(mount="").request("POST", path, body.encode(), Stripe_Signature=signature)


def payment_of(order: int) -> Payment:
    """An order's latest payment."""
    found = Payment.objects.filter(order=order).order_by("-pk").first()
    assert found is not None
    return found


def status_of(buyer: Any, order: int) -> str:
    return str(buyer.api.get(f"/orders/{order}").json["status"])
