"""POST /calendar/key and GET /calendar.ics."""

import hashlib
from datetime import timedelta

import pytest
from django.db import IntegrityError, transaction
from django.utils import timezone

from accounts.tests.assertions import Like, all_rows, at_once, faults, nothing_changes, refused
from meetings.models import CalendarKey, Meeting
from meetings.tests.calendars import WHEN, events, parsed
from mesh.models import IdempotencyKey
from mesh.testing import Api

PLAN = {"title": "Plan", "scheduled_time": WHEN}


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL = "https://mesh.example.org"


def new_key(person):
    answer = person.api.post("/calendar/key")
    assert answer.status == 200, answer
    return answer.json["key"]


def feed(key, **headers):
    return Api().get(f"/calendar.ics?key={key}", **headers)


def titles(key):
    answer = feed(key)
    assert answer.status == 200, answer
    return [str(event["SUMMARY"]) for event in events(parsed(answer.text))]


def schedule(person, title="Plan", time=WHEN, **fields):
    made = person.api.post("/meetings", {"title": title, "scheduled_time": time, **fields})
    assert made.status == 201, made
    return made.json["id"]


def test_a_key_opens_the_feed_and_only_its_hash_is_kept(alice):
    answer = alice.api.post("/calendar/key")
    key = answer.json["key"]
    assert answer.status == 200
    assert answer.json == {"key": Like(r"[\w-]{43}"), "url": f"https://mesh.example.org/calendar.ics?key={key}"}
    row = CalendarKey.objects.get()
    assert (row.user_id, row.key_hash) == (alice.id, hashlib.sha256(key.encode()).hexdigest())
    assert key not in str(all_rows())
    assert titles(key) == []


def test_the_feed_is_a_published_calendar_without_attendees(alice, bob):
    schedule(alice, description="Long", location="Room 2", attendee_ids=[bob.id], attendee_emails=["g@example.com"])
    answer = feed(new_key(bob))
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    calendar = parsed(answer.text)
    assert (calendar["METHOD"], calendar["NAME"], calendar["X-WR-CALNAME"]) == ("PUBLISH", "Meshwork", "Meshwork")
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT15M\r\n" in answer.text
    (event,) = events(calendar)
    meeting = Meeting.objects.get()
    assert event["UID"] == f"meeting-{meeting.pk}@mesh.example.org"
    assert event.decoded("DTSTAMP") == meeting.updated_at.replace(microsecond=0)
    assert (event["SUMMARY"], event["DESCRIPTION"], event["LOCATION"]) == ("Plan", "Long", "Room 2")
    assert (event["ORGANIZER"], event["SEQUENCE"], event["TRANSP"]) == ("mailto:alice@example.com", 0, "OPAQUE")
    assert "ATTENDEE" not in event


def test_a_declined_meeting_leaves_the_time_free(alice, bob):
    id, key = schedule(alice, attendee_ids=[bob.id]), new_key(bob)
    for answer, shown in (("declined", "TRANSPARENT"), ("accepted", "OPAQUE")):
        bob.api.post(f"/meetings/{id}/respond", {"response": answer})
        assert [event["TRANSP"] for event in events(parsed(feed(key).text))] == [shown]


def test_it_has_the_last_90_days_and_all_that_comes_in_the_order_of_time(alice):
    now = timezone.now()
    for title, time in [
        ("Far", now + timedelta(days=9000)), ("Old", now - timedelta(days=90, minutes=1)),
        ("Recent", now - timedelta(days=90) + timedelta(minutes=1)), ("Soon", now + timedelta(hours=1)),
    ]:  # fmt: skip
        schedule(alice, title, time.isoformat())
    assert titles(new_key(alice)) == ["Recent", "Soon", "Far"]


def test_each_sees_their_own_meetings_and_nobody_elses(alice, bob, charlie, ada):
    id = schedule(alice, attendee_ids=[bob.id])
    keys = {"alice": new_key(alice), "bob": new_key(bob), "charlie": new_key(charlie), "ada": new_key(ada)}
    assert {name: titles(key) for name, key in keys.items()} == {
        "alice": ["Plan"], "bob": ["Plan"], "charlie": [], "ada": [],
    }  # fmt: skip
    alice.api.patch(f"/meetings/{id}", {"attendee_ids": []})
    assert (titles(keys["alice"]), titles(keys["bob"])) == (["Plan"], [])
    alice.api.delete(f"/meetings/{id}")
    assert titles(keys["alice"]) == []


@pytest.mark.parametrize(
    ("most", "found"),
    [
        (2, ["Soon", "Later"]),
        (4, ["Past 1", "Soon", "Later", "Last"]),
        (5, ["Past 2", "Past 1", "Soon", "Later", "Last"]),
        (9, ["Past 3", "Past 2", "Past 1", "Soon", "Later", "Last"]),
    ],
)
def test_where_there_are_too_many_it_has_the_next_and_then_the_latest(alice, monkeypatch, most, found):
    monkeypatch.setattr("meetings.services.MOST_IN_FEED", most)
    plan = [("Last", 30), ("Past 3", -30), ("Past 1", -10), ("Soon", 1), ("Past 2", -20), ("Later", 2)]
    for title, days in plan:
        schedule(alice, title, (timezone.now() + timedelta(days=days)).isoformat())
    assert titles(new_key(alice)) == found


def test_a_new_key_ends_the_old_one_at_once_and_no_other(alice, bob):
    old, other = new_key(alice), new_key(bob)
    new = new_key(alice)
    refused(feed(old), 404)
    assert (titles(new), titles(other)) == ([], [])
    assert CalendarKey.objects.count() == 2


@pytest.mark.django_db(transaction=True)
def test_of_keys_made_at_once_one_lives(alice):
    made = [answer.json["key"] for answer in at_once(*[lambda: alice.api.post("/calendar/key")] * 4)]
    assert sorted(feed(key).status for key in made) == [200, 404, 404, 404]


def test_what_is_no_living_key_is_a_404_and_looks_the_same(alice, ada):
    dead, gone = new_key(alice), new_key(alice)
    ada.api.patch(f"/users/{alice.id}", {"is_active": False})
    known = CalendarKey.objects.get().key_hash
    problems = [refused(feed(key), 404) for key in (dead, gone, known, "x", "%F0%9F%8E%89", "%27%20OR%201=1")]
    assert all(problem == problems[0] for problem in problems)
    ada.api.patch(f"/users/{alice.id}", {"is_active": True})
    assert titles(gone) == []


@pytest.mark.parametrize("query", ["", "?key=", "?key=" + "x" * 101, "?key=a%00", "?key=a&x=1"])
def test_an_odd_query_is_refused(db, anonymous, query):
    place = "x" if "x=1" in query else "key"
    assert faults(anonymous.get(f"/calendar.ics{query}")).keys() == {("query", place)}


def test_a_key_is_no_credential_for_anything_else(alice, anonymous):
    key = new_key(alice)
    refused(anonymous.get("/meetings", Authorization=f"Bearer {key}"), 401)
    refused(anonymous.get(f"/meetings?key={key}"), 401)


def test_a_key_needs_somebody(db, anonymous):
    with nothing_changes():
        refused(anonymous.post("/calendar/key"), 401)


def test_a_dry_run_leaves_the_key_alive(alice):
    key = new_key(alice)
    with nothing_changes():
        answer = alice.api.post("/calendar/key", Prefer="dry-run")
    refused(answer, 422, "mesh.no_dry_run")
    assert titles(key) == []


def test_a_repeated_request_gets_the_same_key_which_is_stored_encrypted(alice):
    first, again = (alice.api.post("/calendar/key", Idempotency_Key="k") for _ in range(2))
    assert (again.json, again.headers["Idempotent-Replay"]) == (first.json, "true")
    assert first.json["key"].encode() not in bytes(IdempotencyKey.objects.get().body)


def test_it_answers_under_every_mount_and_with_a_slash(alice):
    schedule(alice)
    key = new_key(alice)
    for mount in ("", "/api/v1", "/api/v2"):
        for slash in ("", "/"):
            assert Api(mount=mount).get(f"/calendar.ics{slash}?key={key}").text == feed(key).text


def test_it_is_asked_again_by_its_etag(alice):
    key, id = new_key(alice), schedule(alice)
    first = feed(key)
    again = feed(key, If_None_Match=first.headers["ETag"])
    assert (again.status, again.text, again.headers["Cache-Control"]) == (304, "", "private, no-cache")
    alice.api.patch(f"/meetings/{id}", {"title": "New"})
    assert feed(key, If_None_Match=first.headers["ETag"]).status == 200
    assert titles(key) == ["New"]


def test_strangers_are_limited_by_their_address(alice, settings):
    key = new_key(alice)
    settings.MESH = settings.MESH | {"RATE_LIMIT_READ": "2/min"}
    assert [feed("wrong").status, feed(key).status] == [404, 200]
    refused(feed(key), 429)


def test_a_credential_that_is_bad_is_refused_and_one_of_another_changes_nothing(alice, bob):
    schedule(alice)
    key = new_key(alice)
    refused(feed(key, Authorization="Bearer x"), 401)
    assert bob.api.get(f"/calendar.ics?key={key}").text == feed(key).text


def test_neither_is_a_tool(alice):
    for name in ("make_calendar_key", "read_calendar", "export_meeting"):
        refused(alice.api.post(f"/tools/{name}", {"arguments": {}}), 404)


def test_the_openapi_document_says_what_it_answers(anonymous):
    paths = Api(mount="").get("/openapi.json").json["paths"]
    for path in ("/api/v1/calendar.ics", "/api/v1/meetings/{id}/ics"):
        assert paths[path]["get"]["responses"]["200"]["content"] == {"text/calendar": {"schema": {"type": "string"}}}
        assert "404" in paths[path]["get"]["responses"]
    assert {} in paths["/api/v1/calendar.ics"]["get"]["security"]


def test_a_user_has_one_key_and_a_key_one_user(alice, bob):
    CalendarKey.objects.create(user=alice.user, key_hash="x")
    for user, key_hash in ((alice.user, "y"), (bob.user, "x")):
        with nothing_changes(), pytest.raises(IntegrityError), transaction.atomic():
            CalendarKey.objects.create(user=user, key_hash=key_hash)
