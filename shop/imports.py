"""Imports products from CSV: writes all rows in a handful of statements, or reports all errors and writes nothing."""

from collections.abc import Sequence
from functools import partial
from typing import Any

from pydantic import ValidationError

from mesh import Actor
from mesh.errors import FieldError, field_errors
from mesh.execution.quotas import require_room
from mesh.formats import sheets
from mesh.formats.sheets import Imported, fault
from mesh.stores.postgres import fetch
from shop import stock
from shop.models import MovementKind, Product
from shop.schemas import ProductIn, ProductPatch

COLUMNS = tuple(ProductIn.model_fields)
MORE = "For more: ./run manage import_products FILE --as EMAIL."


def run(actor: Actor, csv: str) -> Imported[Product]:
    """Creates and updates products as this actor. Raises Invalid, with an error for each invalid cell."""
    errors: list[FieldError] = []
    rows = [(row, row.cells.get("sku", "").strip()) for row in sheets.rows(csv, COLUMNS, "sku", errors, more=MORE)]
    errors += [repeated(line, first) for line, first in sheets.repeats((row.line, sku) for row, sku in rows)]
    skus = {sku for _, sku in rows}
    own = _lock_products(actor, skus)
    # A product of the actor's that another transaction has just created is excluded: the unique constraint refuses it.
    rest = Product.objects.filter(sku__in=skus - own.keys())
    foreign_skus = set(rest.exclude(pk__in=rest.changeable_by(actor).values("pk")).values_list("sku", flat=True))
    message = "There is already a product with this SKU, and it is not yours."
    errors += [fault(message, row.line, "sku") for row, sku in rows if sku in foreign_skus]
    pairs = [(own.get(sku), row.cells, partial(_field_errors, row.line)) for row, sku in rows]
    return _write(actor, sheets.checked(pairs, ProductIn, ProductPatch, errors))


def _field_errors(line: int, error: ValidationError) -> list[FieldError]:
    return field_errors(error, "body", "csv", line)


def repeated(line: int, first: int) -> FieldError:
    return fault(f"Line {first} has this SKU too.", line, "sku", type="repeated")


def _lock_products(actor: Actor, skus: set[str]) -> dict[str, Product]:
    """Locks the actor's products with these SKUs, in the order of their ids; returns them by SKU."""
    rows = Product.objects.changeable_by(actor).filter(sku__in=skus).order_by("pk").select_for_update(no_key=True)
    return {product.sku: product for product in rows}


def _write(actor: Actor, rows: list[tuple[Product | None, ProductIn]]) -> Imported[Product]:
    new = [data for product, data in rows if product is None]
    require_room(Product, actor.id, len(new))
    result = Imported(_create(actor, new))
    adjusted: dict[int, int] = {}
    changed: list[Product] = []
    for product, data in rows:
        if product is None:
            continue
        fields = data.sent()
        delta = fields.pop("stock", product.stock) - product.stock
        differs = any(getattr(product, name) != value for name, value in fields.items())
        (result.updated if differs or delta else result.unchanged).append(product)
        if delta:
            adjusted[product.pk] = delta
        if differs:
            changed.append(product)
            product.assign(fields)
    if changed:
        fetch(_UPDATE, [[product.pk for product in changed], *_column_values(changed)])
    stock.receive(adjusted, MovementKind.ADJUSTED)
    return result


def _create(actor: Actor, new: list[ProductIn]) -> list[Product]:
    """Inserts products in the order of their SKUs, so that two imports of the same SKUs cannot deadlock."""
    if not new:
        return []
    received = {data.sku: data.stock for data in new if data.stock}
    created = fetch(_INSERT, [actor.id, [data.sku for data in new], *_column_values(new)])
    stock.receive({id: received[sku] for id, sku in created if sku in received}, MovementKind.RECEIVED)
    return [Product(pk=id, sku=sku, owner_id=actor.id) for id, sku in created]


def _column_values(rows: Sequence[Product | ProductIn]) -> list[list[Any]]:
    return [[getattr(row, name) for row in rows] for name in ("name", "description", "price_cents", "low_stock_at")]


_INSERT = """
INSERT INTO shop_product (owner_id, sku, name, description, price_cents, low_stock_at,
    stock, reserved, sold, received, low_stock_told)
SELECT %s, new.*, 0, 0, 0, 0, false
FROM unnest(%s::text[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
    AS new (sku, name, description, price_cents, low_stock_at)
ORDER BY sku RETURNING id, sku
"""

_UPDATE = """
UPDATE shop_product p SET name = new.name, description = new.description, price_cents = new.price_cents,
    low_stock_at = new.low_stock_at,
    low_stock_told = p.low_stock_told AND p.low_stock_at IS NOT DISTINCT FROM new.low_stock_at,
    updated_at = statement_timestamp()
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::bigint[], %s::bigint[])
    AS new (id, name, description, price_cents, low_stock_at)
WHERE p.id = new.id
"""
