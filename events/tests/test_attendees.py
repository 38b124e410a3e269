"""Attendees: who registers whom, once per event; the waiting list; who sees, changes and removes them."""

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from events.models import Attendee, Registration
from events.tests.conftest import counts, register, seats


def test_anyone_who_is_signed_in_registers_somebody(bob, anonymous, event):
    made = event(capacity=2)
    refused(anonymous.post(f"/events/{made}/attendees", {"name": "Eve", "email": "eve@example.com"}), 401)
    answer = register(bob, made, "eve", phone="+49 30 123")
    person = answer.json["id"]
    assert answer.status == 201
    assert answer.headers["Location"] == f"/api/v1/attendees/{person}"
    assert answer.json == {
        "id": person,
        "name": "Eve",
        "email": "eve@example.com",
        "phone": "+49 30 123",
        "registration_date": TIME,
        "status": "registered",
        "position": None,
    }
    assert bob.api.get(f"/events/{made}/attendees").json == {"count": 1, "next": None, "results": [answer.json]}
    shown = {"id": person, "name": "Eve", "email": "eve@example.com", "phone": "+49 30 123"}
    shown |= {"created_at": TIME, "updated_at": TIME}
    assert bob.api.get(f"/attendees/{person}").json == shown
    assert bob.api.get("/attendees").json == {"count": 1, "next": None, "results": [shown]}
    assert counts(anonymous, made) == (1, 1, 0)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 201), ("email", "eve"), ("email", "Eve <eve@example.com>"),
        ("email", "eve@example.com\r\nBcc: all@example.com"), ("phone", "x" * 51), ("phone", ""), ("waitlist", "maybe"),
        ("status", "registered"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_named(bob, event, field, value):
    made = event()
    with nothing_changes():
        assert faults(register(bob, made, "eve", **{field: value})).keys() == {("body", field)}


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("eve@example.com", "EVE@Example.COM"),
        ("jürgen@example.com", "ju\u0308rgen@example.com"),
        ("jürgen@example.com", "JU\u0308RGEN@EXAMPLE.com"),
        ("eve@example.com", "ｅve@example.com"),
    ],
)
def test_an_e_mail_is_there_once_per_event_in_any_case_and_form(bob, charlie, event, first, second):
    made, other = event(), event()
    assert register(bob, made, "eve", email=first).status == 201
    with nothing_changes():
        refused(register(charlie, made, "eve", email=second), 409, "events.already_registered")
        refused(register(bob, made, "eve", email=second, waitlist=True), 409, "events.already_registered")
    assert register(bob, other, "eve", email=second).status == 201


def test_who_is_in_a_full_event_already_is_told_so(alice, bob, event):
    made = event(capacity=1)
    register(bob, made, "eve")
    register(bob, made, "finn", waitlist=True)
    with nothing_changes():
        refused(register(alice, made, "EVE"), 409, "events.already_registered")
        refused(register(alice, made, "eve", waitlist=True), 409, "events.already_registered")
        refused(register(alice, made, "finn"), 409, "events.already_registered")
        refused(register(alice, made, "gil"), 409, "events.full")


def test_the_same_person_goes_to_several_events_and_is_known_by_their_newest_name(bob, event):
    first, second = event(), event()
    person = register(bob, first, "eve", phone="123").json["id"]
    again = register(bob, second, "eve", name="Eve Example").json
    assert (again["id"], again["name"], again["phone"]) == (person, "Eve Example", "123")
    assert seats(bob, first) == [("Eve Example", "registered", None)]
    assert ids(bob.api.get("/attendees")) == [person]


def test_everyones_people_are_their_own(alice, bob, charlie, event):
    first, second = event(), event()
    bobs = register(bob, first, "eve", phone="bob's secret").json["id"]
    charlies = register(charlie, second, "eve", name="Evil").json
    assert charlies["id"] != bobs
    assert charlies["phone"] is None
    assert bob.api.get(f"/attendees/{bobs}").json["name"] == "Eve"
    assert ids(alice.api.get("/attendees")) == [charlies["id"], bobs]


def test_who_comes_to_a_full_event_waits_and_moves_up_in_order(alice, bob, charlie, event):
    made = event(capacity=1)
    eve = register(bob, made, "eve").json["id"]
    waiting = register(charlie, made, "finn", waitlist=True)
    assert (waiting.status, waiting.json["status"], waiting.json["position"]) == (201, "waiting", 1)
    assert register(bob, made, "gil", waitlist=True).json["position"] == 2
    register(bob, made, "hal", waitlist=True)
    assert counts(alice.api, made) == (1, 0, 3)
    assert seats(alice, made) == [
        ("Eve", "registered", None), ("Finn", "waiting", 1), ("Gil", "waiting", 2), ("Hal", "waiting", 3),
    ]  # fmt: skip
    assert seats(bob, made) == [("Eve", "registered", None), ("Gil", "waiting", 2), ("Hal", "waiting", 3)]
    assert seats(charlie, made) == [("Finn", "waiting", 1)]
    assert bob.api.delete(f"/events/{made}/attendees/{eve}").status == 204
    assert seats(alice, made) == [("Finn", "registered", None), ("Gil", "waiting", 1), ("Hal", "waiting", 2)]
    alice.api.patch(f"/events/{made}", {"capacity": 2})
    assert seats(alice, made) == [("Finn", "registered", None), ("Gil", "registered", None), ("Hal", "waiting", 1)]
    alice.api.patch(f"/events/{made}", {"capacity": None})
    assert [status for _, status, _ in seats(alice, made)] == ["registered"] * 3
    assert counts(alice.api, made) == (3, None, 0)


def test_who_leaves_the_waiting_list_frees_no_seat(alice, bob, event):
    made = event(capacity=1)
    register(bob, made, "eve")
    finn = register(bob, made, "finn", waitlist=True).json["id"]
    register(bob, made, "gil", waitlist=True)
    assert bob.api.delete(f"/events/{made}/attendees/{finn}").status == 204
    assert seats(alice, made) == [("Eve", "registered", None), ("Gil", "waiting", 1)]
    assert counts(alice.api, made) == (1, 0, 1)


def test_nobody_moves_up_in_a_cancelled_event(alice, bob, event):
    made = event(capacity=1)
    eve = register(bob, made, "eve").json["id"]
    register(bob, made, "finn", waitlist=True)
    alice.api.post(f"/events/{made}/cancel")
    assert bob.api.delete(f"/events/{made}/attendees/{eve}").status == 204
    alice.api.patch(f"/events/{made}", {"capacity": 5})
    assert seats(alice, made) == [("Finn", "waiting", 1)]
    assert counts(alice.api, made) == (0, 5, 1)


def test_a_waiting_list_is_of_use_while_there_is_no_seat_alone(bob, event):
    made = event(capacity=1)
    assert register(bob, made, "eve", waitlist=True).json["status"] == "registered"


def test_attendees_are_found_by_status_and_words(alice, bob, event):
    made = event(capacity=1)
    eve = register(bob, made, "eve", phone="555").json["id"]
    finn = register(bob, made, "finn", waitlist=True).json["id"]

    def found(query):
        return ids(alice.api.get(f"/events/{made}/attendees?{query}"))

    assert found("status=registered") == [eve]
    assert found("status=waiting") == [finn]
    assert found("search=FINN") == [finn]
    assert found("search=555+example") == [eve]
    assert ids(alice.api.get("/attendees?search=555")) == [eve]
    assert faults(alice.api.get(f"/events/{made}/attendees?status=gone")).keys() == {("query", "status")}


def test_who_is_removed_is_gone_and_may_come_again(alice, bob, event):
    made, other = event(), event()
    eve = register(bob, made, "eve").json["id"]
    register(bob, other, "eve")
    assert alice.api.delete(f"/events/{made}/attendees/{eve}").status == 204
    refused(alice.api.delete(f"/events/{made}/attendees/{eve}"), 404)
    assert seats(bob, made) == []
    assert ids(bob.api.get("/attendees")) == [eve]
    assert bob.api.delete(f"/events/{other}/attendees/{eve}").status == 204
    refused(bob.api.get(f"/attendees/{eve}"), 404)
    assert Attendee.objects.count() == 0
    assert register(bob, made, "eve").status == 201


def test_charlie_who_registered_nobody_sees_and_changes_nobody(bob, charlie, event):
    made = event(capacity=1)
    eve = register(bob, made, "eve").json["id"]
    register(bob, made, "finn", waitlist=True)
    assert seats(charlie, made) == ids(charlie.api.get("/attendees")) == []
    assert charlie.api.get(f"/events/{made}/attendees/export").text.splitlines()[1:] == []
    assert "eve" not in charlie.api.get(f"/events/{made}/attendees/print").text
    with nothing_changes():
        missing = charlie.api.delete(f"/events/{made}/attendees/4711").json
        assert refused(charlie.api.delete(f"/events/{made}/attendees/{eve}"), 404) == missing
        missing = charlie.api.get("/attendees/4711").json
        assert refused(charlie.api.get(f"/attendees/{eve}"), 404) == missing
        assert refused(charlie.api.patch(f"/attendees/{eve}", {"name": "Mine"}), 404) == missing


def test_removing_somebody_tells_nothing_of_who_moves_up(alice, bob, charlie, event):
    made = event(capacity=1)
    eve = register(bob, made, "eve").json["id"]
    register(charlie, made, "finn", waitlist=True)
    with nothing_changes():
        tried = bob.api.delete(f"/events/{made}/attendees/{eve}", Prefer="dry-run")
    assert [mail["to"] for mail in tried.json["mails"]] == ["eve@example.com"]
    assert "finn" not in tried.text


def test_a_person_is_changed_by_who_registered_them_the_owner_and_the_admin(ada, alice, bob, charlie, event):
    made = event()
    eve = register(bob, made, "eve", phone="1").json["id"]
    changed = bob.api.patch(f"/attendees/{eve}", {"name": "Eve B.", "phone": None})
    assert (changed.status, changed.json["name"], changed.json["phone"]) == (200, "Eve B.", None)
    assert alice.api.patch(f"/attendees/{eve}", {"name": "Eve A."}).json["name"] == "Eve A."
    assert ada.api.patch(f"/attendees/{eve}", {"name": "Eve C."}).json["name"] == "Eve C."
    theirs = charlie.api.post("/events", {"name": "B", "start_date": "2099-01-01", "end_date": "2099-01-01"}).json["id"]
    register(bob, theirs, "eve", name="Eve B.")
    with nothing_changes():
        refused(alice.api.patch(f"/attendees/{eve}", {"name": "Mine"}), 403)
        refused(charlie.api.patch(f"/attendees/{eve}", {"name": "Mine"}), 403)
    assert bob.api.patch(f"/attendees/{eve}", {"name": "Eve"}).status == 200


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", None), ("email", "eve"), ("email", None), ("phone", ""), ("id", 1)]
)
def test_a_person_keeps_a_name_and_an_address(bob, event, field, value):
    eve = register(bob, event(), "eve").json["id"]
    with nothing_changes():
        assert faults(bob.api.patch(f"/attendees/{eve}", {field: value})).keys() == {("body", field)}


def test_a_new_address_stays_once_per_event(alice, bob, event):
    made = event()
    eve = register(bob, made, "eve").json["id"]
    register(bob, event(), "gil")
    register(alice, made, "finn")
    with nothing_changes():
        refused(bob.api.patch(f"/attendees/{eve}", {"email": "FINN@example.com"}), 409, "events.already_registered")
        refused(bob.api.patch(f"/attendees/{eve}", {"email": "GIL@example.com"}), 409, "attendees.email_taken")
    assert bob.api.patch(f"/attendees/{eve}", {"email": "Eva@example.com"}).json["email"] == "Eva@example.com"
    assert Registration.objects.get(attendee=eve).email_key == "eva@example.com"
    refused(register(alice, made, "eva"), 409, "events.already_registered")
    assert register(alice, made, "eve").status == 201


def test_an_e_mail_is_changed_by_who_registered_it_alone_so_that_nobody_learns_whom_they_know(
    ada, alice, bob, charlie, event
):
    """Neither from a refusal nor from a dry run."""
    made = event()
    eve = register(bob, made, "eve").json["id"]
    theirs = charlie.api.post("/events", {"name": "B", "start_date": "2099-01-01", "end_date": "2099-01-01"}).json["id"]
    register(bob, theirs, "gil")

    def tried(email, **headers):
        with nothing_changes():
            return refused(alice.api.patch(f"/attendees/{eve}", {"name": "Eva", "email": email}, **headers), 403)

    told = tried("new@example.com")
    assert told["detail"] == "Only who registered this person may change their e-mail."
    assert tried("gil@example.com") == tried("gil@example.com", Prefer="dry-run") == told
    assert alice.api.patch(f"/attendees/{eve}", {"name": "Eva", "email": "eve@example.com"}).status == 200
    register(bob, theirs, "eve", name="Eva")
    assert tried("new@example.com") == tried("gil@example.com") == told
    with nothing_changes():
        problem = refused(alice.api.patch(f"/attendees/{eve}", {"name": "Eve"}), 403)
    assert problem["detail"] == "Only who registered this person may change them."
    assert bob.api.patch(f"/attendees/{eve}", {"email": "eva@example.com"}).json["email"] == "eva@example.com"
    assert ada.api.patch(f"/attendees/{eve}", {"email": "eve@example.com"}).json["email"] == "eve@example.com"


def test_who_attends_only_what_is_deleted_keeps_no_address(alice, bob, event):
    gone, made = event(), event()
    gil = register(bob, gone, "gil").json["id"]
    eve = register(bob, made, "eve").json["id"]
    register(bob, gone, "eve")
    alice.api.delete(f"/events/{gone}")
    others = register(alice, made, "gil").json["id"]
    with nothing_changes():
        refused(bob.api.patch(f"/attendees/{eve}", {"email": "gil@example.com"}), 409, "events.already_registered")
    alice.api.delete(f"/events/{made}/attendees/{others}")
    assert bob.api.patch(f"/attendees/{eve}", {"email": "GIL@example.com"}).json["email"] == "GIL@example.com"
    assert not Attendee.objects.filter(pk=gil).exists()
    assert at(gone) == [(eve, "gil@example.com")]
    assert at(made) == [(eve, "gil@example.com")]
    again = register(bob, event(), "gil").json
    assert again["id"] == eve
    refused(register(alice, made, "gil"), 409, "events.already_registered")


def test_an_address_at_a_deleted_event_is_free_for_others_there(alice, bob, event):
    gone, made = event(), event()
    finn = register(alice, gone, "finn").json["id"]
    eve = register(bob, gone, "eve").json["id"]
    register(bob, made, "eve")
    with nothing_changes():
        refused(bob.api.patch(f"/attendees/{eve}", {"email": "finn@example.com"}), 409, "events.already_registered")
    alice.api.delete(f"/events/{gone}")
    assert bob.api.patch(f"/attendees/{eve}", {"email": "finn@example.com"}).status == 200
    assert at(gone) == [(finn, "finn@example.com")]
    assert at(made) == [(eve, "finn@example.com")]
    refused(register(alice, made, "finn"), 409, "events.already_registered")


def test_a_person_elsewhere_keeps_their_address_whatever_is_deleted(alice, bob, event):
    gone, made = event(), event()
    gil = register(bob, gone, "gil").json["id"]
    register(bob, made, "gil")
    eve = register(bob, made, "eve").json["id"]
    alice.api.delete(f"/events/{gone}")
    with nothing_changes():
        refused(bob.api.patch(f"/attendees/{eve}", {"email": "gil@example.com"}), 409, "attendees.email_taken")
    assert at(gone) == [(gil, "gil@example.com")]


def at(event):
    """Who is registered for an event, be it deleted: `(person, email_key)`."""
    return list(Registration.objects.filter(event=event).order_by("pk").values_list("attendee_id", "email_key"))


def test_a_key_is_replayed_and_registers_once(bob, event):
    made = event(capacity=1)
    register(bob, made, "eve")
    body = {"name": "Finn", "email": "finn@example.com", "waitlist": True}
    answers = [bob.api.post(f"/events/{made}/attendees", body, Idempotency_Key="finn") for _ in range(2)]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json == answers[1].json
    assert answers[1].headers["Idempotent-Replay"] == "true"
    assert answers[1].headers["Location"] == answers[0].headers["Location"]
    assert counts(bob.api, made) == (1, 0, 1)
