"""The job that reminds people of the events that begin within a day."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tests.assertions import at_once
from events.models import Event
from events.tests.conftest import register
from events.tests.races import attend
from mesh.declarations.registry import registry
from mesh.models import Mail, Outbox
from mesh.tests.jobs import run_jobs, run_periodic

pytestmark = pytest.mark.django_db(transaction=True)
BOTH = ["eve@example.com", "finn@example.com"]


@pytest.fixture
def house(event, bob):
    """An event with two seats, both taken, and one who waits."""
    made = event(capacity=2)
    for guest in ("eve", "finn", "gil"):
        register(bob, made, guest, waitlist=True)
    return made


def begins_in(event, hours):
    start = timezone.now() + timedelta(hours=hours)
    Event.objects.filter(pk=event).update(start_date=start, end_date=start + timedelta(hours=1))


def run():
    """Begins the job as the schedule does."""
    run_periodic("remind_of_events")
    job = Outbox.objects.filter(operation="remind_of_events").latest("pk")
    assert (job.status, job.error) == ("done", "")


def reminded(mails):
    """Who was reminded, in order, since the last time."""
    return [address for address, subject in mails() if subject.startswith("Soon: Open day, ")]


def test_it_runs_every_minute_by_itself():
    options = registry.operations["remind_of_events"].declaration.job
    assert (options.queue, options.every) == ("mail", 60)


def test_who_has_a_seat_is_reminded_a_day_before_once_for_each_time(house, mails):
    begins_in(house, 24.1)
    run()
    assert reminded(mails) == []
    begins_in(house, 23.9)
    for _ in range(3):
        run()
    assert reminded(mails) == BOTH
    begins_in(house, 3)
    run()
    assert reminded(mails) == BOTH
    assert Mail.objects.filter(kind="event_reminders").count() == 4
    text = Mail.objects.filter(kind="event_reminders").latest("pk").text
    assert text.startswith("An event that you attend begins soon.\n\nOpen day\n")


def test_of_more_events_than_one_run_takes_all_are_reminded(alice, bob):
    start = timezone.now() + timedelta(hours=5)
    dates = {"start_date": start, "end_date": start + timedelta(hours=1)}
    made = Event.objects.bulk_create(Event(owner=alice.user, name="Open day", **dates) for _ in range(120))
    for event in made:
        attend(event.pk, bob, 1)
    run_periodic("remind_of_events")
    run_jobs("remind_of_events", "mail_event")
    assert Mail.objects.filter(kind="event_reminders").count() == 120
    rows = Outbox.objects.filter(operation="remind_of_events")
    assert list(rows.values_list("status", flat=True)) == ["done"] * 3


def test_two_runs_at_once_remind_once(house, mails):
    begins_in(house, 5)
    at_once(run_if_it_may, run_if_it_may)
    assert reminded(mails) == BOTH


def run_if_it_may():
    run_periodic("remind_of_events")


def test_of_what_is_called_off_over_or_begun_nobody_is_reminded(alice, house, event, bob, mails):
    cancelled, deleted, begun = house, event(), event()
    for made in (deleted, begun):
        register(bob, made, "eve")
    begins_in(cancelled, 5)
    begins_in(deleted, 5)
    begins_in(begun, -0.5)
    alice.api.post(f"/events/{cancelled}/cancel")
    alice.api.delete(f"/events/{deleted}")
    run()
    assert reminded(mails) == []


@pytest.mark.parametrize("hours", [100, 6])
def test_a_reminder_of_a_time_that_has_changed_since_is_not_sent(house, mails, hours):
    begins_in(house, 5)
    run()
    begins_in(house, hours)
    assert reminded(mails) == []


def test_who_registers_later_has_just_got_the_times(house, bob, event, mails):
    made = event()
    begins_in(made, 5)
    run()
    register(bob, made, "eve")
    run()
    assert reminded(mails) == []
