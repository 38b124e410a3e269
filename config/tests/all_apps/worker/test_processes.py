"""The real processes and what befalls them: a worker killed, a broker that forgets or is away, messages that repeat."""

import json
import os
import signal
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from celery import Celery

from mesh.models import AuditEntry, Outbox
from mesh.outbox import messages, overdue
from mesh.outbox.messages import celery
from mesh.stores.postgres import fetch
from mesh.tests.processes import eventually, process, relay, worker
from notes.models import Note, NoteStatus

pytestmark = pytest.mark.django_db(transaction=True)

DEAD = "redis://127.0.0.1:9/0"
TEXT = "Maria will send the offer by Friday."


def add_notes(person, count):
    return [person.mesh.call_tool("add_note", {"raw_text": f"{TEXT} {n}"}).row_id for n in range(count)]


def summarized():
    return Note.objects.filter(status=NoteStatus.DONE).count()


def runs():
    return AuditEntry.objects.filter(operation="summarize_note", outcome="ok").count()


def test_a_worker_summarizes_a_note(alice, broker):
    with worker():
        note = alice.api.post("/notes", {"raw_text": TEXT}).json
        eventually(lambda: alice.api.get(f"/notes/{note['id']}").json["status"] == "done")


def test_every_message_three_times_and_each_job_runs_once(alice, broker):
    add_notes(alice, 20)
    ids = list(Outbox.objects.values_list("pk", flat=True))
    for _ in range(3):
        for id in ids:
            celery().send_task(messages.TASK, args=[[id]], queue="notes")
    with worker(), worker():
        eventually(lambda: summarized() == 20)
        eventually(lambda: broker.llen("notes") == 0)
    assert runs() == 20
    assert set(Outbox.objects.values_list("attempt", flat=True)) == {1}


def test_hundreds_of_jobs_outlive_a_broker_that_forgets_everything(alice, broker):
    add_notes(alice, 200)
    broker.flushdb()
    fetch("UPDATE mesh_outbox SET sent_at = clock_timestamp() - interval '5 seconds'")
    with worker(), relay():
        eventually(lambda: summarized() == 200)
    assert runs() == 200


def test_while_a_broker_hangs_notes_are_taken_and_summarized_later(alice, broker, monkeypatch):
    without, hangs, asked_by = Celery(broker=DEAD, set_as_current=False), threading.Event(), set()

    def hanging():
        asked_by.add(threading.current_thread().name)
        hangs.wait(60)
        return without

    monkeypatch.setattr(messages, "celery", hanging)
    for _ in range(20):
        assert alice.api.post("/notes", {"raw_text": TEXT}).status == 201
    eventually(lambda: bool(asked_by))
    assert asked_by == {"outbox publisher"}  # no request waits for it
    assert not hangs.is_set()
    hangs.set()
    assert summarized() == 0
    with relay(BROKER_URL=DEAD):
        eventually(lambda: summarized() == 20)
    assert runs() == 20


def test_the_relay_works_itself_while_there_is_no_worker(alice, broker):
    add_notes(alice, 3)
    fetch("UPDATE mesh_outbox SET due_at = clock_timestamp() - interval '11 seconds'")
    with relay():
        eventually(lambda: summarized() == 3)
    assert runs() == 3


class Model(BaseHTTPRequestHandler):
    """A language model that never answers the first question."""

    asked: list[float] = []

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.asked.append(time.monotonic())
        if len(self.asked) == 1:
            time.sleep(120)
        content = json.dumps({"summary": "An offer.", "action_items": []})
        body = json.dumps(
            {
                "id": "1",
                "object": "chat.completion",
                "created": 1,
                "model": "test",
                "choices": [
                    {"index": 0, "finish_reason": "stop", "message": {"role": "assistant", "content": content}}
                ],
            }
        ).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *args):
        """Nothing: the test looks at `asked`."""


@pytest.fixture
def model():
    Model.asked.clear()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield {
        "SUMMARIZER": "openai",
        "SUMMARIZER_BASE_URL": f"http://127.0.0.1:{server.server_port}/v1",
        "SUMMARIZER_MODEL": "test",
        "SUMMARIZER_API_KEY": "test",
    }
    server.shutdown()
    server.server_close()


def test_a_worker_killed_in_the_middle_of_a_summary_is_replaced_by_another(alice, broker, model):
    note = alice.api.post("/notes", {"raw_text": TEXT}).json
    with worker(**model) as first:
        eventually(lambda: len(Model.asked) == 1)
        assert alice.api.get(f"/notes/{note['id']}").json["status"] == "processing"
        os.killpg(first.pid, signal.SIGKILL)
        first.wait()
    assert Outbox.objects.get().status == "running"
    fetch("UPDATE mesh_outbox SET lease_until = clock_timestamp()")
    with worker(**model), relay(**model):
        eventually(lambda: summarized() == 1)
    found = alice.api.get(f"/notes/{note['id']}").json
    assert (found["status"], found["summary"]) == ("done", "An offer.")
    assert runs() == 1
    assert Outbox.objects.get(operation="summarize_note").attempt == 2


def test_a_relay_killed_between_marking_and_sending_loses_nothing(alice, broker):
    add_notes(alice, 5)
    broker.flushdb()
    fetch("UPDATE mesh_outbox SET sent_at = NULL")
    assert len(overdue.claim_unsent()) == 5
    assert overdue.claim_unsent() == []
    with worker(), relay():
        eventually(lambda: summarized() == 5)
    assert runs() == 5


def test_a_command_that_ends_at_once_has_sent_its_jobs(alice, broker):
    with process("manage.py", "mesh", "add_note", "--as", "alice@example.com", f"raw_text={TEXT}") as command:
        assert command.wait(20) == 0
    assert broker.llen("notes") == 1
