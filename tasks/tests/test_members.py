"""Who is in a project: whom its owner assigned a task in it, until the owner says otherwise."""

from importlib import import_module

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from mesh.testing import Api, visibility_mismatches
from mesh.tests.database import sql
from mesh.tests.jobs import run_jobs, run_periodic
from mesh.tests.mail_server import mails_in, texts_of
from tasks.models import Project, Task
from tasks.tests.test_mails import day

NOT_YOURS = "Only the project's owner adds people to it: give the task to yourself, or to someone who is in it."


def new(person, **fields):
    made = person.api.post("/tasks", {"title": "Do"} | fields)
    assert made.status == 201, made
    return made.json["id"]


@pytest.fixture
def project(alice):
    return alice.api.post("/projects", {"title": "Website"}).json["id"]


@pytest.fixture
def given(project, alice, bob):
    """The task that makes bob a member."""
    return new(alice, project_id=project, assignee_id=bob.id)


@pytest.fixture
def carol(person, alice):
    """Whom alice and bob know."""
    return person("carol", invited_by=alice.user)


def is_in(person, project):
    """Whether they see the project; the list, the one and the filter of tasks say the same."""
    seen = person.api.get(f"/projects/{project}").status == 200
    assert ids(person.api.get("/projects")) == ([project] if seen else [])
    if not seen:
        refused(person.api.get(f"/projects/{project}"), 404)
        assert ids(person.api.get(f"/tasks?project_id={project}")) == []
    return seen


def agree(*people):
    actors = [person.actor for person in people]
    assert visibility_mismatches(Project, actors) == visibility_mismatches(Task, actors) == []


def test_the_owner_sees_every_task_of_the_project(project, given, alice, bob, charlie):
    his = new(bob, project_id=project, title="Bob's own")
    assert ids(alice.api.get(f"/tasks?project_id={project}")) == ids(alice.api.get("/tasks")) == [his, given]
    assert alice.api.get(f"/tasks/{his}").json["creator_id"] == bob.id
    refused(charlie.api.get(f"/tasks/{his}"), 404)
    agree(alice, bob, charlie)


def test_the_owner_changes_moves_gives_and_deletes_every_task_of_the_project(project, given, alice, bob):
    his, other = (new(bob, project_id=project) for _ in range(2))
    assert alice.api.patch(f"/tasks/{his}", {"title": "Alice's"}).json["title"] == "Alice's"
    assert alice.api.patch(f"/tasks/{his}/status", {"status": "done"}).json["status"] == "done"
    assert alice.api.post(f"/tasks/{his}/assign/{alice.id}").json["assignee_id"] == alice.id
    assert alice.api.patch(f"/tasks/{other}", {"project_id": None}).json["project_id"] is None
    refused(alice.api.get(f"/tasks/{other}"), 404)
    assert alice.api.delete(f"/tasks/{his}").status == 204
    assert ids(bob.api.get("/tasks")) == [other, given]


def test_a_task_that_a_member_gives_to_themselves_keeps_nobody_in(project, given, alice, bob, charlie):
    his = new(bob, project_id=project, assignee_id=bob.id)
    assert alice.api.delete(f"/tasks/{given}").status == 204
    assert not is_in(bob, project)
    assert bob.api.get(f"/tasks/{his}").json["project_id"] == project  # it is theirs
    assert faults(bob.api.post("/tasks", {"title": "x", "project_id": project})).keys() == {("body", "project_id")}
    assert ids(alice.api.get(f"/tasks?project_id={project}")) == [his]
    agree(alice, bob, charlie)


def test_the_owner_takes_someone_out(project, given, alice, bob, carol):
    his = new(bob, project_id=project, assignee_id=bob.id)
    hers = new(alice, project_id=project, assignee_id=carol.id)
    second = new(alice, project_id=project, assignee_id=bob.id)
    answer = alice.api.delete(f"/projects/{project}/members/{bob.id}")
    assert (answer.status, answer.text) == (204, "")
    assert not is_in(bob, project)
    assert is_in(carol, project)
    assert dict(Task.objects.values_list("pk", "assignee_id")) == {
        given: None, his: None, hers: carol.id, second: None
    }  # fmt: skip
    assert set(Task.objects.exclude(pk=hers).values_list("assigned_by", flat=True)) == {None}
    assert ids(bob.api.get("/tasks")) == [his]
    later = new(alice, project_id=project)
    refused(bob.api.get(f"/tasks/{later}"), 404)
    assert ids(bob.api.get("/users")) == [bob.id]
    agree(alice, bob, carol)


def test_who_was_taken_out_does_not_come_back_by_themselves(project, given, alice, bob, carol):
    his = new(bob, project_id=project)
    new(alice, project_id=project, assignee_id=carol.id)
    alice.api.delete(f"/projects/{project}/members/{bob.id}")
    assert bob.api.post(f"/tasks/{his}/assign/{bob.id}").status == 200
    assert not is_in(bob, project)
    bob.api.patch(f"/tasks/{his}", {"project_id": None})
    assert faults(bob.api.patch(f"/tasks/{his}", {"project_id": project})).keys() == {("body", "project_id")}
    assert not is_in(bob, project)
    assert alice.api.post(f"/tasks/{given}/assign/{bob.id}").status == 200
    assert is_in(bob, project)


def test_a_change_of_something_else_by_the_owner_lets_nobody_in(project, given, alice, bob):
    """A form sends the whole row back."""
    his = new(bob, project_id=project, assignee_id=bob.id)
    alice.api.patch(f"/tasks/{given}", {"assignee_id": None})
    whole = {"title": "New", "assignee_id": bob.id, "project_id": project}
    assert alice.api.put(f"/tasks/{his}", whole).json["title"] == "New"
    assert not is_in(bob, project)
    assert alice.api.post(f"/tasks/{his}/assign/{bob.id}").status == 200  # says so
    assert is_in(bob, project)


@pytest.mark.parametrize("who", ["member", "stranger", "admin"])
def test_only_owner_and_admin_take_someone_out(project, given, bob, charlie, ada, who):
    path = f"/projects/{project}/members/{bob.id}"
    if who == "admin":
        assert ada.api.delete(path).status == 204
        assert not is_in(bob, project)
        return
    with nothing_changes():
        if who == "member":
            assert refused(bob.api.delete(path), 403)["detail"] == "Only its owner changes a project."
        else:
            assert refused(charlie.api.delete(path), 404) == refused(
                charlie.api.delete("/projects/99999/members/1"), 404
            )


def test_who_is_not_in_it_cannot_be_taken_out(project, given, alice, charlie):
    new(alice, project_id=project, assignee_id=alice.id)
    with nothing_changes():
        for user_id in (charlie.id, alice.id, 99999, "x"):
            refused(alice.api.delete(f"/projects/{project}/members/{user_id}"), 404)


def test_a_member_gives_a_task_to_who_is_in_it_and_to_nobody_else(project, given, alice, bob, carol):
    meeting = {"title": "Plan", "scheduled_time": "2026-01-05", "attendee_ids": [bob.id, carol.id]}
    assert alice.api.post("/meetings", meeting).status == 201  # so that bob knows carol
    his = new(bob, project_id=project)
    with nothing_changes():
        for answer in (
            bob.api.post("/tasks", {"title": "x", "project_id": project, "assignee_id": carol.id}),
            bob.api.patch(f"/tasks/{his}", {"assignee_id": carol.id}),
            bob.api.post(f"/tasks/{his}/assign/{carol.id}"),
        ):
            assert refused(answer, 403)["detail"] == NOT_YOURS
    assert bob.api.post(f"/tasks/{his}/assign/{alice.id}").status == 200
    assert bob.api.post(f"/tasks/{his}/assign/{bob.id}").status == 200
    hers = new(alice, project_id=project, assignee_id=carol.id)
    assert bob.api.post(f"/tasks/{his}/assign/{carol.id}").status == 200
    assert is_in(carol, project)
    alice.api.delete(f"/tasks/{hers}")
    assert not is_in(carol, project)  # what bob gave her keeps her in no more than it let her in
    agree(alice, bob, carol)


def test_a_task_that_a_member_moves_in_takes_nobody_along(project, given, alice, bob, carol):
    alice.api.post("/meetings", {"title": "P", "scheduled_time": "2026-01-05", "attendee_ids": [bob.id, carol.id]})
    his = new(bob, assignee_id=carol.id)
    with nothing_changes():
        assert refused(bob.api.patch(f"/tasks/{his}", {"project_id": project}), 403)["detail"] == NOT_YOURS
    other = alice.api.post("/projects", {"title": "Other"}).json["id"]
    new(alice, project_id=other, assignee_id=bob.id)
    last = new(alice, project_id=other, assignee_id=carol.id)
    both = new(bob, project_id=project)
    alice.api.delete(f"/tasks/{last}")
    assert alice.api.post(f"/tasks/{both}/assign/{carol.id}").status == 200
    with nothing_changes():
        refused(bob.api.patch(f"/tasks/{both}", {"project_id": other}), 403)
    again = new(alice, project_id=other, assignee_id=carol.id)
    assert bob.api.patch(f"/tasks/{both}", {"project_id": other}).status == 200
    alice.api.delete(f"/tasks/{again}")
    refused(carol.api.get(f"/projects/{other}"), 404)
    agree(alice, bob, carol)


def test_a_task_that_the_owner_moves_in_takes_along_whom_they_gave_it(project, given, alice, bob, carol):
    hers = new(alice, assignee_id=carol.id)
    assert not is_in(carol, project)
    alice.api.patch(f"/tasks/{hers}", {"project_id": project})
    assert is_in(carol, project)
    alice.api.patch(f"/tasks/{hers}", {"project_id": None})
    assert not is_in(carol, project)
    his = new(bob, project_id=project, assignee_id=bob.id)
    other = alice.api.post("/projects", {"title": "Other"}).json["id"]
    alice.api.patch(f"/tasks/{his}", {"project_id": other})
    refused(bob.api.get(f"/projects/{other}"), 404)  # what bob gave himself lets him in nowhere
    agree(alice, bob, carol)


def test_what_an_admin_gives_counts_as_the_owners(project, ada, alice, bob, charlie):
    hers = ada.api.post("/tasks", {"title": "Do", "project_id": project, "assignee_id": charlie.id}).json["id"]
    assert is_in(charlie, project)
    assert Task.objects.get(pk=hers).assigned_by_id == alice.id
    agree(alice, bob, charlie)


def test_a_task_whose_giver_was_not_written_down_was_given_by_its_creator(project, given, alice, bob):
    Task.objects.update(assigned_by=None)
    assert is_in(bob, project)
    Task.objects.update(creator=bob.user)
    assert not is_in(bob, project)
    agree(alice, bob)


def test_members_from_before_stay_where_the_owner_or_an_admin_gave_them_a_task(project, given, ada, alice, bob, carol):
    ada.api.post("/tasks", {"title": "Do", "project_id": project, "assignee_id": carol.id})
    new(bob, project_id=project, assignee_id=bob.id)
    Task.objects.update(assigned_by=None)  # as the version before left them
    sql(import_module("tasks.migrations.0005_assigned_by").BY_ADMINS)
    assert set(Task.objects.values_list("creator_id", "assigned_by_id")) == {
        (alice.id, None), (ada.id, alice.id), (bob.id, None)
    }  # fmt: skip
    assert is_in(bob, project)
    assert is_in(carol, project)
    alice.api.delete(f"/tasks/{given}")
    assert not is_in(bob, project)


def test_a_deleted_project_leaves_each_task_to_its_own(project, given, alice, bob):
    his = new(bob, project_id=project)
    assert alice.api.delete(f"/projects/{project}").status == 204
    assert ids(bob.api.get("/tasks")) == [his, given]
    assert ids(alice.api.get("/tasks")) == [given]
    agree(alice, bob)


def test_members_know_each_other_and_only_they(project, given, alice, bob, carol):
    new(alice, project_id=project, assignee_id=carol.id)
    assert ids(carol.api.get("/users")) == sorted((alice.id, bob.id, carol.id), reverse=True)
    assert ids(bob.api.get("/users")) == ids(carol.api.get("/users"))
    alice.api.delete(f"/projects/{project}/members/{carol.id}")
    assert ids(carol.api.get("/users")) == [carol.id]
    assert ids(bob.api.get("/users")) == sorted((alice.id, bob.id), reverse=True)


def test_the_task_api_shows_the_owner_what_members_made(project, given, alice, bob):
    new(bob, project_id=project, title="Bob's own")
    key = alice.api.post("/api-keys", {"name": "Task API", "scopes": ["*"]}).json["key"]
    dialect = Api(mount="/task-api", X_API_Key=key)
    assert [row["title"] for row in dialect.get("/tasks").json] == ["Bob's own", "Do"]
    his = dialect.get("/tasks").json[0]
    assert dialect.patch(f"/tasks/{his['id']}/status?new_status=done").json == his | {
        "status": "done", "updated_at": TIME
    }  # fmt: skip


def test_a_mail_names_a_project_only_to_who_sees_it(project, given, alice, bob, settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    new(bob, project_id=project, assignee_id=bob.id, due_date=day(1), title="Bob's own")
    alice.api.patch(f"/projects/{project}", {"title": "Sold to Acme"})
    alice.api.delete(f"/tasks/{given}")
    run_periodic("mail_due_tasks")
    run_jobs()
    due = [message for message in mails_in(tmp_path) if message["Subject"] == "Due tomorrow: Bob's own"]
    assert [message["To"] for message in due] == ["bob@example.com"]
    assert [text for text in texts_of(due[0]) if "Acme" in text] == []
