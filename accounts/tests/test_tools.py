"""GET /tools and POST /tools/{name}: the operations as tools, with exactly the caller's rights."""

import pytest

from accounts.models import User
from accounts.tests.assertions import faults, nothing_changes, refused
from mesh.models import AuditEntry

AGENTS_TOOLS = {
    "add_note", "assign_task", "cancel_meeting", "create_project", "create_task", "delete_note", "delete_project",
    "delete_task", "get_me", "get_meeting", "get_note", "get_project", "get_task", "get_user", "invite_user",
    "list_meetings", "list_notes", "list_projects", "list_tasks", "list_users", "respond_to_meeting",
    "schedule_meeting", "set_task_status", "update_me", "update_meeting", "update_note", "update_project",
    "update_task",
}  # fmt: skip


def names(answer):
    assert answer.status == 200, answer
    return {tool["name"] for tool in answer.json}


def test_an_agent_is_offered_what_an_agent_may_use(alice):
    found = names(alice.api.get("/tools"))
    assert found >= AGENTS_TOOLS
    assert "update_user" not in found
    assert not found & {"sign_up", "log_in", "refresh_token", "log_out", "change_password", "list_sessions"}
    assert not found & {"find_people", "find_meeting_id", "find_project_id", "list_tools", "call_tool"}


def test_an_admin_is_offered_more(ada):
    assert names(ada.api.get("/tools")) >= AGENTS_TOOLS | {"update_user"}


def test_a_credential_is_needed(db, anonymous):
    refused(anonymous.get("/tools"), 401)
    refused(anonymous.post("/tools/list_users", {}), 401)


def test_each_format_is_the_array_that_its_api_takes(alice):
    mcp = alice.api.get("/tools?format=mcp").json
    openai = alice.api.get("/tools?format=openai").json
    anthropic = alice.api.get("/tools?format=anthropic").json
    assert mcp == alice.api.get("/tools").json
    assert {"name", "title", "description", "inputSchema", "annotations"} == set(mcp[0])
    assert {tool["type"] for tool in openai} == {"function"}
    assert {"name", "description", "parameters"} == set(openai[0]["function"])
    assert {"name", "description", "input_schema"} == set(anthropic[0])
    assert [t["name"] for t in mcp] == [t["function"]["name"] for t in openai] == [t["name"] for t in anthropic]
    assert mcp[0]["inputSchema"] == openai[0]["function"]["parameters"] == anthropic[0]["input_schema"]
    assert faults(alice.api.get("/tools?format=soap")).keys() == {("query", "format")}


def test_every_tool_says_what_it_is_for_and_what_it_takes(ada):
    for tool in ada.api.get("/tools").json:
        assert len(tool["description"]) >= 10, tool
        assert tool["inputSchema"]["type"] == "object", tool
        assert tool["inputSchema"]["additionalProperties"] is False, tool


def test_a_tool_acts_with_its_callers_rights(alice, bob, charlie):
    task = alice.api.post("/tools/create_task", {"arguments": {"title": "Do", "assignee_id": bob.id}})
    assert task.status == 200, task
    id = task.json["result"]["id"]
    assert bob.api.post("/tools/get_task", {"arguments": {"id": id}}).json == task.json
    with nothing_changes():
        refused(charlie.api.post("/tools/get_task", {"arguments": {"id": id}}), 404)
        refused(charlie.api.post("/tools/delete_task", {"arguments": {"id": id}}), 404)
        refused(bob.api.post("/tools/delete_task", {"arguments": {"id": id}}), 403)
        refused(alice.api.post("/tools/update_user", {"arguments": {"id": bob.id, "role": "ADMIN"}}), 403)
    listed = charlie.api.post("/tools/list_tasks", {"arguments": {}}).json
    assert listed == {"result": {"count": 0, "next": None, "results": []}}


def test_a_command_through_a_tool_is_audited_as_such(alice):
    made = alice.api.post("/tools/invite_user", {"arguments": {"email": "j@example.com", "name": "J"}})
    entry = AuditEntry.objects.latest("pk")
    assert (entry.operation, entry.door, entry.actor_id, entry.outcome) == ("invite_user", "tool", alice.id, "ok")
    assert entry.row_id == str(made.json["result"]["id"])


@pytest.mark.parametrize("sent", [{"dry_run": True}, {"arguments": {"dry_run": True}}])
def test_a_dry_run_changes_nothing(alice, bob, sent):
    arguments = {"title": "Do", "assignee_id": bob.id} | sent.get("arguments", {})
    with nothing_changes():
        answer = alice.api.post("/tools/create_task", {**sent, "arguments": arguments})
    assert answer.status == 200, answer
    result = answer.json["result"]
    assert (result["dry_run"], result["result"]["title"]) == (True, "Do")
    assert [job["operation"] for job in result["jobs"]] == ["send_mail"]
    assert result["mails"] == [{"to": "bob@example.com", "subject": "A task for you: Do"}]


def test_a_key_makes_one_effect_and_the_same_answer(alice):
    sent = {"arguments": {"email": "j@example.com", "name": "J"}, "idempotency_key": "k1"}
    first, again = alice.api.post("/tools/invite_user", sent), alice.api.post("/tools/invite_user", sent)
    assert first.json == again.json
    assert User.objects.filter(email="j@example.com").count() == 1
    over_rest = alice.api.post("/users", sent["arguments"], Idempotency_Key="k1")
    assert (over_rest.status, over_rest.json) == (201, first.json["result"])


@pytest.mark.parametrize("name", ["no_such_tool", "log_in", "find_people", "call_tool", "list_tools", "__class__"])
def test_what_is_no_tool_is_not_found(alice, name):
    with nothing_changes():
        refused(alice.api.post(f"/tools/{name}", {"arguments": {}}), 404)


def test_wrong_arguments_are_named(alice):
    with nothing_changes():
        found = faults(alice.api.post("/tools/create_task", {"arguments": {"description": 7, "colour": "red"}}))
        assert found.keys() == {("title",), ("description",), ("colour",)}
        assert faults(alice.api.post("/tools/list_users", {"arguments": {}, "x": 1})).keys() == {("body", "x")}
        assert faults(alice.api.post("/tools/list_users", {"arguments": []})).keys() == {("body", "arguments")}


def test_a_tool_without_an_answer_answers_null(alice):
    note = alice.api.post("/notes", {"content": "x"}).json["id"]
    answer = alice.api.post("/tools/delete_note", {"arguments": {"id": note}})
    assert (answer.status, answer.json) == (200, {"result": None})
