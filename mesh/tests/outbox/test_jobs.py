"""Jobs: written with their command, run once, tried again, given up."""

import threading
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection, transaction
from django.db.models.functions import Now

from accounts.models import Session
from mesh.execution.host import run_job
from mesh.models import AuditEntry, JobStatus, Outbox
from mesh.outbox import overdue
from mesh.stores.postgres import fetch
from mesh.worker import runs, tasks
from notes.models import Note, NoteStatus
from tasks.models import Task

TEXT = "Maria will send the offer by Friday. We talked about the weather."


def add_note(person, text=TEXT):
    answered = person.api.post("/notes", {"raw_text": text})
    assert answered.status == 201, answered
    return answered.json


def only_job(**filters) -> Outbox:
    return Outbox.objects.get(**filters)


def test_a_note_is_queued_and_its_job_written_in_the_same_transaction(alice):
    note = add_note(alice)
    assert note["status"] == "queued"
    job = only_job()
    assert (job.operation, job.arguments, job.queue, job.status, job.attempt, job.actor_id) == (
        "summarize_note",
        {"id": note["id"], "revision": 1},
        "notes",
        "waiting",
        0,
        alice.id,
    )


def test_a_dry_run_tells_the_jobs_and_writes_none(alice):
    answered = alice.api.post("/notes", {"raw_text": TEXT}, Prefer="dry-run")
    assert [job["operation"] for job in answered.json["jobs"]] == ["summarize_note"]
    assert not Outbox.objects.exists()
    assert not Note.objects.exists()


def test_a_command_that_is_refused_leaves_no_job(alice):
    assert alice.api.post("/notes", {"raw_text": TEXT, "meeting_id": 99}).status == 422
    assert not Outbox.objects.exists()


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


def test_the_request_id_travels_with_the_job(alice):
    alice.api.post("/notes", {"raw_text": TEXT}, X_Request_ID="order-66")
    runs.run([only_job().pk])
    assert set(AuditEntry.objects.values_list("operation", "request_id")) == {
        ("add_note", "order-66"),
        ("summarize_note", "order-66"),
    }


def test_a_message_that_comes_again_does_nothing(alice):
    add_note(alice)
    job = only_job().pk
    assert [runs.run([job]) for _ in range(3)] == [1, 0, 0]
    assert AuditEntry.objects.filter(operation="summarize_note").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_message_comes_three_times_at_once_runs_once(alice):
    for _ in range(5):
        add_note(alice)
    ids = list(Outbox.objects.values_list("pk", flat=True))
    ran = []

    def deliver():
        ran.append(runs.run(ids))
        close_old_connections()
        connection.close()

    threads = [threading.Thread(target=deliver) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(ran) == 5
    assert AuditEntry.objects.filter(operation="summarize_note").count() == 5
    assert Note.objects.filter(status=NoteStatus.DONE).count() == 5


def test_a_late_run_whose_lease_has_passed_writes_nothing(alice, monkeypatch):
    note = add_note(alice)
    job = only_job().pk
    real = run_job

    def slow(*job):
        fetch("UPDATE mesh_outbox SET lease_until = clock_timestamp() - interval '1 second'")
        real(*job)

    monkeypatch.setattr("mesh.execution.host.run_job", slow)
    runs.run([job])
    assert alice.api.get(f"/notes/{note['id']}").json["status"] == "queued"
    assert only_job().status == "running"
    assert not AuditEntry.objects.filter(operation="summarize_note").exists()


def test_a_run_that_another_one_has_overtaken_writes_nothing(alice, monkeypatch):
    note = add_note(alice)
    job = only_job().pk
    real = run_job

    def overtaken(*job):
        fetch("UPDATE mesh_outbox SET attempt = attempt + 1")
        real(*job)

    monkeypatch.setattr("mesh.execution.host.run_job", overtaken)
    runs.run([job])
    assert alice.api.get(f"/notes/{note['id']}").json["status"] == "queued"


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


def test_an_admin_sees_failed_jobs_and_tries_them_again_one_or_all(alice, ada, charlie):
    add_note(alice)
    fetch("UPDATE mesh_outbox SET status = 'failed', finished_at = now(), attempt = 4")
    job = only_job()
    for person in (alice, charlie):
        assert person.api.get("/jobs").status == 403
        assert person.api.post(f"/jobs/{job.pk}/retry").status == 403
        assert person.api.post("/jobs/retry", {}).status == 403
    assert [row["id"] for row in ada.api.get("/jobs?status=failed").json["results"]] == [job.pk]
    assert ada.api.post(f"/jobs/{job.pk}/retry").json == {"count": 1}
    assert ada.api.post(f"/jobs/{job.pk}/retry").status == 409
    assert ada.api.post("/jobs/999999/retry").status == 404
    assert runs.run([job.pk]) == 1
    assert only_job().status == "done"
    fetch("UPDATE mesh_outbox SET status = 'failed'")
    assert ada.api.post("/jobs/retry", {"operation": "prune"}).json == {"count": 0}
    assert ada.api.post("/jobs/retry", {"operation": "summarize_note"}).json == {"count": 1}


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


def test_periodic_work_is_not_begun_while_it_waits(db):
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " VALUES ('prune', '{}', 'default', 60, '', 'waiting', 0, '')"
    )
    tasks.tick("prune")
    assert Outbox.objects.filter(operation="prune").count() == 1
    fetch("UPDATE mesh_outbox SET status = 'done', finished_at = clock_timestamp() - interval '8 days'")
    tasks.tick("prune")
    assert list(Outbox.objects.values_list("operation", "status")) == [("prune", "done")]


def test_a_job_without_parameters_serves_all_that_waits_of_its_kind(db):
    for _ in range(3):
        fetch(
            "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
            " VALUES ('prune', '{}', 'default', 60, '', 'waiting', 0, '')"
        )
    first = Outbox.objects.order_by("pk")[0].pk
    assert runs.run([first]) == 1
    assert AuditEntry.objects.filter(operation="prune").count() == 1
    assert list(Outbox.objects.values_list("pk", "status")) == [(first, "done")]


def test_a_job_of_another_version_fails_visibly(db):
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " VALUES ('gone', '{}', 'default', 60, '', 'waiting', 0, '')"
    )
    runs.run([only_job().pk])
    assert (only_job().status, only_job().error) == ("failed", "There is no job 'gone' in this version.")


def test_what_was_sent_is_sent_again_only_when_nobody_took_it(alice):
    add_note(alice)
    assert overdue.take_unsent() == []
    fetch("UPDATE mesh_outbox SET sent_at = clock_timestamp() - interval '6 seconds'")
    assert [sent.queue for sent in overdue.take_unsent()] == ["notes"]
    assert overdue.take_unsent() == []


def test_nothing_is_sent_when_the_transaction_is_rolled_back(alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, pytest.raises(RuntimeError), transaction.atomic():
        add_note(alice)
        raise RuntimeError
    assert callbacks == []
    assert not Outbox.objects.exists()


def test_an_admin_tries_failed_jobs_again_in_the_admin(alice, ada, client):
    add_note(alice)
    fetch("UPDATE mesh_outbox SET status = 'failed', attempt = 4, error = 'SummarizerError: away'")
    client.force_login(ada.user)
    listed = client.get("/admin/mesh/outbox/?status__exact=failed").content.decode()
    assert "SummarizerError: away" in listed
    chosen = {"action": "try_again", "_selected_action": [only_job().pk]}
    assert "Tried again: 1." in client.post("/admin/mesh/outbox/", chosen, follow=True).content.decode()
    assert (only_job().status, only_job().attempt) == ("waiting", 0)
    entry = AuditEntry.objects.get(operation="retry_job")
    assert (entry.actor_id, entry.door) == (ada.id, "admin")


def test_what_is_long_over_is_pruned(alice, bob):
    Session.objects.filter(user=bob.user).update(ended_at=Now() - timedelta(days=31))
    tasks.tick("prune_sessions")
    assert list(Session.objects.values_list("user_id", flat=True)) == [alice.id]
