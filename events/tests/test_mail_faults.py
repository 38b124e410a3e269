"""P6 for events: every attendee is told of every change once, whatever befalls workers and mail servers."""

import os
import signal
import threading
from collections import Counter
from contextlib import contextmanager
from functools import partial

import pytest

from accounts.tests.assertions import refused
from config.tests.all_apps.worker.test_faults import time_goes_by
from events.models import Event
from events.tests.conftest import JOBS, MONDAY, register
from events.tests.races import Gate, all_at_once, attend, outcomes, run_thrice, take_locks_off
from events.tests.races import everyone_connected as everyone_connected
from mesh.models import Mail, Outbox
from mesh.tests.jobs import due_now, run_jobs
from mesh.tests.mail_server import listening
from mesh.tests.processes import QUEUES, empty_broker, eventually, process, relay, worker
from mesh.worker import runs as jobs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def sink(settings):
    with listening() as sink:
        settings.EMAIL_URL = sink.url
        yield sink


@pytest.fixture
def party(alice, bob, event):
    """An event of alice's with three attendees; all have been told so."""
    made = event()
    attend(made, bob, 3)
    run_jobs()
    return made


def everyone(event, attendees=3):
    """The addresses of all its attendees and of its owner."""
    return {f"registered{n}-{event}@example.com" for n in range(attendees)} | {"alice@example.com"}


def times_by_address(messages):
    """How often each address got each Message-ID."""
    return Counter((message["To"], message["Message-ID"]) for message in messages)


# A worker that is killed.


def one_by_one(**changes):
    """A worker with one thread, which sends one mail at a time."""
    options = ["-P", "threads", "-c", "1", "-Q", QUEUES, "--without-mingle", "--without-gossip", "-l", "INFO"]
    return process(
        "-m", "celery", "-A", "config.celery", "worker", *options, ready=" ready.", LOG_LEVEL="INFO", **changes
    )


@contextmanager
def started(process, **changes):
    """A process of the background, whose output is read lest its pipe be full."""
    with process(**changes) as child:
        threading.Thread(target=child.stdout.read, daemon=True).start()
        yield child


def cancelled_by_two_workers(alice, sink, event, first, half):
    """Cancels an event; the first worker is killed when the server has taken half the mails, another goes on."""
    empty_broker()
    with started(first) as worker_of_half:

        def kill():
            if len(sink.taken) >= half:
                sink.on_answered = lambda: None
                os.killpg(worker_of_half.pid, signal.SIGKILL)

        sink.on_answered = kill
        assert alice.api.post(f"/events/{event}/cancel").status == 200
        assert worker_of_half.wait(120) == -signal.SIGKILL
    assert Outbox.objects.filter(status="running").exists()
    time_goes_by()
    with started(worker), started(relay):
        eventually(lambda: not Outbox.objects.exclude(status="done").exists())


@pytest.mark.parametrize(("first", "threads", "attendees"), [(one_by_one, 1, 1000), (worker, 4, 300)])
def test_a_worker_killed_half_way_through_the_cancellations(
    alice, bob, event, sink, settings, first, threads, attendees
):
    settings.MESH = {**settings.MESH, "MAILS_PER_DAY": attendees}
    party = event()
    run_jobs()
    sink.taken.clear()
    attend(party, bob, attendees)
    cancelled_by_two_workers(alice, sink, party, first, attendees // 2)
    got = times_by_address(sink.taken)
    assert {message["Subject"] for message in sink.taken} == {f"Cancelled: Open day, {MONDAY}"}
    assert {to for to, _ in got} == everyone(party, attendees)
    assert len(got) == attendees + 1  # one Message-ID for each address
    twice = [mail for mail, times in got.items() if times == 2]
    assert max(got.values()) <= 2
    assert 1 <= len(twice) <= threads  # one of each thread, which had sent it and not yet noted
    assert set(Mail.objects.values_list("status", flat=True)) == {"sent"}


# A mail server that fails.


def test_of_a_server_that_fails_twice_each_mail_arrives_once(alice, bob, event, settings):
    party = event()
    run_jobs()
    attend(party, bob, 5)
    with listening(*["451 Later"] * 6, *["452 Full"] * 6) as sink:
        settings.EMAIL_URL = sink.url
        alice.api.post(f"/events/{party}/cancel")
        run_jobs(*JOBS)
        for attempt in (1, 2, 3):
            assert len(sink.taken) == 0
            assert run_jobs("send_mail") == 6
            told = Mail.objects.filter(subject__startswith="Cancelled").values_list("pk", flat=True)
            sent = Outbox.objects.filter(operation="send_mail", arguments__id__in=list(told))
            assert set(sent.values_list("status", "attempt")) == {("done" if attempt == 3 else "waiting", attempt)}
            due_now()
        assert run_jobs() == 0
    assert Counter(times_by_address(sink.came).values()) == {3: 6}
    assert Counter(times_by_address(sink.taken).values()) == {1: 6}
    assert {message["To"] for message in sink.taken} == everyone(party, 5)


def test_each_message_that_comes_three_times_mails_once(alice, party, sink):
    alice.api.post(f"/events/{party}/cancel")
    run_thrice()
    assert Counter(message["To"] for message in sink.came) == dict.fromkeys(everyone(party), 1)


def test_a_job_that_dies_before_it_is_done_writes_its_mails_once(alice, party, sink, monkeypatch):
    alice.api.post(f"/events/{party}/cancel")
    mark = jobs._mark

    def die(claim, finished):
        raise SystemExit

    monkeypatch.setattr(jobs, "_mark", die)
    due_now()
    (job,) = Outbox.objects.filter(status="waiting").values_list("pk", flat=True)
    with pytest.raises(SystemExit):
        jobs.run([job])
    monkeypatch.setattr(jobs, "_mark", mark)
    assert Mail.objects.filter(subject__startswith="Cancelled").count() == 0
    due_now()
    assert [jobs.run([job]) for _ in range(3)] == [1, 0, 0]
    run_jobs()
    assert Counter(message["To"] for message in sink.came) == dict.fromkeys(everyone(party), 1)


# What mails nobody.


@pytest.fixture
def written():
    """How many mails and jobs came to be since."""
    before = Mail.objects.count(), Outbox.objects.count()

    def since():
        return Mail.objects.count() - before[0], Outbox.objects.count() - before[1]

    return since


def test_a_dry_run_names_everyone_and_mails_nobody(alice, party, sink, written):
    for method, path, data in [
        ("POST", f"/events/{party}/cancel", None),
        ("PATCH", f"/events/{party}", {"name": "Closed day"}),
        ("DELETE", f"/events/{party}", None),
    ]:
        tried = alice.api.request(method, path, data, Prefer="dry-run")
        assert {mail["to"] for mail in tried.json["mails"]} == everyone(party)
    assert written() == (0, 0)
    assert run_jobs() == 0
    assert sink.came == []


def test_a_refused_command_mails_nobody(alice, bob, party, sink, written):
    refused(bob.api.post(f"/events/{party}/cancel"), 403)
    refused(alice.api.patch(f"/events/{party}", {"name": "Closed day", "capacity": 2}), 409, "events.capacity_taken")
    refused(alice.api.patch(f"/events/{party}", {"name": "Closed day", "category_id": 123456}), 422)
    refused(register(bob, party, f"registered0-{party}"), 409, "events.already_registered")
    assert written() == (0, 0)
    assert run_jobs() == 0
    assert sink.came == []


def test_what_fails_with_its_last_statement_mails_nobody(alice, party, sink, written, monkeypatch):
    monkeypatch.setattr(
        "mesh.rows.versions.BUMP", "INSERT INTO mesh_version SELECT scope, 1 / 0 FROM unnest(%s::text[]) AS scope"
    )
    alice.api.client.raise_request_exception = False
    assert alice.api.post(f"/events/{party}/cancel").status == 500
    assert written() == (0, 0)
    assert run_jobs() == 0
    assert sink.came == []
    assert Event.objects.get(pk=party).is_active


# What mails nobody a second time.


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("POST", "/events/{}/cancel", None),
        ("PATCH", "/events/{}", {"name": "Closed day", "location": "Hall 2"}),
        ("PUT", "/events/{}", {"name": "Closed day"}),
    ],
)
def test_the_same_again_mails_nobody_again(alice, party, sink, method, path, data):
    change = partial(alice.api.request, method, path.format(party), data)
    assert [change().status, change().status] == [200, 200]
    run_thrice()
    assert change().status == 200
    assert run_jobs() == 0
    assert Counter(message["To"] for message in sink.came) == dict.fromkeys(everyone(party), 1)


def test_a_replay_mails_nobody_again(alice, party, sink):
    first, second = (alice.api.post(f"/events/{party}/cancel", Idempotency_Key="k") for _ in range(2))
    run_jobs()
    third = alice.api.post(f"/events/{party}/cancel", Idempotency_Key="k")
    run_jobs()
    assert first.json == second.json == third.json
    assert [answer.headers.get("Idempotent-Replay") for answer in (first, second, third)] == [None, "true", "true"]
    assert Counter(message["To"] for message in sink.came) == dict.fromkeys(everyone(party), 1)


def test_ten_who_cancel_at_once_mail_once(alice, party, sink, everyone_connected):
    answers = all_at_once(*[lambda api: api.post(f"/events/{party}/cancel")] * 10, by=alice)
    assert outcomes(answers) == {(200, "cancelled"): 10}
    run_thrice()
    assert Counter(message["To"] for message in sink.came) == dict.fromkeys(everyone(party), 1)
    assert Outbox.objects.filter(operation="mail_event", arguments__news="cancelled").count() == 1


# Two quick changes.

CHANGES = [{"name": "Closed day"}, {"location": "Hall 2"}]


def both_changes_at_once(alice, party):
    calls = [partial(lambda change, api: api.patch(f"/events/{party}", change), change) for change in CHANGES]
    assert outcomes(all_at_once(*calls, by=alice)) == {(200, "active"): 2}
    run_thrice()


def changes_listed(messages):
    """To whom each change was told, and how often."""
    told = Counter()
    for message in messages:
        text = message.get_body(("plain",)).get_content()
        told.update((message["To"], changed) for changed in ("Closed day", "Hall 2") if f": {changed} (was: " in text)
    return told


def test_of_two_quick_changes_everyone_is_told_once_of_each(alice, party, sink):
    for change in CHANGES:
        alice.api.patch(f"/events/{party}", change)
    run_thrice()
    assert Counter(changes_listed(sink.came).values()) == {1: 8}
    assert len(times_by_address(sink.came)) == len(sink.came) == 8


def test_of_two_changes_at_once_too(alice, party, sink, everyone_connected):
    both_changes_at_once(alice, party)
    assert Counter(changes_listed(sink.came).values()) == {1: 8}
    assert len(times_by_address(sink.came)) == len(sink.came) == 8


def test_without_the_lock_one_of_two_changes_is_not_told(alice, party, sink, everyone_connected, monkeypatch):
    take_locks_off(monkeypatch, Gate(2))
    both_changes_at_once(alice, party)
    assert Counter(changes_listed(sink.came).values()) == {1: 4}
