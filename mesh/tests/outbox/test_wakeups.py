"""Jobs that serve all: one message leads to everything that waits."""

import pytest

from mesh.models import AuditEntry, Outbox
from mesh.outbox import messages, overdue
from mesh.stores.postgres import fetch
from mesh.worker import claims, runs, tasks


def _prunings(count: int) -> None:
    """Jobs that one run serves, all of them."""
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " SELECT 'prune', '{}', 'default', 60, '', 'waiting', 0, '' FROM generate_series(1, %s)",
        [count],
    )


def test_all_that_waits_is_served_however_much_it_is(db):
    _prunings(2 * claims.MANY + 3)  # a run has one of its own, and takes so many others with it
    assert runs.run_all("prune") == 3
    assert AuditEntry.objects.filter(operation="prune").count() == 3
    assert set(Outbox.objects.values_list("status", flat=True)) == {"done"}
    assert runs.run_all("prune") == 0


def test_one_message_leads_to_all_that_waits_until_a_worker_takes_it_up(db, broker):
    def commit() -> None:
        messages.send([messages.Sent(1, "default", alone=False, wakeup="prune")])

    for _ in range(3):
        commit()
    assert broker.llen("default") == 1
    tasks.drain("prune")
    commit()
    assert broker.llen("default") == 2


def test_what_was_lost_is_nudged_once_for_all(db, broker):
    _prunings(20)
    messages.send(overdue.claim_unsent(woken={"prune"}))
    assert broker.llen("default") == 1
    assert overdue.claim_unsent(woken={"prune"}) == []


def test_a_nudge_that_could_not_be_sent_stands_in_no_ones_way(db, broker, monkeypatch):
    wakeup = [messages.Sent(1, "default", alone=False, wakeup="prune")]
    with monkeypatch.context() as away:
        away.setattr(messages.celery(), "send_task", _refuses)
        with pytest.raises(OSError):
            messages.send(wakeup)
    messages.send(wakeup)
    assert broker.llen("default") == 1


def _refuses(*args: object, **options: object) -> None:
    raise OSError("away")
