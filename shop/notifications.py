"""The mails of the shop: to buyers about their orders, and to owners about products that run low."""

from collections.abc import Callable, Sequence
from enum import StrEnum
from functools import cache, partial
from typing import Any
from uuid import uuid4

from django.conf import settings

from accounts.models import MailKind
from mesh import Service
from mesh.mail.messages import in_words
from shop.models import Order, OrderLine, Product


class News(StrEnum):
    """What a mail to a buyer says about an order."""

    RECEIVED = "received"
    RESERVED = "reserved"
    FAILED = "failed"
    PAID = "paid"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    REFUNDED = "refunded"


def tell_buyers(service: Service, ids: Sequence[int], news: News) -> None:
    """Writes a mail to the buyer of each of these orders, once for each order and kind of news."""
    if not ids:
        return
    addresses = Order.objects.filter(pk__in=ids).order_by("pk").values_list("pk", "buyer__email")
    orders = cache(lambda: Order.objects.prefetch_related("lines").in_bulk(ids))  # read only if a mail is wanted
    for pk, email in addresses:
        service.mail(
            to=email,
            kind=MailKind.ORDERS,
            template="shop/order",
            context=partial(_context, orders, pk, news),
            key=f"order:{pk}:{news}",
        )


def _context(orders: Callable[[], dict[int, Order]], pk: int, news: News) -> dict[str, Any]:
    order, (headline, text) = orders()[pk], _TEXTS[news]
    return {
        "headline": f"Order {order.pk} {headline}",
        "words": text(order),
        "lines": [
            {"name": line.name, "quantity": line.quantity, "price": money(line.quantity * line.price_cents)}
            for line in order.lines.all()
        ],
        "total": money(order.total_cents),
    }


def tell_low_stock(service: Service, product_ids: Sequence[int]) -> None:
    """Writes a mail to the owners of these products: the stock fell to the limit that they set."""
    if not product_ids:
        return
    for product in Product.objects.filter(pk__in=product_ids).select_related("owner").order_by("pk"):
        service.mail(
            to=product.owner.email,
            kind=MailKind.LOW_STOCK,
            template="shop/low_stock",
            context={"product": product},
            key=f"low_stock:{product.pk}:{uuid4().hex}",
        )


def money(cents: int) -> str:
    """Formats an amount in hundredths of the currency: `1,234.50 EUR`."""
    return f"{cents // 100:,}.{cents % 100:02} {settings.CURRENCY}"


def _reserved_text(order: Order) -> str:
    until = f" until {in_words(order.reserved_until)}" if order.reserved_until else ""
    return f"Everything you ordered is set aside for you{until}. Pay the order to keep it."


def _failed_text(order: Order) -> str:
    failure = order.failure or {}
    lines: dict[int, OrderLine] = {line.product_id: line for line in order.lines.all()}
    short = lines.get(failure.get("product_id", 0))
    if short is None:
        return "It could not be filled, and nothing was taken."
    return (
        f"Of {short.name} you ordered {failure['requested']}, and only {failure['available']} are left."
        " Nothing of your order was taken."
    )


_TEXTS: dict[News, tuple[str, Callable[[Order], str]]] = {
    News.RECEIVED: (
        "is received",
        lambda order: "Thank you. You will hear from us once it is set aside for you.",
    ),
    News.RESERVED: ("is reserved", _reserved_text),
    News.FAILED: ("could not be filled", _failed_text),
    News.PAID: ("is paid", lambda order: "Thank you for your payment."),
    News.CANCELLED: ("is cancelled", lambda order: "Nothing of it is held for you any more."),
    News.EXPIRED: (
        "has expired",
        lambda order: "It was not paid in time. What was set aside is free again.",
    ),
    News.REFUNDED: (
        "has a refund",
        lambda order: "A payment could not be used for it, and was sent back in full. Banks may take some days.",
    ),
}
