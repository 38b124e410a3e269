"""Products from a sheet: all of its errors, or all of its rows, written in a handful of statements."""

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
    """Writes the products of a sheet as this actor. Raises Invalid, with an error for each cell that is wrong."""
    errors: list[FieldError] = []
    rows = [(row, row.cells.get("sku", "").strip()) for row in sheets.rows(csv, COLUMNS, "sku", errors, more=MORE)]
    errors += [repeated(line, first) for line, first in sheets.repeats((row.line, sku) for row, sku in rows)]
    skus = {sku for _, sku in rows}
    mine = _locked(actor, skus)
    # One of the actor's that somebody has just made is not among the others': it ends at the unique constraint.
    taken = Product.objects.filter(sku__in=skus - mine.keys())
    others = set(taken.exclude(pk__in=taken.changeable_by(actor).values("pk")).values_list("sku", flat=True))
    foreign = "There is already a product with this SKU, and it is not yours."
    errors += [fault(foreign, row.line, "sku") for row, sku in rows if sku in others]
    found = [(mine.get(sku), row.cells, partial(_faults, row.line)) for row, sku in rows]
    return _write(actor, sheets.checked(found, ProductIn, ProductPatch, errors))


def _faults(line: int, error: ValidationError) -> list[FieldError]:
    return field_errors(error, "body", "csv", line)


def repeated(line: int, first: int) -> FieldError:
    return fault(f"Line {first} has this SKU too.", line, "sku", type="repeated")


def _locked(actor: Actor, skus: set[str]) -> dict[str, Product]:
    """The actor's products with these SKUs, locked in the order of their keys."""
    rows = Product.objects.changeable_by(actor).filter(sku__in=skus).order_by("pk").select_for_update(no_key=True)
    return {product.sku: product for product in rows}


def _write(actor: Actor, rows: list[tuple[Product | None, ProductIn]]) -> Imported[Product]:
    new = [data for product, data in rows if product is None]
    require_room(Product, actor.id, len(new))
    done = Imported(_create(actor, new))
    adjusted: dict[int, int] = {}
    changed: list[Product] = []
    for product, data in rows:
        if product is None:
            continue
        fields = data.sent()
        delta = fields.pop("stock", product.stock) - product.stock
        differs = any(getattr(product, name) != value for name, value in fields.items())
        (done.updated if differs or delta else done.unchanged).append(product)
        if delta:
            adjusted[product.pk] = delta
        if differs:
            changed.append(product)
            product.assign(fields)
    if changed:
        fetch(_UPDATE, [[product.pk for product in changed], *_columns_of(changed)])
    stock.receive(adjusted, MovementKind.ADJUSTED)
    return done


def _create(actor: Actor, new: list[ProductIn]) -> list[Product]:
    """New products, in the order of their SKUs, so that two who import the same ones do not wait in a circle."""
    if not new:
        return []
    received = {data.sku: data.stock for data in new if data.stock}
    created = fetch(_INSERT, [actor.id, [data.sku for data in new], *_columns_of(new)])
    stock.receive({id: received[sku] for id, sku in created if sku in received}, MovementKind.RECEIVED)
    return [Product(pk=id, sku=sku, owner_id=actor.id) for id, sku in created]


def _columns_of(rows: Sequence[Product | ProductIn]) -> list[list[Any]]:
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
