"""What happens to a note while a model is being asked about it, and what becomes of answers and refusals.

The model is a real server; what happens meanwhile happens in its thread, over connections of its own.
"""

from datetime import UTC, datetime

import pytest
from django.db import connections

from mesh.models import Outbox
from mesh.stores.postgres import fetch
from mesh.worker import runs
from notes.models import ActionItem, Note
from notes.tests.model_server import answer, completion, refuses, send
from tasks.models import Task

TEXT = "Maria will send the offer. Tom will call legal."
OFFER = {"title": "Send the offer", "assignee": "Maria", "due_date": None, "quote": "Maria will send the offer."}
CALL = {"title": "Call legal", "assignee": "Tom", "due_date": None, "quote": "Tom will call legal."}

at_once = pytest.mark.django_db(transaction=True)


@pytest.fixture
def asked(model, settings):
    """The model's server, which notes are summarized by."""
    settings.SUMMARIZER = "openai"
    model.says(answer(OFFER, summary="Offer."))
    return model


def write(person, text=TEXT, **fields) -> str:
    made = person.api.post("/notes", {"raw_text": text} | fields)
    assert made.status == 201, made
    return f"/notes/{made.json['id']}"


def run_all() -> list[str]:
    """Runs every job that waits, whether due or not, oldest first; their operations."""
    fetch("UPDATE mesh_outbox SET due_at = clock_timestamp() WHERE status = 'waiting'")
    waiting = list(Outbox.objects.filter(status="waiting", operation="summarize_note").order_by("pk"))
    return [job.operation for job in waiting if runs.run([job.pk])]


def meanwhile(act, *items, summary="Offer."):
    """An answer before which `act` is done, and what it returned."""
    done = []

    def step(handler):
        try:
            done.append(act())
        finally:
            connections.close_all()
        send(handler, 200, completion(answer(*items, summary=summary)))

    return step, done


def titles(shown) -> list[str]:
    return [item["title"] for item in shown["action_items"]]


@at_once
def test_a_text_that_changes_meanwhile_drops_the_answer(alice, asked):
    path = write(alice)
    changed = "Tom will call legal."
    step, done = meanwhile(lambda: alice.api.patch(path, {"raw_text": changed}), OFFER)
    asked.says(step, answer(CALL, summary="Legal."))
    assert run_all() == ["summarize_note"]
    assert [change.status for change in done] == [200]
    shown = alice.api.get(path).json
    assert (shown["status"], shown["summary"], shown["action_items"]) == ("queued", None, [])
    assert run_all() == ["summarize_note"]
    shown = alice.api.get(path).json
    assert (shown["status"], shown["summary"], titles(shown)) == ("done", "Legal.", ["Call legal"])
    assert [changed in request["messages"][1]["content"] for request in asked.requests] == [True, True]
    assert [OFFER["quote"] in request["messages"][1]["content"] for request in asked.requests] == [True, False]


@at_once
def test_a_note_that_is_deleted_meanwhile_stays_deleted(alice, asked):
    path = write(alice)
    step, done = meanwhile(lambda: alice.api.delete(path), OFFER)
    asked.says(step)
    run_all()
    assert [deleted.status for deleted in done] == [204]
    assert alice.api.get(path).status == 404
    assert (Note.objects.count(), ActionItem.objects.count()) == (0, 0)
    assert Outbox.objects.get(operation="summarize_note").status == "done"


@at_once
def test_what_is_read_meanwhile_is_the_old_summary_of_a_note_that_is_processed(alice, asked):
    path = write(alice)
    run_all()
    alice.api.post(f"{path}/summarize")
    step, done = meanwhile(lambda: (alice.api.get(path).json, alice.api.get("/notes?status=processing").json), CALL)
    asked.says(step)
    run_all()
    [(shown, listed)] = done
    assert (shown["status"], shown["summary"], titles(shown)) == ("processing", "Offer.", ["Send the offer"])
    assert listed["results"] == [shown]
    assert titles(alice.api.get(path).json) == ["Call legal"]


@at_once
def test_an_item_that_becomes_a_task_meanwhile_stays_and_is_not_listed_twice(alice, asked):
    path = write(alice)
    run_all()
    alice.api.post(f"{path}/summarize")
    step, done = meanwhile(lambda: alice.api.post(f"{path}/accept"), OFFER, CALL, summary="Both.")
    asked.says(step)
    run_all()
    [accepted] = [change.json["action_items"] for change in done]
    shown = alice.api.get(path).json
    assert (shown["summary"], titles(shown)) == ("Both.", ["Send the offer", "Call legal"])
    assert shown["action_items"][0] == accepted[0]
    assert [item["task_id"] for item in shown["action_items"]] == [Task.objects.get().pk, None]


@at_once
def test_a_refusal_of_a_text_that_has_changed_meanwhile_does_not_fail_the_new_one(alice, asked):
    path = write(alice)

    def refuse(handler):
        try:
            alice.api.patch(path, {"raw_text": "Other"})
        finally:
            connections.close_all()
        refuses(401)(handler)

    asked.says(refuse)
    run_all()
    assert Outbox.objects.order_by("pk").first().status == "failed"
    shown = alice.api.get(path).json
    assert (shown["raw_text"], shown["status"], shown["error"]) == ("Other", "queued", None)


def test_a_note_that_is_asked_for_often_is_summarized_once(alice, asked):
    path = write(alice)
    for _ in range(3):
        assert alice.api.post(f"{path}/summarize").json["status"] == "queued"
    assert len(run_all()) == 4
    assert len(asked.requests) == 1
    assert alice.api.get(path).json["status"] == "done"
    assert set(Outbox.objects.values_list("status", flat=True)) == {"done"}


def test_a_refusal_fails_at_once_and_says_why_without_the_text(alice, asked):
    path = write(alice)
    asked.says(refuses(401))
    run_all()
    shown = alice.api.get(path).json
    assert (shown["status"], shown["summary"], shown["action_items"]) == ("failed", None, [])
    assert shown["error"].endswith("The model's server answered 401.")
    assert "Maria" not in shown["error"]
    job = Outbox.objects.get()
    assert (job.status, job.attempt) == ("failed", 1)


def test_a_note_that_failed_is_summarized_when_asked_again(alice, asked):
    path = write(alice)
    asked.says(refuses(401))
    run_all()
    asked.says(answer(CALL, summary="Legal."))
    again = alice.api.post(f"{path}/summarize").json
    assert (again["status"], again["error"]) == ("queued", None)
    run_all()
    shown = alice.api.get(path).json
    assert (shown["status"], shown["error"], shown["summary"], titles(shown)) == (
        "done",
        None,
        "Legal.",
        ["Call legal"],
    )


def test_a_refusal_leaves_the_summary_of_before(alice, asked):
    path = write(alice)
    run_all()
    before = alice.api.get(path).json
    alice.api.post(f"{path}/summarize")
    asked.says(refuses(403))
    run_all()
    after = alice.api.get(path).json
    assert after == before | {"status": "failed", "error": after["error"]}
    assert after["error"].endswith("The model's server answered 403.")


def test_a_server_that_is_busy_is_asked_again_later(alice, asked):
    path = write(alice)
    asked.says(refuses(429, Retry_After="60"), answer(CALL, summary="Legal."))
    run_all()
    job = Outbox.objects.get()
    assert (job.status, job.attempt, alice.api.get(path).json["status"]) == ("waiting", 1, "processing")
    run_all()
    job.refresh_from_db()
    assert (job.status, job.attempt) == ("done", 2)
    assert alice.api.get(path).json["summary"] == "Legal."


def test_another_summary_replaces_all_but_tasks(alice, asked):
    path = write(alice)
    asked.says(answer(OFFER, CALL))
    run_all()
    [offer, call] = alice.api.get(path).json["action_items"]
    alice.api.post(f"{path}/accept", {"action_item_ids": [offer["id"]]})
    asked.says(answer(CALL | {"title": "Phone"}, OFFER, OFFER | {"title": "send the offer"}))
    alice.api.post(f"{path}/summarize")
    run_all()
    shown = alice.api.get(path).json["action_items"]
    assert [item["title"] for item in shown] == ["Send the offer", "Phone", "send the offer"]
    assert shown[0]["id"] == offer["id"]
    assert call["id"] not in [item["id"] for item in shown]


@pytest.mark.parametrize(
    ("meeting", "due"),
    [
        ("2030-01-07T10:00:00Z", "2030-01-11T17:00:00Z"),  # a Monday
        ("2019-12-31T23:30:00-05:00", "2020-01-03T17:00:00Z"),
        ("9999-12-31T23:59:59Z", None),
    ],
)
def test_a_friday_is_counted_from_the_meeting(alice, settings, meeting, due):
    settings.SUMMARIZER = "extractive"
    id = alice.api.post("/meetings", {"title": "M", "scheduled_time": meeting}).json["id"]
    path = write(alice, "Maria will send the offer by Friday.", meeting_id=id)
    run_all()
    shown = alice.api.get(path).json
    assert shown["status"] == "done"
    assert [(item["assignee"], item["due_date"]) for item in shown["action_items"]] == [("Maria", due)]


def test_a_friday_is_counted_from_when_the_note_was_written(alice, settings):
    settings.SUMMARIZER = "extractive"
    path = write(alice, "Maria will send the offer by Friday.")
    Note.objects.update(created_at=datetime(2020, 2, 28, 18, tzinfo=UTC))  # a Friday evening
    run_all()
    [item] = alice.api.get(path).json["action_items"]
    assert item["due_date"] == "2020-03-06T17:00:00Z"


def test_who_may_not_ask_again(alice, bob, charlie, anonymous, asked):
    path = write(alice)
    run_all()
    before = alice.api.get(path).json
    for person in (bob, charlie):
        assert person.api.post(f"{path}/summarize").status == 404
    assert anonymous.post(f"{path}/summarize").status == 401
    tried = alice.api.post(f"{path}/summarize", Prefer="dry-run").json
    assert (tried["result"]["status"], [job["operation"] for job in tried["jobs"]]) == ("queued", ["summarize_note"])
    assert alice.api.get(path).json == before
    assert run_all() == []
