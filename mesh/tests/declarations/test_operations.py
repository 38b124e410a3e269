"""A method's signature as an operation: what the doors read from it, and what is wrong with it."""

from typing import Any

import pytest

from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.declarations.decorators import Route, command, query
from mesh.declarations.invocation import Answer
from mesh.declarations.operations import Operation
from mesh.errors import Forbidden, Unauthenticated
from mesh.tests.declarations.library import BookOut, Library, operation

AGENT = Actor(7, "AGENT")


def of(method: Any) -> Operation:
    service = type("Wrong", (), {"name": "wrong", "declarations": classmethod(lambda cls: {})})
    return Operation.of(service, method.__name__, query()(method))


def test_what_a_signature_lacks_is_a_type_error():
    def untyped(self, *, value) -> None: ...
    def positional(self, value: int) -> None: ...
    def by_any_name(self, **values: int) -> None: ...
    def by_any_place(self, *values: int) -> None: ...
    def silent(self, *, value: int): ...

    for method in (untyped, positional, by_any_name, by_any_place):
        with pytest.raises(
            TypeError, match=rf"Wrong\.{method.__name__}: values? must be a typed keyword-only parameter"
        ):
            of(method)
    with pytest.raises(TypeError, match=r"Wrong\.silent must say what it returns"):
        of(silent)


def test_an_operation_has_its_methods_name_and_docstring():
    found = operation("list_books")
    assert (found.name, found.service, found.service_name) == ("list_books", Library, "library")
    assert found.description == "List books, newest first. A book that is lent is listed, too."
    assert found.summary == "List books, newest first"
    assert operation("get_book").summary == "Get a book"


def test_parameters_are_scalars_or_models_required_or_with_a_default():
    cover = operation("get_cover").parameters
    assert [(p.name, p.required, p.default, p.model) for p in cover] == [
        ("ref", True, None, None), ("size", False, 3, None),
    ]  # fmt: skip
    filters, page = operation("list_books").parameters
    assert (filters.required, page.required) == (False, False)
    assert set(filters.argument_names) == {"search", "status", "from"}
    assert set(page.argument_names) == {"limit", "cursor"}
    (data,) = operation("number_book").parameters
    assert set(data.argument_names) == {"isbn", "number"}
    _, status = operation("set_status").parameters
    assert (status.aliases, tuple(status.argument_names)) == (("new_status",), ("status",))


def test_an_int_is_an_id():
    (id,) = operation("get_book").parameters
    assert id.adapter.json_schema() == {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}


@pytest.mark.parametrize(
    ("name", "status", "location"),
    [
        ("list_books", 200, ""),
        ("add_book", 201, "/books/{id}"),
        ("change_book", 200, ""),
        ("lend_book", 202, ""),
        ("remove_book", 204, ""),
        ("import_books", 201, "/imports/{id}"),
        ("number_book", 204, ""),
    ],
)
def test_the_status_of_success_follows_from_the_answer(name, status, location):
    assert (operation(name).status, operation(name).location) == (status, location)


@pytest.mark.parametrize(
    ("name", "parameter", "where"),
    [
        ("get_book", "id", "path"),
        ("list_books", "filters", "query"),
        ("list_books", "page", "query"),
        ("get_cover", "size", "query"),
        ("add_book", "data", "body"),
        ("change_book", "id", "path"),
        ("change_book", "data", "body"),
        ("set_status", "status", "any"),
        ("remove_book", "force", "query"),
        ("import_books", "csv", "any"),
    ],
)
def test_each_parameter_has_its_place(name, parameter, where):
    found = operation(name)
    (wanted,) = (each for each in found.parameters if each.name == parameter)
    assert {found.where(wanted, route) for route in found.declaration.routes} == {where}


def test_the_body_is_the_model_of_what_is_no_read():
    assert {name: found.body.name if (found := operation(name)).body else None for name in Library.declarations()} == {
        **dict.fromkeys(Library.declarations()),
        **dict.fromkeys(["add_book", "change_book", "number_book", "lend_book"], "data"),
    }


def test_jobs_that_serve_all_have_no_parameters_and_those_that_call_out_yield():
    assert {name for name in Library.declarations() if operation(name).serves_all} == {"remind"}
    assert {name for name in Library.declarations() if operation(name).calls_out} == {"print_book"}


def test_a_stream_is_a_text():
    export = operation("export_books")
    assert (export.streams, export.returns) == (True, str)
    assert {name for name in Library.declarations() if operation(name).streams} == {"export_books"}


@pytest.mark.parametrize(
    ("name", "scope"),
    [
        ("list_books", "library:read"),
        ("add_book", "library:write"),
        ("remove_book", "library:write"),
        ("get_cover", ""),
        ("find_book", ""),
        ("export_books", "library:read"),
        ("count_pages", ""),
    ],
)
def test_the_scope_that_a_key_needs(name, scope):
    assert operation(name).key_scope == scope


def test_a_call_is_permitted_by_role_and_by_the_scopes_of_a_key():
    def key(*scopes: str) -> Actor:
        return Actor(7, "ADMIN", key_id=3, scopes=scopes)

    operation("list_books").permit(AGENT)
    operation("get_book").permit(ANONYMOUS)
    operation("add_book").permit(key("library:write"))
    operation("get_cover").permit(key())
    with pytest.raises(Unauthenticated):
        operation("list_books").permit(ANONYMOUS)
    with pytest.raises(Forbidden, match="Only an ADMIN"):
        operation("remove_book").permit(AGENT)
    with pytest.raises(Forbidden, match=r"This API key lacks the scope `library:write`\."):
        operation("remove_book").permit(key("read", "library:read"))
    with pytest.raises(Forbidden, match=r"lacks the scope `library:read`"):
        operation("get_book").permit(key("library:write"))
    with pytest.raises(Forbidden, match="an API key may not"):
        operation("lend_book").permit(key("*"))
    with pytest.raises(Forbidden, match="Jobs are begun by commands"):
        operation("count_pages").permit(AGENT)


@pytest.mark.parametrize(
    ("id", "scopes"),
    [
        (7, ["books", "book:7"]),
        ("7", ["books", "book:7"]),
        ("x", ["books", "book:0"]),
        ("-7", ["books", "book:0"]),
        ("٧", ["books", "book:0"]),
        ("1" * 20, ["books", "book:0"]),
        ("7}{actor", ["books", "book:0"]),
        (None, ["books", "book:0"]),
    ],
)
def test_a_read_of_one_row_is_cached_under_the_rows_own_scope(id, scopes):
    """Also while it is not yet known whether the id is one."""
    assert list(operation("get_book").cache_tags_of({"id": id})) == scopes


def test_a_read_is_cached_per_actor_unless_it_says_otherwise():
    assert list(operation("list_books").cache_tags_of({})) == ["user:{actor}"]
    assert (operation("list_books").cached_per_actor, operation("get_book").cached_per_actor) == (True, False)
    assert list(operation("get_cover").cache_tags_of({"ref": 1})) == []


def test_an_answer_is_decoded_to_the_type_that_is_declared():
    assert operation("get_book").decode(Answer(b'{"id":3,"title":"A"}')) == BookOut(id=3, title="A")
    page = operation("list_books").decode(Answer(b'{"count":1,"next":null,"results":[{"id":3,"title":"A"}]}'))
    assert page.results == [BookOut(id=3, title="A")]
    assert operation("remove_book").decode(Answer(b"")) is None
    assert operation("find_book").decode(Answer(b"null")) is None
    stream = (part for part in "ab")
    assert operation("export_books").decode(Answer(b"", stream=stream)) is stream


def test_a_location_needs_a_read_of_the_same_service_at_that_path():
    class Shelf:
        name = "shelf"

        @classmethod
        def declarations(cls):
            return {
                name: method.__operation__ for name, method in vars(cls).items() if hasattr(method, "__operation__")
            }

        @query("GET /shelves/{number}")
        def get_shelf(self, *, number: int) -> BookOut:
            """Get."""

        @command("POST /shelves")
        def add_shelf(self) -> BookOut:
            """Add."""

        @command("PUT /books")
        def put_books(self) -> BookOut:
            """Put."""

    assert Operation.of(Shelf, "add_shelf", Shelf.add_shelf).location == ""
    assert Operation.of(Shelf, "put_books", Shelf.put_books).status == 200
    assert Route.parse("POST /shelves").names == ()
