"""An older version of a document never stays in place of a newer one, however late it comes."""

import json
import threading
from contextlib import suppress

import pytest
from django.db import connection, transaction
from django.db.models import Max

from mesh.documents import mirror
from mesh.models import DocumentChange, WaitingDocument
from mesh.stores import objects
from mesh.stores.objects import Folder
from mesh.stores.postgres import fetch
from mesh.tests.processes import eventually
from mesh.worker import tasks
from tasks.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


def write():
    """One run, as the job does it."""
    with transaction.atomic():
        batch = mirror.lease()
    tried = mirror.store(batch)
    with transaction.atomic():
        mirror.finish(batch, tried)
    return len(batch.documents)


def leases_pass():
    fetch("UPDATE mesh_waitingdocument SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")


def later():
    """Long after: what is sure by then is stored once more."""
    fetch("UPDATE mesh_waitingdocument SET due_at = clock_timestamp(), unsure_until = clock_timestamp()")


class Hanging(Folder):
    """A folder whose first write hangs until it `may_go_on`."""

    def __init__(self, root):
        super().__init__(root)
        self.hangs, self.may_go_on, self.writes = threading.Event(), threading.Event(), 0

    def put(self, name, body):
        self.writes += 1
        if self.writes == 1:
            self.hangs.set()
            self.may_go_on.wait(30)
        super().put(name, body)


@pytest.fixture
def hanging(folder, monkeypatch, tmp_path):
    made = Hanging(tmp_path / "documents")
    monkeypatch.setattr(mirror, "storage", lambda: made)
    yield made
    made.may_go_on.set()


@pytest.fixture
def title(alice, folder):
    """Alice's task: sets its title, or says which one is stored."""
    Task.objects.create(creator=alice.user, title="old")

    def title(new=None):
        if new is not None:
            Task.objects.update(title=new)
        return [json.loads(body)["title"] for body in folder().values()]

    return title


@pytest.fixture
def late(hanging, title):
    """A writer that hangs with the old version; the new one is stored meanwhile. Calling it lets it go on, and end."""

    def run():
        with suppress(SystemExit):
            write()
        connection.close()

    writer = threading.Thread(target=run)
    writer.start()
    assert hanging.hangs.wait(5)
    title("new")

    def goes_on():
        hanging.may_go_on.set()
        writer.join(10)

    yield goes_on
    goes_on()


def test_while_one_writer_has_a_document_no_other_touches_it(late, hanging, title):
    assert write() == 0
    assert hanging.writes == 1
    late()
    assert title() == ["old"]
    assert write() == 1
    assert title() == ["new"]
    assert not WaitingDocument.objects.exists()


def test_with_what_guards_the_order_turned_off_the_older_version_stays(late, title, monkeypatch):
    monkeypatch.setattr(mirror, "_store_overtaken_again", lambda batch, tried: None)
    monkeypatch.setattr(mirror, "IN_DOUBT_SECONDS", 0.0)
    leases_pass()
    assert [write(), write(), write()] == [1, 1, 0]
    assert title() == ["new"]
    late()
    assert write() == 0
    assert title() == ["old"]


def test_a_writer_that_hung_past_its_lease_finds_out_and_the_document_is_stored_once_more(late, title, monkeypatch):
    monkeypatch.setattr(mirror, "IN_DOUBT_SECONDS", 0.0)
    leases_pass()
    assert [write(), write(), write()] == [1, 1, 0]
    late()
    assert title() == ["old"]
    assert write() == 1
    assert title() == ["new"]
    assert write() == 0


def test_a_writer_killed_after_it_hung_past_its_lease_is_made_up_for_by_who_took_over(late, title, monkeypatch):
    find_out = mirror._store_overtaken_again

    def killed_or(batch, tried):
        if threading.current_thread() is not threading.main_thread():
            raise SystemExit
        find_out(batch, tried)

    monkeypatch.setattr(mirror, "_store_overtaken_again", killed_or)
    leases_pass()
    assert [write(), write()] == [1, 0]
    assert title() == ["new"]
    late()
    assert write() == 0
    assert title() == ["old"]
    later()
    assert write() == 1
    assert title() == ["new"]
    assert not WaitingDocument.objects.exists()


def test_what_changes_while_it_is_not_sure_is_stored_at_once_and_once_more(folder, late, hanging, title, monkeypatch):
    leases_pass()
    write()
    title("newest")
    assert write() == 1
    assert title() == ["newest"]
    assert write() == 0
    assert WaitingDocument.objects.count() == 1
    late()
    later()
    assert write() == 1
    assert title() == ["newest"]
    assert not WaitingDocument.objects.exists()


def test_what_s3_does_after_nobody_waits_for_it_is_made_good(alice, s3, monkeypatch):
    monkeypatch.setattr(objects, "TIMEOUT", 0.5)
    objects._s3.cache_clear()
    task = Task.objects.create(creator=alice.user, title="old")
    name = f"tasks/{task.uuid}.json"
    held = s3.hold()
    assert write() == 1
    waiting = WaitingDocument.objects.get()
    assert (waiting.attempt, waiting.error.partition(":")[0]) == (1, "StorageTimeout")
    task.title = "new"
    task.save()
    assert write() == 1
    assert json.loads(s3.documents()[name])["title"] == "new"
    held.set()
    eventually(lambda: json.loads(s3.documents()[name])["title"] == "old")
    assert write() == 0
    later()
    assert write() == 1
    assert json.loads(s3.documents()[name])["title"] == "new"
    assert not WaitingDocument.objects.exists()
    objects._s3.cache_clear()


def test_a_body_is_never_older_than_the_changes_that_its_lease_answers(alice, folder):
    task = Task.objects.create(creator=alice.user, title="0")
    first = DocumentChange.objects.get().pk
    ended = threading.Event()

    def change():
        number = 0
        while not ended.is_set():
            number += 1
            Task.objects.filter(pk=task.pk).update(title=str(number))
        connection.close()

    changing = threading.Thread(target=change)
    changing.start()
    for _ in range(200):
        with transaction.atomic():
            known = DocumentChange.objects.aggregate(last=Max("pk"))["last"] or first
            batch = mirror.lease()
        for document in batch.documents:
            assert int(json.loads(document.body)["title"]) >= known - first
        with transaction.atomic():
            mirror.finish(batch, {document.id: mirror.Tried() for document in batch.documents})
    ended.set()
    changing.join()
    assert Task.objects.get().title != "0"


def test_changes_that_become_visible_in_another_order_are_all_answered(alice, title):
    write()
    task = Task.objects.get()
    DocumentChange.objects.create(pk=1_000_002, kind="tasks", uuid=task.uuid)
    with transaction.atomic():
        batch = mirror.lease()
    DocumentChange.objects.create(pk=1_000_001, kind="tasks", uuid=task.uuid)  # of a transaction that took longer
    with transaction.atomic():
        assert mirror.lease().documents == []
    with transaction.atomic():
        assert mirror.finish(batch, mirror.store(batch))
    assert write() == 1
    assert write() == 0


def test_what_changes_during_a_run_that_serves_others_too_is_seen_after_it(hanging, title, monkeypatch):
    def away(name, body):
        hanging.hangs.set()
        hanging.may_go_on.wait(30)
        raise OSError("away")

    monkeypatch.setattr(hanging, "put", away)
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)"
        " SELECT 'store_documents', '{}', 'documents', 60, '', 'waiting', 0, '' FROM generate_series(1, 2)"
    )

    def run():
        tasks.drain("store_documents")
        connection.close()

    running = threading.Thread(target=run)
    running.start()
    assert hanging.hangs.wait(5)
    Task.objects.create(creator=Task.objects.get().creator, title="new")
    tasks.begin("store_documents")
    hanging.may_go_on.set()
    running.join(10)
    assert not DocumentChange.objects.exists()
