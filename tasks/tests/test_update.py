"""PUT, PATCH and DELETE /tasks/{id}."""

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from tasks.models import Task


@pytest.fixture
def task(alice, bob):
    """Alice's, assigned to Bob."""
    sent = {"title": "Do", "description": "Well", "due_date": "2026-03-01T12:00:00Z", "assignee_id": bob.id}
    return alice.api.post("/tasks", sent).json


@pytest.fixture(params=[("PUT", "id"), ("PATCH", "id"), ("PUT", "uuid"), ("PATCH", "uuid")], ids="-".join)
def change(request, task):
    method, ref = request.param

    def send(person, **fields):
        return person.api.request(method, f"/tasks/{task[ref]}", fields)

    return send


def test_put_and_patch_change_only_what_is_sent(change, task, alice):
    before = Task.objects.get().updated_at
    answer = change(alice, title="New")
    assert (answer.status, answer.json) == (200, task | {"title": "New", "updated_at": TIME})
    assert alice.api.get(f"/tasks/{task['id']}").json == answer.json
    assert Task.objects.get().updated_at > before


def test_every_field_can_change(change, task, alice):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    project = alice.api.post("/projects", {"title": "P"}).json["id"]
    fields = {
        "title": "N",
        "description": "",
        "status": "done",
        "due_date": "2027-01-01T00:00:00Z",
        "due_meeting_id": meeting,
        "project_id": project,
        "assignee_id": alice.id,
    }
    assert change(alice, **fields).json == task | fields | {"updated_at": TIME}
    cleared = dict.fromkeys(("due_date", "due_meeting_id", "project_id", "assignee_id"))
    assert change(alice, **cleared).json == task | fields | cleared | {"updated_at": TIME}


def test_a_status_goes_by_its_other_names_too(change, alice):
    for sent, status in {"ToDo": "todo", "InProgress": "in_progress", "completed": "done", "pending": "todo"}.items():
        assert change(alice, status=sent).json["status"] == status


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("title", ["", "x" * 201, None]),
        ("description", ["x" * 1001, None]),
        ("status", ["open", None, ""]),
        ("due_date", ["soon", 5]),
        ("due_meeting_id", [0, 999999]),
        ("project_id", [0, 999999]),
        ("assignee_id", [0, 999999]),
        ("creator_id", [1]),
        ("uuid", ["00000000-0000-7000-8000-000000000000"]),
    ],
)
def test_the_limits_are_those_of_a_new_one(change, alice, field, bad):
    with nothing_changes():
        for value in bad:
            assert faults(change(alice, **{field: value})).keys() == {("body", field)}, value


def test_the_assignee_may_send_the_status_alone(change, task, bob):
    assert change(bob, status="InProgress").json == task | {"status": "in_progress", "updated_at": TIME}
    with nothing_changes():
        for fields in ({"title": "x"}, {"status": "done", "title": "x"}, {"assignee_id": None}, {}):
            problem = refused(change(bob, **fields), 403, "forbidden")
            assert problem["detail"] == "The assignee may change a task's status only."


def test_a_fault_is_told_before_the_right_to_change_for_who_sees_the_row(change, bob):
    with nothing_changes():
        assert faults(change(bob, status="open")).keys() == {("body", "status")}


def test_strangers_see_nothing_to_change(change, charlie, anonymous):
    with nothing_changes():
        missing = refused(charlie.api.patch("/tasks/999999", {"status": "done"}), 404)
        assert refused(change(charlie, status="done"), 404) == missing
        for api in (anonymous,):
            refused(api.patch("/tasks/1", {"status": "done"}), 401)


def test_an_admin_changes_any_task(change, task, ada, charlie):
    answer = change(ada, title="By Ada", assignee_id=charlie.id)
    assert (answer.json["title"], answer.json["assignee_id"]) == ("By Ada", charlie.id)
    assert answer.json["creator_id"] == task["creator_id"]


def test_a_stranger_cannot_become_assignee(change, alice, charlie):
    with nothing_changes():
        assert faults(change(alice, assignee_id=charlie.id)) == {("body", "assignee_id"): "You know no such user."}


def test_a_reference_one_lost_sight_of_may_be_sent_back_unchanged(task, alice, bob, ada):
    """A PUT of the whole row as it was read must not fail over what did not change."""
    meeting = ada.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    ada.api.patch(f"/tasks/{task['id']}", {"due_meeting_id": meeting})
    whole = {"title": "New", "due_meeting_id": meeting, "assignee_id": bob.id}
    assert alice.api.put(f"/tasks/{task['id']}", whole).json["title"] == "New"


@pytest.mark.parametrize("ref", ["id", "uuid"])
def test_deleting_a_task_removes_it_everywhere(task, alice, bob, ada, ref):
    answer = alice.api.delete(f"/tasks/{task[ref]}")
    assert (answer.status, answer.text) == (204, "")
    for person in (alice, bob, ada):
        for path in (f"/tasks/{task['id']}", f"/tasks/{task['uuid']}"):
            refused(person.api.get(path), 404)
        for query in ("", "?search=do", "?overdue=false", "?overdue=true", f"?assignee_id={bob.id}"):
            assert ids(person.api.get(f"/tasks{query}")) == []
    with nothing_changes():
        refused(alice.api.delete(f"/tasks/{task[ref]}"), 404)
        refused(alice.api.patch(f"/tasks/{task[ref]}", {"title": "x"}), 404)
        refused(bob.api.patch(f"/tasks/{task[ref]}/status", {"status": "done"}), 404)


@pytest.mark.parametrize("ref", ["id", "uuid"])
def test_only_creator_and_admin_delete(task, bob, charlie, ada, anonymous, ref):
    path = f"/tasks/{task[ref]}"
    with nothing_changes():
        assert "Only who created a task" in refused(bob.api.delete(path), 403)["detail"]
        assert refused(charlie.api.delete(path), 404) == refused(charlie.api.delete("/tasks/999999"), 404)
        refused(anonymous.delete(path), 401)
    assert ada.api.delete(path).status == 204


def test_deleting_takes_no_parameters(task, alice):
    with nothing_changes():
        assert faults(alice.api.delete(f"/tasks/{task['id']}?force=1")).keys() == {("query", "force")}
