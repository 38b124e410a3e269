"""PUT and PATCH /meetings/{id}."""

import pytest

from accounts.tests.assertions import TIME, faults, nothing_changes, refused
from meetings.models import Invitee, Meeting


@pytest.fixture
def meeting(alice, bob):
    sent = {
        "title": "Plan",
        "description": "Long",
        "scheduled_time": "2026-01-05T10:00:00Z",
        "location": "Room 1",
        "attendee_ids": [bob.id],
        "attendee_emails": ["guest@example.com"],
    }
    return alice.api.post("/meetings", sent).json


@pytest.fixture(params=["PUT", "PATCH"])
def change(request, meeting):
    def send(person, at=None, **fields):
        return person.api.request(request.param, f"/meetings/{at or meeting['id']}", fields)

    return send


def test_put_and_patch_change_only_what_is_sent(change, meeting, alice):
    before = Meeting.objects.get().updated_at
    answer = change(alice, title="New")
    assert answer.status == 200, answer
    assert answer.json == meeting | {"title": "New", "updated_at": TIME}
    assert alice.api.get(f"/meetings/{meeting['id']}").json == answer.json
    assert Meeting.objects.get().updated_at > before
    assert "Location" not in answer.headers


def test_every_field_can_change(change, meeting, alice):
    fields = {"title": "N", "description": "", "duration_minutes": 60, "location": "Room 2"}
    answer = change(alice, **fields, scheduled_time="2027-02-03T04:05")
    assert answer.json == meeting | fields | {"scheduled_time": "2027-02-03T04:05:00Z", "updated_at": TIME}


def test_a_location_is_cleared_with_null(change, alice):
    assert change(alice, location=None).json["location"] is None


@pytest.mark.parametrize(
    ("field", "bad"),
    [
        ("title", ["", "x" * 201, None]),
        ("description", ["x" * 5001, None]),
        ("scheduled_time", [None, "", 5]),
        ("duration_minutes", [4, 1441, None]),
        ("location", ["", "x" * 256]),
        ("attendee_ids", [None, 5]),
        ("attendee_emails", [None, 5]),
        ("organizer_id", [1]),
        ("id", [1]),
    ],
)
def test_the_limits_are_those_of_a_new_one(change, alice, field, bad):
    with nothing_changes():
        for value in bad:
            assert faults(change(alice, **{field: value})).keys() == {("body", field)}, value


def test_attendees_may_read_but_not_change_and_others_see_nothing(change, meeting, bob, charlie, anonymous):
    with nothing_changes():
        problem = refused(change(bob, title="x"), 403, "forbidden")
        assert problem["detail"] == "Only the organizer changes a meeting; you may answer its invitation."
        assert refused(change(charlie, title="x"), 404) == refused(change(charlie, at=999999, title="x"), 404)
        refused(anonymous.patch(f"/meetings/{meeting['id']}", {"title": "x"}), 401)


def test_a_fault_in_the_body_of_a_stranger_says_nothing_of_the_row(change, charlie):
    with nothing_changes():
        seen, missing = change(charlie, title=""), change(charlie, at=999999, title="")
        assert (seen.status, seen.json) == (missing.status, missing.json)


def test_an_admin_changes_any_meeting(change, ada, alice):
    answer = change(ada, title="By Ada")
    assert (answer.json["title"], answer.json["organizer"]["id"]) == ("By Ada", alice.id)


def test_a_list_of_attendees_replaces_and_who_stays_keeps_their_answer(change, meeting, alice, bob, person):
    dora = person("dora", invited_by=alice.user)
    bob.api.post(f"/meetings/{meeting['id']}/respond", {"response": "accepted"})
    kept = Invitee.objects.get(user=bob.user).pk
    answer = change(alice, attendee_ids=[dora.id, bob.id])
    assert [(a["id"], a["response"]) for a in answer.json["attendees"]] == [
        (bob.id, "accepted"), (None, "pending"), (dora.id, "pending"),
    ]  # fmt: skip
    assert Invitee.objects.get(user=bob.user).pk == kept
    answer = change(alice, attendee_ids=[])
    assert [(a["id"], a["email"]) for a in answer.json["attendees"]] == [(None, "guest@example.com")]
    refused(bob.api.get(f"/meetings/{meeting['id']}"), 404)
    answer = change(alice, attendee_emails=[])
    assert answer.json["attendees"] == []
    assert Invitee.objects.count() == 0


def test_ids_alone_keep_the_guests_and_emails_alone_keep_the_users(change, alice, bob):
    answer = change(alice, attendee_emails=["other@example.com"])
    assert [(a["id"], a["email"]) for a in answer.json["attendees"]] == [
        (bob.id, "bob@example.com"), (None, "other@example.com"),
    ]  # fmt: skip


def test_a_stranger_cannot_be_added(change, alice, bob, charlie):
    with nothing_changes():
        found = faults(change(alice, title="New", attendee_ids=[bob.id, charlie.id]))
    assert found == {("body", "attendee_ids", 1): "You know no user with this id."}


def test_an_empty_change_is_no_fault(change, meeting, alice):
    assert change(alice).json == meeting | {"updated_at": TIME}


@pytest.mark.parametrize("id", ["0", "x", "-1", "9" * 30])
def test_an_id_of_no_valid_form_is_a_404(change, alice, id):
    with nothing_changes():
        refused(change(alice, at=id, title="x"), 404)


@pytest.mark.parametrize("body", [b"[]", b"7", b'"x"', b"true"])
def test_a_body_that_is_no_object_is_a_422(meeting, alice, body):
    with nothing_changes():
        answer = alice.api.patch(f"/meetings/{meeting['id']}", body)
        assert faults(answer).keys() == {("body",)}


@pytest.mark.parametrize("body", [b"{", b"{'a': 1}", b"\xff\xfe", b"[" * 50 + b"]" * 50, b'{"a": NaN}'])
def test_a_body_that_is_no_json_is_a_400(meeting, alice, body):
    with nothing_changes():
        refused(alice.api.patch(f"/meetings/{meeting['id']}", body), 400, "malformed")
