"""What may befall the processes at the worst moment: nothing is lost, and nothing happens twice."""

import json
import os
import signal
import socket
import threading
import time
from collections import Counter
from contextlib import ExitStack, suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
import redis

from config.servers import Valkey
from mesh import Service, command, job
from mesh.models import AuditEntry, Outbox
from mesh.outbox.messages import TASK, celery
from mesh.stores.postgres import fetch
from mesh.tests.database import sql
from mesh.tests.live import Live
from mesh.tests.processes import eventually, process, relay, worker
from mesh.worker import runs as jobs
from notes.models import Note

pytestmark = pytest.mark.django_db(transaction=True)

TEXT = "Maria will send the offer by Friday."
LOCK = 8_128  # an advisory lock that the test holds where a worker shall stand still


class Broker:
    """A Valkey of the test's own, which may be stopped, killed and started again, empty."""

    def __init__(self, folder):
        self.server = Valkey(folder, throwaway=True)
        self.server.run.mkdir()
        self.url = self.server.urls()["BROKER_URL"]
        self.start()

    def start(self):
        with open(os.devnull) as no_lock:
            self.process = self.server.start(no_lock.fileno())
        eventually(self.server.answers)

    def send(self, number):
        self.process.send_signal(number)
        if number == signal.SIGKILL:
            self.process.wait()

    def client(self):
        return redis.Redis(unix_socket_path=str(self.server.socket), db=1)


@pytest.fixture
def broker(tmp_path):
    made = Broker(tmp_path)
    yield made
    made.send(signal.SIGKILL)


@pytest.fixture
def start(broker):
    """Starts a process of `mesh.tests.processes` on that broker: the process, and the lines that it prints."""
    with ExitStack() as stack:

        def started(process, *arguments, **changes):
            lines = []
            changes = {"BROKER_URL": broker.url, "LOG_LEVEL": "INFO", **changes}
            child = stack.enter_context(process(*arguments, **changes))
            threading.Thread(target=lambda: lines.extend(child.stdout), daemon=True).start()  # lest the pipe be full
            return child, lines

        yield started


def kill(*children):
    for child in children:
        os.killpg(child.pid, signal.SIGKILL)
        child.wait()


class Model(BaseHTTPRequestHandler):
    """A language model that keeps a note's first question until it `may_answer`."""

    asked = Counter()
    may_answer: dict[str, threading.Event] = {}

    def do_POST(self):
        question = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["messages"][-1]["content"]
        note = question.splitlines()[1]
        self.asked[note] += 1
        if note in self.may_answer and self.asked[note] == 1:
            self.may_answer[note].wait(60)
        summary = json.dumps({"summary": f"Answer {self.asked[note]}.", "action_items": []})
        with suppress(OSError):  # who asked may be gone
            self.send_response(200)
            self.end_headers()
            self.wfile.write(json.dumps({"choices": [{"message": {"content": summary}}]}).encode())

    def log_message(self, *args):
        """Nothing: the tests look at `asked`."""


@pytest.fixture
def model():
    Model.asked.clear()
    Model.may_answer = {"slow": threading.Event(), "slow too": threading.Event()}
    server = ThreadingHTTPServer(("127.0.0.1", 0), Model)
    server.block_on_close = False
    threading.Thread(target=server.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{server.server_port}/v1"
    yield {"SUMMARIZER": "openai", "SUMMARIZER_BASE_URL": address, "SUMMARIZER_MODEL": "test"}
    server.shutdown()
    server.server_close()


@pytest.fixture
def standstill():
    """Whoever makes a note `processing` whose text has `first`, or `done` one that has `second`, waits for us."""
    sql(
        "CREATE FUNCTION stand_still() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN"
        f" SET LOCAL lock_timeout = 0; PERFORM pg_advisory_xact_lock_shared({LOCK}); RETURN NEW; END $$"
    )
    sql(
        "CREATE TRIGGER stand_still BEFORE UPDATE ON notes_note FOR EACH ROW WHEN"
        " (NEW.raw_text LIKE 'first%%' AND NEW.status = 'processing'"
        "  OR NEW.raw_text LIKE 'second%%' AND NEW.status = 'done') EXECUTE FUNCTION stand_still()"
    )
    sql(f"SELECT pg_advisory_lock({LOCK})")
    yield
    sql("DROP FUNCTION stand_still CASCADE")
    sql("SELECT pg_advisory_unlock_all()")


def add_note(person, text=TEXT):
    return person.mesh.call_tool("add_note", {"raw_text": text}).row_id


def waiting_for_us():
    return sql(
        "SELECT count(*) FROM pg_locks JOIN pg_database d ON d.oid = database"
        " WHERE datname = current_database() AND locktype = 'advisory' AND NOT granted"
    )[0][0]


def connections():
    return {row[0] for row in sql("SELECT pid FROM pg_stat_activity WHERE datname = current_database()")}


def summaries():
    return Note.objects.filter(status="done").count()


def all_are_summarized_once(notes):
    eventually(lambda: summaries() == notes)
    assert AuditEntry.objects.filter(operation="summarize_note", outcome="ok").count() == notes


def time_goes_by():
    """What waits is sent anew, to the broker that the relay knows; what runs has lost its lease."""
    fetch("UPDATE mesh_outbox SET sent_at = NULL, due_at = clock_timestamp() WHERE status = 'waiting'")
    fetch("UPDATE mesh_outbox SET sent_at = NULL, lease_until = clock_timestamp() WHERE status = 'running'")


def test_a_worker_killed_at_each_step_of_its_jobs(alice, broker, start, model, standstill):
    first, second, calling, after = (add_note(alice, text) for text in ("first", "second", "slow", "slow too"))
    (killed, _), (old_relay, _) = start(worker, threads=10, **model), start(relay, **model)
    time_goes_by()
    eventually(lambda: waiting_for_us() == 2 and len(Model.asked) == 3)
    assert Note.objects.get(status="queued").pk == first
    assert Note.objects.filter(status="processing").count() == 3
    broker.client().execute_command("CLIENT", "PAUSE", 60_000, "WRITE")  # so that nothing is acknowledged any more
    Model.may_answer["slow too"].set()
    eventually(lambda: summaries() == 1)
    kill(killed, old_relay)
    sql(f"SELECT pg_advisory_unlock({LOCK})")
    client = broker.client()
    client.execute_command("CLIENT", "UNPAUSE")
    assert client.hlen("unacked") == 4
    client.zadd("unacked_index", dict.fromkeys(client.hkeys("unacked"), 0))  # their time is over
    time_goes_by()
    start(worker, **model), start(relay, **model)
    all_are_summarized_once(4)
    eventually(lambda: client.hlen("unacked") == 0)
    attempts = dict(Outbox.objects.filter(operation="summarize_note").values_list("arguments__id", "attempt"))
    assert attempts == {first: 2, second: 2, calling: 2, after: 1}
    assert Model.asked == {"first": 1, "second": 2, "slow": 2, "slow too": 1}


def test_a_broker_frozen_killed_and_back_under_load(alice, broker, start):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    gunicorn = ["-m", "gunicorn", "config.wsgi:application", f"--bind=127.0.0.1:{port}", "--worker-class=gthread"]
    start(process, *gunicorn, "--threads=4", "--no-control-socket", ready="Booting worker")
    child, _ = start(worker)
    call = Live("127.0.0.1", port)
    start(relay)

    def post(notes):
        for n in range(notes):
            assert call("POST", "/api/v1/notes", alice.api.token, {"raw_text": f"{TEXT} {n}"})[0] == 201

    post(20)
    broker.send(signal.SIGSTOP)
    post(20)
    assert call("GET", "/health/ready")[0] == 503
    eventually(lambda: summaries() == 40)
    broker.send(signal.SIGCONT)
    post(20)
    broker.send(signal.SIGKILL)
    post(20)
    broker.start()
    post(20)
    all_are_summarized_once(100)
    eventually(lambda: broker.client().llen("notes") == 0)
    assert child.poll() is None


def test_a_channel_whose_connection_is_closed_says_so():
    connection = celery().connection_for_read()
    channel = connection.default_channel
    connection.release()
    with pytest.raises(redis.exceptions.ConnectionError):  # anything else would end the worker
        channel.basic_ack("of a message that came before")


def test_a_relay_killed_while_it_sends_and_two_after_it(alice, broker, start):
    for _ in range(100):
        add_note(alice)
    broker.send(signal.SIGSTOP)
    killed, _ = start(relay)
    time_goes_by()
    eventually(lambda: not Outbox.objects.filter(sent_at=None).exists())
    kill(killed)
    broker.send(signal.SIGCONT)
    assert broker.client().llen("notes") == 0
    start(relay), start(relay)
    time_goes_by()
    eventually(lambda: broker.client().llen("notes") >= 100)
    time.sleep(0.6)
    assert broker.client().llen("notes") == 100
    start(worker)
    all_are_summarized_once(100)


def test_connections_to_postgres_cut_under_a_worker(alice, start, model, standstill):
    ours = connections()
    for text in ("first", "second", "slow"):
        add_note(alice, text)
    (child, _), _ = start(worker, **model), start(relay, **model)
    time_goes_by()
    eventually(lambda: waiting_for_us() == 2 and Model.asked["slow"] == 1)
    sql("SELECT pg_terminate_backend(pid) FROM unnest(%s::int[]) AS pid", sorted(connections() - ours))
    sql(f"SELECT pg_advisory_unlock({LOCK})")
    Model.may_answer["slow"].set()
    time_goes_by()
    all_are_summarized_once(3)
    assert child.poll() is None


def test_a_call_longer_than_its_lease_keeps_it(alice, start, model):
    add_note(alice, "slow")
    fetch("UPDATE mesh_outbox SET lease = 11")
    start(worker, **model), start(relay, **model)
    time_goes_by()
    eventually(lambda: Model.asked["slow"] == 1)
    time.sleep(12)
    Model.may_answer["slow"].set()
    eventually(lambda: summaries() == 1)
    assert Model.asked["slow"] == 1
    assert Outbox.objects.get(operation="summarize_note").attempt == 1


def test_a_worker_frozen_beyond_its_lease_writes_nothing(alice, start, model):
    note = add_note(alice, "slow")
    (frozen, lines), _ = start(worker, **model), start(relay, **model)
    time_goes_by()
    eventually(lambda: Model.asked["slow"] == 1)
    os.killpg(frozen.pid, signal.SIGSTOP)
    Model.may_answer["slow"].set()
    time_goes_by()
    start(worker, **model)
    all_are_summarized_once(1)
    os.killpg(frozen.pid, signal.SIGCONT)
    eventually(lambda: any("lease_lost" in line for line in lines))
    assert Note.objects.get(pk=note).summary == "Answer 2."
    all_are_summarized_once(1)


def test_messages_that_mean_nothing_harm_nobody(alice, broker, start):
    add_note(alice)
    nonsense = [[], [[]], [[0, -1, 999_999]], [[10**30]], ["abc"], [None], [7], [["1"]], [{"a": 1}], [[[1]]], [[], []]]
    garbage = ["garbage", b"\xff", "", "7", "{}", '{"properties": 1}', "[" * 100_000]
    child, lines = start(worker)
    broker.client().lpush("notes", *garbage)
    with celery().connection_for_write(broker.url) as connection, celery().amqp.Producer(connection) as producer:
        for arguments in nonsense:
            celery().send_task(TASK, args=arguments, queue="notes", producer=producer)
        celery().send_task("no.such.task", queue="notes", producer=producer)
        for headers in ({"task": TASK}, {"task": []}):  # a task without an id, and one that is no name
            producer.publish([[], {}, {}], routing_key="notes", headers=headers)
    start(relay)
    time_goes_by()
    all_are_summarized_once(1)
    eventually(lambda: broker.client().llen("notes") == broker.client().hlen("unacked") == 0)
    assert child.poll() is None
    eventually(lambda: sum("message_unreadable" in line for line in lines) == len(garbage))
    eventually(lambda: sum("message_dropped" in line for line in lines) == 2)


@pytest.mark.parametrize("raised", [MemoryError, SystemExit, KeyboardInterrupt, GeneratorExit])
def test_a_job_that_raises_what_it_should_not_ends_failed_and_harms_no_other(raised, alice, throwaway):
    class Faulty(Service):
        name = "faulty"

        @command()
        def begin(self) -> None:
            self.defer(self.break_down, number=1)
            self.defer(self.break_down, number=2)
            self.changed()

        @job(queue="default", attempts=2)
        def break_down(self, *, number: int) -> None:
            self.changed()
            if number == 1:
                raise raised

    throwaway()
    alice.mesh.of(Faulty).begin()
    bad, good = Outbox.objects.order_by("pk").values_list("pk", flat=True)
    for _ in range(4):
        time_goes_by()
        with suppress(BaseException):
            jobs.run([bad, good])
    assert dict(Outbox.objects.values_list("pk", "status")) == {bad: "failed", good: "done"}


def test_a_job_that_kills_its_worker_each_time_ends_failed(alice):
    note = add_note(alice)
    fetch("UPDATE mesh_outbox SET status = 'running', attempt = 4, lease_until = clock_timestamp()")
    jobs.run([Outbox.objects.get().pk])
    assert (Outbox.objects.get().status, Note.objects.get(pk=note).status) == ("failed", "failed")
