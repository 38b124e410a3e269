"""The input and output schemas of the shop."""

from typing import Annotated, Any, Literal

from django.db.models import F, Q, Value
from django.db.models.expressions import ExpressionWrapper
from django.db.models.fields import BooleanField, CharField
from django.db.models.functions import NullIf
from pydantic import BeforeValidator, Field

from accounts.schemas import PersonOut
from mesh import Column, Id, In, Out, Time, text
from mesh.formats.sheets import MAX_SHEET
from shop.models import (
    MAX_LINES,
    MAX_PRICE,
    MAX_QUANTITY,
    MAX_STOCK,
    CancelReason,
    MovementKind,
    OrderStatus,
    PaymentStatus,
)

Count = Annotated[int, Field(ge=0, le=MAX_STOCK)]


def _strip_plus(value: Any) -> Any:
    """Strips the blank that an unescaped `+` in a query string becomes."""
    return value.strip() if isinstance(value, str) else value


Delta = Annotated[
    int,
    Field(ge=-MAX_STOCK, le=MAX_STOCK, description="How many units to add, or to take off if negative.", examples=[-3]),
    BeforeValidator(_strip_plus),
]


Arrived = Annotated[int, Field(ge=1, le=MAX_STOCK, description="How many units have arrived.", examples=[12])]
ProductId = Annotated[Id, Field(description="The product's id, from list_products.")]
OrderId = Annotated[Id, Field(description="The order's id, from list_orders.")]
_WITH_STATUS = "Only orders with this status."
WithStatus = Annotated[OrderStatus | None, Field(description=_WITH_STATUS)]
_PRICE = "The price of one unit, in hundredths of the currency: 1999 is 19.99."


class ProductIn(In):
    """A new product."""

    sku: Annotated[str, text(1, 64)] = Field(
        description="The article number; no two products have the same.", examples=["TS-1"]
    )
    name: Annotated[str, text(1, 200)] = Field(description="What the product is called.", examples=["T-Shirt"])
    description: Annotated[str, text(0, 5000)] = Field("", description="More about it, as plain text.")
    price_cents: int = Field(ge=0, le=MAX_PRICE, description=_PRICE, examples=[1999])
    stock: Count = Field(0, description="How many units can be ordered.", examples=[10])
    low_stock_at: Count | None = Field(
        None,
        description="Its creator gets a mail when orders bring the stock down to this number; null: never.",
        examples=[3],
    )


class ProductPatch(ProductIn, partial=True):
    """The changes to a product; fields that are not sent stay as they are."""


class ProductSheet(In):
    """Products as CSV."""

    csv: Annotated[str, text(0, MAX_SHEET, strip=False)] = Field(
        description="The whole sheet as text, its header first; at most 10,000 rows.",
        examples=["sku,name,price_cents\nTS-1,T-Shirt,1999\n"],
    )


class ProductFilters(In):
    """Which products to list."""

    in_stock: bool | None = Field(None, description="True: only products in stock; false: only those out of stock.")


class ProductOut(Out):
    """A product, as everyone sees it."""

    id: int
    sku: str
    name: str
    description: str
    price_cents: int = Field(description=_PRICE)
    stock: int = Field(description="How many units can be ordered.")
    archived: Annotated[bool, Column(ExpressionWrapper(Q(archived_at__isnull=False), output_field=BooleanField()))] = (
        Field(description="Whether it can no longer be ordered.")
    )
    created_at: Time
    updated_at: Time


class StockedProductOut(ProductOut):
    """A product with its counters: `stock + reserved + sold = received`."""

    reserved: int = Field(description="How many units are held for orders that are not paid yet.")
    sold: int = Field(description="How many units were paid.")
    received: int = Field(description="How many units ever came, with all adjustments.")
    low_stock_at: int | None = Field(description="At which stock its creator gets a mail; null: never.")
    owner_id: int = Field(description="The id of the user who created it.")


class MovementOut(Out):
    """One row of a product's ledger."""

    id: int
    kind: MovementKind
    quantity: int = Field(description="How many units; negative only for an adjustment that took some off.")
    order_id: Annotated[int | None, Column(F("line__order_id"))] = Field(
        description="For which order; null if they were received or adjusted."
    )
    at: Time = Field(description="When it was recorded.")


class OrderFilters(In):
    """Which orders to export."""

    status: OrderStatus | None = Field(None, description=_WITH_STATUS)
    from_: Time | None = Field(
        None, alias="from", description="Only orders placed at this time or later, in UTC unless it has an offset."
    )
    to: Time | None = Field(
        None, description="Only orders placed at this time or earlier, in UTC unless it has an offset."
    )


class OrderItemIn(In):
    """A product and how many of it."""

    product_id: Id = Field(description="What to order: an id from list_products.", examples=[1])
    quantity: int = Field(ge=1, le=MAX_QUANTITY, description="How many units of it.", examples=[2])


class OrderIn(In):
    """A new order."""

    items: list[OrderItemIn] = Field(
        min_length=1,
        max_length=MAX_LINES,
        description="What to order; if a product is listed twice, its quantities are added up.",
    )


class OrderItemOut(Out):
    """One line of an order, as the product was when it was placed."""

    product_id: int
    sku: str
    name: str
    quantity: int
    price_cents: int = Field(description=_PRICE)


class FailureOut(Out):
    """Why an order failed: the first line that was short of stock."""

    code: Literal["shop.out_of_stock"]
    product_id: int
    requested: int = Field(description="How many units the order wants.")
    available: int = Field(description="How many units there were.")


class OrderOut(Out):
    """An order with its lines."""

    id: int
    status: OrderStatus = Field(
        description="`PENDING`: waits for its stock. `RESERVED`: holds it until `reserved_until`. `CONFIRMED`: holds it"
        " until it is paid or cancelled. `FAILED`: there was not enough stock."
    )
    buyer: PersonOut = Field(description="The user who placed it.")
    items: Annotated[list[OrderItemOut], Column("lines")]
    total_cents: int = Field(description="The sum of all lines, in hundredths of the currency.")
    reserved_until: Time | None = Field(
        description="When a `RESERVED` order is cancelled if it is not paid; else null."
    )
    failure: FailureOut | None = Field(description="Only of a `FAILED` order.")
    cancel_reason: CancelReason | None = Field(
        description="Only of a `CANCELLED` order: by somebody, or because it was not paid in time."
    )
    created_at: Time
    updated_at: Time


class PaymentOut(Out):
    """A payment of an order at a payment provider."""

    id: int
    status: PaymentStatus
    provider: str = Field(description="The payment provider that collects the money.", examples=["stripe"])
    amount_cents: int = Field(description="The amount, in hundredths of the currency.")
    currency: str = Field(description="The ISO 4217 code, in lower case.", examples=["eur"])
    client_secret: Annotated[str | None, Column(Value(None, CharField()))] = Field(
        description="With it the buyer's browser pays at the provider. Only the buyer sees it, while it can be used."
    )
    error: Annotated[str | None, Column(NullIf(F("error"), Value("")))] = Field(
        description="Why the last attempt failed; null if it did not."
    )
    created_at: Time
    updated_at: Time


class BuyersPaymentOut(PaymentOut):
    """A payment as the order's buyer sees it."""

    client_secret: Annotated[str | None, Column(NullIf(F("client_secret"), Value("")))]
