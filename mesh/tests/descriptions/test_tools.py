"""Operations as tools for LLMs: their schemas, who is offered which, and calling them."""

import json

import jsonschema
import pytest

from mesh.declarations.permissions import admins
from mesh.declarations.registry import registry
from mesh.testing import Api
from tasks.models import Project, Task

SCHEMA_AT = {
    "mcp": lambda tool: tool["inputSchema"],
    "openai": lambda tool: tool["function"]["parameters"],
    "anthropic": lambda tool: tool["input_schema"],
}
NAME_AT = {format: (lambda tool: tool["name"]) for format in ("mcp", "anthropic")}
NAME_AT["openai"] = lambda tool: tool["function"]["name"]
each_format = pytest.mark.parametrize("format", sorted(SCHEMA_AT))


def containers(schema):
    if isinstance(schema, dict):
        yield schema
        schema = list(schema.values())
    if isinstance(schema, list):
        for item in schema:
            yield from containers(item)


@each_format
def test_every_schema_is_valid_closed_flat_and_without_references(ada, format):
    tools = ada.api.get(f"/tools?format={format}").json
    assert len(tools) > 20
    for tool in tools:
        schema = SCHEMA_AT[format](tool)
        jsonschema.Draft202012Validator.check_schema(schema)
        assert (schema["type"], schema["additionalProperties"]) == ("object", False)
        assert not [part for part in containers(schema) if "$ref" in part or "$defs" in part]
        operation = registry.operations[NAME_AT[format](tool)]
        expected = {
            alias for p in operation.parameters for alias in (
                [p.name] if p.model is None else [f.alias or name for name, f in p.model.model_fields.items()]
            )
        }  # fmt: skip
        assert schema["properties"].keys() == expected | ({"dry_run"} if operation.has_dry_run else set())
        assert "data" not in schema["properties"]
        assert set(schema.get("required", [])) <= schema["properties"].keys()
        jsonschema.Draft202012Validator.check_schema(schema)


@each_format
def test_the_order_is_stable_and_every_tool_is_described(alice, format):
    first, second = (alice.api.get(f"/tools?format={format}") for _ in range(2))
    assert first.text == second.text
    names = [NAME_AT[format](tool) for tool in first.json]
    assert names == sorted(set(names))
    for tool in first.json:
        described = tool["function"] if format == "openai" else tool
        assert described["description"].endswith((".", ")"))


def test_every_tool_says_what_it_is_once(ada):
    tools = {tool["name"]: tool for tool in ada.api.get("/tools").json}
    assert (tools["set_task_status"]["title"], tools["get_me"]["title"]) == ("Set task status", "Get me")
    for tool in tools.values():
        assert not [part for part in containers(tool["inputSchema"]) if isinstance(part.get("title"), str)]
        for part in containers(tool["inputSchema"]):
            nested = [option for option in part.get("anyOf", []) if "description" in option]
            assert not ("description" in part and nested), (tool["name"], part)
    status = tools["list_calls"]["inputSchema"]["properties"]["status"]
    assert status == {
        "anyOf": [{"enum": ["scheduled", "completed", "cancelled", "rescheduled"], "type": "string"}, {"type": "null"}],
        "description": "Only calls with this status.",
    }


def test_the_shapes_are_those_of_the_three_apis(alice):
    mcp, openai, anthropic = (
        alice.api.get(f"/tools?format={format}").json[0] for format in ("mcp", "openai", "anthropic")
    )
    assert mcp.keys() == {"name", "title", "description", "inputSchema", "annotations"}
    assert (openai.keys(), openai["type"]) == ({"type", "function"}, "function")
    assert openai["function"].keys() == {"name", "description", "parameters"}
    assert anthropic.keys() == {"name", "description", "input_schema"}
    assert alice.mesh.get_tools("openai")[0] == openai


def test_hints_say_what_reads_and_what_removes(alice):
    hints = {tool["name"]: tool["annotations"] for tool in alice.api.get("/tools").json}
    assert hints["list_tasks"]["readOnlyHint"] is True
    assert (hints["delete_task"]["readOnlyHint"], hints["delete_task"]["destructiveHint"]) == (False, True)
    assert hints["create_task"]["destructiveHint"] is False


def test_an_agent_is_not_offered_what_only_an_admin_may_call(alice, ada):
    tools = {name: op.declaration for name, op in registry.operations.items() if op.declaration.tool}
    of_admins = {name for name, declaration in tools.items() if declaration.allow is admins}
    hers = {tool["name"] for tool in alice.api.get("/tools").json}
    all_tools = {tool["name"] for tool in ada.api.get("/tools").json}
    assert of_admins == {"update_user", "list_jobs", "retry_job", "retry_jobs", "confirm_order", "get_cache_stats"}
    assert all_tools - hers == of_admins
    refused = alice.api.post("/tools/update_user", {"arguments": {"id": alice.id, "role": "ADMIN"}})
    assert (refused.status, refused.json["code"]) == (403, "forbidden")
    assert Api().get("/tools").status == 401


@pytest.mark.parametrize("name", ["nothing", "log_in", "sign_up", "find_people", "call_tool", "__init__", "a%00b"])
def test_what_is_no_tool_is_not_there(alice, name):
    assert name not in {tool["name"] for tool in alice.api.get("/tools").json}
    assert alice.api.post(f"/tools/{name}", {"arguments": {}}).status == (422 if "%" in name else 404)


def test_all_wrong_arguments_are_named_at_once(alice):
    arguments = {"title": "", "duration_minutes": "long", "attendee_ids": ["x"], "colour": 1}
    refused = alice.api.post("/tools/schedule_meeting", {"arguments": arguments})
    assert refused.status == 422
    assert sorted(".".join(map(str, error["loc"])) for error in refused.json["errors"]) == [
        "attendee_ids.0", "colour", "duration_minutes", "scheduled_time", "title"
    ]  # fmt: skip


@pytest.mark.parametrize("body", [{"arguments": []}, {"arguments": {"": 1}}, {"args": {}}, {"dry_run": "x"}])
def test_a_call_of_another_form_is_refused(alice, body):
    assert alice.api.post("/tools/list_tasks", body).status == 422


def test_an_answer_is_the_same_as_over_rest(alice):
    task = Task.objects.create(creator=alice.user, title="A")
    assert alice.api.post("/tools/get_task", {"arguments": {"id": task.pk}}).json == {
        "result": alice.api.get(f"/tasks/{task.pk}").json
    }
    by_uuid = alice.api.post("/tools/get_task", {"arguments": {"id": str(task.uuid)}})
    assert by_uuid.json["result"]["id"] == task.pk
    assert alice.api.post("/tools/delete_task", {"arguments": {"id": task.pk}}).json == {"result": None}
    assert Task.objects.count() == 0


def test_a_tool_without_arguments_needs_no_body(alice):
    assert alice.api.post("/tools/get_me").json["result"]["id"] == alice.id


def test_every_field_that_a_schema_offers_is_taken(alice):
    arguments = {"from": "2030-01-01T00:00:00Z", "to": "2031-01-01T00:00:00Z", "search": "a", "limit": 3}
    offered = {t["name"]: t["inputSchema"]["properties"] for t in alice.api.get("/tools").json}["list_meetings"]
    assert offered.keys() == arguments.keys() | {"cursor"}
    found = alice.api.post("/tools/list_meetings", {"arguments": arguments})
    assert (found.status, found.json["result"]["count"]) == (200, 0)


@pytest.mark.parametrize("tool", [name for name, op in registry.operations.items() if op.declaration.tool])
def test_what_a_schema_calls_wrong_is_refused_and_what_it_calls_right_is_not_a_bug(ada, tool):
    schema = {t["name"]: t["inputSchema"] for t in ada.api.get("/tools").json}[tool]
    for name, sub in (item for item in schema["properties"].items() if item[0] != "dry_run"):
        wrong = {"no": ["such", {"value": 1}]}
        assert not jsonschema.Draft202012Validator(sub).is_valid(wrong)
        refused = ada.api.post(f"/tools/{tool}", {"arguments": {name: wrong}})
        assert refused.status == 422, (tool, name)
        assert name in {error["loc"][0] for error in refused.json["errors"]}, (tool, name)
    assert Project.objects.count() == 0
    assert json.dumps(schema)
