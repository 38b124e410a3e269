"""Meetings in the admin."""

from django.test import Client

from meetings.tests.calendars import WHEN


def test_the_sequence_is_shown_and_not_changed_by_hand(alice, bob, ada):
    sent = {"title": "Plan", "scheduled_time": WHEN, "attendee_ids": [bob.id]}
    id = alice.api.post("/meetings", sent).json["id"]
    admin = Client()
    admin.force_login(ada.user)
    page = admin.get(f"/admin/meetings/meeting/{id}/change/").content.decode()
    assert "Sequence" in page
    assert 'name="title"' in page
    assert 'name="sequence"' not in page
    assert "reminded_for" not in page
    assert "Bob" in page
