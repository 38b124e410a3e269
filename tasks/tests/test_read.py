"""GET /tasks and GET /tasks/{id}."""

from datetime import timedelta
from urllib.parse import quote

import pytest
from django.utils import timezone

from accounts.tests.assertions import faults, ids, nothing_changes, refused
from mesh.rows.visibility import statement_for_ids, visible_rows
from mesh.stores.postgres import fetch
from tasks.models import Task


@pytest.fixture
def create(alice):
    def make(person=alice, **fields):
        made = person.api.post("/tasks", {"title": "Do"} | fields)
        assert made.status == 201, made
        return made.json["id"]

    return make


def test_creator_assignee_and_admin_see_a_task_and_nobody_else(create, alice, bob, charlie, ada, anonymous):
    id = create(assignee_id=bob.id)
    uuid = Task.objects.get().uuid
    for person in (alice, bob, ada):
        for ref in (id, uuid, str(uuid).upper()):
            assert person.api.get(f"/tasks/{ref}").json["id"] == id
        assert ids(person.api.get("/tasks")) == [id]
    missing = refused(charlie.api.get("/tasks/999999"), 404)
    assert missing == refused(charlie.api.get(f"/tasks/{id}"), 404) == refused(charlie.api.get(f"/tasks/{uuid}"), 404)
    assert ids(charlie.api.get("/tasks")) == []
    refused(anonymous.get(f"/tasks/{id}"), 401)
    refused(anonymous.get("/tasks"), 401)


def test_whose_tasks_they_are_is_looked_up_by_an_index_each(alice):
    sql, params = statement_for_ids(visible_rows(Task, alice.actor))
    fetch("SET LOCAL enable_seqscan = off")
    plan = "\n".join(row[0] for row in fetch(f"EXPLAIN {sql}", params))
    assert "BitmapOr" in plan, plan
    for index in ("tasks_task_creator", "tasks_task_assignee", "tasks_task_project_id"):
        assert f"Bitmap Index Scan on {index}" in plan, plan


def test_a_project_member_sees_only_tasks_of_their_own(create, alice, bob):
    project = alice.api.post("/projects", {"title": "Web"}).json["id"]
    theirs = create(project_id=project, assignee_id=bob.id)
    other = create(project_id=project)
    assert ids(bob.api.get(f"/tasks?project_id={project}")) == [theirs]
    refused(bob.api.get(f"/tasks/{other}"), 404)
    assert ids(alice.api.get(f"/tasks?project_id={project}")) == [other, theirs]


def test_who_is_no_assignee_anymore_sees_it_no_more(create, alice, bob):
    id = create(assignee_id=bob.id)
    alice.api.patch(f"/tasks/{id}", {"assignee_id": None})
    refused(bob.api.get(f"/tasks/{id}"), 404)
    assert ids(bob.api.get("/tasks")) == []


@pytest.mark.parametrize("ref", ["0", "-1", "x", "1.5", "9" * 30, "00000000-0000-7000-8000-000000000000", "0-0", "%00"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_a_ref_of_no_task_is_a_404(alice, method, ref):
    with nothing_changes():
        refused(alice.api.request(method, f"/tasks/{ref}", {"title": "x"} if method[0] == "P" else None), 404)


def test_the_list_is_newest_first_whatever_is_due(create, alice):
    late, early = create(due_date="2030-01-01"), create(due_date="2020-01-01")
    assert ids(alice.api.get("/tasks")) == [early, late]
    assert alice.api.get("/tasks").json["results"][0] == alice.api.get(f"/tasks/{early}").json


def test_filters_by_status_take_every_name(create, alice):
    by_status = {status: create(status=status) for status in ("todo", "in_progress", "done", "cancelled")}
    names = {
        "ToDo": "todo", "pending": "todo", "InProgress": "in_progress", "Done": "done", "completed": "done",
    } | {status: status for status in by_status}  # fmt: skip
    for name, status in names.items():
        assert ids(alice.api.get(f"/tasks?status={name}")) == [by_status[status]], name


def test_filters_by_reference(create, alice, bob):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    project = alice.api.post("/projects", {"title": "P"}).json["id"]
    a, b, c = create(due_meeting_id=meeting), create(project_id=project), create(assignee_id=bob.id)
    both = create(due_meeting_id=meeting, project_id=project, status="done")
    for query, found in {
        f"meeting_id={meeting}": [both, a],
        f"project_id={project}": [both, b],
        f"assignee_id={bob.id}": [c],
        f"assignee_id={alice.id}": [],
        f"meeting_id={meeting}&project_id={project}": [both],
        f"meeting_id={meeting}&status=todo": [a],
        "meeting_id=999999": [],
        "project_id=999999": [],
        "assignee_id=999999": [],
    }.items():
        assert ids(alice.api.get(f"/tasks?{query}")) == found, query


def test_a_filter_by_what_one_may_not_see_finds_nothing(create, alice, charlie):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    create(due_meeting_id=meeting)
    create(person=charlie)
    assert ids(charlie.api.get(f"/tasks?meeting_id={meeting}")) == []
    assert ids(charlie.api.get(f"/tasks?assignee_id={alice.id}")) == []


def test_a_filter_by_a_meeting_or_project_that_one_no_longer_sees_finds_nothing(alice, bob):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    project = alice.api.post("/projects", {"title": "P"}).json["id"]
    task = Task.objects.create(creator=bob.user, title="Do", due_meeting_id=meeting, project_id=project).pk
    assert ids(bob.api.get("/tasks")) == [task]
    for query in (f"meeting_id={meeting}", f"project_id={project}"):
        assert bob.api.get(f"/tasks?{query}").json == bob.api.get("/tasks?meeting_id=999999").json
    alice.api.patch(f"/meetings/{meeting}", {"attendee_ids": [bob.id]})
    assert ids(bob.api.get(f"/tasks?meeting_id={meeting}")) == [task]
    assert ids(bob.api.get(f"/tasks?meeting_id={meeting}&project_id={project}")) == []


def test_overdue_is_what_is_open_past_its_due_date(create, alice):
    past, future = timezone.now() - timedelta(minutes=1), timezone.now() + timedelta(hours=1)
    late = [create(due_date=past.isoformat(), status=status) for status in ("todo", "in_progress")]
    fine = [create(due_date=past.isoformat(), status=status) for status in ("done", "cancelled")]
    fine += [create(due_date=future.isoformat()), create()]
    for word in ("true", "1"):
        assert ids(alice.api.get(f"/tasks?overdue={word}")) == late[::-1]
    for word in ("false", "0"):
        assert ids(alice.api.get(f"/tasks?overdue={word}")) == fine[::-1]
    assert ids(alice.api.get("/tasks?overdue=true&status=todo")) == [late[0]]


def test_search_finds_every_word_anywhere_in_any_case(create, alice, charlie):
    a = create(title="Größe ПЛАН", description="call Jürgen")
    b = create(title="100% sure", description="größe_x")
    create(person=charlie, title="Größe")
    for text, found in {
        "GRÖßE": [b, a], "план JÜRG": [a], "ure 0%": [b], "%": [b], "_": [b], "sure план": [], " ": [b, a],
    }.items():  # fmt: skip
        assert ids(alice.api.get(f"/tasks?search={quote(text)}")) == found, text


def test_pages_hold_with_filters(create, alice):
    made = [create(status="done") for _ in range(3)]
    create()
    first = alice.api.get("/tasks?status=completed&limit=2")
    assert (first.json["count"], [t["id"] for t in first.json["results"]]) == (3, [made[2], made[1]])
    rest = alice.api.get("/tasks?" + first.headers["Link"].partition("?")[2].partition(">")[0]).json
    assert (rest["count"], rest["next"], [t["id"] for t in rest["results"]]) == (None, None, [made[0]])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "cursor=x", "search=" + "x" * 201, "status=open", "status=", "overdue=perhaps",
        "meeting_id=0", "meeting_id=x", "project_id=-1", "assignee_id=" + "9" * 30, "user_id=1", "due_meeting_id=1",
        "creator_id=1",
    ],
)  # fmt: skip
def test_odd_query_parameters_are_refused(alice, query):
    assert faults(alice.api.get(f"/tasks?{query}")).keys() == {("query", query.partition("=")[0])}
