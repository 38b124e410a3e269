"""Summaries as jobs: made as who asked, made again, given up; and action items that become tasks once."""

from mesh.models import AuditEntry, JobStatus, Outbox
from mesh.stores.postgres import fetch
from mesh.worker import runs
from tasks.models import Task

TEXT = "Maria will send the offer by Friday. We talked about the weather."


def add_note(person, text=TEXT):
    answered = person.api.post("/notes", {"raw_text": text})
    assert answered.status == 201, answered
    return answered.json


def only_job(**filters) -> Outbox:
    return Outbox.objects.get(**filters)


def test_a_job_makes_the_summary_as_who_asked_and_is_done(alice):
    note = add_note(alice)
    assert runs.run([only_job().pk]) == 1
    found = alice.api.get(f"/notes/{note['id']}").json
    assert found["status"] == "done"
    assert found["summary"]
    (item,) = found["action_items"]
    assert (item["title"], item["assignee"], item["quote"], item["task_id"]) == (
        "Send the offer",
        "Maria",
        "Maria will send the offer by Friday.",
        None,
    )
    job = only_job()
    assert (job.status, job.attempt, job.error, job.lease_until) == ("done", 1, "", None)
    entry = AuditEntry.objects.get(operation="summarize_note")
    assert (entry.actor_id, entry.door, entry.outcome) == (alice.id, "job", "ok")


def test_a_newer_text_wins_over_a_late_summary(alice):
    note = add_note(alice)
    first = only_job().pk
    assert alice.api.patch(f"/notes/{note['id']}", {"raw_text": "Bob will book a room tomorrow."}).status == 200
    second = Outbox.objects.exclude(pk=first).get().pk
    runs.run([second])
    runs.run([first])
    found = alice.api.get(f"/notes/{note['id']}").json
    assert [item["title"] for item in found["action_items"]] == ["Book a room"]
    assert found["status"] == "done"
    assert Outbox.objects.filter(status=JobStatus.DONE).count() == 2


def test_a_deleted_note_ends_its_job(alice):
    note = add_note(alice)
    assert alice.api.delete(f"/notes/{note['id']}").status == 204
    runs.run([only_job().pk])
    assert only_job().status == "done"


def make_due():
    fetch("UPDATE mesh_outbox SET due_at = clock_timestamp() WHERE status = 'waiting'")


def test_a_job_that_fails_is_tried_again_with_growing_pauses_and_then_failed(alice, settings):
    settings.SUMMARIZER = "openai"
    settings.SUMMARIZER_BASE_URL = "http://127.0.0.1:9/v1"
    settings.SUMMARIZER_MODEL = "none"
    settings.SUMMARIZER_API_KEY = "none"
    settings.SUMMARIZER_FALLBACK = False
    note = add_note(alice)
    pauses = []
    for attempt in range(1, 5):
        make_due()
        assert runs.run([only_job().pk]) == 1
        job = only_job()
        assert job.attempt == attempt
        pauses.append((job.due_at - fetch("SELECT clock_timestamp()")[0][0]).total_seconds())
    assert job.status == "failed"
    assert pauses[0] < pauses[1] < pauses[2]
    found = alice.api.get(f"/notes/{note['id']}").json
    assert found["status"] == "failed"
    assert found["error"]
    assert "none" not in found["error"]


def test_action_items_become_tasks_once(alice, bob, charlie):
    note = add_note(alice)
    runs.run([only_job().pk])
    (item,) = alice.api.get(f"/notes/{note['id']}").json["action_items"]
    for person in (bob, charlie):
        assert person.api.post(f"/notes/{note['id']}/accept", {}).status == 404
    assert alice.api.post(f"/notes/{note['id']}/accept", {"action_item_ids": [item["id"] + 1]}).status == 422
    assert not Task.objects.exists()
    accepted = alice.api.post(f"/notes/{note['id']}/accept", {})
    task = Task.objects.get()
    assert accepted.json["action_items"][0]["task_id"] == task.pk
    assert (task.title, task.creator_id) == ("Send the offer", alice.id)
    again = alice.api.post(f"/notes/{note['id']}/accept", {"action_item_ids": [item["id"]]})
    assert again.json["action_items"] == accepted.json["action_items"]
    assert Task.objects.count() == 1


def test_a_summary_made_again_keeps_what_is_a_task_already(alice):
    note = add_note(alice)
    runs.run([only_job().pk])
    kept = alice.api.post(f"/notes/{note['id']}/accept").json["action_items"]
    assert alice.api.post(f"/notes/{note['id']}/summarize").json["status"] == "queued"
    runs.run([Outbox.objects.latest("id").pk])
    assert alice.api.get(f"/notes/{note['id']}").json["action_items"] == kept
