"""Notes about contacts: what they belong to, what lists find, and how they stand in a timeline."""

import pytest

from accounts.tests.assertions import faults, ids, nothing_changes, refused
from notes.models import Note, NoteStatus


def contact(person, name="Maria") -> dict:
    sent = {"name": name, "email": f"{name.lower()}@example.com", "company": "Acme"}
    answer = person.api.post("/contacts", sent)
    assert answer.status == 201, answer
    return answer.json


@pytest.fixture
def maria(alice):
    return contact(alice)


def write(person, **fields) -> int:
    answer = person.api.post("/notes", {"raw_text": "Text"} | fields)
    assert answer.status == 201, answer
    return answer.json["id"]


@pytest.mark.parametrize("key", ["id", "uuid"])
def test_a_note_is_about_a_contact_by_its_id_or_uuid(alice, maria, key):
    id = write(alice, contact_id=maria[key])
    other = write(alice)
    assert alice.api.get(f"/notes/{id}").json["contact_id"] == maria["id"]
    assert ids(alice.api.get(f"/notes?contact_id={maria[key]}")) == [id]
    assert alice.api.patch(f"/notes/{other}", {"contact_id": maria[key]}).json["contact_id"] == maria["id"]
    assert ids(alice.api.get(f"/notes?contact_id={maria[key]}")) == [other, id]


@pytest.mark.parametrize("method", ["PATCH", "PUT"])
def test_another_contact_or_none_leaves_text_and_summary_alone(alice, maria, method):
    id = write(alice, contact_id=maria["id"])
    Note.objects.update(status="done", summary="Short")
    tom = contact(alice, "Tom")
    for sent, kept in (({"contact_id": tom["id"]}, tom["id"]), ({}, tom["id"]), ({"contact_id": None}, None)):
        shown = alice.api.request(method, f"/notes/{id}", sent).json
        assert (shown["contact_id"], shown["raw_text"], shown["summary"], shown["status"]) == (
            kept, "Text", "Short", "done",
        )  # fmt: skip


def test_a_contact_of_somebody_else_is_none(alice, charlie, ada, maria):
    theirs, mine = contact(charlie, "Eve"), write(alice, contact_id=maria["id"])
    strange = "01890000-0000-7000-8000-000000000000"
    with nothing_changes():
        for ref in (theirs["id"], theirs["uuid"], 999_999, strange):
            for answer in (
                alice.api.post("/notes", {"raw_text": "x", "contact_id": ref}),
                alice.api.patch(f"/notes/{mine}", {"raw_text": "x", "contact_id": ref}),
            ):
                assert faults(answer) == {("body", "contact_id"): "You have no such contact."}
            assert ids(alice.api.get(f"/notes?contact_id={ref}")) == []
        assert ids(charlie.api.get(f"/notes?contact_id={maria['id']}")) == []
    assert ids(ada.api.get(f"/notes?contact_id={maria['id']}")) == [mine]


def test_everything_that_is_no_meeting_or_contact_is_said_at_once(alice):
    with nothing_changes():
        answer = alice.api.post("/notes", {"raw_text": "x", "meeting_id": 999_999, "contact_id": 999_999})
    assert faults(answer) == {
        ("body", "meeting_id"): "You see no such meeting.",
        ("body", "contact_id"): "You have no such contact.",
    }


def test_a_deleted_contact_or_meeting_leaves_its_notes(alice, maria):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    id = write(alice, contact_id=maria["id"], meeting_id=meeting)
    shown = alice.api.get(f"/notes/{id}").json
    assert alice.api.delete(f"/contacts/{maria['id']}").status == 204
    assert alice.api.get(f"/notes/{id}").json == shown | {"contact_id": None}
    assert alice.api.delete(f"/meetings/{meeting}").status == 204
    assert alice.api.get(f"/notes/{id}").json == shown | {"contact_id": None, "meeting_id": None}


def test_all_filters_hold_together(alice, maria):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    fields = {"contact_id": maria["id"], "meeting_id": meeting, "raw_text": "tea"}
    full = write(alice, **fields)
    for left_out in fields:
        write(alice, **{name: value for name, value in fields.items() if name != left_out})
    done = write(alice, **fields)
    Note.objects.filter(pk=done).update(status="done")
    query = f"contact_id={maria['id']}&meeting_id={meeting}&search=TEA&status"
    assert ids(alice.api.get(f"/notes?{query}=queued")) == [full]
    assert ids(alice.api.get(f"/notes?{query}=done")) == [done]
    assert ids(alice.api.get(f"/notes?{query}=failed")) == []


@pytest.mark.parametrize("query", ["contact_id=0", "contact_id=x", "contact_id=-1", "contact_id=1.5", "contact_id="])
def test_what_is_no_contact_is_refused(alice, query):
    found = faults(alice.api.get(f"/notes?{query}"))
    assert {place[:2] for place in found} == {("query", "contact_id")}


def entries(person, contact) -> list[dict]:
    answer = person.api.get(f"/contacts/{contact['id']}/timeline")
    assert answer.status == 200, answer
    return [entry for entry in answer.json["results"] if entry["service"] == "notes"]


@pytest.mark.parametrize("status", NoteStatus.values)
def test_a_note_in_a_timeline(alice, maria, status):
    id = write(alice, contact_id=maria["id"], raw_text="ä" * 1_200)
    Note.objects.update(status=status, summary="First line\nsecond line")
    [entry] = entries(alice, maria)
    assert (entry["id"], entry["title"], entry["status"]) == (id, "First line", status)
    assert entry["details"] == {"summary": "First line\nsecond line", "text": "ä" * 1_000}


def test_a_note_without_a_summary_stands_there_with_its_text(alice, maria):
    write(alice, contact_id=maria["id"], raw_text="\n " + "x" * 150 + "\nmore")
    [entry] = entries(alice, maria)
    assert (entry["title"], entry["status"], entry["details"]["summary"]) == ("x" * 99 + "…", "queued", None)


def test_a_timeline_has_ones_own_notes_alone(alice, bob, charlie, ada, maria):
    mine = write(alice, contact_id=maria["id"])
    write(ada, contact_id=maria["id"])
    assert [entry["id"] for entry in entries(alice, maria)] == [mine]
    for person in (bob, charlie):
        refused(person.api.get(f"/contacts/{maria['id']}/timeline"), 404)


@pytest.mark.parametrize(
    ("text", "summary", "title"),
    [
        ("One\nTwo", None, "One"),
        ("  \n\n One \nTwo", None, "One"),
        ("One", "", "One"),
        ("One", "Short.\nMore.", "Short."),
        ("x" * 100, None, "x" * 100),
        ("x" * 101, None, "x" * 99 + "…"),
        ("😀" * 101, None, "😀" * 99 + "…"),
        ("One\r\nTwo", "", "One"),
        ("One\r\nTwo", "Short.\rMore.", "Short."),
        (" \n", None, ""),
    ],
)
def test_the_title_is_the_first_line(text, summary, title):
    assert Note(raw_text=text, summary=summary).title() == title


def test_a_note_that_is_queued_again_has_another_revision_and_no_error():
    note = Note(raw_text="x", status=NoteStatus.FAILED, error="Took too long.", summary="Old", revision=7)
    note.queue()
    assert (note.revision, note.status, note.error, note.summary) == (8, "queued", None, "Old")
    assert Note(author_id=7).audience() == {"user:7"}
