"""Jobs: written with their command, run once, tried again, given up."""

import threading
from datetime import timedelta

import pytest
from django.db import close_old_connections, connection, transaction
from django.db.models.functions import Now

from accounts.models import Session
from mesh.execution.host import run_job
from mesh.models import AuditEntry, Outbox
from mesh.outbox import overdue
from mesh.stores.postgres import fetch
from mesh.tests.example.models import Thing
from mesh.tests.example.services import ThingService
from mesh.tests.jobs import run_periodic
from mesh.worker import runs


def make(person, title="Plan"):
    answered = person.api.post("/things", {"title": title})
    assert answered.status == 201, answered
    return answered.json


def only_job(**filters) -> Outbox:
    return Outbox.objects.get(**filters)


def test_a_job_is_written_in_the_transaction_of_its_command(alice):
    thing = make(alice)
    assert thing["letters"] is None
    job = only_job()
    assert (job.operation, job.arguments, job.queue, job.status, job.attempt, job.actor_id) == (
        "count_letters",
        {"id": thing["id"]},
        "default",
        "waiting",
        0,
        alice.id,
    )


def test_a_dry_run_tells_the_jobs_and_writes_none(alice):
    answered = alice.api.post("/things", {"title": "Plan"}, Prefer="dry-run")
    assert [job["operation"] for job in answered.json["jobs"]] == ["count_letters"]
    assert not Outbox.objects.exists()
    assert not Thing.objects.exists()


def test_a_command_that_is_refused_leaves_no_job(alice):
    assert alice.api.post("/things", {"title": ""}).status == 422
    assert not Outbox.objects.exists()


def test_a_job_runs_as_who_asked_and_is_done(alice):
    thing = make(alice)
    assert runs.run([only_job().pk]) == 1
    assert alice.api.get(f"/things/{thing['id']}").json["letters"] == 4
    job = only_job()
    assert (job.status, job.attempt, job.error, job.lease_until) == ("done", 1, "", None)
    entry = AuditEntry.objects.get(operation="count_letters")
    assert (entry.actor_id, entry.door, entry.outcome) == (alice.id, "job", "ok")


def test_the_request_id_travels_with_the_job(alice):
    alice.api.post("/things", {"title": "Plan"}, X_Request_ID="order-66")
    runs.run([only_job().pk])
    assert set(AuditEntry.objects.values_list("operation", "request_id")) == {
        ("make_thing", "order-66"),
        ("count_letters", "order-66"),
    }


def test_a_message_that_comes_again_does_nothing(alice):
    make(alice)
    job = only_job().pk
    assert [runs.run([job]) for _ in range(3)] == [1, 0, 0]
    assert AuditEntry.objects.filter(operation="count_letters").count() == 1


@pytest.mark.django_db(transaction=True)
def test_a_job_whose_message_comes_three_times_at_once_runs_once(alice):
    for _ in range(5):
        make(alice)
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
    assert AuditEntry.objects.filter(operation="count_letters").count() == 5
    assert Thing.objects.filter(letters=4).count() == 5


def test_a_late_run_whose_lease_has_passed_writes_nothing(alice, monkeypatch):
    thing = make(alice)
    job = only_job().pk
    real = run_job

    def slow(*job):
        fetch("UPDATE mesh_outbox SET lease_until = clock_timestamp() - interval '1 second'")
        real(*job)

    monkeypatch.setattr("mesh.execution.host.run_job", slow)
    runs.run([job])
    assert alice.api.get(f"/things/{thing['id']}").json["letters"] is None
    assert only_job().status == "running"
    assert not AuditEntry.objects.filter(operation="count_letters").exists()


def test_a_run_that_another_one_has_overtaken_writes_nothing(alice, monkeypatch):
    thing = make(alice)
    job = only_job().pk
    real = run_job

    def overtaken(*job):
        fetch("UPDATE mesh_outbox SET attempt = attempt + 1")
        real(*job)

    monkeypatch.setattr("mesh.execution.host.run_job", overtaken)
    runs.run([job])
    assert alice.api.get(f"/things/{thing['id']}").json["letters"] is None


def make_due():
    fetch("UPDATE mesh_outbox SET due_at = clock_timestamp() WHERE status = 'waiting'")


def test_a_job_that_fails_is_tried_again_with_growing_pauses_and_then_given_up(alice, monkeypatch):
    def away(service, *, id):
        raise OSError("away")

    thing = make(alice)
    monkeypatch.setattr(ThingService, "count_letters", away)
    pauses = []
    for attempt in range(1, 4):
        make_due()
        assert runs.run([only_job().pk]) == 1
        job = only_job()
        assert (job.attempt, job.status) == (attempt, "failed" if attempt == 3 else "waiting")
        pauses.append((job.due_at - fetch("SELECT clock_timestamp()")[0][0]).total_seconds())
    assert job.error == "OSError: away"
    assert pauses[0] < pauses[1] < pauses[2]
    assert Thing.objects.get(pk=thing["id"]).letters == -1, "its service is told"
    make_due()
    assert runs.run([only_job().pk]) == 0


def test_an_admin_sees_failed_jobs_and_tries_them_again_one_or_all(alice, ada, charlie):
    make(alice)
    fetch("UPDATE mesh_outbox SET status = 'failed', finished_at = now(), attempt = 3")
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
    assert ada.api.post("/jobs/retry", {"operation": "count_letters"}).json == {"count": 1}


def test_periodic_work_is_not_begun_while_it_waits(db):
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " VALUES ('prune', '{}', 'default', 60, '', 'waiting', 0, '')"
    )
    run_periodic("prune")
    assert Outbox.objects.filter(operation="prune").count() == 1
    fetch("UPDATE mesh_outbox SET status = 'done', finished_at = clock_timestamp() - interval '8 days'")
    run_periodic("prune")
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
    make(alice)
    assert overdue.claim_unsent() == []
    fetch("UPDATE mesh_outbox SET sent_at = clock_timestamp() - interval '6 seconds'")
    assert [sent.queue for sent in overdue.claim_unsent()] == ["default"]
    assert overdue.claim_unsent() == []


def test_nothing_is_sent_when_the_transaction_is_rolled_back(alice, django_capture_on_commit_callbacks):
    with django_capture_on_commit_callbacks() as callbacks, pytest.raises(RuntimeError), transaction.atomic():
        make(alice)
        raise RuntimeError
    assert callbacks == []
    assert not Outbox.objects.exists()


def test_an_admin_tries_failed_jobs_again_in_the_admin(alice, ada, client):
    make(alice)
    fetch("UPDATE mesh_outbox SET status = 'failed', attempt = 3, error = 'OSError: away'")
    client.force_login(ada.user)
    listed = client.get("/admin/mesh/outbox/?status__exact=failed").content.decode()
    assert "OSError: away" in listed
    chosen = {"action": "try_again", "_selected_action": [only_job().pk]}
    assert "Tried again: 1." in client.post("/admin/mesh/outbox/", chosen, follow=True).content.decode()
    assert (only_job().status, only_job().attempt) == ("waiting", 0)
    entry = AuditEntry.objects.get(operation="retry_job")
    assert (entry.actor_id, entry.door) == (ada.id, "admin")


def test_what_is_long_over_is_pruned(alice, bob):
    Session.objects.filter(user=bob.user).update(ended_at=Now() - timedelta(days=31))
    run_periodic("prune_sessions")
    assert list(Session.objects.values_list("user_id", flat=True)) == [alice.id]
