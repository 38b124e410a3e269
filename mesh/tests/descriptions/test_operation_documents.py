"""One operation in the OpenAPI document: its parameters, its body, its answers, who may ask."""

from typing import Any

import pytest

from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.descriptions.openapi import describe
from mesh.descriptions.tools import FORMATS, tools_for
from mesh.tests.declarations.library import operation
from mesh.tests.example.services import ThingService


def document(name: str, route: int = 0) -> Any:
    found = operation(name)
    return describe(found, found.declaration.routes[route])


def parameters(name: str, route: int = 0) -> dict[str, tuple[str, bool]]:
    return {each["name"]: (each["in"], each["required"]) for each in document(name, route)["parameters"]}


def test_an_operation_is_named_summed_up_and_tagged():
    told = document("list_books")
    assert (told["operationId"], told["tags"]) == ("list_books", ["library"])
    assert told["summary"] == "List books, newest first"
    assert told["description"] == "A book that is lent is listed, too."


def test_the_routes_of_one_operation_have_names_of_their_own():
    assert [document("change_book", route)["operationId"] for route in (0, 1)] == ["change_book", "change_book_put"]


def test_parameters_stand_where_they_are_sent():
    assert parameters("list_books") == {
        "search": ("query", False), "status": ("query", False), "from": ("query", False),
        "limit": ("query", False), "cursor": ("query", False),
    }  # fmt: skip
    assert parameters("get_cover") == {"ref": ("path", True), "size": ("query", False)}
    headers = {"Idempotency-Key": ("header", False), "Prefer": ("header", False)}
    assert parameters("add_book") == headers
    assert parameters("remove_book") == {"id": ("path", True), "force": ("query", False), **headers}
    assert parameters("set_status") == {
        "id": ("path", True), "status": ("query", False), "new_status": ("query", False), **headers,
    }  # fmt: skip


def test_a_query_string_holds_no_null():
    (search,) = (each for each in document("list_books")["parameters"] if each["name"] == "search")
    assert search["schema"] == {"type": "string", "minLength": 0, "maxLength": 200}
    assert search["description"] == "Only items that contain every word of this text, ignoring case; at most 8 words."
    (ref,) = (each for each in document("get_cover")["parameters"] if each["name"] == "ref")
    assert [option["type"] for option in ref["schema"]["anyOf"]] == ["integer", "string"]


def test_a_body_is_json_or_what_else_is_taken():
    assert document("add_book")["requestBody"] == {
        "required": True, "content": {"application/json": {"schema": {"$ref": "#/components/schemas/BookIn"}}},
    }  # fmt: skip
    assert document("change_book")["requestBody"]["required"] is False
    status = document("set_status")["requestBody"]["content"]["application/json"]["schema"]
    assert (list(status["properties"]), status["additionalProperties"]) == (["status"], False)
    for name in ("list_books", "get_book", "remove_book"):
        assert "requestBody" not in document(name)


@pytest.mark.parametrize(
    ("name", "security"),
    [
        ("list_books", [{"bearer": []}, {"apiKey": ["library:read"]}]),
        ("add_book", [{"bearer": []}, {"apiKey": ["library:write"]}]),
        ("get_book", [{}, {"bearer": []}, {"apiKey": ["library:read"]}]),
        ("get_cover", [{}]),
        ("lend_book", [{"bearer": []}]),
        ("remove_book", [{"bearer": []}, {"apiKey": ["library:write"]}]),
    ],
)
def test_who_may_ask_and_with_which_credentials(name, security):
    assert document(name)["security"] == security


@pytest.mark.parametrize(
    ("name", "statuses"),
    [
        ("list_books", {"200", "400", "401", "403", "422", "429", "503"}),
        ("get_book", {"200", "400", "401", "403", "404", "422", "429", "503"}),
        ("add_book", {"200", "201", "400", "401", "403", "409", "413", "415", "422", "429", "503"}),
        ("remove_book", {"200", "204", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"}),
        ("lend_book", {"200", "202", "400", "401", "403", "404", "409", "413", "415", "422", "429", "503"}),
        ("export_books", {"200", "400", "401", "403", "404", "422", "429", "503"}),
    ],
)
def test_every_answer_is_there(name, statuses):
    responses = document(name)["responses"]
    assert set(responses) == statuses
    assert list(responses) == sorted(responses)
    for status, response in responses.items():
        if int(status) >= 400:
            assert response["content"] == {
                "application/problem+json": {"schema": {"$ref": "#/components/schemas/Problem"}}
            }


def test_success_is_its_schema_in_its_media_type():
    book = {"$ref": "#/components/schemas/Book"}
    assert document("get_book")["responses"]["200"]["content"] == {"application/json": {"schema": book}}
    assert document("add_book")["responses"]["201"]["content"] == {"application/json": {"schema": book}}
    dry = {"$ref": "#/components/schemas/DryRun"}
    assert document("change_book")["responses"]["200"]["content"]["application/json"]["schema"] == {
        "anyOf": [book, dry]
    }  # fmt: skip
    assert document("add_book")["responses"]["200"]["content"] == {"application/json": {"schema": dry}}
    assert "content" not in document("remove_book")["responses"]["204"]
    assert document("get_cover")["responses"]["200"]["content"] == {"image/svg+xml": {"schema": {"type": "string"}}}


@pytest.mark.parametrize(
    ("name", "status", "headers"),
    [
        ("add_book", "201", {"Location"}),
        ("list_books", "200", {"Link"}),
        ("export_books", "200", {"Content-Disposition"}),
        ("get_book", "200", set()),
        ("get_book", "401", {"WWW-Authenticate"}),
        ("get_book", "429", {"Retry-After"}),
        ("get_book", "503", {"Retry-After"}),
        ("get_book", "404", set()),
    ],
)
def test_the_headers_of_an_answer_are_told(name, status, headers):
    assert set(document(name)["responses"][status].get("headers", {})) == headers


# As tools, in the shapes of three APIs.


def tools(actor: Actor, format: str = "mcp") -> dict[str, Any]:
    names = ThingService.declarations()
    found = {(tool.get("function") or tool)["name"]: tool for tool in tools_for(actor, format)}
    return {name: tool for name, tool in found.items() if name in names}


def test_a_tool_has_the_shape_that_each_api_takes():
    alice = Actor(7, "AGENT")
    mcp = tools(alice)["delete_thing"]
    assert mcp == {
        "name": "delete_thing",
        "title": "Delete thing",
        "description": "Delete a thing of yours.",
        "inputSchema": mcp["inputSchema"],
        "annotations": {"readOnlyHint": False, "destructiveHint": True, "openWorldHint": False},
    }
    schema = mcp["inputSchema"]
    assert (schema["required"], list(schema["properties"])) == (["id"], ["id", "dry_run"])
    assert tools(alice, "openai")["delete_thing"] == {
        "type": "function",
        "function": {"name": "delete_thing", "description": "Delete a thing of yours.", "parameters": schema},
    }
    assert tools(alice, "anthropic")["delete_thing"] == {
        "name": "delete_thing", "description": "Delete a thing of yours.", "input_schema": schema,
    }  # fmt: skip
    assert FORMATS == ("mcp", "openai", "anthropic")


def test_who_may_not_call_a_tool_is_not_offered_it():
    everything = {"list_things", "get_thing", "make_thing", "rename_thing", "share_thing", "delete_thing"}
    reads = {"list_things", "get_thing"}

    def key(*scopes: str) -> Actor:
        return Actor(7, "AGENT", key_id=1, scopes=scopes)

    assert tools(Actor(7, "AGENT")).keys() == everything
    assert tools(key("things:*")).keys() == tools(key("*")).keys() == everything
    assert tools(key("read")).keys() == tools(key("things:read")).keys() == reads
    assert tools(key("things:write")).keys() == everything - reads
    assert tools(key("tasks:*")) == tools(ANONYMOUS) == {}


def test_what_reads_and_what_removes_is_hinted():
    hints = {name: tool["annotations"] for name, tool in tools(Actor(7, "AGENT")).items()}
    assert {name for name, hint in hints.items() if hint["readOnlyHint"]} == {"list_things", "get_thing"}
    assert {name for name, hint in hints.items() if hint["destructiveHint"]} == {"delete_thing"}


@pytest.mark.parametrize("format", ["", "MCP", "yaml", "gemini"])
def test_another_format_is_an_error(format):
    with pytest.raises(ValueError, match="format is one of mcp, openai, anthropic, not "):
        tools_for(Actor(7, "AGENT"), format)
