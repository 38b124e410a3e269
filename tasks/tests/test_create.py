"""POST /tasks."""

import uuid

import pytest

from accounts.tests.assertions import TIME, UUID7, faults, nothing_changes, refused
from mesh.testing import Api
from tasks.models import Task


def create(person, **fields):
    return person.api.post("/tasks", {"title": "Do"} | fields)


@pytest.fixture
def meeting(alice):
    return alice.api.post("/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z"}).json["id"]


@pytest.fixture
def project(alice):
    return alice.api.post("/projects", {"title": "Website"}).json["id"]


@pytest.fixture
def contact(alice):
    return alice.api.post("/contacts", {"name": "Maria", "email": "maria@example.com", "company": "A"}).json


def test_a_task_with_everything(alice, bob, meeting, project, contact):
    sent = {
        "title": "Implement feature X",
        "description": "Complete\nimplementation",
        "status": "in_progress",
        "due_date": "2026-03-01T12:00:00Z",
        "due_meeting_id": meeting,
        "project_id": project,
        "assignee_id": bob.id,
        "contact_id": contact["id"],
    }
    made = create(alice, **sent)
    assert made.status == 201, made
    task = Task.objects.get()
    assert made.json == sent | {
        "id": task.pk,
        "uuid": str(task.uuid),
        "creator_id": alice.id,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.json["uuid"] == UUID7
    assert made.headers["Location"] == f"/api/v1/tasks/{task.pk}"
    for ref in (task.pk, task.uuid):
        assert alice.api.get(f"/tasks/{ref}").json == made.json


def test_what_is_left_out_has_its_default(alice):
    made = create(alice).json
    assert (made["description"], made["status"]) == ("", "todo")
    optional = ("due_date", "due_meeting_id", "project_id", "assignee_id", "contact_id")
    assert {name: made[name] for name in optional} == dict.fromkeys(optional)
    nulls = create(alice, **dict.fromkeys(optional)).json
    assert {name: nulls[name] for name in optional} == dict.fromkeys(optional)


def test_the_location_is_under_the_mount_that_was_asked(alice):
    for mount in ("", "/api/v1", "/api/v2"):
        made = Api(alice.api.token, mount=mount).post("/tasks/", {"title": "x"})
        assert made.headers["Location"] == f"{mount}/tasks/{made.json['id']}"


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ("todo", "todo"), ("in_progress", "in_progress"), ("done", "done"), ("cancelled", "cancelled"),
        ("ToDo", "todo"), ("InProgress", "in_progress"), ("Done", "done"), ("pending", "todo"), ("completed", "done"),
    ],
)  # fmt: skip
def test_a_status_goes_by_its_names(alice, sent, status):
    assert create(alice, status=sent).json["status"] == status
    assert Task.objects.get().status == status


@pytest.mark.parametrize("status", ["", "TODO", "open", "in progress", "Pending", None, 1, ["todo"], "todo\x00"])
def test_any_other_status_is_refused(alice, status):
    with nothing_changes():
        assert faults(create(alice, status=status)).keys() == {("body", "status")}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("title", ["x", "ä" * 200], ["", "  ", "ä" * 201, None, 7, "a\x00b"]),
        ("description", ["", "ä" * 1000], ["ä" * 1001, None, 7, "a\x00b"]),
        ("due_date", ["2026-01-01T00:00:00Z", None], ["", "soon", 0, 1767225600, True, "2026-02-30"]),
        ("due_meeting_id", [None], [0, -1, 2**63, 10**30, "x", 1.5, [1]]),
        ("project_id", [None], [0, -1, 2**63, 10**30, "x", 1.5, [1]]),
        ("assignee_id", [None], [0, -1, 2**63, 10**30, "x", 1.5, [1]]),
        ("creator_id", [], [1]),
        ("uuid", [], ["00000000-0000-7000-8000-000000000000"]),
        ("user_id", [], [1]),
    ],
)
def test_each_field_has_its_limits(alice, field, good, bad):
    for value in good:
        made = create(alice, **{field: value})
        assert (made.status, made.json[field]) == (201, value)
    with nothing_changes():
        for value in bad:
            assert faults(create(alice, **{field: value})).keys() == {("body", field)}, value


def test_a_naive_due_date_is_utc_and_a_date_its_midnight(alice):
    assert create(alice, due_date="2026-03-01T12:30:00").json["due_date"] == "2026-03-01T12:30:00Z"
    assert create(alice, due_date="2026-03-01").json["due_date"] == "2026-03-01T00:00:00Z"
    assert create(alice, due_date="2026-03-01T12:30:00+02:00").json["due_date"] == "2026-03-01T10:30:00Z"


def test_rows_of_others_are_refused_like_rows_that_are_not(alice, charlie, meeting, project):
    with nothing_changes():
        others = faults(create(charlie, due_meeting_id=meeting, project_id=project, assignee_id=alice.id))
        none = faults(create(charlie, due_meeting_id=999999, project_id=999999, assignee_id=999999))
    assert others == none == {
        ("body", "due_meeting_id"): "You see no such meeting.",
        ("body", "project_id"): "You see no such project.",
        ("body", "assignee_id"): "You know no such user.",
    }  # fmt: skip


def test_who_attends_or_is_a_member_may_refer_to_it(alice, bob, meeting, project):
    alice.api.patch(f"/meetings/{meeting}", {"attendee_ids": [bob.id]})
    create(alice, project_id=project, assignee_id=bob.id)
    made = create(bob, due_meeting_id=meeting, project_id=project, assignee_id=alice.id)
    assert made.status == 201, made
    assert (made.json["creator_id"], made.json["assignee_id"]) == (bob.id, alice.id)


def test_an_admin_refers_to_anything(ada, charlie, meeting, project):
    made = create(ada, due_meeting_id=meeting, project_id=project, assignee_id=charlie.id)
    assert made.status == 201, made
    assert charlie.api.get(f"/tasks/{made.json['id']}").json == made.json


def test_everything_wrong_is_said_at_once(alice, anonymous):
    with nothing_changes():
        found = faults(alice.api.post("/tasks", {"status": "x", "due_date": 1, "colour": "red", "project_id": 0}))
        assert found.keys() == {("body", n) for n in ("title", "status", "due_date", "colour", "project_id")}
        refused(anonymous.post("/tasks", {"title": "x"}), 401)


def test_each_task_has_a_uuid_of_its_own(alice):
    made = [create(alice).json["uuid"] for _ in range(3)]
    assert len({uuid.UUID(text) for text in made}) == 3
    assert made == sorted(made)
