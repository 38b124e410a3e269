"""Integers as they are sent: `true` and `"7"` are none in JSON, of any operation; in texts, `7` is one."""

from collections.abc import Iterator
from typing import Annotated, Any

import pytest
from pydantic import Field

from mesh import In, Service, command
from mesh.declarations.arguments import Texts, bind_flat, bind_rest
from mesh.declarations.fields import Id, Ref
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.descriptions.json_schema import arguments_schema
from mesh.errors import Invalid
from mesh.management.commands.mesh import _parsed
from shop.models import Product


def places(schema: dict[str, Any], whole: dict[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Where a value of this schema has integers: the keys and places on the way to each."""
    if "$ref" in schema:
        schema = whole["$defs"][schema["$ref"].rpartition("/")[2]]
    if schema.get("type") == "integer":
        yield ()
    for part in (*schema.get("anyOf", ()), *schema.get("oneOf", ())):
        yield from places(part, whole)
    for name, part in schema.get("properties", {}).items():
        yield from ((name, *rest) for rest in places(part, whole))
    for keyword, key in (("items", 0), ("additionalProperties", "any")):
        if isinstance(schema.get(keyword), dict):
            yield from ((key, *rest) for rest in places(schema[keyword], whole))


def places_of(operation: Operation) -> list[tuple[Any, ...]]:
    schema = arguments_schema(operation)
    return sorted(set(places(schema, schema)), key=str)


def value_at(place: tuple[Any, ...], value: Any) -> Any:
    """A value that has this one at a place, and nothing else."""
    for key in reversed(place):
        value = [value] if key == 0 else {key: value}
    return value


def faults(bind: Any, *sent: Any) -> list[list[Any]]:
    try:
        bind(*sent)
    except Invalid as refusal:
        return [error["loc"] for error in refusal.errors]
    return []


WITH_INTEGERS = {operation: found for operation in registry.operations.values() if (found := places_of(operation))}
BODIES = [
    (operation, route)
    for operation in WITH_INTEGERS
    for route in operation.declaration.routes
    if route.method not in ("GET", "DELETE")
]


def test_there_are_integers_of_every_kind():
    found = {f"{op.name}.{'.'.join(map(str, place))}" for op, places in WITH_INTEGERS.items() for place in places}
    assert {
        "place_order.items.0.quantity", "create_product.price_cents", "create_product.stock", "create_event.capacity",
        "schedule_meeting.attendee_ids.0", "create_task.project_id", "list_tasks.limit", "get_task.id",
    } <= found  # fmt: skip


@pytest.mark.parametrize("operation", WITH_INTEGERS, ids=lambda operation: operation.name)
def test_among_flat_arguments_only_a_number_without_a_fraction_is_an_integer(operation):
    for place in WITH_INTEGERS[operation]:
        for value in (True, False, "7", " 7 ", "7.0", 7.5, [7]):
            assert place[0] in [loc[0] for loc in faults(bind_flat, operation, value_at(place, value))], value
        for value in (15, 15.0):
            assert [*place] not in faults(bind_flat, operation, value_at(place, value))


@pytest.mark.parametrize(("operation", "route"), BODIES, ids=[f"{r.method} {r.path}" for _, r in BODIES])
def test_in_a_json_body_a_boolean_or_a_text_is_no_integer(operation, route):
    for place in WITH_INTEGERS[operation]:
        if place[0] in route.names:
            continue
        for value in (True, False, "7"):
            found = faults(bind_rest, operation, route, {}, {}, value_at(place, value))
            assert any(loc[: len(place) + 1] == ["body", *place] for loc in found), value
        assert ["body", *place] not in faults(bind_rest, operation, route, {}, {}, value_at(place, 15))
        form = Texts(value_at(place, "15")) if len(place) == 1 else {}
        assert ["body", *place] not in faults(bind_rest, operation, route, {}, {}, form)


class Line(In):
    number: int = Field(ge=0, le=9)


class Deep(In):
    """Names that schemas have too, and every way to hold an integer."""

    default: int = Field(3, le=9)
    type: Annotated[int, Field(le=9)] | None = None
    metadata: dict[Annotated[int, Field(le=9)], Annotated[int, Field(le=9)]] = Field({}, max_length=9)
    lines: list[Line] = Field([], max_length=9)
    line: Line | None = None
    either: Annotated[int, Field(le=9)] | Annotated[bool, Field()] = 1


class DeepPatch(Deep, partial=True):
    pass


@pytest.mark.parametrize("model", [Deep, DeepPatch])
@pytest.mark.parametrize(
    "place", [("default",), ("type",), ("metadata", "7"), ("lines", 0, "number"), ("line", "number")]
)
def test_integers_are_found_wherever_a_model_holds_them(model, place):
    assert (
        model.model_validate(value_at(place, 7)).model_dump() == model.model_validate(value_at(place, 7.0)).model_dump()
    )
    for value in ("7", True, 7.5, float("inf"), 10, 1e300):
        with pytest.raises(ValueError, match=place[0]):
            model.model_validate(value_at(place, value))
    assert model.model_validate(value_at(place, "7"), strict=False) == model.model_validate(value_at(place, 7))


def test_a_boolean_stays_one_beside_an_integer():
    assert Deep(either=True).either is True
    assert Deep(either=7).either == 7


def test_the_schemas_say_integer_as_before():
    properties = Deep.model_json_schema()["properties"]
    assert properties["default"] == {"default": 3, "maximum": 9, "title": "Default", "type": "integer"}
    assert properties["metadata"]["additionalProperties"] == {"maximum": 9, "type": "integer"}


def test_paths_and_query_strings_have_integers_as_text(throwaway):
    class Counted(Service):
        """Counts."""

        name = "counted"

        @command("POST /counted/{id}")
        def count(self, *, id: Id, other: Ref = 1, number: Annotated[int, Field(le=9)] = 0) -> None:
            """Count."""

    operation = registry.operations["count"]
    [route] = operation.declaration.routes
    values, plain = bind_rest(operation, route, {"id": "7"}, {"other": "8", "number": "9"}, {})
    assert values == plain == {"id": 7, "other": 8, "number": 9}
    for wrong in ({"other": "8"}, {"number": "9"}, {"number": True}, {"other": True}):
        assert {*map(tuple, faults(bind_rest, operation, route, {"id": "7"}, {}, wrong))} == {("body", *wrong)}
    assert bind_rest(operation, route, {"id": "7"}, {}, Texts(number="9"))[1]["number"] == 9


@pytest.mark.parametrize(
    ("said", "sent"),
    [("id=7", 7), ("id=0197e5b0-0000-7000-8000-000000000000", "0197e5b0-0000-7000-8000-000000000000")],
)
def test_the_command_line_takes_an_id_or_a_uuid(said, sent):
    assert _parsed(registry.operations["get_task"], [said]) == {"id": sent}


def test_the_command_line_takes_digits_as_a_text_where_none_but_a_text_is_taken():
    sent = _parsed(registry.operations["create_task"], ["title=7", "project_id=7"])
    assert sent == {"title": "7", "project_id": 7}


@pytest.mark.parametrize("wrong", [{"price_cents": True}, {"price_cents": "1999"}, {"stock": True}, {"stock": "3"}])
def test_a_product_is_not_made_of_what_is_no_integer(alice, wrong):
    product = {"sku": "A", "name": "A", "price_cents": 1, **wrong}
    refused = alice.api.post("/products", product)
    assert (refused.status, [error["loc"] for error in refused.json["errors"]]) == (422, [["body", *wrong]])
    assert Product.objects.count() == 0
    called = alice.api.post(
        "/tools/create_product", {"arguments": {"sku": "A", "name": "A", "price_cents": 1, **wrong}}
    )
    assert (called.status, Product.objects.count()) == (422, 0)
