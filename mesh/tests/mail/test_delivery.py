"""Mail: one for each change and address, none after a rollback, and what it looks like."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone

from accounts.models import UnwantedMail
from mesh import command, job
from mesh.declarations.actors import SYSTEM
from mesh.declarations.invocation import Invocation
from mesh.execution import flush
from mesh.execution.service import Service
from mesh.execution.unit_of_work import Work
from mesh.mail import delivery as mesh_mail
from mesh.models import Mail, Outbox
from mesh.stores.postgres import fetch
from mesh.tests import processes
from mesh.tests.jobs import due_now, run_jobs, run_periodic
from mesh.tests.mail_server import listening
from mesh.tests.processes import ROOT, environment, eventually
from mesh.worker import runs


@pytest.fixture
def sink(settings):
    with listening() as sink:
        settings.EMAIL_URL = sink.url
        yield sink


MAIL = {"to": "bob@example.com", "kind": "task_due", "template": "task_due", "context": {}, "key": "task_due:1"}


def written(*mails):
    """Mails that differ from MAIL, written as one command writes them; what that command did."""
    invocation, work = Invocation("", SYSTEM, {}), Work()
    for changes in mails or [{}]:
        Service(SYSTEM, invocation=invocation, work=work).mail(**{**MAIL, **changes})
    flush.flush(invocation, work, {})
    return work


def assign(alice, bob, title="Call the bank", **headers):
    answer = alice.api.post("/tasks", {"title": title, "assignee_id": bob.id}, **headers)
    assert answer.status in (200, 201), answer
    return answer


def status():
    job = Outbox.objects.get(operation="send_mail")
    return Mail.objects.get().status, job.status, job.attempt


def test_a_change_is_mailed_once(alice, bob, sink):
    assign(alice, bob)
    assert run_jobs() == 1
    assert run_jobs() == 0
    assert [message["Subject"] for message in sink.taken] == ["A task for you: Call the bank"]
    assert sink.recipients == ["bob@example.com"]
    assert status() == ("sent", "done", 1)
    assert Mail.objects.get().sent_at is not None


def test_a_message_that_reaches_the_worker_three_times_is_one_mail(alice, bob, sink):
    assign(alice, bob)
    due_now()
    id = Outbox.objects.get().pk
    assert [runs.run([id]) for _ in range(3)] == [1, 0, 0]
    assert len(sink.came) == 1


@pytest.mark.django_db(transaction=True)
def test_three_workers_that_take_it_at_once_send_one(alice, bob, sink):
    assign(alice, bob)
    id, barrier = Outbox.objects.get().pk, threading.Barrier(3)

    def run():
        barrier.wait(10)
        runs.run([id])
        connection.close()

    threads = [threading.Thread(target=run) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(sink.came) == 1
    assert status() == ("sent", "done", 1)


@pytest.mark.django_db(transaction=True)
def test_no_transaction_is_open_while_the_server_is_asked(alice, bob, sink):
    open_ones = []
    sink.on_answered = lambda: open_ones.append(connection_of_worker.in_atomic_block)
    assign(alice, bob)
    connection_of_worker = connection
    run_jobs()
    assert open_ones == [False]


def test_a_server_that_fails_twice_takes_it_at_the_third_try(alice, bob, settings):
    with listening("451 Later", "452 Full") as sink:
        settings.EMAIL_URL = sink.url
        assign(alice, bob)
        for attempt in (1, 2):
            assert run_jobs() == 1
            assert status() == ("waiting", "waiting", attempt)
            due_now()
        assert run_jobs() == 1
    assert status() == ("sent", "done", 3)
    assert len(sink.taken) == 1
    assert {message["Message-ID"] for message in sink.came} == {Mail.objects.get().message_id}
    assert len({message["Date"] for message in sink.came}) == 1


def test_a_server_that_hangs_is_asked_again(alice, bob, settings, monkeypatch):
    monkeypatch.setattr(mesh_mail, "TIMEOUT", 0.5)
    with listening(3.0) as sink:
        settings.EMAIL_URL = sink.url
        assign(alice, bob)
        run_jobs()
        assert status() == ("waiting", "waiting", 1)
        assert "timed out" in Outbox.objects.get().error
        due_now()
        run_jobs()
        assert status() == ("sent", "done", 2)
        assert [message["Message-ID"] for message in sink.came] == [Mail.objects.get().message_id] * 2


def test_a_server_that_is_away_is_asked_again(alice, bob, settings):
    with listening() as sink:
        settings.EMAIL_URL = sink.url
    assign(alice, bob)
    run_jobs()
    assert status() == ("waiting", "waiting", 1)
    assert "Connection refused" in Outbox.objects.get().error


def test_a_server_that_hangs_at_the_farewell_has_taken_it(alice, bob, sink, monkeypatch):
    monkeypatch.setattr(mesh_mail, "TIMEOUT", 0.5)

    async def never(*args):
        await asyncio.sleep(3)
        return "221 Bye"

    sink.handle_QUIT = never
    assign(alice, bob)
    run_jobs()
    assert status() == ("sent", "done", 1)
    assert len(sink.taken) == 1


@pytest.mark.parametrize("reply", ["550 No such person", "553 Not here"])
def test_an_address_that_is_refused_for_good_is_not_asked_again(alice, bob, settings, reply):
    with listening(refuses={"bob@example.com": reply}) as sink:
        settings.EMAIL_URL = sink.url
        assign(alice, bob)
        run_jobs()
    assert status() == ("failed", "failed", 1)
    assert Mail.objects.get().error == f"MailRefused: {reply}"


def test_an_address_that_is_refused_for_now_is_asked_again(alice, bob, settings):
    with listening(refuses={"bob@example.com": "450 Greylisted"}) as sink:
        settings.EMAIL_URL = sink.url
        assign(alice, bob)
        run_jobs()
        assert status() == ("waiting", "waiting", 1)
        sink.refuses.clear()
        due_now()
        run_jobs()
    assert status() == ("sent", "done", 2)


def test_a_message_that_is_refused_for_good_fails_and_can_be_tried_again(alice, bob, settings):
    with listening("554 Spam") as sink:
        settings.EMAIL_URL = sink.url
        assign(alice, bob)
        run_jobs()
        assert status() == ("failed", "failed", 1)
        Outbox.objects.update(status="waiting")
        due_now()
        run_jobs()
    assert status() == ("sent", "done", 2)
    assert Mail.objects.get().error == ""


def test_after_the_last_try_it_has_failed(alice, bob, settings):
    with listening(*["451 Later"] * 2) as sink:
        settings.EMAIL_URL = sink.url
        assign(alice, bob)
        Outbox.objects.update(attempt=29)
        due_now()
        run_jobs()
    assert status() == ("failed", "failed", 30)
    assert Mail.objects.get().error == "OSError: 451 Later"


@pytest.mark.django_db(transaction=True)
def test_a_worker_killed_after_the_servers_250_sends_at_most_once_more_with_the_same_id(alice, bob, sink):
    assign(alice, bob)
    job = Outbox.objects.get(operation="send_mail")
    found = environment(DJANGO_SETTINGS_MODULE="config.settings")
    script = f"import django; django.setup(); from mesh.worker.runs import run; run([{job.pk}])"
    process = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, env=found)
    sink.on_answered = lambda: os.kill(process.pid, signal.SIGKILL)
    assert process.wait(60) == -signal.SIGKILL
    sink.on_answered = lambda: None
    assert len(sink.taken) == 1
    assert status() == ("waiting", "running", 1)

    assert runs.run([job.pk]) == 0  # its lease still runs
    due_now()
    assert runs.run([job.pk]) == 1
    assert status() == ("sent", "done", 2)
    assert len(sink.taken) == 2
    assert {message["Message-ID"] for message in sink.taken} == {Mail.objects.get().message_id}
    due_now()
    assert runs.run([job.pk]) == 0


def test_none_after_a_rollback(alice, bob, sink):
    answer = alice.api.post("/tasks", {"title": "x", "assignee_id": bob.id, "due_meeting_id": 999})
    assert answer.status == 422
    assert (Mail.objects.count(), Outbox.objects.count()) == (0, 0)
    with pytest.raises(ZeroDivisionError), transaction.atomic():
        written()
        assert Mail.objects.count() == 1
        raise ZeroDivisionError
    assert (Mail.objects.count(), Outbox.objects.count()) == (0, 0)
    assert run_jobs() == 0
    assert sink.came == []


def test_none_after_a_dry_run_which_tells_of_it(alice, bob, sink):
    answer = assign(alice, bob, Prefer="dry-run")
    assert answer.json["mails"] == [{"to": "bob@example.com", "subject": "A task for you: Call the bank"}]
    assert [job["operation"] for job in answer.json["jobs"]] == ["send_mail"]
    assert (Mail.objects.count(), Outbox.objects.count()) == (0, 0)
    assert run_jobs() == 0
    assert sink.came == []


def test_a_command_repeated_under_its_key_mails_once(alice, bob, sink):
    first = assign(alice, bob, Idempotency_Key="k")
    assert assign(alice, bob, Idempotency_Key="k").json == first.json
    run_jobs()
    assert len(sink.taken) == 1


def test_the_same_change_and_address_in_any_case_is_the_same_mail(db):
    works = [
        written(),
        written({}, {"to": "BOB@example.com"}, {"to": "eve@example.com"}, {"to": "EVE@example.com"}),
        written({"to": "Eve@example.com"}, {"key": "task_due:2"}),
    ]
    found = Mail.objects.order_by("id").values_list("recipient", "key")
    assert list(found) == [
        ("bob@example.com", "task_due:1"),
        ("eve@example.com", "task_due:1"),
        ("bob@example.com", "task_due:2"),
    ]
    jobs = Outbox.objects.order_by("id").values_list("operation", "arguments")
    assert list(jobs) == [("send_mail", {"id": mail.pk}) for mail in Mail.objects.order_by("id")]
    told = [[mail["to"] for mail in work.mails] for work in works]
    assert told == [["bob@example.com"], ["eve@example.com"], ["bob@example.com"]]


def test_many_mails_are_written_in_as_few_statements_as_one(db, django_assert_num_queries, monkeypatch):
    asked = []
    monkeypatch.setattr("mesh.mail.messages.fetch", lambda *a: asked.append(a) or fetch(*a))
    UnwantedMail.objects.create(email="g7@example.com", kind="task_due")
    with django_assert_num_queries(0):  # by Django itself
        work = written(*({"to": f"g{n}@example.com"} for n in range(20)))
    assert len(asked) == 1
    assert [mail["to"] for mail in work.mails] == [f"g{n}@example.com" for n in range(20) if n != 7]
    assert (Mail.objects.count(), Outbox.objects.count()) == (19, 19)


def test_one_that_was_turned_off_before_it_goes_is_dropped(alice, bob, ada, sink):
    for turned_off in (
        lambda: bob.api.patch("/users/me/notifications", {"task_assigned": False}),
        lambda: ada.api.patch(f"/users/{bob.id}", {"is_active": False}),
    ):
        assign(alice, bob)
        turned_off()
        run_jobs()
        assert status() == ("dropped", "done", 1)
        assert sink.came == []
        Mail.objects.all().delete()
        Outbox.objects.all().delete()
        UnwantedMail.objects.all().delete()


@pytest.fixture
def announcing(throwaway):
    class Announcer(Service):
        """Tells of things."""

        name = "announcer"

        @command("POST /announcements")
        def announce(self) -> None:
            """Tell bob, and begin what tells others."""
            self.mail(**MAIL)
            self.defer(self.tell_eve, key="k")
            self.defer(self.tell_nobody, key="k")
            self.changed()

        @job(queue="mail", mails_only=True)
        def tell_eve(self, *, key: str) -> None:
            """Tell eve, in the name of who asked."""
            self.mail(**{**MAIL, "to": "eve@example.com", "kind": "responses", "key": f"{key}:{self.actor.id}"})
            self.changed()

        @job(queue="mail")
        def tell_nobody(self, *, key: str) -> None:
            """More than a mail: not to be tried."""
            raise AssertionError(key)

    throwaway()


def test_a_dry_run_lists_the_mails_of_mail_jobs_too(alice, announcing):
    tried = alice.api.post("/announcements", Prefer="dry-run")
    assert tried.status == 200, tried
    assert [mail["to"] for mail in tried.json["mails"]] == ["bob@example.com", "eve@example.com"]
    jobs = [job["operation"] for job in tried.json["jobs"]]
    assert jobs == ["tell_eve", "tell_nobody", "send_mail", "send_mail"]
    assert (Mail.objects.count(), Outbox.objects.count()) == (0, 0)


def test_what_a_dry_run_lists_is_what_the_job_does(alice, announcing):
    assert alice.api.post("/announcements").status == 204
    assert list(Mail.objects.values_list("recipient", flat=True)) == ["bob@example.com"]
    run_jobs("tell_eve")
    assert list(Mail.objects.order_by("id").values_list("recipient", "key")) == [
        ("bob@example.com", "task_due:1"),
        ("eve@example.com", f"k:{alice.id}"),
    ]


def test_the_server_may_ask_for_a_password(alice, bob, settings):
    with listening(login=("us@example.com", "a/b c")) as sink:
        settings.EMAIL_URL = sink.url.replace("//", "//us%40example.com:wrong@")
        assign(alice, bob)
        run_jobs()
        assert status() == ("waiting", "waiting", 1)
        assert "SMTPAuthenticationError" in Outbox.objects.get().error
        settings.EMAIL_URL = sink.url.replace("//", "//us%40example.com:a%2Fb%20c@")
        due_now()
        run_jobs()
    assert status() == ("sent", "done", 2)


def test_what_was_sent_long_ago_is_removed(db):
    kept = [("sent", 89), ("failed", 91), ("waiting", 91), ("dropped", 89)]
    for number, (status, days) in enumerate([("sent", 91), ("dropped", 91), *kept]):
        written({"key": str(number)})
        then = timezone.now() - timedelta(days=days)
        Mail.objects.filter(key=str(number)).update(
            status=status, created_at=then, sent_at=then if status == "sent" else None
        )
    Outbox.objects.all().delete()
    run_periodic("prune_mails")
    run_jobs()
    assert list(Mail.objects.order_by("key").values_list("key", flat=True)) == ["2", "3", "4", "5"]


@pytest.mark.django_db(transaction=True)
def test_a_real_worker_sends_it_as_soon_as_it_is_written(alice, bob, sink):
    processes.empty_broker()
    with processes.worker():
        assign(alice, bob)
        eventually(lambda: bool(sink.taken))
        eventually(lambda: status() == ("sent", "done", 1))
    assert len(sink.came) == 1
