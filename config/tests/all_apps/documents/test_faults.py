"""Documents with real workers, which are killed, and a real S3 that goes away, refuses or hangs."""

import json
import os
import signal
import threading
from contextlib import ExitStack

import pytest
from django.db import connection

from mesh.documents import mirror
from mesh.models import DocumentChange, Outbox, WaitingDocument
from mesh.outbox.messages import BEGIN, celery, clear_wakeup
from mesh.stores.objects import storage
from mesh.stores.postgres import fetch
from mesh.tests.jobs import store_documents
from mesh.tests.processes import empty_broker, eventually, relay, worker
from tasks.models import Task

pytestmark = pytest.mark.django_db(transaction=True)

MARIA = {"name": "Maria", "email": "maria@example.com", "company": "Azollon"}


@pytest.fixture
def start():
    """Starts a process of `mesh.tests.processes`."""
    empty_broker()
    clear_wakeup("store_documents")  # no message of an earlier test is on its way
    with ExitStack() as stack:

        def started(process):
            child = stack.enter_context(process())
            threading.Thread(target=lambda: child.stdout.read(), daemon=True).start()  # lest the pipe be full
            return child

        yield started


def kill(child):
    os.killpg(child.pid, signal.SIGKILL)
    child.wait()


def pauses_pass():
    """And the job is begun."""
    fetch("UPDATE mesh_waitingdocument SET due_at = clock_timestamp()")
    fetch("UPDATE mesh_waitingdocument SET unsure_until = clock_timestamp() WHERE unsure_until IS NOT NULL")
    celery().send_task(BEGIN, args=["store_documents"], queue="documents")


def time_goes_by():
    """Leases pass, and pauses."""
    fetch("UPDATE mesh_waitingdocument SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
    fetch("UPDATE mesh_outbox SET lease_until = clock_timestamp() WHERE status = 'running'")
    pauses_pass()


def nothing_waits():
    return not DocumentChange.objects.exists() and not WaitingDocument.objects.exists()


def bodies():
    return {f"tasks/{task.uuid}.json": task.title for task in Task.objects.all()}


def titles(found):
    return {name: json.loads(body)["title"] for name, body in found.items()}


def test_a_document_is_there_a_moment_after_the_answer(alice, start, kept):
    start(worker)
    contact = alice.api.post("/contacts", MARIA).json
    eventually(lambda: f"users/{contact['uuid']}.json" in kept())
    alice.api.delete(f"/contacts/{contact['id']}")
    eventually(lambda: kept() == {})


def test_a_thousand_changes_of_one_row_while_two_workers_run_end_with_the_last_one(alice, start, folder):
    start(worker), start(worker), start(relay)
    task = alice.api.post("/tasks", {"title": "0"}).json
    for number in range(1, 1001):
        assert alice.api.patch(f"/tasks/{task['id']}", {"title": str(number)}).status == 200
    eventually(nothing_waits)
    assert titles(folder()) == {f"tasks/{task['uuid']}.json": "1000"}


def test_many_rows_changed_at_once_by_many_while_two_workers_run(alice, start, s3):
    start(worker), start(worker)
    Task.objects.bulk_create(Task(creator=alice.user, title="0") for _ in range(30))
    ids = list(Task.objects.values_list("pk", flat=True))

    def change(number):
        for round in range(10):
            for pk in ids[number::3]:
                assert alice.api.patch(f"/tasks/{pk}", {"title": f"{number} {round}"}).status == 200
        connection.close()

    changing = [threading.Thread(target=change, args=[number]) for number in range(3)]
    for thread in changing:
        thread.start()
    for thread in changing:
        thread.join()
    eventually(nothing_waits)
    assert titles(s3.documents()) == bodies()


def test_a_worker_killed_half_way_leaves_nothing_out(alice, start, s3):
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(150))
    killed = start(worker)
    held = s3.hold(3)
    time_goes_by()
    eventually(lambda: not s3.held and len(s3.documents()) > 20)
    kill(killed)
    Task.objects.update(title="new")
    start(worker)
    time_goes_by()
    eventually(lambda: titles(s3.documents()) == bodies())
    held.set()  # what the killed worker had sent arrives now, after all that came later
    eventually(lambda: len([title for title in titles(s3.documents()).values() if title != "new"]) > 0)
    time_goes_by()
    eventually(nothing_waits)
    assert titles(s3.documents()) == bodies()


def test_a_worker_frozen_in_the_middle_changes_nothing_when_it_goes_on(alice, start, s3):
    task = alice.api.post("/tasks", {"title": "old"}).json
    held = s3.hold()
    frozen = start(worker)
    time_goes_by()
    eventually(lambda: not s3.held)
    os.killpg(frozen.pid, signal.SIGSTOP)
    alice.api.patch(f"/tasks/{task['id']}", {"title": "new"})
    start(worker)
    time_goes_by()
    eventually(lambda: titles(s3.documents()) == bodies())
    held.set()
    eventually(lambda: titles(s3.documents()) != bodies())
    os.killpg(frozen.pid, signal.SIGCONT)
    eventually(lambda: titles(s3.documents()) == bodies())
    assert frozen.poll() is None


def test_while_s3_is_away_nobody_waits_and_all_arrives_when_it_is_back(alice, start, s3):
    s3.stop()
    start(worker)
    for number in range(20):
        assert alice.api.post("/tasks", {"title": f"Task {number}"}).status == 201
    eventually(lambda: WaitingDocument.objects.filter(error__contains="Could not connect").exists())
    eventually(lambda: not DocumentChange.objects.exists() and not Outbox.objects.exclude(status="done").exists())
    s3.start()
    pauses_pass()
    eventually(nothing_waits)
    assert titles(s3.documents()) == bodies()
    assert len(bodies()) == 20


def test_what_s3_refuses_is_told_and_tried_again(alice, s3):
    s3.refuses = True
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(50))
    store_documents()
    waiting = list(WaitingDocument.objects.all())
    failed = [document for document in waiting if document.error]
    assert 8 <= len(failed) <= 16  # then it is away for all
    assert len(waiting) == 50
    assert all("AccessDenied" in document.error for document in failed)
    s3.refuses = False
    fetch("UPDATE mesh_waitingdocument SET due_at = clock_timestamp()")
    store_documents()
    assert nothing_waits()
    assert titles(s3.documents()) == bodies()


def test_pauses_grow_to_five_minutes(alice, s3):
    s3.refuses = True
    Task.objects.create(creator=alice.user, title="Task")
    pauses = []
    for _ in range(6):
        store_documents()
        pauses += fetch("SELECT extract(epoch FROM due_at - clock_timestamp())::float8 FROM mesh_waitingdocument")[0]
        fetch("UPDATE mesh_waitingdocument SET due_at = clock_timestamp()")
    for pause, about in zip(pauses, (5, 20, 80, 300, 300, 300), strict=True):
        assert 0.7 * about < pause < 1.3 * about


def test_a_slow_s3_holds_up_nobody_and_a_run_ends_in_time(alice, s3, monkeypatch):
    monkeypatch.setattr(mirror, "_MAX_SECONDS", 3.0)
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(30))
    storage()
    held = s3.hold(8)
    threading.Timer(4, held.set).start()
    batch = mirror.lease()
    tried = mirror.store(batch)
    assert len(tried) == 8
    assert mirror.finish(batch, tried)
    assert alice.api.post("/tasks", {"title": "Another"}).status == 201
    assert WaitingDocument.objects.filter(token=None, error="").count() == 22
    store_documents()
    assert nothing_waits()
    assert titles(s3.documents()) == bodies()
