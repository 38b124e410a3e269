"""GET /notes and GET /notes/{id}."""

from datetime import UTC, datetime
from urllib.parse import quote

import pytest

from accounts.tests.assertions import faults, ids, refused
from notes.models import ActionItem, Note


@pytest.fixture
def write(alice):
    def make(text="Text", person=alice, **fields):
        made = person.api.post("/notes", {"content": text} | fields)
        assert made.status == 201, made
        return made.json["id"]

    return make


def test_author_and_admin_see_a_note_and_nobody_else(write, alice, bob, charlie, ada, anonymous):
    id = write()
    for person in (alice, ada):
        assert person.api.get(f"/notes/{id}").json["id"] == id
        assert ids(person.api.get("/notes")) == [id]
    for person in (bob, charlie):
        assert refused(person.api.get(f"/notes/{id}"), 404) == refused(person.api.get("/notes/999999"), 404)
        assert ids(person.api.get("/notes")) == []
    refused(anonymous.get(f"/notes/{id}"), 401)
    refused(anonymous.get("/notes"), 401)


def test_a_finished_note_shows_its_summary_and_what_is_to_do(write, alice):
    id = write("Maria sends the offer by Friday. Jo calls.")
    task = alice.api.post("/tasks", {"title": "Call"}).json["id"]
    Note.objects.update(status="done", summary="Offer and call.")
    first = ActionItem.objects.create(
        note_id=id, title="Send the offer", assignee="Maria", due_date=datetime(2026, 1, 9, tzinfo=UTC), quote="Maria…"
    )
    second = ActionItem.objects.create(note_id=id, title="Call", quote="Jo calls.", task_id=task)
    shown = alice.api.get(f"/notes/{id}").json
    assert (shown["status"], shown["summary"], shown["error"]) == ("done", "Offer and call.", None)
    assert shown["action_items"] == [
        {
            "id": first.pk,
            "title": "Send the offer",
            "assignee": "Maria",
            "due_date": "2026-01-09T00:00:00Z",
            "quote": "Maria…",
            "task_id": None,
        },
        {"id": second.pk, "title": "Call", "assignee": None, "due_date": None, "quote": "Jo calls.", "task_id": task},
    ]
    assert alice.api.get("/notes").json["results"] == [shown]


def test_a_deleted_task_leaves_its_action_item_without_it(write, alice):
    id = write()
    task = alice.api.post("/tasks", {"title": "Call"}).json["id"]
    ActionItem.objects.create(note_id=id, title="Call", quote="x", task_id=task)
    assert alice.api.get(f"/notes/{id}").json["action_items"][0]["task_id"] == task
    alice.api.delete(f"/tasks/{task}")
    assert alice.api.get(f"/notes/{id}").json["action_items"][0]["task_id"] is None


def test_a_failed_note_says_why(write, alice):
    id = write()
    Note.objects.update(status="failed", error="The summarizer took too long.")
    shown = alice.api.get(f"/notes/{id}").json
    assert (shown["status"], shown["summary"], shown["error"]) == ("failed", None, "The summarizer took too long.")


def test_the_list_is_newest_first(write, alice):
    first, second = write(), write()
    alice.api.patch(f"/notes/{first}", {"content": "changed last"})
    assert ids(alice.api.get("/notes")) == [second, first]


def test_filters_by_meeting_and_status(write, alice):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    of_it = write(meeting_id=meeting)
    by_status = {}
    for status in ("done", "failed", "processing"):
        by_status[status] = write()
        Note.objects.filter(pk=by_status[status]).update(status=status)
    assert ids(alice.api.get(f"/notes?meeting_id={meeting}")) == [of_it]
    assert ids(alice.api.get(f"/notes?meeting_id={meeting}&status=queued")) == [of_it]
    assert ids(alice.api.get(f"/notes?meeting_id={meeting}&status=done")) == []
    assert ids(alice.api.get("/notes?meeting_id=999999")) == []
    assert ids(alice.api.get("/notes?status=queued")) == [of_it]
    for status, id in by_status.items():
        assert ids(alice.api.get(f"/notes?status={status}")) == [id]


def test_a_shared_meeting_filters_only_ones_own_notes(write, alice, bob, charlie):
    sent = {"title": "M", "scheduled_time": "2026-01-05", "attendee_ids": [bob.id]}
    meeting = alice.api.post("/meetings", sent).json["id"]
    mine, theirs = write(meeting_id=meeting), write(person=bob, meeting_id=meeting)
    assert ids(alice.api.get(f"/notes?meeting_id={meeting}")) == [mine]
    assert ids(bob.api.get(f"/notes?meeting_id={meeting}")) == [theirs]
    assert ids(charlie.api.get(f"/notes?meeting_id={meeting}")) == []
    alice.api.patch(f"/meetings/{meeting}", {"attendee_ids": []})
    assert ids(bob.api.get(f"/notes?meeting_id={meeting}")) == []
    assert ids(bob.api.get("/notes")) == [theirs]


def test_search_finds_every_word_anywhere_in_text_and_summary_in_any_case(write, alice, charlie):
    a, b = write("Größe ПЛАН\nzweite Zeile"), write("100% sure_thing")
    write("Größe", person=charlie)
    Note.objects.filter(pk=b).update(summary="Größer werden")
    for text, found in {
        "GRÖßE": [b, a], "план ZEILE": [a], "sure größ": [b], "plan": [], "100%": [b], "%": [b], "_": [b],
        "zweite sure": [], "": [b, a],
    }.items():  # fmt: skip
        assert ids(alice.api.get(f"/notes?search={quote(text)}")) == found, text


def test_pages_hold_with_filters(write, alice):
    made = [write(f"plan {n}") for n in range(3)]
    write("other")
    first = alice.api.get("/notes?search=plan&limit=2")
    assert (first.json["count"], [n["id"] for n in first.json["results"]]) == (3, [made[2], made[1]])
    rest = alice.api.get("/notes?" + first.headers["Link"].partition("?")[2].partition(">")[0]).json
    assert (rest["count"], rest["next"], [n["id"] for n in rest["results"]]) == (None, None, [made[0]])


@pytest.mark.parametrize(
    "query",
    [
        "limit=0", "limit=201", "cursor=x", "search=" + "x" * 201, "status=finished", "status=DONE", "meeting_id=0",
        "meeting_id=x", "meeting_id=" + "9" * 30, "author_id=1",
    ],
)  # fmt: skip
def test_odd_query_parameters_are_refused(alice, query):
    assert faults(alice.api.get(f"/notes?{query}")).keys() == {("query", query.partition("=")[0])}
