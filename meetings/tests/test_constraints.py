"""What the database holds when the services are passed by; both sides of the scope."""

from datetime import UTC, datetime

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from accounts.models import User
from accounts.tests.assertions import nothing_changes
from meetings.models import Invitee, Meeting
from mesh.testing import visibility_mismatches


@pytest.fixture
def meeting(alice):
    return Meeting.objects.create(organizer=alice.user, title="Plan", scheduled_time=datetime(2026, 1, 5, tzinfo=UTC))


def violates(name):
    return pytest.raises(IntegrityError, match=name)


def test_a_meeting_has_a_title(meeting):
    with nothing_changes(), violates("meetings_meeting_title"), transaction.atomic():
        Meeting.objects.update(title="")


@pytest.mark.parametrize("minutes", [0, 4, 1441, 32767])
def test_a_meeting_lasts_5_minutes_to_a_day(meeting, minutes):
    with nothing_changes(), violates("meetings_meeting_duration"), transaction.atomic():
        Meeting.objects.update(duration_minutes=minutes)


@pytest.mark.parametrize("minutes", [5, 1440])
def test_5_minutes_and_a_day_are_allowed(meeting, minutes):
    assert Meeting.objects.update(duration_minutes=minutes) == 1


@pytest.mark.parametrize(("column", "length"), [("title", 200), ("description", 5000), ("location", 255)])
def test_texts_have_their_lengths_in_the_database_too(meeting, column, length):
    assert Meeting.objects.update(**{column: "ä" * length}) == 1
    with nothing_changes(), pytest.raises(DataError), transaction.atomic():
        Meeting.objects.update(**{column: "ä" * (length + 1)})


@pytest.mark.parametrize("column", ["title", "description", "scheduled_time", "duration_minutes", "organizer_id"])
def test_no_other_column_than_the_location_is_null(meeting, column):
    with violates(column), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE meetings_meeting SET {column} = NULL")


def test_a_user_is_invited_once(meeting, bob):
    Invitee.objects.create(meeting=meeting, user=bob.user)
    with nothing_changes(), violates("meetings_attendee_user_once"), transaction.atomic():
        Invitee.objects.create(meeting=meeting, user=bob.user)


def test_a_guest_is_invited_once_in_any_case(meeting):
    Invitee.objects.create(meeting=meeting, email="guest@example.com")
    with nothing_changes(), violates("meetings_attendee_email_once"), transaction.atomic():
        Invitee.objects.create(meeting=meeting, email="GUEST@example.com")


def test_an_attendee_is_a_user_or_an_email(meeting, bob):
    for fields in ({}, {"user": bob.user, "email": "bob@example.com"}):
        with nothing_changes(), violates("meetings_attendee_user_or_email"), transaction.atomic():
            Invitee.objects.create(meeting=meeting, **fields)


def test_a_response_is_one_of_four(meeting, bob):
    Invitee.objects.create(meeting=meeting, user=bob.user)
    for response in ("pending", "accepted", "declined", "tentative"):
        assert Invitee.objects.update(response=response) == 1
    for response in ("", "perhaps"):
        with nothing_changes(), violates("meetings_attendee_response"), transaction.atomic():
            Invitee.objects.update(response=response)


def test_who_sees_a_meeting_and_who_hears_of_its_changes_are_the_same(meeting, alice, bob, charlie, person):
    dora = person("dora")
    Invitee.objects.create(meeting=meeting, user=bob.user)
    Invitee.objects.create(meeting=meeting, email="guest@example.com")
    other = Meeting.objects.create(organizer=bob.user, title="B", scheduled_time=datetime(2026, 1, 6, tzinfo=UTC))
    Invitee.objects.create(meeting=other, user=dora.user)
    actors = [p.actor for p in (alice, bob, charlie, dora)]
    for model in (Meeting, Invitee, User):
        assert visibility_mismatches(model, actors) == []
