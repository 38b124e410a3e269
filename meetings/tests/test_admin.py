"""Meetings in the admin."""

import pytest
from django.test import Client

from accounts.models import User
from accounts.tests.browser import form_of, submit
from meetings.tests.calendars import WHEN


@pytest.fixture
def site(ada):
    """A browser in which Ada is signed in to the admin."""
    client = Client()
    client.force_login(ada.user)
    return client


@pytest.fixture
def meeting(alice, bob):
    sent = {"title": "Plan", "scheduled_time": WHEN, "attendee_ids": [bob.id]}
    return alice.api.post("/meetings", sent).json["id"]


def change_page(meeting):
    return f"/admin/meetings/meeting/{meeting}/change/"


def who_attends(alice, meeting):
    return [person["id"] for person in alice.api.get(f"/meetings/{meeting}").json["attendees"]]


def test_the_sequence_is_shown_and_not_changed_by_hand(site, meeting):
    page = site.get(change_page(meeting)).content.decode()
    assert "Sequence" in page
    assert 'name="title"' in page
    assert 'name="sequence"' not in page
    assert "reminded_for" not in page
    assert "Bob" in page


def test_who_attends_and_is_deactivated_stays_an_attendee(site, ada, alice, bob, charlie, meeting):
    ada.api.patch(f"/users/{bob.id}", {"is_active": False})
    assert submit(site, change_page(meeting), "meeting_form", title="New").status_code == 302
    assert alice.api.get(f"/meetings/{meeting}").json["title"] == "New"
    assert who_attends(alice, meeting) == [bob.id]
    both = [str(bob.id), str(charlie.id)]
    assert submit(site, change_page(meeting), "meeting_form", attendee_ids=both).status_code == 302
    assert who_attends(alice, meeting) == [bob.id, charlie.id]
    assert submit(site, change_page(meeting), "meeting_form", attendee_ids=[str(charlie.id)]).status_code == 302
    assert who_attends(alice, meeting) == [charlie.id]
    refused = submit(site, change_page(meeting), "meeting_form", attendee_ids=both)
    assert len(refused.context["adminform"].form.errors["attendee_ids"]) == 1
    assert who_attends(alice, meeting) == [charlie.id]


def test_attendees_are_looked_up_and_a_page_holds_those_who_attend_alone(site, alice, bob, meeting):
    User.objects.bulk_create(User(email=f"user{number}@example.com", name="User") for number in range(30))
    page = site.get(change_page(meeting))
    assert form_of(page, "meeting_form")["attendee_ids"] == [str(bob.id)]
    for path in (change_page(meeting), "/admin/meetings/meeting/add/"):
        html = site.get(path).content.decode()
        assert "user7@example.com" not in html
        assert 'data-ajax--url="/admin/autocomplete/"' in html
    asked = {"app_label": "meetings", "model_name": "invitee", "field_name": "user", "term": "user7"}
    found = site.get("/admin/autocomplete/", asked).json()["results"]
    assert [person["text"] for person in found] == [str(User.objects.get(email="user7@example.com"))]
    added = submit(site, "/admin/meetings/meeting/add/", "meeting_form", title="More", scheduled_time_0="2099-01-05",
                   scheduled_time_1="10:00:00", attendee_ids=[found[0]["id"], str(alice.id)])  # fmt: skip
    assert added.status_code == 302
    assert sorted(who_attends(alice, meeting + 1)) == sorted([int(found[0]["id"]), alice.id])
