"""JSON Schemas of arguments and answers: flat, closed, without references, with the bounds that binding has."""

from typing import Annotated, Any

import jsonschema
import pytest
from pydantic import BaseModel, Field

from mesh.declarations.arguments import bind_flat
from mesh.declarations.cursors import Cursor
from mesh.declarations.fields import MAX_BIGINT
from mesh.descriptions.json_schema import (
    arguments_schema,
    component_name,
    inlined,
    parameter_schema,
    with_components,
)
from mesh.errors import Invalid
from mesh.tests.declarations.library import BookOut, Library, operation

ID = {"type": "integer", "minimum": 1, "maximum": MAX_BIGINT}
DRY_RUN = {
    "type": "boolean", "default": False, "description": "If true, report what would happen, and change nothing.",
}  # fmt: skip


def test_the_arguments_of_a_command_are_one_flat_closed_object_with_a_dry_run():
    assert arguments_schema(operation("add_book")) == {
        "type": "object",
        "properties": {
            "title": {"type": "string", "minLength": 1, "maxLength": 20},
            "pages": {
                "anyOf": [{"type": "integer", "minimum": 1, "maximum": 9999}, {"type": "null"}],
                "description": "How many pages it has.",
            },
            "owner_ids": {"type": "array", "items": ID, "maxItems": 3, "default": []},
            "dry_run": DRY_RUN,
        },
        "additionalProperties": False,
        "required": ["title"],
    }


def test_a_patch_requires_the_id_alone_and_has_no_defaults():
    schema = arguments_schema(operation("change_book"))
    assert schema["required"] == ["id"]
    assert list(schema["properties"]) == ["id", "title", "pages", "owner_ids", "dry_run"]
    assert "default" not in schema["properties"]["owner_ids"]


def test_the_arguments_of_a_read_have_no_dry_run_and_may_all_be_left_out():
    schema = arguments_schema(operation("list_books"))
    assert schema.keys() == {"type", "properties", "additionalProperties"}
    assert list(schema["properties"]) == ["search", "status", "from", "limit", "cursor"]
    assert schema["properties"]["limit"] == {
        "type": "integer", "minimum": 1, "maximum": 200, "default": 50,
        "description": "The most items to return in one page.",
    }  # fmt: skip


def test_a_field_with_two_names_is_offered_under_the_first_and_still_required():
    schema = arguments_schema(operation("number_book"))
    assert (list(schema["properties"]), schema["required"]) == (["isbn", "dry_run"], ["isbn"])


def test_a_parameter_has_its_default_and_its_other_names_are_not_offered():
    ref, size = operation("get_cover").parameters
    assert parameter_schema(size) == {"type": "integer", "minimum": 1, "maximum": 9, "default": 3}
    assert parameter_schema(ref)["anyOf"] == [ID, {"type": "string", "format": "uuid"}]
    assert list(arguments_schema(operation("set_status"))["properties"]) == ["id", "status", "dry_run"]


def test_no_argument_is_the_empty_object():
    assert arguments_schema(operation("export_books")) == {
        "type": "object", "properties": {}, "additionalProperties": False,
    }  # fmt: skip


SAMPLES: list[tuple[str, dict[str, Any], bool]] = [
    ("add_book", {"title": "A"}, True),
    ("add_book", {"title": "A", "pages": None, "owner_ids": []}, True),
    ("add_book", {"title": "A", "pages": 9999, "owner_ids": [1, 2, 3]}, True),
    ("add_book", {}, False),
    ("add_book", {"title": ""}, False),
    ("add_book", {"title": "x" * 21}, False),
    ("add_book", {"title": "A", "pages": 0}, False),
    ("add_book", {"title": "A", "pages": 10_000}, False),
    ("add_book", {"title": "A", "owner_ids": [1, 2, 3, 4]}, False),
    ("add_book", {"title": "A", "owner_ids": [0]}, False),
    ("add_book", {"title": "A", "colour": 1}, False),
    ("change_book", {"id": 1}, True),
    ("change_book", {"id": MAX_BIGINT, "pages": 3}, True),
    ("change_book", {"id": MAX_BIGINT + 1}, False),
    ("change_book", {"title": "A"}, False),
    ("list_books", {}, True),
    ("list_books", {"limit": 200, "search": None, "status": "lent", "from": "2030-01-01T00:00:00Z"}, True),
    ("list_books", {"cursor": Cursor.encode(7)}, True),
    ("list_books", {"limit": 201}, False),
    ("list_books", {"status": "odd"}, False),
    ("list_books", {"after": "2030-01-01T00:00:00Z"}, False),
    ("get_cover", {"ref": 1, "size": 9}, True),
    ("get_cover", {"ref": "01890a5d-ac96-774b-bcce-b302099a8057"}, True),
    ("get_cover", {"ref": 1, "size": 10}, False),
    ("set_status", {"id": 1, "status": "new"}, True),
    ("set_status", {"id": 1}, False),
    ("remove_book", {"id": 1, "force": True}, True),
    ("remove_book", {"id": 1, "force": "perhaps"}, False),
]


@pytest.mark.parametrize(("name", "arguments", "fine"), SAMPLES)
def test_what_a_schema_calls_right_is_bound_and_what_it_calls_wrong_is_refused(name, arguments, fine):
    schema = arguments_schema(operation(name))
    assert jsonschema.Draft202012Validator(schema).is_valid(arguments) is fine
    if fine:
        bind_flat(operation(name), arguments)
    else:
        with pytest.raises(Invalid):
            bind_flat(operation(name), arguments)


@pytest.mark.parametrize("name", list(Library.declarations()))
def test_every_schema_is_one_and_names_what_binding_takes(name):
    schema = arguments_schema(operation(name))
    jsonschema.Draft202012Validator.check_schema(schema)
    assert "$ref" not in str(schema)
    required = set(schema.get("required", []))
    assert required <= schema["properties"].keys()
    try:
        bind_flat(operation(name), {})
        missing = set()
    except Invalid as refused:
        missing = {str(error["loc"][0]) for error in refused.errors}
    assert missing == required


@pytest.mark.parametrize(
    ("name", "component"),
    [
        ("BookOut", "Book"), ("BookIn", "BookIn"), ("Page_BookOut_", "BookPage"), ("Page[BookOut]", "BookPage"),
        ("Page_Book_", "BookPage"), ("Paged", "Paged"), ("PageViewOut", "PageView"), ("Out", ""),
    ],
)  # fmt: skip
def test_components_have_names_that_people_would_give(name, component):
    assert component_name(name) == component


class Author(BaseModel):
    """Who wrote it."""

    name: str
    friends: list["Author"] = Field(default=[], max_length=3)


class Series(BaseModel):
    author: Author
    editor: Annotated[Author, Field(description="Who put it together.")]
    books: list[BookOut]


class Flat(BaseModel):
    author: BookOut
    editor: Annotated[BookOut, Field(description="Another.")]


def test_models_are_moved_to_components_and_referred_to():
    components: dict[str, Any] = {}
    schema = with_components(Series, "serialization", components)
    assert schema == {"$ref": "#/components/schemas/Series"}
    assert components.keys() == {"Series", "Author", "Book"}
    assert components["Series"]["properties"]["books"] == {
        "type": "array", "items": {"$ref": "#/components/schemas/Book"},
    }  # fmt: skip
    assert components["Author"]["properties"]["friends"]["items"] == {"$ref": "#/components/schemas/Author"}
    assert (components["Book"]["title"], "$defs" in str(components)) == ("Book", False)


def test_a_component_is_there_once_and_two_of_one_name_are_an_error():
    components: dict[str, Any] = {}
    for _ in range(2):
        with_components(list[BookOut], "serialization", components)
    assert components.keys() == {"Book"}

    other = type("BookOut", (BaseModel,), {"__annotations__": {"other": int}})
    with pytest.raises(TypeError, match="two different schemas are called Book: rename one of them"):
        with_components(other, "validation", components)


def test_a_schema_without_references_says_everything_in_its_place():
    schema = inlined(Flat)
    book = schema["properties"]["author"]
    assert book["properties"].keys() == {"id", "title"}
    assert schema["properties"]["editor"] == {**book, "description": "Another."}
    schema["properties"].clear()
    assert inlined(Flat)["properties"].keys() == {"author", "editor"}, "what was handed out is a copy"
