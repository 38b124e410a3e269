"""The second wall: what the database itself refuses."""

import pytest
from django.db import IntegrityError, connection, transaction

from events.models import Attendee, Category, Event, Registration
from events.tests.conftest import BEGINS, ENDS, register


def refuses(constraint, step):
    with pytest.raises(IntegrityError, match=constraint), transaction.atomic():
        step()
        connection.check_constraints()


@pytest.mark.parametrize(
    ("constraint", "values"),
    [
        ("events_event_name", {"name": ""}),
        ("events_event_dates", {"end_date": "2099-01-05T09:59:59Z"}),
        ("events_event_status", {"status": "open"}),
        ("events_event_capacity", {"capacity": 0}),
        ("events_event_capacity", {"capacity": 1_000_001}),
        ("events_event_counts", {"attendee_count": -1}),
        ("events_event_counts", {"waiting_count": -1}),
        ("events_event_not_over_full", {"capacity": 1, "attendee_count": 2}),
        ("events_event_nobody_waits_in_vain", {"waiting_count": 1}),
        ("events_event_nobody_waits_in_vain", {"capacity": 2, "attendee_count": 1, "waiting_count": 1}),
    ],
)
def test_an_event(alice, constraint, values):
    fields = {"owner": alice.user, "name": "A", "start_date": BEGINS, "end_date": ENDS}
    refuses(constraint, lambda: Event.objects.create(**fields | values))


def test_a_category(alice):
    Category.objects.create(creator=alice.user, name="Straße")
    refuses("events_category_name", lambda: Category.objects.create(creator=alice.user, name=""))
    refuses("events_category_name_once", lambda: Category.objects.create(creator=alice.user, name="STRAßE"))


def test_attendees_and_registrations(alice, bob, event):
    made = event()
    eve = register(bob, made, "eve").json["id"]
    register(alice, made, "finn")
    refuses("events_attendee_name", lambda: Attendee.objects.filter(pk=eve).update(name=""))
    refuses(
        "events_attendee_once", lambda: Attendee.objects.create(registrar=bob.user, name="E", email="EVE@example.com")
    )
    refuses("events_registration_once", lambda: Attendee.objects.filter(pk=eve).update(email="finn@EXAMPLE.com"))
    refuses("events_registration_status", lambda: Registration.objects.filter(attendee=eve).update(status="gone"))
    refuses("events_registration_attendee", lambda: Registration.objects.filter(attendee=eve).update(email_key="other"))
    refuses("events_registration_attendee", lambda: Attendee.objects.filter(pk=eve)._raw_delete("default"))
