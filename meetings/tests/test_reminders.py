"""The job that reminds people of the meetings that begin within the hour."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tests.assertions import at_once
from meetings.models import Meeting
from mesh.declarations.registry import registry
from mesh.models import AuditEntry, Mail, Outbox
from mesh.tests.jobs import run_jobs, run_periodic
from mesh.worker import runs

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def schedule(alice):
    def make(minutes, **fields):
        sent = {"title": "Plan", "scheduled_time": in_(minutes), **fields}
        return alice.api.post("/meetings", sent).json["id"]

    return make


def in_(minutes):
    return (timezone.now() + timedelta(minutes=minutes)).isoformat()


def run():
    """Begins the job as the schedule does."""
    run_periodic("remind_of_meetings")
    job = Outbox.objects.filter(operation="remind_of_meetings").latest("pk")
    assert (job.status, job.error) == ("done", "")


def reminded():
    """Who was reminded, in order."""
    return list(Mail.objects.filter(kind="meeting_reminders").order_by("pk").values_list("recipient", flat=True))


def test_it_runs_every_minute_by_itself():
    options = registry.operations["remind_of_meetings"].declaration.job
    assert (options.queue, options.every) == ("mail", 60)


def test_the_organizer_and_who_did_not_decline_are_reminded_once(schedule, alice, bob, person):
    dora, eve, finn = (person(name, invited_by=alice.user) for name in ("dora", "eve", "finn"))
    id = schedule(
        59,
        location="Room 2",
        attendee_ids=[bob.id, dora.id, eve.id, finn.id, alice.id],
        attendee_emails=["g@example.com"],
    )
    for answering, response in ((bob, "accepted"), (dora, "declined"), (eve, "tentative")):
        answering.api.post(f"/meetings/{id}/respond", {"response": response})
    for _ in range(2):
        run()
    people = ["alice", "bob", "eve", "finn", "g"]
    assert reminded() == [f"{name}@example.com" for name in people]
    mail = Mail.objects.latest("pk")
    begins = f"{Meeting.objects.get().scheduled_time:%H:%M}"
    assert mail.subject == f"Soon: Plan, {begins} UTC"
    assert mail.text.startswith(f"This meeting begins at {begins} UTC.\n\nPlan\n")
    assert "\nRoom 2\n" in mail.text
    assert mail.attachments == []
    assert AuditEntry.objects.filter(operation="remind_of_meetings", actor=None, outcome="ok").count() == 1


@pytest.mark.parametrize(("minutes", "count"), [(61, 0), (60, 1), (1, 1), (-0.1, 0), (-61, 0)])
def test_it_is_the_next_hour(schedule, minutes, count):
    schedule(minutes)
    run()
    assert len(reminded()) == count


def test_a_meeting_that_moves_reminds_again_once_for_each_time(schedule, alice):
    id = schedule(30)
    first = Meeting.objects.get().scheduled_time.isoformat()
    for time in (first, in_(45), in_(45), first, in_(300), in_(50)):
        alice.api.patch(f"/meetings/{id}", {"scheduled_time": time})
        run()
    assert reminded() == ["alice@example.com"] * 4


def test_a_change_of_something_else_does_not_remind_again(schedule, alice):
    id = schedule(30)
    run()
    alice.api.patch(f"/meetings/{id}", {"title": "New"})
    run()
    assert reminded() == ["alice@example.com"]


def test_a_cancelled_meeting_reminds_nobody(schedule, alice):
    alice.api.delete(f"/meetings/{schedule(30)}")
    run()
    assert reminded() == []


def test_nobody_else_is_reminded(schedule, bob, charlie, ada):
    schedule(30)
    run()
    assert reminded() == ["alice@example.com"]


def test_of_more_than_one_run_takes_all_are_reminded(alice):
    soon = timezone.now() + timedelta(minutes=5)
    Meeting.objects.bulk_create(Meeting(organizer=alice.user, title="Plan", scheduled_time=soon) for _ in range(120))
    run()
    run_jobs("remind_of_meetings")
    assert reminded() == ["alice@example.com"] * 120
    runs = Outbox.objects.filter(operation="remind_of_meetings")
    assert list(runs.values_list("status", flat=True)) == ["done"] * 3


def test_two_runs_at_once_remind_once(schedule, bob):
    for _ in range(5):
        schedule(30, attendee_ids=[bob.id])
    jobs = []
    for _ in range(2):
        job = Outbox.objects.create(operation="remind_of_meetings", queue="mail", lease=60)
        jobs.append(job.pk)
    at_once(*[lambda pk=pk: runs.run([pk]) for pk in jobs])
    assert sorted(reminded()) == ["alice@example.com"] * 5 + ["bob@example.com"] * 5
    assert set(Outbox.objects.filter(pk__in=jobs).values_list("status", flat=True)) == {"done"}
