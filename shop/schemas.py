"""What goes in and out of the shop."""

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


def _signed(value: Any) -> Any:
    """A `+` that was not escaped in a query string arrives as a blank."""
    return value.strip() if isinstance(value, str) else value


Delta = Annotated[
    int,
    Field(ge=-MAX_STOCK, le=MAX_STOCK, description="Units that came (+) or went (-).", examples=[-3]),
    BeforeValidator(_signed),
]


Arrived = Annotated[int, Field(ge=1, le=MAX_STOCK, description="Units that arrived.", examples=[12])]


class ProductIn(In):
    """A new product."""

    sku: Annotated[str, text(1, 64)] = Field(description="Its number, of which there is only one.", examples=["TS-1"])
    name: Annotated[str, text(1, 200)] = Field(examples=["T-Shirt"])
    description: Annotated[str, text(0, 5000)] = ""
    price_cents: int = Field(ge=0, le=MAX_PRICE, examples=[1999])
    stock: Count = Field(0, description="How many can be ordered.", examples=[10])
    low_stock_at: Count | None = Field(
        None, description="You are mailed when the stock falls to this or below.", examples=[3]
    )


class ProductPatch(ProductIn, partial=True):
    """What of a product changes. Another `stock` is an adjustment to that number."""


class ProductSheet(In):
    """Products as CSV."""

    csv: Annotated[str, text(0, MAX_SHEET, strip=False)] = Field(examples=["sku,name,price_cents\nTS-1,T-Shirt,1999\n"])


class ProductFilters(In):
    """Which products."""

    in_stock: bool | None = Field(None, description="Only those of which some are left, or of which none is.")


class ProductOut(Out):
    """A product, as everyone sees it."""

    id: int
    sku: str
    name: str
    description: str
    price_cents: int
    stock: int = Field(description="How many can be ordered.")
    archived: Annotated[bool, Column(ExpressionWrapper(Q(archived_at__isnull=False), output_field=BooleanField()))]
    created_at: Time
    updated_at: Time


class StockedProductOut(ProductOut):
    """A product, as its creator and the ADMIN see it: `stock + reserved + sold = received`."""

    reserved: int = Field(description="How many are held for orders.")
    sold: int
    received: int = Field(description="How many ever came, adjustments counted.")
    low_stock_at: int | None
    owner_id: int


class MovementOut(Out):
    """One row of a product's ledger."""

    id: int
    kind: MovementKind
    quantity: int = Field(description="Positive; of an adjustment signed.")
    order_id: Annotated[int | None, Column(F("line__order_id"))]
    at: Time


class OrderFilters(In):
    """Which orders."""

    status: OrderStatus | None = None
    from_: Time | None = Field(None, alias="from", description="Those that were placed at this time or later.")
    to: Time | None = Field(None, description="Those that were placed at this time or earlier.")


class OrderItemIn(In):
    """How many of which product."""

    product_id: Id = Field(examples=[1])
    quantity: int = Field(ge=1, le=MAX_QUANTITY, examples=[2])


class OrderIn(In):
    """A new order."""

    items: list[OrderItemIn] = Field(
        min_length=1, max_length=MAX_LINES, description="A product that is named twice is ordered once, in sum."
    )


class OrderItemOut(Out):
    """One product of an order, at its price when the order was placed."""

    product_id: int
    sku: str
    name: str
    quantity: int
    price_cents: int


class FailureOut(Out):
    """Why an order failed: the first of its lines that could not be had."""

    code: Literal["shop.out_of_stock"]
    product_id: int
    requested: int
    available: int


class OrderOut(Out):
    """An order."""

    id: int
    status: OrderStatus
    buyer: PersonOut
    items: Annotated[list[OrderItemOut], Column("lines")]
    total_cents: int
    reserved_until: Time | None = Field(description="Until when an unpaid order holds its stock.")
    failure: FailureOut | None
    cancel_reason: CancelReason | None
    created_at: Time
    updated_at: Time


class PaymentOut(Out):
    """A payment of an order at a payment provider."""

    id: int
    status: PaymentStatus
    provider: str
    amount_cents: int
    currency: str
    client_secret: Annotated[str | None, Column(Value(None, CharField()))] = Field(
        description="With it the buyer's page pays at the provider: only the buyer sees it, while it can be used."
    )
    error: Annotated[str | None, Column(NullIf(F("error"), Value("")))] = Field(
        description="Why the last try did not succeed."
    )
    created_at: Time
    updated_at: Time


class BuyersPaymentOut(PaymentOut):
    """A payment as the order's buyer sees it."""

    client_secret: Annotated[str | None, Column(NullIf(F("client_secret"), Value("")))]
