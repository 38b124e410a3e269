"""POST /notes, PATCH and DELETE /notes/{id}."""

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from mesh.testing import Api
from notes.models import ActionItem, Note
from tasks.models import Task


def write(person, **fields):
    return person.api.post("/notes", fields)


@pytest.fixture
def meeting(alice, bob):
    sent = {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id]}
    return alice.api.post("/meetings", sent).json["id"]


@pytest.fixture
def note(alice):
    return write(alice, raw_text="Maria sends the offer.").json


@pytest.fixture
def summarized(note):
    """The note as it is once its summary is there."""
    Note.objects.update(status="done", summary="Maria: offer.")
    ActionItem.objects.create(note_id=note["id"], title="Send the offer", quote="Maria sends the offer.")
    return note


@pytest.mark.parametrize("field", ["raw_text", "content"])
def test_a_note_is_written_under_either_name_and_its_summary_queued(alice, meeting, field):
    made = write(alice, **{field: " Maria will send\nthe offer. ", "meeting_id": meeting})
    assert made.status == 201, made
    note = Note.objects.get()
    assert made.json == {
        "id": note.pk,
        "raw_text": " Maria will send\nthe offer. ",
        "content": " Maria will send\nthe offer. ",
        "meeting_id": meeting,
        "contact_id": None,
        "summary": None,
        "action_items": [],
        "status": "queued",
        "error": None,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.headers["Location"] == f"/api/v1/notes/{note.pk}"
    assert alice.api.get(f"/notes/{note.pk}").json == made.json


def test_the_location_is_under_the_mount_that_was_asked(alice):
    for mount in ("", "/api/v1", "/api/v2"):
        made = Api(alice.api.token, mount=mount).post("/notes/", {"content": "x"})
        assert made.headers["Location"] == f"{mount}/notes/{made.json['id']}"


def test_a_note_may_be_of_no_meeting(alice):
    assert write(alice, content="x").json["meeting_id"] is None
    assert write(alice, content="x", meeting_id=None).json["meeting_id"] is None


def test_both_texts_may_be_sent_when_they_are_the_same(alice):
    assert write(alice, content="x", raw_text="x").json["raw_text"] == "x"
    with nothing_changes():
        assert faults(write(alice, content="x", raw_text="y")) == {
            ("body",): "Send `raw_text` or `content`; both were sent, and they differ."
        }


def test_a_text_is_needed(alice):
    with nothing_changes():
        for body in ({}, None, {"meeting_id": None}):
            assert faults(alice.api.post("/notes", body)) == {("body", "raw_text"): "Field required"}


def test_everything_wrong_is_said_at_once(alice):
    with nothing_changes():
        found = faults(write(alice, meeting_id=0, colour="red"))
    assert found.keys() == {("body", "raw_text"), ("body", "meeting_id"), ("body", "colour")}


@pytest.mark.parametrize("field", ["raw_text", "content"])
def test_a_text_has_1_to_100_000_characters(alice, note, field):
    for text in ("x", "ä" * 100_000):
        assert write(alice, **{field: text}).json["content"] == text
        assert alice.api.patch(f"/notes/{note['id']}", {field: text}).json["raw_text"] == text
    with nothing_changes():
        for text in ("", "ä" * 100_001, None, 7, ["x"], "a\x00b"):
            assert faults(write(alice, **{field: text})).keys() == {("body", field)}
            assert faults(alice.api.patch(f"/notes/{note['id']}", {field: text})).keys() == {("body", field)}


@pytest.mark.parametrize("field", ["status", "summary", "error", "action_items", "id", "author_id", "title"])
def test_what_is_not_ones_own_to_set_is_refused(alice, note, field):
    with nothing_changes():
        assert faults(write(alice, content="x", **{field: "done"})).keys() == {("body", field)}
        assert faults(alice.api.patch(f"/notes/{note['id']}", {field: "done"})).keys() == {("body", field)}


def test_a_meeting_is_one_that_the_author_sees(alice, bob, charlie, ada, meeting):
    assert write(bob, content="x", meeting_id=meeting).status == 201
    assert write(ada, content="x", meeting_id=meeting).status == 201
    with nothing_changes():
        others, none = write(charlie, content="x", meeting_id=meeting), write(charlie, content="x", meeting_id=999999)
        assert faults(others) == faults(none) == {("body", "meeting_id"): "You see no such meeting."}
        for id in (0, -1, 2**63, "x", 1.5, [meeting]):
            assert faults(write(alice, content="x", meeting_id=id)).keys() == {("body", "meeting_id")}


def test_another_text_is_summarized_again(alice, summarized):
    Note.objects.update(status="failed", error="Took too long.")
    answer = alice.api.patch(f"/notes/{summarized['id']}", {"content": "Jo sends the offer."})
    assert answer.status == 200
    shown = {name: answer.json[name] for name in ("raw_text", "content", "status", "error")}
    assert shown == {
        "raw_text": "Jo sends the offer.", "content": "Jo sends the offer.", "status": "queued", "error": None,
    }  # fmt: skip
    assert alice.api.get(f"/notes/{summarized['id']}").json == answer.json


def test_the_same_text_is_not_summarized_again(alice, summarized):
    for field in ("content", "raw_text"):
        answer = alice.api.patch(f"/notes/{summarized['id']}", {field: summarized["raw_text"]})
        assert (answer.json["status"], answer.json["summary"]) == ("done", "Maria: offer.")


def test_another_meeting_leaves_the_summary_alone(alice, summarized, meeting, charlie):
    path = f"/notes/{summarized['id']}"
    answer = alice.api.patch(path, {"meeting_id": meeting})
    assert (answer.json["meeting_id"], answer.json["status"]) == (meeting, "done")
    other = charlie.api.post("/meetings", {"title": "C", "scheduled_time": "2026-01-05"}).json["id"]
    with nothing_changes():
        found = faults(alice.api.patch(path, {"content": "New", "meeting_id": other}))
        assert found == {("body", "meeting_id"): "You see no such meeting."}
    assert alice.api.patch(path, {"meeting_id": None}).json["meeting_id"] is None


def test_an_empty_change_is_no_fault(alice, note):
    assert alice.api.patch(f"/notes/{note['id']}", {}).json == note | {"updated_at": TIME}
    with nothing_changes():
        assert faults(alice.api.patch(f"/notes/{note['id']}", {"content": "x", "raw_text": "y"})).keys() == {("body",)}


def test_a_note_is_its_authors_alone_even_where_the_meeting_is_shared(alice, bob, charlie, ada, anonymous, meeting):
    id = write(alice, content="Private", meeting_id=meeting).json["id"]
    with nothing_changes():
        for person in (bob, charlie):
            for method, data in (("GET", None), ("PATCH", {"content": "x"}), ("DELETE", None)):
                answer = refused(person.api.request(method, f"/notes/{id}", data), 404)
                assert answer == refused(person.api.request(method, "/notes/999999", data), 404)
        refused(anonymous.patch(f"/notes/{id}", {"content": "x"}), 401)
        refused(anonymous.delete(f"/notes/{id}"), 401)
        refused(anonymous.post("/notes", {"content": "x"}), 401)
    assert ada.api.patch(f"/notes/{id}", {"content": "By Ada"}).json["content"] == "By Ada"
    assert ada.api.delete(f"/notes/{id}").status == 204


def test_deleting_a_note_removes_it_everywhere_and_keeps_its_tasks(alice, ada, summarized, meeting):
    alice.api.patch(f"/notes/{summarized['id']}", {"meeting_id": meeting})
    task = alice.api.post("/tasks", {"title": "Send the offer"}).json
    ActionItem.objects.update(task_id=task["id"])
    answer = alice.api.delete(f"/notes/{summarized['id']}")
    assert (answer.status, answer.text) == (204, "")
    for person in (alice, ada):
        refused(person.api.get(f"/notes/{summarized['id']}"), 404)
        for query in ("", "?search=maria", "?status=done", f"?meeting_id={meeting}"):
            assert ids(person.api.get(f"/notes{query}")) == []
    assert (Note.objects.count(), ActionItem.objects.count(), Task.objects.count()) == (0, 0, 1)
    assert alice.api.get(f"/tasks/{task['id']}").json == task
    with nothing_changes():
        refused(alice.api.delete(f"/notes/{summarized['id']}"), 404)


@pytest.mark.parametrize("id", ["0", "x", "-1", "9" * 30, "00000000-0000-7000-8000-000000000000"])
def test_an_id_of_no_valid_form_is_a_404(alice, id):
    with nothing_changes():
        for method, data in (("GET", None), ("PATCH", {"content": "x"}), ("DELETE", None)):
            refused(alice.api.request(method, f"/notes/{id}", data), 404)


def test_a_body_of_more_than_a_mebibyte_is_too_large(alice):
    with nothing_changes():
        refused(alice.api.post("/notes", b'{"content": "' + b"x" * 1024 * 1024 + b'"}'), 413, "too_large")


def test_a_key_makes_one_note(alice):
    first = alice.api.post("/notes", {"content": "x"}, Idempotency_Key="k")
    assert alice.api.post("/notes", {"content": "x"}, Idempotency_Key="k").json == first.json
    assert Note.objects.count() == 1
