"""The schedule: a periodic job begins when its time has come, once, however many relays there are."""

import threading
from datetime import timedelta

import pytest
from django.db import connection
from django.db.models.functions import Now

from mesh.declarations.registry import registry
from mesh.models import Outbox, PeriodicJob
from mesh.outbox import overdue, schedule
from mesh.tests.processes import empty_broker, eventually, relay, worker

JOBS = registry.periodic_jobs()
PRUNE = {"prune": JOBS["prune"]}


def make_due(**interval):
    PeriodicJob.objects.update(begun_at=Now() - timedelta(**interval))


def begun():
    return sorted(Outbox.objects.values_list("operation", flat=True))


def test_a_job_that_is_new_to_the_schedule_waits_for_its_interval(db):
    assert schedule.begin_due(JOBS) == []
    assert sorted(PeriodicJob.objects.values_list("operation", flat=True)) == sorted(JOBS)
    assert schedule.begin_due(JOBS) == []
    assert begun() == []


def test_what_is_due_begins_once_and_again_when_its_interval_has_passed(db):
    schedule.begin_due(PRUNE)
    every = JOBS["prune"].every
    make_due(seconds=every - 5)
    assert schedule.begin_due(PRUNE) == []
    make_due(seconds=every)
    (first,) = schedule.begin_due(PRUNE)
    assert schedule.begin_due(PRUNE) == []
    assert [(job.queue, job.lease) for job in Outbox.objects.all()] == [(JOBS["prune"].queue, JOBS["prune"].lease)]
    Outbox.objects.update(status="done")
    make_due(seconds=every)
    assert schedule.begin_due(PRUNE) == [first + 1]


@pytest.mark.parametrize("status", ["waiting", "running"])
def test_one_that_waits_or_runs_is_not_begun_again_before_its_next_time(db, status):
    schedule.begin_due(PRUNE)
    make_due(days=2)
    schedule.begin_due(PRUNE)
    Outbox.objects.update(status=status)
    make_due(days=2)
    assert schedule.begin_due(PRUNE) == []
    Outbox.objects.update(status="done")
    assert schedule.begin_due(PRUNE) == [], "its turn is over"


def test_what_is_begun_is_sent_to_its_queue(db):
    schedule.begin_due(PRUNE)
    make_due(days=2)
    schedule.begin_due(PRUNE)
    assert [(sent.queue, sent.wakeup) for sent in overdue.claim_unsent(woken=PRUNE)] == [("default", "prune")]


def begin_at_once(times):
    """How many jobs so many relays began that looked at the same moment."""
    counts, together = [], threading.Barrier(times)

    def look():
        together.wait()
        counts.append(len(schedule.begin_due(JOBS)))
        connection.close()

    threads = [threading.Thread(target=look) for _ in range(times)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sum(counts)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("locked", [True, False])
def test_relays_that_look_at_once_begin_a_job_once_and_without_the_lock_more_often(monkeypatch, locked):
    schedule.begin_due(JOBS)
    if not locked:
        unlocked = schedule._BEGIN.replace("FOR NO KEY UPDATE OF known SKIP LOCKED", "")
        monkeypatch.setattr(schedule, "_BEGIN", unlocked)
    most = 0
    for _ in range(30):
        Outbox.objects.all().delete()
        make_due(days=2)
        most = max(most, begin_at_once(6))
        if not locked and most > len(JOBS):
            break
    assert (most == len(JOBS)) is locked


@pytest.mark.django_db(transaction=True)
def test_two_relays_and_a_worker_run_what_is_due(db):
    empty_broker()
    schedule.begin_due(JOBS)
    make_due(days=2)
    with relay(), relay(), worker():
        eventually(lambda: Outbox.objects.filter(operation="prune", status="done").exists())
        assert Outbox.objects.filter(operation="prune").count() == 1


def test_a_time_in_the_future_is_of_a_clock_that_was_wrong(db):
    schedule.begin_due(PRUNE)
    make_due(hours=-2)
    assert len(schedule.begin_due(PRUNE)) == 1
    assert schedule.begin_due(PRUNE) == []
