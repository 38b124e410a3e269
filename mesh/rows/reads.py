"""Rows to JSON: reads a queryset as a schema, encoded, without model instances.

The schema's columns are compiled once into a projection; the queryset only chooses the rows. A read takes one
statement, and one more for each nested list.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from itertools import accumulate, takewhile
from typing import Any, NamedTuple, TypeVar, cast, get_args, get_origin

import msgspec
from django.db import connection
from django.db.models import ForeignObjectRel, JSONField, Model, QuerySet, TextField
from django.db.models.expressions import Combinable
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from mesh.declarations.cursors import Cursor
from mesh.declarations.schemas import PageParams, column_of
from mesh.rows.encoded import Encoded
from mesh.rows.visibility import statement_for_ids
from mesh.stores.postgres import Row, fetch

M = TypeVar("M", bound=Model)

_encode = msgspec.json.Encoder().encode

MAX_PAGE_BYTES = 1024 * 1024  # bytes of rows in a page; a page that would be larger ends early
MAX_COUNT = 10_000  # items of a list that are counted
_WIDE = 10_000  # characters; texts that may be longer are measured before they are read


class _Object(NamedTuple):
    """A nested object: the range of its columns among the row's values."""

    start: int
    stop: int
    struct: type[msgspec.Struct]


class _List(NamedTuple):
    """A nested list: its position among the row's values, and the projection of its rows."""

    position: int
    projection: "_Projection"


@dataclass(frozen=True)
class _Projection:
    """`SELECT key, columns… FROM model` for a schema, and how a row becomes the struct that is encoded.

    `key` is the column by which rows are selected: the primary key, or in a nested list the key of the outer row.
    """

    select: str
    params: Row
    key: str
    primary_key: str
    struct: type[msgspec.Struct]
    objects: tuple[_Object, ...]
    lists: tuple[_List, ...]
    #: The columns of long texts, as SQL.
    wide: tuple[str, ...]

    @property
    def table(self) -> str:
        return self.primary_key.partition(".")[0]

    def structs(self, rows: list[Row], width: int = 1) -> list[msgspec.Struct]:
        """The rows as structs, without their first `width` values, with nested objects and lists in place."""
        if not self.objects and not self.lists:
            return [self.struct(*row[width:]) for row in rows]
        nested = [
            (position, projection.by_key([row[width - 1] for row in rows])) for position, projection in self.lists
        ]
        return [self._struct(row, width, nested) for row in rows]

    def _struct(
        self, row: Row, width: int, nested: list[tuple[int, dict[int, list[msgspec.Struct]]]]
    ) -> msgspec.Struct:
        values = list(row[width:])
        for start, stop, struct in self.objects:
            values[start:stop] = [None if values[start] is None else struct(*values[start:stop])]
        for position, by_owner in nested:
            values.insert(position, by_owner.get(row[width - 1], []))
        return self.struct(*values)

    def by_key(self, keys: list[int]) -> dict[int, list[msgspec.Struct]]:
        by_key: dict[int, list[msgspec.Struct]] = defaultdict(list)
        if keys:
            rows = fetch(f"{self.select} WHERE {self.key} = ANY(%s) ORDER BY {self.primary_key}", (*self.params, keys))
            for row, struct in zip(rows, self.structs(rows), strict=True):
                by_key[row[0]].append(struct)
        return by_key


def read_row(model: type[Model], schema: type[BaseModel], pk: int) -> Encoded | None:
    """The row with this primary key, encoded; does not check visibility."""
    projection = _projection(model, schema)
    return _one(projection, f"{projection.key} = %s", (pk,))


def read_one(rows: QuerySet[Any], schema: type[BaseModel], pk: int | None = None) -> Encoded | None:
    """The one of `rows` with this primary key (or the only one), encoded; None if there is none."""
    ids, params = statement_for_ids(rows)
    if not ids:
        return None
    projection = _projection(cast(type[Model], rows.model), schema)
    if pk is None:
        return _one(projection, f"{projection.key} = ({ids} LIMIT 1)", params)
    return _one(projection, f"{projection.key} = %s AND {projection.key} IN ({ids})", (pk, *params))


def _one(projection: _Projection, where: str, params: Row) -> Encoded | None:
    rows = fetch(f"{projection.select} WHERE {where}", (*projection.params, *params))
    return Encoded(_encode(projection.structs(rows)[0]), rows[0][0]) if rows else None


def read_many(model: type[Model], schema: type[BaseModel], key: str, values: Sequence[Any]) -> dict[Any, bytes]:
    """The rows whose column `key` has one of these values, each encoded, by that value; does not check visibility."""
    projection = _projection(model, schema, key)
    rows = fetch(f"{projection.select} WHERE {projection.key} = ANY(%s)", (*projection.params, list(values)))
    return {row[0]: _encode(struct) for row, struct in zip(rows, projection.structs(rows), strict=True)}


def read_ids(rows: QuerySet[Any], ids: Sequence[int]) -> set[int]:
    """Those of these ids that are among `rows`."""
    sql, params = statement_for_ids(rows)
    if not sql or not ids:
        return set()
    return {
        row[0] for row in fetch(f"SELECT id FROM unnest(%s::bigint[]) AS id WHERE id IN ({sql})", (list(ids), *params))
    }


def lock_row(rows: QuerySet[M], pk: int) -> M | None:
    """The model instance of `rows` with this primary key, locked for a change until the transaction ends."""
    sql, params = statement_for_ids(rows)
    if not sql:
        return None
    key = _key_of(cast(type[Model], rows.model))
    table = key.partition(".")[0]
    select = f"SELECT {table}.* FROM {table} WHERE {key} = %s AND {key} IN ({sql}) FOR NO KEY UPDATE OF {table}"
    row = next(iter(rows.model._base_manager.raw(select, (pk, *params))), None)
    # Check again: the statement chose the row as it was before it waited for the lock, and the transaction that held
    # the lock may have made it invisible.
    return row if row is not None and read_ids(rows, [row.pk]) else None


def read_page(rows: QuerySet[Any], schema: type[BaseModel], page: PageParams) -> Encoded:
    """A page of `rows`, newest first, encoded as a `Page` of `schema`; at most MAX_PAGE_BYTES, but at least one row."""
    ids, params = statement_for_ids(rows)
    if not ids:
        return Encoded(_encode({"count": None if page.after else 0, "next": None, "results": []}))
    projection = _projection(cast(type[Model], rows.model), schema)
    where_page = f"WHERE {projection.key} = ANY(ARRAY(SELECT id FROM page)) ORDER BY {projection.key} DESC"
    if page.after is None:
        with_clause, values = _first_page(projection, ids, params, page.limit + 1)
        select = projection.select.replace("SELECT ", "SELECT (SELECT count(*) FROM counted), ", 1)
        page_rows = fetch(f"WITH {with_clause} {select} {where_page}", (*values, *projection.params))
        count, width = (page_rows[0][0] if page_rows else 0), 2
    else:
        with_clause = _page_from(projection, f"SELECT id FROM ({ids}) AS chosen (id) WHERE id < %s")
        values = (*params, page.after, page.limit + 1, *projection.params)
        page_rows = fetch(f"WITH {with_clause} {projection.select} {where_page}", values)
        count, width = None, 1
    structs = projection.structs(page_rows[: page.limit], width)
    results = _encode(structs)
    if len(results) > MAX_PAGE_BYTES:
        structs = structs[: _fitting(structs)]
        results = _encode(structs)
    cursor = Cursor.encode(page_rows[len(structs) - 1][width - 1]) if len(page_rows) > len(structs) else None
    body: dict[str, Any] = {"count": count, "next": cursor, "results": msgspec.Raw(results)}
    if count is not None and count > MAX_COUNT:
        body |= {"count": MAX_COUNT, "more": True}
    return Encoded(_encode(body), next_cursor=cursor)


def _first_page(projection: _Projection, ids: str, params: Row, limit: int) -> tuple[str, Row]:
    """`counted (id) AS …, page (id) AS …` and their parameters: counting ends at one more than MAX_COUNT.

    With parameters, the ids are few for most people: they are computed once. If there are more than are counted, the
    page comes off an index in its order. Without parameters, `ids` is nearly the whole table: one index counts it, and
    another one gives the newest rows.
    """
    if not params:
        counted = f"counted (id) AS NOT MATERIALIZED (SELECT id FROM ({ids}) AS visible (id) LIMIT %s)"
        return f"{counted}, {_page_from(projection, f'SELECT id FROM ({ids}) AS visible (id)')}", (MAX_COUNT + 1, limit)
    counted = f"counted (id) AS MATERIALIZED (SELECT id FROM ({ids}) AS visible (id) LIMIT %s)"
    few, many = (f"(SELECT count(*) FROM counted) {sign} {MAX_COUNT}" for sign in ("<=", ">"))
    newest = f"SELECT id FROM ({ids}) AS visible (id) WHERE {many} ORDER BY 1 DESC LIMIT %s"
    chosen = f"SELECT id FROM (SELECT id FROM counted WHERE {few} UNION ALL ({newest})) AS chosen (id)"
    return f"{counted}, {_page_from(projection, chosen)}", (*params, MAX_COUNT + 1, *params, limit, limit)


def _page_from(projection: _Projection, ids: str) -> str:
    """`page (id) AS (…)`: the newest of `ids`, one more than is shown, which tells whether there is a next page.

    With long texts it holds only the rows that fit, plus one, but at least two: Postgres knows a text's length without
    reading it.
    """
    newest = f"{ids} ORDER BY 1 DESC LIMIT %s"
    if not projection.wide:
        return f"page (id) AS ({newest})"
    key = projection.primary_key
    size = " + ".join(f"coalesce(octet_length({column}), 0)" for column in projection.wide)
    measured = f"SELECT {key}, sum({size}) OVER newest - ({size}), row_number() OVER newest FROM {projection.table}"
    window = f"WINDOW newest AS (ORDER BY {key} DESC)"
    return (
        f"newest (id) AS ({newest}), "
        f"measured (id, before, place) AS ({measured} WHERE {key} = ANY(ARRAY(SELECT id FROM newest)) {window}), "
        f"page (id) AS (SELECT id FROM measured WHERE before < {MAX_PAGE_BYTES} OR place <= 2)"
    )


def _fitting(structs: list[msgspec.Struct]) -> int:
    """How many of these fit into a page; at least one."""
    sizes = accumulate(len(_encode(struct)) + 1 for struct in structs)
    return max(1, sum(1 for _ in takewhile(lambda size: size < MAX_PAGE_BYTES, sizes)))


@cache
def _projection(model: type[Model], schema: type[BaseModel], key: str = "pk") -> _Projection:
    columns, objects, lists = _columns(model, schema, prefix="", start=0)
    query = cast(Any, model)._base_manager.order_by().values_list(key, *columns).query
    select, params = query.sql_with_params()
    return _Projection(
        select=select,
        params=tuple(params),
        key=_key_of(model, key),
        primary_key=_key_of(model),
        struct=_struct(schema),
        objects=tuple(objects),
        lists=tuple(lists),
        wide=tuple(_key_of(model, name) for name in columns if isinstance(name, str) and _is_wide(model, name)),
    )


def _is_wide(model: type[Model], name: str) -> bool:
    if "__" in name:
        return False
    field = model._meta.get_field(name)
    return isinstance(field, TextField) and (field.max_length or _WIDE + 1) > _WIDE


def _key_of(model: type[Model], name: str = "pk") -> str:
    """A column of the model's table as SQL, quoted."""
    meta: Any = model._meta
    column = (meta.pk if name == "pk" else meta.get_field(name)).column
    return f"{connection.ops.quote_name(meta.db_table)}.{connection.ops.quote_name(column)}"


def _columns(
    model: type[Model], schema: type[BaseModel], prefix: str, start: int
) -> tuple[list[str | Combinable], list[_Object], list[_List]]:
    """The lookups of a schema's columns; its nested objects, in reverse order; its nested lists."""
    columns: list[str | Combinable] = []
    objects: list[_Object] = []
    lists: list[_List] = []
    for position, (name, info) in enumerate(schema.model_fields.items()):
        source, nested, many = column_of(name, info), _model_in(info), _is_list(info)
        if nested is None or _is_json(model, source):
            columns.append(prefix + source if isinstance(source, str) else source)
        elif many:
            relation = cast(ForeignObjectRel, model._meta.get_field(cast(str, source)))
            lists.append(_List(position, _projection(relation.related_model, nested, relation.field.name)))
        else:
            related = cast(type[Model], model._meta.get_field(cast(str, source)).related_model)
            first = start + len(columns)
            inner, deeper, deeper_lists = _columns(related, nested, f"{prefix}{source}__", first)
            if deeper or deeper_lists:
                raise TypeError(f"{schema.__name__}.{name}: an object inside a nested object is not supported")
            columns += inner
            objects.insert(0, _Object(first, first + len(inner), _struct(nested)))
    return columns, objects, lists


@cache
def _struct(schema: type[BaseModel]) -> type[msgspec.Struct]:
    return msgspec.defstruct(schema.__name__, [(name, Any) for name in schema.model_fields])


def _model_in(info: FieldInfo) -> type[BaseModel] | None:
    """The schema nested in a field: directly, in an optional or in a list."""
    for part in (info.annotation, *get_args(info.annotation)):
        if isinstance(part, type) and issubclass(part, BaseModel):
            return part
    return None


def _is_json(model: type[Model], source: str | Combinable) -> bool:
    """Whether the source is a JSON column, which holds the nested value itself."""
    return isinstance(source, str) and isinstance(model._meta.get_field(source), JSONField)


def _is_list(info: FieldInfo) -> bool:
    return get_origin(info.annotation) is list
