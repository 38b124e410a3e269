"""PATCH /tasks/{id}/status, POST /tasks/{id}/status/{status}, POST /tasks/{id}/assign/{user_id}."""

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused


@pytest.fixture(params=["id", "uuid"])
def ref(request):
    return request.param


@pytest.fixture
def task(alice, bob):
    return alice.api.post("/tasks", {"title": "Do", "assignee_id": bob.id}).json


NAMES = {
    "todo": "todo", "in_progress": "in_progress", "done": "done", "cancelled": "cancelled",
    "ToDo": "todo", "InProgress": "in_progress", "Done": "done", "pending": "todo", "completed": "done",
}  # fmt: skip


@pytest.mark.parametrize(("sent", "status"), NAMES.items())
def test_a_status_comes_by_body_query_or_path_under_each_of_its_names(task, alice, bob, sent, status, ref):
    path = f"/tasks/{task[ref]}/status"
    expected = task | {"status": status, "updated_at": TIME}
    for person in (alice, bob):
        for answer in (
            person.api.patch(path, {"status": sent}),
            person.api.patch(path, {"new_status": sent}),
            person.api.patch(f"{path}?new_status={sent}"),
            person.api.patch(f"{path}?status={sent}"),
            person.api.post(f"{path}/{sent}"),
            person.api.post(f"{path}/{sent}/"),
        ):
            assert (answer.status, answer.json) == (200, expected), answer
            assert "Location" not in answer.headers
    assert alice.api.get(f"/tasks/{task['id']}").json == expected


def test_body_and_query_may_agree_but_not_differ(task, alice):
    path = f"/tasks/{task['id']}/status"
    assert alice.api.patch(f"{path}?new_status=Done", {"status": "completed"}).json["status"] == "done"
    with nothing_changes():
        refused(alice.api.patch(f"{path}?new_status=todo", {"status": "done"}), 422)
        refused(alice.api.patch(f"{path}?new_status=todo&status=done"), 422)


@pytest.mark.parametrize("status", ["open", "TODO", "", "x" * 500])
def test_another_status_is_refused_where_it_was_sent(task, alice, status, ref):
    path = f"/tasks/{task[ref]}/status"
    with nothing_changes():
        assert faults(alice.api.patch(path, {"status": status})).keys() == {("body", "status")}
        assert faults(alice.api.patch(f"{path}?new_status={status}")).keys() == {("query", "new_status")}
        if status:
            assert faults(alice.api.post(f"{path}/{status}")).keys() == {("path", "status")}


def test_a_status_is_needed_and_nothing_else(task, alice):
    path = f"/tasks/{task['id']}/status"
    with nothing_changes():
        for body in (None, {}):
            assert faults(alice.api.patch(path, body)).keys() == {("body", "status")}
        assert faults(alice.api.patch(path, {"status": None})).keys() == {("body", "status")}
        assert faults(alice.api.patch(path, {"status": "done", "title": "x"})).keys() == {("body", "title")}
        assert faults(alice.api.post(f"{path}/done", {"title": "x"})).keys() == {("body", "title")}


def test_strangers_see_nothing_to_move(task, charlie, anonymous, ada, ref):
    with nothing_changes():
        for path, body in ((f"/tasks/{task[ref]}/status", {"status": "done"}),):
            assert refused(charlie.api.patch(path, body), 404) == refused(
                charlie.api.patch("/tasks/999999/status", body), 404
            )
            refused(charlie.api.post(f"{path}/done"), 404)
            refused(anonymous.patch(path, body), 401)
            refused(anonymous.post(f"{path}/done"), 401)
    assert ada.api.post(f"/tasks/{task[ref]}/status/done").json["status"] == "done"


def test_a_done_task_may_be_opened_again(task, bob):
    for status in ("done", "todo", "cancelled", "in_progress"):
        assert bob.api.post(f"/tasks/{task['id']}/status/{status}").json["status"] == status


def test_the_creator_assigns_to_someone_they_know(task, alice, bob, person, ref):
    dora = person("dora", invited_by=alice.user)
    answer = alice.api.post(f"/tasks/{task[ref]}/assign/{dora.id}")
    assert (answer.status, answer.json) == (200, task | {"assignee_id": dora.id, "updated_at": TIME})
    assert ids(dora.api.get("/tasks")) == [task["id"]]
    assert ids(bob.api.get("/tasks")) == []
    refused(bob.api.get(f"/tasks/{task['id']}"), 404)
    assert alice.api.post(f"/tasks/{task[ref]}/assign/{alice.id}").json["assignee_id"] == alice.id


def test_assigning_to_a_stranger_looks_like_assigning_to_nobody(task, alice, charlie, ref):
    with nothing_changes():
        stranger = refused(alice.api.post(f"/tasks/{task[ref]}/assign/{charlie.id}"), 404)
        for id in ("999999", "0", "x", "9" * 30):
            found = refused(alice.api.post(f"/tasks/{task[ref]}/assign/{id}"), 404)
            assert id != "999999" or found == stranger


def test_only_creator_and_admin_assign(task, bob, charlie, ada, anonymous, ref):
    path = f"/tasks/{task[ref]}/assign/{bob.id}"
    with nothing_changes():
        refused(bob.api.post(path), 403)
        refused(charlie.api.post(path), 404)
        refused(anonymous.post(path), 401)
    assert ada.api.post(f"/tasks/{task[ref]}/assign/{charlie.id}").json["assignee_id"] == charlie.id


def test_a_new_member_of_a_project_knows_the_others(alice, bob, charlie, ada):
    project = alice.api.post("/projects", {"title": "Web"}).json["id"]
    alice.api.post("/tasks", {"title": "Do", "project_id": project, "assignee_id": bob.id})
    task = alice.api.post("/tasks", {"title": "More", "project_id": project}).json["id"]
    refused(charlie.api.get(f"/users/{bob.id}"), 404)
    ada.api.post(f"/tasks/{task}/assign/{charlie.id}")
    assert charlie.api.get(f"/users/{bob.id}").json["id"] == bob.id
    assert ids(charlie.api.get("/users")) == [charlie.id, bob.id, alice.id]


def test_paths_answer_only_their_methods(task, alice):
    for method, path, allow in [
        ("GET", f"/tasks/{task['id']}/status", "PATCH, OPTIONS"),
        ("PATCH", f"/tasks/{task['id']}/status/done", "POST, OPTIONS"),
        ("GET", f"/tasks/{task['id']}/assign/1", "POST, OPTIONS"),
    ]:
        with nothing_changes():
            answer = alice.api.request(method, path)
            refused(answer, 405)
        assert answer.headers["Allow"] == allow
