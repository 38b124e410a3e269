"""The admin's forms: every change passes through an operation."""

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.assertions import ids, nothing_changes, refused
from accounts.tests.browser import submit, text_of
from conftest import PASSWORD
from meetings.models import Meeting
from mesh.models import AuditEntry
from notes.models import Note
from tasks.models import Project, Task

WHEN = {"scheduled_time_0": "2026-01-05", "scheduled_time_1": "10:00:00"}


@pytest.fixture
def site(ada):
    """A browser in which Ada is signed in to the admin."""
    client = Client()
    response = submit(client, "/admin/login/", "login-form", username="ada@example.com", password=PASSWORD)
    assert response.status_code == 302, response.content.decode()
    return client


def errors_beside(response, field):
    """What the form says beside a field."""
    return response.context["adminform"].form.errors.get(field, [])


def last_entry():
    entry = AuditEntry.objects.latest("pk")
    return entry.operation, entry.door, entry.outcome, entry.row_id


@pytest.fixture
def rows(alice, bob):
    """A row of every table: {app_model: id}."""
    meeting = alice.api.post(
        "/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id]}
    ).json["id"]
    project = alice.api.post("/projects", {"title": "Website"}).json["id"]
    task = alice.api.post("/tasks", {"title": "Do", "project_id": project, "due_meeting_id": meeting}).json["id"]
    note = alice.api.post("/notes", {"content": "Text", "meeting_id": meeting}).json["id"]
    return {"meetings/meeting": meeting, "tasks/project": project, "tasks/task": task, "notes/note": note}


def test_adding_a_user(site, ada, anonymous):
    path = "/admin/accounts/user/add/"
    response = submit(site, path, "user_form", email="new@example.com", name="New", password="a long and lonely road")
    assert response.status_code == 302, response.context and response.context["adminform"].form.errors
    user = User.objects.get(email="new@example.com")
    assert (user.name, user.role, user.is_active, user.invited_by_id) == ("New", "AGENT", True, ada.id)
    assert last_entry() == ("invite_user", "admin", "ok", str(user.pk))
    login = anonymous.post("/auth/login", {"username": "new@example.com", "password": "a long and lonely road"})
    assert login.status == 200


def test_a_refusal_stands_beside_its_field(site, alice):
    path = "/admin/accounts/user/add/"
    with nothing_changes():
        response = submit(site, path, "user_form", email="new@example.com", name="New", password="12345678")
        assert response.status_code == 200
        assert errors_beside(response, "password") == [
            "This password is too common.", "This password is entirely numeric.",
        ]  # fmt: skip
        assert "This password is too common." in text_of(response)
        response = submit(site, path, "user_form", email="no e-mail", name="New")
        assert errors_beside(response, "email") == ["Enter a valid email address."]
        response = submit(site, path, "user_form", email="new@example.com", name="")
        assert len(errors_beside(response, "name")) == 1
        response = submit(site, path, "user_form", email="ALICE@example.com", name="Again")
        assert response.status_code == 200
        assert "is already here." in text_of(response)


def test_changing_a_user(site, ada, alice):
    path = f"/admin/accounts/user/{alice.id}/change/"
    response = submit(site, path, "user_form", name="Alicia", role="ADMIN")
    assert response.status_code == 302
    assert last_entry() == ("update_user", "admin", "ok", str(alice.id))
    assert alice.api.get("/users/me").json["role"] == "ADMIN"
    assert submit(site, path, "user_form", is_active=None).status_code == 302
    refused(alice.api.get("/users/me"), 401)


def test_the_last_admin_stays(site, ada):
    with nothing_changes():
        for change in ({"role": "AGENT"}, {"is_active": None}):
            response = submit(site, f"/admin/accounts/user/{ada.id}/change/", "user_form", **change)
            assert response.status_code == 200
            assert "This is the last active ADMIN." in text_of(response)


def test_nobody_deletes_users_or_writes_sessions_and_the_audit_trail(site, alice):
    session = alice.user.sessions.get()
    entry = AuditEntry.objects.create(operation="x", door="rest", outcome="ok")
    with nothing_changes():
        for row in (f"accounts/user/{alice.id}", f"accounts/session/{session.pk}", f"mesh/auditentry/{entry.pk}"):
            assert site.post(f"/admin/{row}/delete/", {"post": "yes"}).status_code == 403
        for row in (f"accounts/session/{session.pk}", f"mesh/auditentry/{entry.pk}"):
            assert site.post(f"/admin/{row}/change/", {"address": "x", "outcome": "x"}).status_code == 403
        for table in ("accounts/session", "mesh/auditentry"):
            assert site.get(f"/admin/{table}/add/").status_code == 403
    assert AuditEntry.objects.filter(pk=entry.pk, outcome="ok").exists()


def test_adding_a_meeting(site, ada, bob):
    sent = {"title": "Plan", "description": "One\r\nTwo", "location": "", "attendee_ids": [str(bob.id)], **WHEN}
    response = submit(site, "/admin/meetings/meeting/add/", "meeting_form", **sent)
    assert response.status_code == 302, response.context and response.context["adminform"].form.errors
    meeting = Meeting.objects.get()
    assert last_entry() == ("schedule_meeting", "admin", "ok", str(meeting.pk))
    shown = bob.api.get(f"/meetings/{meeting.pk}").json
    assert (shown["title"], shown["description"], shown["location"]) == ("Plan", "One\nTwo", None)
    assert (shown["scheduled_time"], shown["duration_minutes"]) == ("2026-01-05T10:00:00Z", 30)
    assert (shown["organizer"]["id"], [a["id"] for a in shown["attendees"]]) == (ada.id, [bob.id])


def test_changing_a_meeting_shows_at_once_in_what_others_have_cached(site, alice, bob, rows):
    id = rows["meetings/meeting"]
    for person in (alice, bob):
        person.api.get("/meetings")
        assert person.api.get("/meetings").headers["X-Cache"] == "hit"
    response = submit(site, f"/admin/meetings/meeting/{id}/change/", "meeting_form", title="New", location="Room 9")
    assert response.status_code == 302
    assert last_entry() == ("update_meeting", "admin", "ok", str(id))
    for person in (alice, bob):
        shown = person.api.get("/meetings").json["results"][0]
        assert (shown["title"], shown["location"], shown["organizer"]["id"]) == ("New", "Room 9", alice.id)
        assert [a["id"] for a in shown["attendees"]] == [bob.id]
    response = submit(site, f"/admin/meetings/meeting/{id}/change/", "meeting_form", attendee_ids=[])
    assert response.status_code == 302
    assert ids(bob.api.get("/meetings")) == []


def test_a_meetings_faults_stand_beside_their_fields(site, rows):
    path = f"/admin/meetings/meeting/{rows['meetings/meeting']}/change/"
    with nothing_changes():
        response = submit(site, path, "meeting_form", duration_minutes="4", title="")
        assert response.status_code == 200
        assert len(errors_beside(response, "title")) == 1
        response = submit(site, path, "meeting_form", duration_minutes="4")
        assert len(errors_beside(response, "duration_minutes")) == 1
        response = submit(site, path, "meeting_form", duration_minutes="")
        assert len(errors_beside(response, "duration_minutes")) == 1
        response = submit(site, path, "meeting_form", scheduled_time_0="never")
        assert len(errors_beside(response, "scheduled_time")) == 1


def test_deleting_a_meeting(site, alice, bob, rows):
    id = rows["meetings/meeting"]
    assert ids(bob.api.get("/meetings")) == [id]
    response = site.post(f"/admin/meetings/meeting/{id}/delete/", {"post": "yes"})
    assert response.status_code == 302
    assert last_entry()[:3] == ("cancel_meeting", "admin", "ok")
    assert ids(bob.api.get("/meetings")) == []
    assert (Meeting.objects.count(), Note.objects.get().meeting_id, Task.objects.get().due_meeting_id) == (
        0,
        None,
        None,
    )


def test_deleting_several_at_once(site, alice, bob):
    for title in ("A", "B", "C"):
        alice.api.post("/meetings", {"title": title, "scheduled_time": "2026-01-05", "attendee_ids": [bob.id]})
    chosen = [str(m.pk) for m in Meeting.objects.exclude(title="B")]
    assert len(ids(bob.api.get("/meetings"))) == 3
    sent = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    assert site.post("/admin/meetings/meeting/", sent).status_code == 302
    assert [m.title for m in Meeting.objects.all()] == ["B"]
    assert len(ids(bob.api.get("/meetings"))) == 1
    assert AuditEntry.objects.filter(operation="cancel_meeting", door="admin", outcome="ok").count() == 2


def test_projects_are_added_changed_and_deleted(site, ada, rows, alice):
    assert submit(site, "/admin/tasks/project/add/", "project_form", title="New").status_code == 302
    project = Project.objects.get(title="New")
    assert (project.owner_id, last_entry()) == (ada.id, ("create_project", "admin", "ok", str(project.pk)))
    path = f"/admin/tasks/project/{rows['tasks/project']}/"
    assert submit(site, f"{path}change/", "project_form", description="About").status_code == 302
    shown = alice.api.get(f"/projects/{rows['tasks/project']}").json
    assert (shown["description"], shown["title"], shown["owner_id"]) == ("About", "Website", alice.id)
    assert site.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    assert (Project.objects.count(), Task.objects.get().project_id) == (1, None)


def test_tasks_are_added_changed_and_deleted(site, ada, bob, rows, alice):
    sent = {"title": "New", "assignee": str(bob.id), "due_date_0": "2026-03-01", "due_date_1": "12:00:00"}
    assert submit(site, "/admin/tasks/task/add/", "task_form", **sent).status_code == 302
    task = Task.objects.get(title="New")
    assert last_entry() == ("create_task", "admin", "ok", str(task.pk))
    assert (task.creator_id, task.assignee_id, task.due_date.isoformat()) == (
        ada.id, bob.id, "2026-03-01T12:00:00+00:00",
    )  # fmt: skip
    path = f"/admin/tasks/task/{rows['tasks/task']}/"
    response = submit(site, f"{path}change/", "task_form", status="done", project="", assignee=str(bob.id))
    assert response.status_code == 302
    shown = alice.api.get(f"/tasks/{rows['tasks/task']}").json
    assert (shown["status"], shown["project_id"], shown["assignee_id"]) == ("done", None, bob.id)
    assert shown["due_meeting_id"] == rows["meetings/meeting"]
    assert site.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    refused(alice.api.get(f"/tasks/{rows['tasks/task']}"), 404)
    assert last_entry()[:3] == ("delete_task", "admin", "ok")


def test_notes_are_added_changed_and_deleted(site, ada, rows, alice):
    sent = {"raw_text": "One\r\nTwo", "meeting": str(rows["meetings/meeting"])}
    assert submit(site, "/admin/notes/note/add/", "note_form", **sent).status_code == 302
    note = Note.objects.latest("pk")
    assert last_entry() == ("add_note", "admin", "ok", str(note.pk))
    assert (note.author_id, note.meeting_id, note.raw_text) == (ada.id, rows["meetings/meeting"], "One\nTwo")
    path = f"/admin/notes/note/{rows['notes/note']}/"
    assert submit(site, f"{path}change/", "note_form", raw_text="Other").status_code == 302
    assert alice.api.get(f"/notes/{rows['notes/note']}").json["content"] == "Other"
    assert site.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    refused(alice.api.get(f"/notes/{rows['notes/note']}"), 404)


def test_saving_a_page_untouched_changes_nothing(site, alice, bob):
    """A browser sends line breaks as CR LF, and none at all from a field of one line."""
    text = "  One\n\nTwo \n"
    meeting = alice.api.post(
        "/meetings",
        {"title": "T", "description": "One\nTwo", "scheduled_time": "2026-01-05T10:00:00.123456Z",
         "attendee_ids": [bob.id], "attendee_emails": ["guest@example.com"]},
    ).json["id"]  # fmt: skip
    alice.api.post("/projects", {"title": "P", "description": "One\nTwo"})
    alice.api.post("/tasks", {"title": "T", "description": "One\nTwo", "due_date": "2026-01-05T10:00:00.5Z"})
    alice.api.post("/notes", {"content": text, "meeting_id": meeting})
    Note.objects.update(status="done", summary="Two things.")
    for model in (Meeting, Project, Task, Note, User):
        meta = model._meta
        pk = model._default_manager.latest("pk").pk
        path = f"/admin/{meta.app_label}/{meta.model_name}/{pk}/change/"
        with nothing_changes():
            response = submit(site, path, f"{meta.model_name}_form")
            assert response.status_code == 302, (model, response.context and response.context["adminform"].form.errors)


def test_changing_one_field_leaves_the_others_as_they_were(site, alice):
    note = alice.api.post("/notes", {"content": "One\nTwo"}).json["id"]
    meeting = alice.api.post("/meetings", {"title": "M", "description": "One\nTwo", "scheduled_time": "2026-01-05"})
    id = meeting.json["id"]
    Note.objects.update(status="done", summary="Two things.")
    submit(site, f"/admin/notes/note/{note}/change/", "note_form", meeting=str(id))
    shown = alice.api.get(f"/notes/{note}").json
    assert (shown["raw_text"], shown["meeting_id"], shown["status"]) == ("One\nTwo", id, "done")
    submit(site, f"/admin/meetings/meeting/{id}/change/", "meeting_form", title="New")
    shown = alice.api.get(f"/meetings/{id}").json
    assert (shown["title"], shown["description"]) == ("New", "One\nTwo")
