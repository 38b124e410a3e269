"""Binding: what was sent becomes keyword arguments, or all that is wrong with it at once."""

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from mesh import PageParams
from mesh.declarations.arguments import bind_flat, bind_rest
from mesh.declarations.cursors import Cursor
from mesh.errors import Invalid, NotFound
from mesh.tests.declarations.library import BookIn, BookPatch, Filters, Loan, Numbered, operation

UUID7 = "01890a5d-ac96-774b-bcce-b302099a8057"


def rest(name: str, *, path: Any = None, query: Any = None, body: Any = None, route: int = 0) -> tuple[Any, Any]:
    found = operation(name)
    return bind_rest(found, found.declaration.routes[route], path or {}, query or {}, {} if body is None else body)


def faults(bind: Any, *args: Any, **options: Any) -> dict[str, str]:
    """The types of what is wrong, by place."""
    with pytest.raises(Invalid) as refused:
        bind(*args, **options)
    return {".".join(map(str, error["loc"])): error["type"] for error in refused.value.errors}


def flat_faults(name: str, arguments: dict[str, Any]) -> dict[str, str]:
    return faults(bind_flat, operation(name), arguments)


# One flat object, as tools and the command line send it.


def test_flat_arguments_become_the_methods_and_the_same_as_plain_data():
    values, plain = bind_flat(operation("change_book"), {"id": 7, "title": " A ", "owner_ids": [1, 2]})
    assert values == {"id": 7, "data": BookPatch(title="A", owner_ids=[1, 2])}
    assert values["data"].sent() == {"title": "A", "owner_ids": [1, 2]}
    assert plain == {"id": 7, "title": "A", "owner_ids": [1, 2]}


def test_what_was_not_sent_has_its_default_and_is_not_in_the_plain_data():
    assert bind_flat(operation("get_cover"), {"ref": 3}) == ({"ref": 3, "size": 3}, {"ref": 3})
    values, plain = bind_flat(operation("list_books"), {})
    assert (values, plain) == ({"filters": Filters(), "page": PageParams()}, {})
    assert bind_flat(operation("remove_book"), {"id": 1}) == ({"id": 1, "force": False}, {"id": 1})


def test_plain_data_can_be_bound_again_to_the_same():
    for name, arguments in (
        (
            "list_books",
            {"from": "2030-01-01T02:00:00+02:00", "search": " a ", "limit": 3, "cursor": Cursor.encode(9)},
        ),
        ("lend_book", {"id": 3, "until": "2030-01-01", "email": "A@EXAMPLE.com"}),
        ("get_cover", {"ref": UUID7.upper(), "size": 9}),
        ("set_status", {"id": 1, "status": "lent"}),
    ):
        values, plain = bind_flat(operation(name), arguments)
        assert bind_flat(operation(name), plain) == (values, plain)


def test_times_uuids_and_addresses_are_plain_in_the_plain_data():
    values, plain = bind_flat(operation("lend_book"), {"id": 3, "until": "2030-01-01", "email": "A@EXAMPLE.com"})
    assert values["data"] == Loan(until=datetime(2030, 1, 1, tzinfo=UTC), email="A@example.com")
    assert plain == {"id": 3, "until": "2030-01-01T00:00:00Z", "email": "A@example.com"}
    assert bind_flat(operation("get_cover"), {"ref": UUID7}) == ({"ref": UUID(UUID7), "size": 3}, {"ref": UUID7})


def test_all_faults_are_told_at_once_each_at_its_place():
    assert flat_faults("change_book", {"id": 0, "title": "", "owner_ids": [1, "x", 3], "colour": 1, "size": 2}) == {
        "id": "greater_than_equal",
        "title": "string_too_short",
        "owner_ids.1": "value_error",
        "colour": "extra_forbidden",
        "size": "extra_forbidden",
    }


def test_a_fault_in_a_list_keeps_its_place_and_a_union_does_not_name_its_branches():
    assert set(flat_faults("get_cover", {"ref": "x"})) == {"ref"}
    assert flat_faults("add_book", {"title": "A", "owner_ids": [1, 2, 3, 4]}) == {"owner_ids": "too_long"}
    assert flat_faults("add_book", {"title": "A", "owner_ids": ["x", 0]}) == {
        "owner_ids.0": "value_error", "owner_ids.1": "greater_than_equal",
    }  # fmt: skip


def test_what_is_missing_is_named():
    assert flat_faults("change_book", {}) == {"id": "missing"}
    assert flat_faults("add_book", {}) == {"title": "missing"}
    assert flat_faults("set_status", {"id": 1}) == {"status": "missing"}


def test_a_model_is_no_argument_by_its_parameters_name():
    assert flat_faults("add_book", {"title": "A", "data": {"title": "A"}}) == {"data": "extra_forbidden"}
    assert flat_faults("list_books", {"filters": {}, "page": {}}) == {
        "filters": "extra_forbidden", "page": "extra_forbidden",
    }  # fmt: skip


def test_a_field_is_sent_under_its_alias_and_not_under_its_own_name():
    values, plain = bind_flat(operation("list_books"), {"from": "2030-01-01T00:00:00Z"})
    assert values["filters"].after == datetime(2030, 1, 1, tzinfo=UTC)
    assert plain == {"from": "2030-01-01T00:00:00Z"}
    assert flat_faults("list_books", {"after": "2030-01-01"}) == {"after": "extra_forbidden"}


def test_a_field_with_two_names_takes_either():
    for name in ("isbn", "number"):
        values, _ = bind_flat(operation("number_book"), {name: "1"})
        assert values == {"data": Numbered(isbn="1")}


def test_a_parameter_with_another_name_takes_either_or_both_that_agree():
    for arguments in ({"status": "lent"}, {"new_status": "lent"}, {"status": "lent", "new_status": "lent"}):
        values, plain = bind_flat(operation("set_status"), {"id": 1, **arguments})
        assert (values, plain) == ({"id": 1, "status": "lent"}, {"id": 1, "status": "lent"})
    with pytest.raises(Invalid) as refused:
        bind_flat(operation("set_status"), {"id": 1, "status": "lent", "new_status": "new"})
    assert refused.value.errors == [
        {"loc": ["new_status"], "msg": "Sent twice, and different", "type": "value_error"}
    ]  # fmt: skip
    assert flat_faults("set_status", {"id": 1, "new_status": "odd"}) == {"new_status": "literal_error"}


def test_an_unknown_field_is_told_in_the_order_of_the_alphabet():
    with pytest.raises(Invalid) as refused:
        bind_flat(operation("get_book"), {"id": 1, "z": 1, "a": 1})
    assert [error["loc"] for error in refused.value.errors] == [["a"], ["z"]]
    assert {error["msg"] for error in refused.value.errors} == {"Unknown field"}
    assert refused.value.detail == "2 fields are invalid; see errors."


def test_an_argument_that_was_bound_is_not_changed():
    arguments = {"id": 1, "title": "A"}
    bind_flat(operation("change_book"), arguments)
    assert arguments == {"id": 1, "title": "A"}


def test_a_null_is_a_value_and_not_an_absence():
    values, plain = bind_flat(operation("add_book"), {"title": "A", "pages": None})
    assert (values["data"].sent(), plain) == ({"title": "A", "pages": None}, {"title": "A", "pages": None})
    assert flat_faults("add_book", {"title": None}) == {"title": "string_type"}
    values, _ = bind_flat(operation("list_books"), {"search": None, "status": None, "cursor": None})
    assert values == {"filters": Filters(), "page": PageParams()}


# Over REST: a path, a query string, a body.


def test_each_part_of_a_request_goes_where_the_route_says():
    values, plain = rest("change_book", path={"id": "7"}, body={"title": "A"})
    assert (values, plain) == ({"id": 7, "data": BookPatch(title="A")}, {"id": 7, "title": "A"})
    values, plain = rest("list_books", query={"limit": "2", "search": "x", "status": "lent"})
    assert values == {"filters": Filters(search="x", status="lent"), "page": PageParams(limit=2)}
    assert plain == {"limit": 2, "search": "x", "status": "lent"}
    assert rest("get_cover", path={"ref": "3"}, query={"size": "9"})[0] == {"ref": 3, "size": 9}


def test_faults_say_in_which_part_of_the_request_they_are():
    assert faults(
        rest, "change_book", path={"id": "7"}, query={"title": "A", "limit": "1"}, body={"title": "", "id": 3, "x": 1}
    ) == {
        "query.limit": "extra_forbidden",
        "query.title": "extra_forbidden",
        "body.title": "string_too_short",
        "body.id": "extra_forbidden",
        "body.x": "extra_forbidden",
    }
    assert faults(rest, "list_books", query={"limit": "0", "cursor": "x", "status": "odd", "from": "?", "a": "b"}) == {
        "query.limit": "greater_than_equal",
        "query.cursor": "value_error",
        "query.status": "literal_error",
        "query.from": "datetime_from_date_parsing",
        "query.a": "extra_forbidden",
    }


@pytest.mark.parametrize("id", ["0", "-1", "x", "1.5", "9" * 19, "01", "", " 1", "9223372036854775808"])
def test_an_id_in_the_path_that_no_row_can_have_is_not_found(id):
    """Like one that no row has: a caller cannot tell them apart."""
    with pytest.raises(NotFound, match="There is no such row"):
        rest("get_book", path={"id": id})
    with pytest.raises(NotFound, match="There is no such row"):
        rest("change_book", path={"id": id}, body={"title": "A"})


def test_another_fault_in_the_path_is_a_fault_of_its_name():
    assert set(faults(rest, "get_cover", path={"ref": "x"})) == {"path.ref"}


@pytest.mark.parametrize("body", [[], [1], "text", 7, True, 1.5])
def test_a_body_that_is_no_object_is_refused(body):
    assert faults(rest, "add_book", body=body) == {"body": "dict_type"}


def test_without_a_body_its_required_fields_are_missing():
    assert faults(rest, "add_book") == {"body.title": "missing"}
    assert rest("change_book", path={"id": "7"})[0] == {"id": 7, "data": BookPatch()}


def test_a_body_where_none_is_taken_is_refused():
    assert faults(rest, "get_book", path={"id": "1"}, body={"a": 1}) == {"body.a": "extra_forbidden"}
    assert faults(rest, "get_book", path={"id": "1"}, body=[1]) == {"body": "dict_type"}


def test_a_command_without_a_model_takes_its_parameters_from_either_part():
    for sent in ({"query": {"status": "lent"}}, {"body": {"status": "lent"}}, {"query": {"new_status": "lent"}}):
        assert rest("set_status", path={"id": "1"}, **sent)[0] == {"id": 1, "status": "lent"}
    both = {"query": {"status": "lent"}, "body": {"new_status": "lent"}}
    assert rest("set_status", path={"id": "1"}, **both)[0] == {"id": 1, "status": "lent"}
    differing = {"query": {"status": "lent"}, "body": {"status": "new"}}
    assert faults(rest, "set_status", path={"id": "1"}, **differing) == {"body.status": "value_error"}
    assert faults(rest, "set_status", path={"id": "1"}) == {"body.status": "missing"}
    assert faults(rest, "set_status", path={"id": "1"}, query={"status": "odd"}, body={"status": 7}) == {
        "query.status": "literal_error", "body.status": "literal_error",
    }  # fmt: skip


def test_a_deletion_takes_its_parameters_from_the_query_string():
    assert rest("remove_book", path={"id": "1"}, query={"force": "true"})[0] == {"id": 1, "force": True}
    assert faults(rest, "remove_book", path={"id": "1"}, body={"force": True}) == {"body.force": "extra_forbidden"}


def test_a_path_parameter_is_not_taken_from_elsewhere():
    assert faults(rest, "get_book", path={}, query={"id": "1"}) == {"path.id": "missing", "query.id": "extra_forbidden"}


def test_both_routes_of_an_operation_bind_alike():
    bound = [rest("change_book", path={"id": "7"}, body={"pages": 3}, route=route) for route in (0, 1)]
    assert bound[0] == bound[1] == ({"id": 7, "data": BookPatch(pages=3)}, {"id": 7, "pages": 3})


def test_a_read_that_comes_again_is_bound_to_values_of_its_own():
    """It is remembered; who changes what they got changes nobody else's."""
    first, plain = rest("list_books", query={"limit": "2"})
    first["limit"], plain["limit"] = 99, 99
    second, again = rest("list_books", query={"limit": "2"})
    assert (second, again) == ({"filters": Filters(), "page": PageParams(limit=2)}, {"limit": 2})


def test_a_fault_is_told_again_each_time():
    for _ in range(2):
        assert faults(rest, "list_books", query={"limit": "0"}) == {"query.limit": "greater_than_equal"}


def test_the_plain_data_of_rest_and_tools_is_the_same():
    """A key that was used at one door is known at the other."""
    _, over_rest = rest("change_book", path={"id": "7"}, body={"title": " A ", "owner_ids": [1]})
    _, as_tool = bind_flat(operation("change_book"), {"title": "A", "id": 7, "owner_ids": [1]})
    assert over_rest == as_tool
    assert BookIn(title="A").sent() == {"title": "A"}
