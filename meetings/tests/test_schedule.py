"""POST /meetings."""

import pytest

from accounts.tests.assertions import TIME, faults, nothing_changes, refused
from meetings.models import Meeting
from mesh.models import AuditEntry
from mesh.testing import Api

PLAN = {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z"}


def schedule(person, **fields):
    return person.api.post("/meetings", PLAN | fields)


def invited(answer):
    return [(a["id"], a["name"], a["email"], a["response"]) for a in answer.json["attendees"]]


def test_whoever_schedules_a_meeting_organizes_it(alice, bob):
    made = schedule(
        alice,
        title="Sprint Planning",
        description="Q1\nSprint Planning",
        duration_minutes=45,
        location="Room 2",
        attendee_ids=[bob.id],
        attendee_emails=["guest@example.com"],
    )
    assert made.status == 201, made
    meeting = Meeting.objects.get()
    assert made.json == {
        "id": meeting.pk,
        "title": "Sprint Planning",
        "description": "Q1\nSprint Planning",
        "scheduled_time": "2026-01-05T10:00:00Z",
        "duration_minutes": 45,
        "location": "Room 2",
        "organizer": {"id": alice.id, "name": "Alice", "email": "alice@example.com"},
        "attendees": [
            {"id": bob.id, "name": "Bob", "email": "bob@example.com", "response": "pending"},
            {"id": None, "name": "", "email": "guest@example.com", "response": "pending"},
        ],
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.headers["Location"] == f"/api/v1/meetings/{meeting.pk}"
    assert alice.api.get(f"/meetings/{meeting.pk}").json == made.json


def test_what_is_left_out_has_its_default(alice):
    made = schedule(alice).json
    assert (made["description"], made["duration_minutes"], made["location"], made["attendees"]) == ("", 30, None, [])


def test_the_location_header_is_under_the_mount_that_was_asked(alice):
    for mount in ("", "/api/v1", "/api/v2"):
        made = Api(alice.api.token, mount=mount).post("/meetings/", PLAN)
        assert made.headers["Location"] == f"{mount}/meetings/{made.json['id']}"


@pytest.mark.parametrize(
    ("sent", "stored"),
    [
        ("2024-01-15T10:00:00", "2024-01-15T10:00:00Z"),
        ("2024-01-15T10:00", "2024-01-15T10:00:00Z"),
        ("2024-01-15 10:00:00", "2024-01-15T10:00:00Z"),
        ("2024-01-15", "2024-01-15T00:00:00Z"),
        ("2024-01-15T10:00:00+02:00", "2024-01-15T08:00:00Z"),
        ("2024-01-15T10:00:00-05:30", "2024-01-15T15:30:00Z"),
        ("2024-02-29T23:59:59.123456Z", "2024-02-29T23:59:59.123456Z"),
        ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00Z"),
        ("9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_times_are_utc_and_a_date_is_its_midnight(alice, sent, stored):
    made = schedule(alice, scheduled_time=sent)
    assert made.status == 201, made
    assert made.json["scheduled_time"] == stored
    assert alice.api.get(f"/meetings/{made.json['id']}").json["scheduled_time"] == stored


@pytest.mark.parametrize(
    "sent",
    [
        "", "tomorrow", "2023-02-29", "2024-13-01T00:00:00Z", "2024-01-15T25:00:00Z", "10000-01-01", 1705312800,
        "1705312800", 1.5, True, None, [], "0001-01-01T00:00:00+01:00", "9999-12-31T23:59:59-01:00",
        "2024-01-15T10:00:00Z\x00",
    ],
)  # fmt: skip
def test_what_is_no_time_is_refused(alice, sent):
    with nothing_changes():
        assert faults(schedule(alice, scheduled_time=sent)).keys() == {("body", "scheduled_time")}


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("title", ["x", "ä" * 200], ["", "   ", "ä" * 201, None, 7, "a\x00b"]),
        ("description", ["", "ä" * 5000], ["ä" * 5001, None, 7, "a\x00b"]),
        ("duration_minutes", [5, 1440], [4, 1441, 0, -30, None, "long", 30.5, 2**63, 10**30, [30]]),
        ("location", ["x", "ä" * 255, None], ["", "ä" * 256, 7, "a\x00b"]),
    ],
)
def test_each_field_has_its_limits(alice, field, good, bad):
    for value in good:
        made = schedule(alice, **{field: value})
        assert (made.status, made.json[field]) == (201, value)
    with nothing_changes():
        for value in bad:
            assert faults(schedule(alice, **{field: value})).keys() == {("body", field)}, value


def test_blanks_around_a_title_go(alice):
    assert schedule(alice, title="  Plan  ").json["title"] == "Plan"


def test_title_and_time_are_needed_and_everything_is_said_at_once(alice):
    with nothing_changes():
        assert faults(alice.api.post("/meetings")).keys() == {("body", "title"), ("body", "scheduled_time")}
        found = faults(alice.api.post("/meetings?x=1", {"duration_minutes": 4, "colour": "red", "attendee_ids": [0]}))
    assert found.keys() == {
        ("body", "title"),
        ("body", "scheduled_time"),
        ("body", "duration_minutes"),
        ("body", "colour"),
        ("body", "attendee_ids", 0),
        ("query", "x"),
    }


@pytest.mark.parametrize("field", ["id", "organizer", "organizer_id", "attendees", "created_at"])
def test_what_is_not_ones_own_to_set_is_refused(alice, bob, field):
    with nothing_changes():
        assert faults(schedule(alice, **{field: bob.id})).keys() == {("body", field)}


def test_only_people_one_knows_are_invited_by_id(alice, bob, charlie):
    with nothing_changes():
        stranger = faults(schedule(alice, attendee_ids=[bob.id, charlie.id, 999999]))
    assert stranger == {
        ("body", "attendee_ids", 1): "You know no user with this id.",
        ("body", "attendee_ids", 2): "You know no user with this id.",
    }


def test_an_admin_invites_anyone(ada, charlie):
    assert invited(schedule(ada, attendee_ids=[charlie.id])) == [
        (charlie.id, "Charlie", "charlie@example.com", "pending")
    ]


def test_an_email_of_someone_one_knows_invites_the_user(alice, bob):
    made = schedule(alice, attendee_emails=["BOB@example.com"])
    assert invited(made) == [(bob.id, "Bob", "bob@example.com", "pending")]
    assert bob.api.get(f"/meetings/{made.json['id']}").status == 200


def test_an_email_of_a_stranger_says_nothing_of_whether_they_are_here(alice, charlie):
    made = schedule(alice, attendee_emails=["charlie@example.com"])
    assert invited(made) == [(None, "", "charlie@example.com", "pending")]
    refused(charlie.api.get(f"/meetings/{made.json['id']}"), 404)


def test_nobody_is_invited_twice(alice, bob):
    made = schedule(
        alice,
        attendee_ids=[bob.id, bob.id],
        attendee_emails=["bob@example.com", "g@example.com", "G@example.com"],
    )
    assert [(a[0], a[2].lower()) for a in invited(made)] == [(bob.id, "bob@example.com"), (None, "g@example.com")]


def test_the_organizer_may_be_among_the_invited(alice):
    made = schedule(alice, attendee_ids=[alice.id])
    assert invited(made) == [(alice.id, "Alice", "alice@example.com", "pending")]


def test_lists_of_attendees_hold_200(alice, bob):
    assert len(invited(schedule(alice, attendee_emails=[f"g{n}@example.com" for n in range(200)]))) == 200
    assert len(invited(schedule(alice, attendee_ids=[bob.id] * 200))) == 1
    with nothing_changes():
        found = faults(schedule(alice, attendee_emails=[f"g{n}@example.com" for n in range(201)]))
        assert found.keys() == {("body", "attendee_emails")}
        assert faults(schedule(alice, attendee_ids=[bob.id] * 201)).keys() == {("body", "attendee_ids")}


@pytest.mark.parametrize(
    ("field", "value", "place"),
    [
        ("attendee_ids", None, ()),
        ("attendee_ids", 7, ()),
        ("attendee_ids", ["x"], (0,)),
        ("attendee_ids", [0], (0,)),
        ("attendee_ids", [-1], (0,)),
        ("attendee_ids", [2**63], (0,)),
        ("attendee_ids", [None], (0,)),
        ("attendee_emails", None, ()),
        ("attendee_emails", ["no e-mail"], (0,)),
        ("attendee_emails", ["a@b.com", "a\x00@b.com"], (1,)),
        ("attendee_emails", ["a@b.com", "a@b.com\r\nBcc: x@y.com"], (1,)),
        ("attendee_emails", ["a" * 250 + "@b.com"], (0,)),
    ],
)
def test_odd_attendees_are_refused_at_their_place(alice, field, value, place):
    with nothing_changes():
        assert faults(schedule(alice, **{field: value})).keys() == {("body", field, *place)}


def test_scheduling_needs_somebody(db, anonymous):
    with nothing_changes():
        refused(anonymous.post("/meetings", PLAN), 401)


def test_a_key_makes_one_meeting_and_a_refusal_leaves_it_free(alice):
    with nothing_changes():
        refused(alice.api.post("/meetings", {"title": ""}, Idempotency_Key="k"), 422)
    first = alice.api.post("/meetings", PLAN, Idempotency_Key="k")
    again = alice.api.post("/meetings", PLAN, Idempotency_Key="k")
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert again.headers["Location"] == first.headers["Location"]
    assert again.headers["Idempotent-Replay"] == "true"
    with nothing_changes():
        refused(
            alice.api.post("/meetings", PLAN | {"title": "Other"}, Idempotency_Key="k"), 422, "idempotency.mismatch"
        )
    assert Meeting.objects.count() == 1


def test_a_dry_run_shows_the_meeting_and_makes_none(alice, bob):
    with nothing_changes():
        answer = alice.api.post("/meetings", PLAN | {"attendee_ids": [bob.id]}, Prefer="dry-run")
    assert answer.status == 200
    assert answer.json["result"]["attendees"][0]["id"] == bob.id
    assert "Location" not in answer.headers


def test_it_is_audited(alice):
    made = schedule(alice)
    entry = AuditEntry.objects.latest("pk")
    assert (entry.operation, entry.actor_id, entry.door, entry.outcome) == ("schedule_meeting", alice.id, "rest", "ok")
    assert (entry.row_id, entry.request_id) == (str(made.json["id"]), made.headers["X-Request-ID"])
