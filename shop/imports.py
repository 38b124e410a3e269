"""Products from a sheet: all of its errors, or all of its rows, written in a handful of statements."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError

from mesh import Actor, sheets
from mesh.database import fetch
from mesh.errors import FieldError, Invalid, field_errors
from mesh.sheets import Record
from shop import stock
from shop.models import MovementKind, Product
from shop.schemas import ProductIn, ProductPatch

COLUMNS = tuple(ProductIn.model_fields)
MAX_ROWS = 10_000
MORE = "For more: ./run manage import_products FILE --as EMAIL."


@dataclass(frozen=True)
class _Row:
    """A product as the sheet has it: its cells that are not blank, by column."""

    line: int
    cells: dict[str, str]

    @property
    def sku(self) -> str:
        return self.cells.get("sku", "").strip()


@dataclass
class Imported:
    """What became of the rows."""

    created: list[Product] = field(default_factory=list)
    updated: list[Product] = field(default_factory=list)
    unchanged: list[Product] = field(default_factory=list)


def run(actor: Actor, csv: str) -> Imported:
    """Writes the products of a sheet as this actor. Raises Invalid, with an error for each cell that is wrong."""
    errors: list[FieldError] = []
    rows = list(_rows(csv, errors))
    _find_repeated(rows, errors)
    skus = {row.sku for row in rows}
    mine = _locked(actor, skus)
    # One of the actor's that somebody has just made is not among the others': it ends at the unique constraint.
    taken = Product.objects.filter(sku__in=skus - mine.keys())
    others = set(taken.exclude(pk__in=taken.changeable_by(actor).values("pk")).values_list("sku", flat=True))
    wanted: list[tuple[Product | None, ProductIn]] = []
    for row in rows:
        product = mine.get(row.sku)
        if row.sku in others:
            errors.append(fault("There is already a product with this SKU, and it is not yours.", row.line, "sku"))
        try:
            wanted.append((product, (ProductPatch if product else ProductIn).model_validate(row.cells)))
        except ValidationError as error:
            errors += field_errors(error, "body", "csv", row.line)
    if errors:
        raise Invalid(sorted(errors, key=line_of))
    return _write(actor, wanted)


def fault(msg: str, *place: int | str, type: str = "value_error") -> FieldError:
    """What is wrong with a line, or with one of its cells."""
    return {"loc": ["body", "csv", *place], "msg": msg, "type": type}


def line_of(error: FieldError) -> list[Any]:
    """The line on which it is; empty for what concerns all of them."""
    return error["loc"][2:3]


def _rows(csv: str, errors: list[FieldError]) -> Iterator[_Row]:
    found = sheets.records(sheets.lines_of(csv))
    columns = _columns(next(found))
    for number, record in enumerate((record for record in found if not record.is_blank), 1):
        if number > MAX_ROWS:
            errors.append(fault(f"A sheet may have {MAX_ROWS:,} rows at most. {MORE}"))
            return
        if record.fault:
            errors.append(fault(record.fault, record.line))
        elif len(record.cells) != len(columns):
            said = f"A row has {len(columns)} cells, as the header has; here are {len(record.cells)}."
            errors.append(fault(said, record.line))
        else:
            cells = zip(columns, map(sheets.value_of, record.cells), strict=True)
            yield _Row(record.line, {column: cell for column, cell in cells if cell.strip()})


def _columns(header: Record) -> list[str]:
    """The names in the header. Raises Invalid, as without them no cell can be understood."""
    columns = [cell.strip() for cell in header.cells]
    errors = [fault(header.fault, 1)] if header.fault else []
    for place, name in enumerate(columns):
        if name not in COLUMNS:
            errors.append(fault(f"Unknown column; the columns are {', '.join(COLUMNS)}.", 1, name[:100]))
        elif name in columns[:place]:
            errors.append(fault("The column is there twice.", 1, name))
    if "sku" not in columns and not errors:
        errors.append(fault(f"The first line must name the columns, of {', '.join(COLUMNS)}; sku must be one.", 1))
    if errors:
        raise Invalid(errors)
    return columns


def _find_repeated(rows: list[_Row], errors: list[FieldError]) -> None:
    first: dict[str, int] = {}
    errors += [
        repeated(row.line, first[row.sku])
        for row in rows
        if row.sku and first.setdefault(row.sku, row.line) != row.line
    ]


def repeated(line: int, first: int) -> FieldError:
    return fault(f"Line {first} has this SKU too.", line, "sku", type="repeated")


def _locked(actor: Actor, skus: set[str]) -> dict[str, Product]:
    """The actor's products with these SKUs, locked in the order of their keys."""
    rows = Product.objects.changeable_by(actor).filter(sku__in=skus).order_by("pk").select_for_update(no_key=True)
    return {product.sku: product for product in rows}


def _write(actor: Actor, wanted: list[tuple[Product | None, ProductIn]]) -> Imported:
    done = Imported(_create(actor, [data for product, data in wanted if product is None]))
    adjusted: dict[int, int] = {}
    changed: list[Product] = []
    for product, data in wanted:
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
            for name, value in fields.items():
                setattr(product, name, value)
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
