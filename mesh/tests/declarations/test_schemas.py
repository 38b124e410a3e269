"""What goes in and out: unknown fields, partial schemas, other names, pages."""

from typing import Annotated, Any

import pytest
from django.db.models import F
from pydantic import AliasChoices, Field, ValidationError

from mesh.declarations.cursors import Cursor
from mesh.declarations.fields import text
from mesh.declarations.schemas import Column, In, Out, Page, PageParams, column_of, page_of


class BookIn(In):
    """A book."""

    title: Annotated[str, text(1, 20)]
    pages: int | None = Field(None, ge=1, le=9999)
    tags: list[Annotated[str, text(1, 5)]] = Field(default=[], max_length=2)
    lent: bool = False


class BookPatch(BookIn, partial=True): ...


class Renamed(In):
    isbn: Annotated[str, text(1, 20)] = Field(validation_alias=AliasChoices("isbn", "number"))


class RenamedOptional(In):
    isbn: Annotated[str, text(1, 20)] | None = Field(None, validation_alias=AliasChoices("isbn", "number"))


class BookOut(Out):
    id: int
    title: str
    author: Annotated[str, Column("author__name")]
    size: Annotated[int, Column(F("pages") + 1)] = 0


def types(model: Any, **values: Any) -> dict[str, str]:
    with pytest.raises(ValidationError) as refused:
        model.model_validate(values)
    return {".".join(map(str, error["loc"])): error["type"] for error in refused.value.errors()}


def test_every_fault_is_found_at_once_and_unknown_fields_are_one():
    assert types(BookIn, title="", pages=0, tags=["long tag", "a", "b"], colour="red") == {
        "title": "string_too_short",
        "pages": "greater_than_equal",
        "tags": "too_long",
        "colour": "extra_forbidden",
    }
    assert types(BookIn, pages=10_000, tags=["a", 7]) == {
        "title": "missing", "pages": "less_than_equal", "tags.1": "string_type",
    }  # fmt: skip


def test_what_was_sent_is_told_apart_from_what_was_not():
    assert BookIn(title="A").sent() == {"title": "A"}
    assert BookIn(title="A", pages=None, lent=False).sent() == {"title": "A", "pages": None, "lent": False}


def test_a_partial_schema_requires_nothing_and_refuses_the_same():
    assert BookPatch().sent() == {}
    assert BookPatch(pages=3).sent() == {"pages": 3}
    assert types(BookPatch, title="", pages="x", colour=1) == {
        "title": "string_too_short", "pages": "int_type", "colour": "extra_forbidden",
    }  # fmt: skip
    assert types(BookPatch, title=None) == {"title": "string_type"}
    assert types(BookIn) == {"title": "missing"}, "the schema that it was made from is as it was"


def test_a_partial_schema_shows_no_defaults_and_nothing_required():
    partial, whole = BookPatch.model_json_schema(), BookIn.model_json_schema()
    assert "required" not in partial
    assert not [name for name, schema in partial["properties"].items() if "default" in schema]
    assert whole["required"] == ["title"]
    assert {name: schema.get("default", "none") for name, schema in whole["properties"].items()} == {
        "title": "none", "pages": "none", "tags": [], "lent": False,
    }  # fmt: skip
    assert partial["additionalProperties"] is False


def test_a_value_that_was_refused_is_not_in_the_message():
    with pytest.raises(ValidationError) as refused:
        BookIn.model_validate({"title": ["hunter2"]})
    assert "hunter2" not in str(refused.value)


def test_a_field_with_two_names_takes_either_and_says_so():
    assert Renamed(isbn="1").isbn == Renamed.model_validate({"number": "1"}).isbn == "1"
    schema = Renamed.model_json_schema()
    assert schema["properties"]["number"] == {
        "type": "string", "minLength": 1, "maxLength": 20, "title": "Isbn", "description": "The same as `isbn`.",
    }  # fmt: skip
    assert schema["allOf"] == [{"anyOf": [{"required": ["isbn"]}, {"required": ["number"]}]}]
    assert "required" not in schema


def test_a_field_with_two_names_that_may_be_absent_requires_neither():
    schema = RenamedOptional.model_json_schema()
    assert schema["properties"].keys() == {"isbn", "number"}
    assert not {"required", "allOf"} & schema.keys()


def test_an_answer_is_read_from_a_row_by_name_and_has_no_more():
    class Row:
        id, title, author, size, secret = 3, "A", "B", 4, "hidden"

    assert BookOut.of(Row()).model_dump() == {"id": 3, "title": "A", "author": "B", "size": 4}
    assert types(BookOut, id=1, title="A", author="B", secret="x") == {"secret": "extra_forbidden"}


def test_a_field_comes_from_the_column_of_its_name_or_as_it_says():
    fields = BookOut.model_fields
    assert [column_of(name, fields[name]) for name in ("id", "title", "author")] == ["id", "title", "author__name"]
    assert column_of("size", fields["size"]) == F("pages") + 1


def test_a_page_has_fifty_rows_unless_one_to_two_hundred_are_asked_for():
    assert (PageParams().limit, PageParams().after) == (50, None)
    assert [PageParams(limit=limit).limit for limit in (1, 200)] == [1, 200]
    assert types(PageParams, limit=0) == {"limit": "greater_than_equal"}
    assert types(PageParams, limit=201) == {"limit": "less_than_equal"}
    assert types(PageParams, limit="x", cursor="x", offset=3) == {
        "limit": "int_type", "cursor": "value_error", "offset": "extra_forbidden",
    }  # fmt: skip


def test_a_page_begins_after_its_cursor():
    assert PageParams(cursor=Cursor.encode(17)).after == 17
    assert PageParams(cursor=None).after is None
    assert types(PageParams, cursor="") == {"cursor": "string_too_short"}
    assert types(PageParams, cursor="x" * 65) == {"cursor": "string_too_long"}


def test_a_page_is_of_one_schema_and_made_once():
    assert page_of(BookOut) is page_of(BookOut) is Page[BookOut]
    row = {"id": 1, "title": "A", "author": "B", "size": 2}
    page = page_of(BookOut).model_validate({"count": None, "next": None, "results": [row]})
    assert page.results == [BookOut(**row)]
    assert types(page_of(BookOut), count=0, results=[]) == {"next": "missing"}
    assert types(page_of(BookOut), count=0, next=None, results=[{}]).keys() == {
        "results.0.id", "results.0.title", "results.0.author",
    }  # fmt: skip
