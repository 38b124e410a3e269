"""GET /meetings/{id}/ics."""

import pytest

from accounts.tests.assertions import faults, nothing_changes, refused
from meetings.models import Meeting
from meetings.tests.calendars import BEGINS, WHEN, event_of, parsed, people
from mesh.testing import Api

PLAN = {"title": "Plan", "scheduled_time": WHEN}


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL = "https://mesh.example.org:8443"


@pytest.fixture
def meeting(alice, bob):
    sent = {
        "title": "Sprint Planning",
        "description": "Q1\nSprint Planning",
        "scheduled_time": WHEN,
        "duration_minutes": 45,
        "location": "Room 2",
        "attendee_ids": [bob.id],
        "attendee_emails": ["guest@example.com"],
    }
    return alice.api.post("/meetings", sent).json["id"]


def ics(person, id):
    answer = person.api.get(f"/meetings/{id}/ics")
    assert answer.status == 200, answer
    return answer.text


def test_a_meeting_is_a_calendar_with_one_event(meeting, alice):
    answer = alice.api.get(f"/meetings/{meeting}/ics")
    assert answer.status == 200
    assert answer.headers["Content-Type"] == "text/calendar; charset=utf-8"
    assert answer.headers["Cache-Control"] == "private, no-cache"
    assert "METHOD" not in parsed(answer.text)
    event = event_of(answer.text)
    row = Meeting.objects.get()
    assert event["UID"] == f"meeting-{meeting}@mesh.example.org"
    assert event["SEQUENCE"] == 0
    assert (event.start, event.end) == (BEGINS, BEGINS.replace(minute=45))
    assert "DTSTART:20990105T100000Z\r\nDTEND:20990105T104500Z\r\n" in answer.text
    assert event.decoded("DTSTAMP") == event.decoded("LAST-MODIFIED") == row.updated_at.replace(microsecond=0)
    assert event.decoded("CREATED") == row.created_at.replace(microsecond=0)
    assert (event["SUMMARY"], event["DESCRIPTION"]) == ("Sprint Planning", "Q1\nSprint Planning")
    assert event["LOCATION"] == "Room 2"
    assert (event["ORGANIZER"], event["ORGANIZER"].params["CN"]) == ("mailto:alice@example.com", "Alice")
    assert people(event) == [
        ("mailto:bob@example.com", "Bob", "NEEDS-ACTION"),
        ("mailto:guest@example.com", "guest@example.com", "NEEDS-ACTION"),
    ]


@pytest.mark.parametrize(
    ("answer", "partstat"), [("accepted", "ACCEPTED"), ("declined", "DECLINED"), ("tentative", "TENTATIVE")]
)
def test_an_answer_shows(meeting, bob, answer, partstat):
    bob.api.post(f"/meetings/{meeting}/respond", {"response": answer})
    assert people(event_of(ics(bob, meeting)))[0] == ("mailto:bob@example.com", "Bob", partstat)


def test_what_is_not_there_is_left_out(alice):
    event = event_of(ics(alice, alice.api.post("/meetings", PLAN).json["id"]))
    assert not {"DESCRIPTION", "LOCATION", "ATTENDEE", "STATUS"} & event.keys()


def test_the_uid_stays_and_the_sequence_grows_with_every_change(meeting, alice, bob):
    def is_now(number):
        event = event_of(ics(bob, meeting))
        assert (event["UID"], event["SEQUENCE"]) == (f"meeting-{meeting}@mesh.example.org", number)

    path = f"/meetings/{meeting}"
    changes = [
        {"title": "Retro"}, {"description": ""}, {"scheduled_time": "2099-01-06"}, {"duration_minutes": 60},
        {"location": None}, {"attendee_emails": []}, {"attendee_ids": [bob.id, alice.id]},
    ]  # fmt: skip
    for number, change in enumerate(changes, 1):
        alice.api.patch(path, change)
        is_now(number)
    for change in ({}, *changes):
        alice.api.patch(path, change | {"title": "Retro"})
    is_now(len(changes))
    bob.api.post(f"{path}/respond", {"response": "accepted"})
    is_now(len(changes))
    alice.api.patch(path, {"title": "x"}, Prefer="dry-run")
    refused(alice.api.patch(path, {"title": ""}), 422)
    is_now(len(changes))


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("a, b; c \\ d \\n e: \"f\" 'g' ^n %41", None),
        ("Größe 予定 🎉 " * 14, None),
        ("ü" * 199, None),
        ("BEGIN:VEVENT\r\nEND:VEVENT\r\rX", "BEGIN:VEVENT\nEND:VEVENT\n\nX"),
        ("a\x07b\x1b[31m\x7f\tc", "ab[31m\tc"),
        (" \u2028a\u2028b\u0085c\u00a0d", "a\u2028b\u0085c\u00a0d"),
    ],
)
def test_any_text_is_written_so_that_it_is_read_again(alice, bob, text, shown):
    made = alice.api.post("/meetings", PLAN | {"title": text, "description": text * 9, "location": text}).json
    shown = made["title"] if shown is None else shown
    event = event_of(ics(alice, made["id"]))
    assert (event["SUMMARY"], event["LOCATION"]) == (shown, shown)
    assert event["DESCRIPTION"].startswith(shown)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ('Ali "the boss"; Dr. A, B: Ü ^\' 予', None),
        ("Alice\nATTENDEE:mailto:x@example.com", "Alice ATTENDEE:mailto:x@example.com"),
        ("", "alice@example.com"),
        ("\x01", "alice@example.com"),
    ],
)
def test_any_name_is_written_so_that_it_is_read_again(alice, name, shown):
    alice.user.name = name
    alice.user.save()
    organizer = event_of(ics(alice, alice.api.post("/meetings", PLAN).json["id"]))["ORGANIZER"]
    assert (organizer, organizer.params["CN"]) == ("mailto:alice@example.com", name if shown is None else shown)


def test_an_odd_address_is_still_a_uri(alice):
    made = alice.api.post("/meetings", PLAN | {"attendee_emails": ["o'b?r{i}en%+x@example.com"]})
    event = event_of(ics(alice, made.json["id"]))
    assert people(event) == [
        ("mailto:o'b%3Fr%7Bi%7Den%25+x@example.com", "o'b?r{i}en%+x@example.com", "NEEDS-ACTION")
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("time", "line"),
    [("0001-01-01T00:00:00Z", "DTSTART:00010101T000000Z"), ("9999-12-31T23:59:59.999999Z", "DTSTART:99991231T235959Z")],
)
def test_the_ends_of_time_are_no_fault(alice, time, line):
    made = alice.api.post("/meetings", PLAN | {"scheduled_time": time, "attendee_emails": ["g@example.com"]})
    assert made.status == 201
    assert f"\r\n{line}\r\n" in ics(alice, made.json["id"])


def test_organizer_attendees_and_admin_get_it_and_nobody_else(meeting, alice, bob, charlie, ada, anonymous):
    for person in (alice, bob, ada):
        assert event_of(ics(person, meeting))["SUMMARY"] == "Sprint Planning"
    seen, missing = charlie.api.get(f"/meetings/{meeting}/ics"), charlie.api.get("/meetings/999999/ics")
    assert refused(seen, 404) == refused(missing, 404)
    refused(anonymous.get(f"/meetings/{meeting}/ics"), 401)
    alice.api.patch(f"/meetings/{meeting}", {"attendee_ids": []})
    refused(bob.api.get(f"/meetings/{meeting}/ics"), 404)
    alice.api.delete(f"/meetings/{meeting}")
    refused(alice.api.get(f"/meetings/{meeting}/ics"), 404)


@pytest.mark.parametrize("id", ["0", "-1", "x", "9" * 30])
def test_an_id_of_no_valid_form_is_a_404(alice, id):
    refused(alice.api.get(f"/meetings/{id}/ics"), 404)


def test_it_answers_under_every_mount_and_with_a_slash(meeting, alice):
    for mount in ("", "/api/v1", "/api/v2"):
        for slash in ("", "/"):
            answer = Api(alice.api.token, mount=mount).get(f"/meetings/{meeting}/ics{slash}")
            assert (answer.status, answer.text) == (200, ics(alice, meeting))


def test_it_is_asked_again_by_its_etag(meeting, alice):
    first = alice.api.get(f"/meetings/{meeting}/ics")
    again = alice.api.get(f"/meetings/{meeting}/ics", If_None_Match=first.headers["ETag"])
    assert (again.status, again.text, again.headers["ETag"]) == (304, "", first.headers["ETag"])
    alice.api.patch(f"/meetings/{meeting}", {"title": "New"})
    other = alice.api.get(f"/meetings/{meeting}/ics", If_None_Match=first.headers["ETag"])
    assert (other.status, event_of(other.text)["SUMMARY"]) == (200, "New")


def test_head_answers_as_get_without_a_body(meeting, alice):
    path = f"/meetings/{meeting}/ics"
    head, get = alice.api.request("HEAD", path), alice.api.get(path)
    assert (head.status, head.text, head.headers["ETag"]) == (200, "", get.headers["ETag"])
    assert head.headers["Content-Length"] == str(len(get.text.encode()))


def test_it_counts_against_the_limits(meeting, alice, settings):
    settings.MESH = settings.MESH | {"RATE_LIMIT_READ": "2/min"}
    for left in ("1", "0"):
        assert alice.api.get(f"/meetings/{meeting}/ics").headers["RateLimit"].startswith(f'"read";r={left};')
    refused(alice.api.get(f"/meetings/{meeting}/ics"), 429)


def test_it_takes_no_parameters_and_no_other_method(meeting, alice):
    with nothing_changes():
        assert faults(alice.api.get(f"/meetings/{meeting}/ics?x=1")).keys() == {("query", "x")}
        assert refused(alice.api.post(f"/meetings/{meeting}/ics"), 405)
