"""Events as iCalendar files, and as a feed to subscribe to, by category."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.tests.assertions import refused
from events.models import Event
from events.tests.conftest import BEGINS, is_over, register
from meetings.tests.calendars import event_of, parsed
from meetings.tests.calendars import events as entries


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL, settings.EMAIL_FROM = "https://mesh.example.org", "Office <office@example.org>"


def category(alice, name="Workshops"):
    return alice.api.post("/categories", {"name": name}).json["id"]


def titles(api, query=""):
    answer = api.get(f"/events/calendar.ics{query}")
    assert (answer.status, answer.headers["Content-Type"]) == (200, "text/calendar; charset=utf-8")
    calendar = parsed(answer.text)
    assert str(calendar["METHOD"]) == "PUBLISH"
    return str(calendar["X-WR-CALNAME"]), [str(entry["SUMMARY"]) for entry in entries(calendar)]


def test_an_event_is_a_calendar_file_that_names_nobody(alice, bob, anonymous, event):
    made = event(description="Come;\nall, of you", location="Hall", category_id=category(alice))
    register(bob, made, "eve")
    answer = anonymous.get(f"/events/{made}/ics")
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    entry = event_of(answer.text)
    assert str(entry["UID"]) == f"event-{made}@mesh.example.org"
    assert (str(entry["SUMMARY"]), str(entry["LOCATION"])) == ("Open day", "Hall")
    assert (str(entry["DESCRIPTION"]), str(entry["STATUS"])) == ("Come;\nall, of you", "CONFIRMED")
    assert entry["CATEGORIES"].to_ical() == b"Workshops"
    assert str(entry["ORGANIZER"]) == "mailto:office@example.org"
    assert "ATTENDEE" not in entry
    assert "alice" not in answer.text
    assert "eve@" not in answer.text
    again = anonymous.get(f"/events/{made}/ics", If_None_Match=answer.headers["ETag"])
    assert again.status == 304


def test_one_without_a_length_has_no_end(alice, anonymous, event):
    text = anonymous.get(f"/events/{event(end_date=BEGINS)}/ics").text
    assert "DTSTART:20990105T100000Z" in text
    assert "DTEND" not in text


def test_the_sequence_grows_and_a_cancelled_event_says_so(alice, anonymous, event):
    made = event()
    alice.api.patch(f"/events/{made}", {"name": "B"})
    alice.api.patch(f"/events/{made}", {"name": "B"})
    assert event_of(anonymous.get(f"/events/{made}/ics").text)["SEQUENCE"] == 1
    alice.api.post(f"/events/{made}/cancel")
    entry = event_of(anonymous.get(f"/events/{made}/ics").text)
    assert (entry["SEQUENCE"], str(entry["STATUS"])) == (2, "CANCELLED")


def test_the_feed_has_all_events_to_come_or_those_of_a_category(alice, anonymous, event):
    workshops = category(alice)
    event(name="Later", start_date="2100-01-01", end_date="2100-01-02")
    event(name="Clay", category_id=workshops)
    gone, recent = event(name="Gone", category_id=workshops), event(name="Recent", category_id=workshops)
    is_over(recent)
    long_ago = timezone.now() - timedelta(days=91)
    Event.objects.filter(pk=gone).update(start_date=long_ago, end_date=long_ago)
    assert titles(anonymous) == ("Events", ["Recent", "Clay", "Later"])
    assert titles(anonymous, f"?category_id={workshops}") == ("Workshops", ["Recent", "Clay"])
    refused(anonymous.get("/events/calendar.ics?category_id=4711"), 404, "not_found")
    alice.api.patch(f"/categories/{workshops}", {"name": "Courses"})
    assert titles(anonymous, f"?category_id={workshops}")[0] == "Courses"


@pytest.mark.parametrize(
    ("most", "found"),
    [
        (2, ["Now", "Soon"]),
        (5, ["Now", "Past 1", "Soon", "Later", "Last"]),
        (6, ["Now", "Past 2", "Past 1", "Soon", "Later", "Last"]),
        (9, ["Now", "Past 3", "Past 2", "Past 1", "Soon", "Later", "Last"]),
    ],
)
def test_where_there_are_too_many_the_feed_has_the_next_and_then_the_latest(event, anonymous, monkeypatch, most, found):
    monkeypatch.setattr("events.services.MOST_IN_FEED", most)
    now = timezone.now()
    for name, begins, ends in [
        ("Last", 30, 31), ("Past 3", -30, -29), ("Past 1", -10, -9), ("Soon", 1, 2), ("Past 2", -20, -19),
        ("Later", 2, 3), ("Now", -40, 40),
    ]:  # fmt: skip
        start, end = now + timedelta(days=begins), now + timedelta(days=ends)
        event(name=name, start_date=start.isoformat(), end_date=end.isoformat())
    assert titles(anonymous)[1] == found


def test_the_feed_tells_of_cancelled_events_and_forgets_deleted_ones(alice, anonymous, event):
    first, second = event(name="A"), event(name="B")
    alice.api.post(f"/events/{first}/cancel")
    calendar = parsed(anonymous.get("/events/calendar.ics").text)
    assert [(str(e["SUMMARY"]), str(e["STATUS"])) for e in entries(calendar)] == [
        ("A", "CANCELLED"),
        ("B", "CONFIRMED"),
    ]
    alice.api.delete(f"/events/{second}")
    assert titles(anonymous) == ("Events", ["A"])


def test_a_category_of_two_lines_names_a_feed_in_one(alice, anonymous, event):
    workshops = category(alice, "Work\r\nshops")
    event(name="Clay", category_id=workshops)
    assert titles(anonymous, f"?category_id={workshops}") == ("Work shops", ["Clay"])
