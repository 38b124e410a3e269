"""Jobs that find nothing to do: no line in the logs, no audit entry, and one row of the outbox for all of them."""

import json
import logging

import pytest

from accounts.models import Session
from mesh import Service, job
from mesh.declarations.registry import registry
from mesh.models import AuditEntry, Outbox
from mesh.outbox.messages import celery
from mesh.stores.postgres import fetch
from mesh.tests.jobs import run_periodic
from mesh.worker import runs

pytestmark = pytest.mark.django_db(transaction=True)

PERIODIC = sorted(
    name
    for name, operation in registry.operations.items()
    if operation.declaration.job is not None and operation.declaration.job.every
)


@pytest.fixture
def lines(caplog):
    """The lines that the worker logs of its runs, at INFO or above, when it is called."""
    celery()  # sets logging up once more when it is first imported, without what listens here
    caplog.set_level(logging.INFO, logger="mesh.worker.runs")
    return lambda: [record for record in caplog.records if record.name == "mesh.worker.runs"]


@pytest.mark.parametrize("operation", PERIODIC)
def test_a_periodic_job_that_finds_nothing_leaves_nothing_but_when_it_ran(operation, lines):
    for _ in range(3):
        run_periodic(operation)
    [row] = Outbox.objects.all()
    assert (row.operation, row.status, row.idle) == (operation, "done", True)
    assert row.finished_at is not None
    assert (AuditEntry.objects.count(), lines()) == (0, [])
    assert runs.RUNS.labels(operation, "done")._value.get() >= 3


def test_one_that_finds_something_is_told_and_its_row_stays(alice, lines):
    run_periodic("prune_sessions")
    fetch("UPDATE accounts_session SET ended_at = now() - interval '31 days'")
    run_periodic("prune_sessions")
    assert not Session.objects.exists()
    assert [entry.operation for entry in AuditEntry.objects.all()] == ["prune_sessions"]
    assert len(lines()) == 1
    for _ in range(3):
        run_periodic("prune_sessions")
    assert list(Outbox.objects.order_by("id").values_list("status", "idle")) == [("done", False), ("done", True)]
    assert len(lines()) == 1


def test_rows_of_another_job_stay(lines):
    for operation in ("prune", "prune_mails", "prune"):
        run_periodic(operation)
    assert sorted(Outbox.objects.values_list("operation", "idle")) == [("prune", True), ("prune_mails", True)]


def test_what_a_run_leaves_to_the_end_of_its_transaction_is_something(alice, throwaway, lines):
    class Late(Service):
        """Works late."""

        name = "late"

        @job(queue="default", every=3600)
        def begin_others(self) -> None:
            """Begin a job."""
            self.changed()
            self.defer(self.do_nothing)

        @job(queue="default", every=3600)
        def do_nothing(self) -> None:
            """Do nothing."""
            self.changed()

        @job(queue="default", every=3600)
        def raise_versions(self) -> None:
            """Say that a row changed."""
            self.changed(alice.user)

    for operation in ("begin_others", "raise_versions"):
        run_periodic(operation)
        assert not Outbox.objects.get(operation=operation).idle
        assert AuditEntry.objects.filter(operation=operation).count() == 1
    assert len(lines()) == 2


def test_a_job_that_somebody_began_keeps_its_row_though_it_finds_nothing(alice, lines):
    """What people began, they find again in the list of jobs."""
    note = alice.api.post("/notes", {"raw_text": "Maria will send the offer."}).json
    fetch("DELETE FROM mesh_outbox")
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " VALUES ('summarize_note', %s::jsonb, 'notes', 60, '', 'waiting', 0, '')",
        [json.dumps({"id": note["id"], "revision": 99})],
    )
    runs.run([Outbox.objects.get().pk])
    assert Outbox.objects.get().status == "done"
    assert not AuditEntry.objects.filter(operation="summarize_note").exists()
    assert lines() == []
