"""POST /meetings/{id}/respond and DELETE /meetings/{id}."""

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from meetings.models import Invitee, Meeting
from notes.models import Note
from tasks.models import Task


@pytest.fixture
def meeting(alice, bob):
    sent = {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id]}
    return alice.api.post("/meetings", sent).json


@pytest.mark.parametrize("response", ["accepted", "declined", "tentative"])
def test_an_invited_user_answers(meeting, alice, bob, response):
    answer = bob.api.post(f"/meetings/{meeting['id']}/respond", {"response": response})
    assert answer.status == 200, answer
    expected = [{"id": bob.id, "name": "Bob", "email": "bob@example.com", "response": response}]
    assert answer.json == meeting | {"attendees": expected, "updated_at": TIME}
    assert "Location" not in answer.headers
    assert alice.api.get(f"/meetings/{meeting['id']}").json == answer.json


def test_an_answer_may_change(meeting, bob):
    for response in ("accepted", "declined", "accepted"):
        answer = bob.api.post(f"/meetings/{meeting['id']}/respond", {"response": response})
        assert answer.json["attendees"][0]["response"] == response


@pytest.mark.parametrize("body", [{}, None, {"response": "pending"}, {"response": "ACCEPTED"}, {"response": None}])
def test_another_answer_is_refused(meeting, bob, body):
    with nothing_changes():
        assert faults(bob.api.post(f"/meetings/{meeting['id']}/respond", body)).keys() == {("body", "response")}


def test_nobody_answers_for_another(meeting, bob):
    with nothing_changes():
        sent = {"response": "accepted", "user_id": bob.id}
        assert faults(bob.api.post(f"/meetings/{meeting['id']}/respond", sent)).keys() == {("body", "user_id")}


def test_who_sees_it_but_is_not_invited_is_forbidden_and_others_see_nothing(meeting, alice, charlie, ada, anonymous):
    path, sent = f"/meetings/{meeting['id']}/respond", {"response": "accepted"}
    with nothing_changes():
        for person in (alice, ada):
            problem = refused(person.api.post(path, sent), 403)
            assert problem["detail"] == "You are not invited to this meeting, so there is nothing to answer."
        assert refused(charlie.api.post(path, sent), 404) == refused(
            charlie.api.post("/meetings/999999/respond", sent), 404
        )
        refused(anonymous.post(path, sent), 401)


def test_an_organizer_who_is_invited_too_may_answer(alice):
    sent = {"title": "Plan", "scheduled_time": "2026-01-05", "attendee_ids": [alice.id]}
    id = alice.api.post("/meetings", sent).json["id"]
    answer = alice.api.post(f"/meetings/{id}/respond", {"response": "accepted"})
    assert answer.json["attendees"][0]["response"] == "accepted"


def test_deleting_a_meeting_removes_it_and_its_invitations_everywhere(meeting, alice, bob, ada):
    path = f"/meetings/{meeting['id']}"
    answer = alice.api.delete(path)
    assert (answer.status, answer.text) == (204, "")
    for person in (alice, bob, ada):
        refused(person.api.get(path), 404)
        assert ids(person.api.get("/meetings")) == []
        assert ids(person.api.get("/meetings?search=plan")) == []
    assert (Meeting.objects.count(), Invitee.objects.count()) == (0, 0)
    with nothing_changes():
        refused(alice.api.delete(path), 404)
        refused(alice.api.patch(path, {"title": "x"}), 404)
        refused(bob.api.post(f"{path}/respond", {"response": "accepted"}), 404)
        for url, sent in (
            ("/notes", {"content": "x", "meeting_id": meeting["id"]}),
            ("/tasks", {"title": "x", "due_meeting_id": meeting["id"]}),
        ):
            assert faults(alice.api.post(url, sent)).keys() == {("body", list(sent)[1])}


def test_deleting_a_meeting_keeps_its_notes_and_tasks_without_it(meeting, alice, bob):
    note = alice.api.post("/notes", {"content": "Text", "meeting_id": meeting["id"]}).json
    task = bob.api.post("/tasks", {"title": "Do", "due_meeting_id": meeting["id"]}).json
    assert (note["meeting_id"], task["due_meeting_id"]) == (meeting["id"], meeting["id"])
    assert alice.api.delete(f"/meetings/{meeting['id']}").status == 204
    assert alice.api.get(f"/notes/{note['id']}").json == note | {"meeting_id": None}
    assert bob.api.get(f"/tasks/{task['id']}").json == task | {"due_meeting_id": None}
    assert ids(alice.api.get(f"/notes?meeting_id={meeting['id']}")) == []
    assert ids(bob.api.get(f"/tasks?meeting_id={meeting['id']}")) == []
    assert (Note.objects.count(), Task.objects.count()) == (1, 1)


def test_only_organizer_and_admin_delete(meeting, bob, charlie, ada, anonymous):
    path = f"/meetings/{meeting['id']}"
    with nothing_changes():
        refused(bob.api.delete(path), 403)
        assert refused(charlie.api.delete(path), 404) == refused(charlie.api.delete("/meetings/999999"), 404)
        refused(anonymous.delete(path), 401)
    assert ada.api.delete(path).status == 204


@pytest.mark.parametrize("id", ["0", "x", "-1", "9" * 30])
def test_an_id_of_no_valid_form_is_a_404(alice, id):
    with nothing_changes():
        refused(alice.api.delete(f"/meetings/{id}"), 404)
        refused(alice.api.post(f"/meetings/{id}/respond", {"response": "accepted"}), 404)


def test_a_dry_run_of_a_deletion_deletes_nothing(meeting, alice):
    with nothing_changes():
        answer = alice.api.delete(f"/meetings/{meeting['id']}", Prefer="dry-run")
    assert (answer.status, answer.json) == (200, {"dry_run": True, "result": None, "jobs": [], "mails": []})


def test_paths_answer_only_their_methods(meeting, alice):
    for method, path, allow in [
        ("DELETE", "/meetings", "GET, POST, HEAD, OPTIONS"),
        ("POST", f"/meetings/{meeting['id']}", "GET, PATCH, PUT, DELETE, HEAD, OPTIONS"),
        ("GET", f"/meetings/{meeting['id']}/respond", "POST, OPTIONS"),
    ]:
        with nothing_changes():
            answer = alice.api.request(method, path)
            refused(answer, 405)
        assert answer.headers["Allow"] == allow
