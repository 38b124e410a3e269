"""A statement takes no more than it was told to, however Postgres goes about it."""

import pytest

from mesh.documents import mirror
from mesh.models import DocumentChange, WaitingDocument
from mesh.outbox import overdue
from mesh.tests.database import sql
from mesh.tests.query_plans import repeating_plans
from mesh.worker import claims
from tasks.models import Task


@pytest.fixture(autouse=True)
def _unlikely_plans(db):
    with repeating_plans():
        yield


def waiting_jobs(count):
    sql(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " SELECT 'prune', '{}', 'default', 60, '', 'waiting', 0, '' FROM generate_series(1, %s)",
        count,
    )


def test_such_a_plan_takes_more_than_the_limit_of_what_in_holds():
    waiting_jobs(20)
    taken = sql(
        "UPDATE mesh_outbox SET attempt = 1"
        " WHERE id IN (SELECT id FROM mesh_outbox ORDER BY id LIMIT 2 FOR UPDATE SKIP LOCKED) RETURNING id"
    )
    assert len(taken) > 2


def test_a_worker_claims_one_job():
    waiting_jobs(20)
    claimed = claims.claim_first(claims.BY_OPERATION, "prune")
    assert sql("SELECT id FROM mesh_outbox WHERE status = 'running'") == [(claimed.id,)]


def test_the_relay_takes_as_many_as_it_asks_for():
    waiting_jobs(20)
    assert len(overdue.claim_unsent(2)) == 2


def test_a_run_gathers_and_stores_as_many_documents_as_it_means_to(alice, monkeypatch):
    monkeypatch.setattr(mirror, "_GATHERED", 5)
    monkeypatch.setattr(mirror, "_BATCH", 2)
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(20))
    assert len(mirror.lease().documents) == 2
    assert (DocumentChange.objects.count(), WaitingDocument.objects.count()) == (15, 5)
