"""/events: who makes, changes and removes them; how they are found, counted, and gone."""

import pytest
from django.utils import timezone

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from events.models import Event
from events.tests.conftest import BEGINS, ENDS, counts, register

PLAN = {"name": "Open day", "start_date": BEGINS, "end_date": ENDS}


def category(person, name="Workshops"):
    return person.api.post("/categories", {"name": name, "description": "To learn"}).json["id"]


def test_an_event_is_shown_to_everyone_with_its_category_and_its_seats(alice, bob, anonymous, event):
    workshops = category(bob)
    made = event(description="Come", location="Hall", category_id=workshops, capacity=10)
    register(bob, made, "eve")
    shown = {
        "id": made,
        **PLAN,
        "description": "Come",
        "location": "Hall",
        "category_id": workshops,
        "category": {"id": workshops, "name": "Workshops", "description": "To learn"},
        "status": "active",
        "capacity": 10,
        "attendee_count": 1,
        "seats_left": 9,
        "waiting_count": 0,
        "created_at": TIME,
        "updated_at": TIME,
    }
    for api in (anonymous, bob.api):
        assert api.get(f"/events/{made}").json == shown
        assert api.get("/events").json == {"count": 1, "next": None, "results": [shown]}


def test_without_more_it_has_no_category_and_no_limit(alice, event):
    shown = alice.api.get(f"/events/{event()}").json
    empty = {"description": "", "location": "", "category_id": None, "category": None, "capacity": None}
    assert {name: shown[name] for name in (*empty, "seats_left")} == empty | {"seats_left": None}


def test_creating_needs_somebody(anonymous, alice):
    refused(anonymous.post("/events", PLAN), 401)
    made = alice.api.post("/events", PLAN)
    assert (made.status, made.headers["Location"]) == (201, f"/api/v1/events/{made.json['id']}")


def test_a_date_is_its_midnight_and_an_event_may_end_as_it_begins(alice):
    made = alice.api.post("/events", {"name": "A", "start_date": "2099-01-05", "end_date": "2099-01-05T01:00+01:00"})
    assert made.json["start_date"] == made.json["end_date"] == "2099-01-05T00:00:00Z"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""), ("name", "x" * 256), ("name", "a\x00b"), ("description", "x" * 5001), ("location", "x" * 256),
        ("start_date", "tomorrow"), ("start_date", 5), ("end_date", "2099-01-05T09:59:59Z"), ("end_date", None),
        ("capacity", 0), ("capacity", 1_000_001), ("category_id", 0), ("attendee_count", 5), ("status", "cancelled"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_named(alice, event, field, value):
    made = event()
    with nothing_changes():
        assert faults(alice.api.post("/events", {**PLAN, field: value})).keys() == {("body", field)}
        assert faults(alice.api.patch(f"/events/{made}", {field: value})).keys() == {("body", field)}


def test_all_errors_come_at_once(alice):
    wrong = {"name": "", "start_date": BEGINS, "end_date": "2000-01-01", "capacity": 0}
    said = faults(alice.api.post("/events", wrong))
    assert said.keys() == {("body", "name"), ("body", "end_date"), ("body", "capacity")}
    assert said["body", "end_date"] == "An event ends when it begins, or later."


def test_a_category_that_is_not_there_is_named(alice, event):
    made = event()
    with nothing_changes():
        assert faults(alice.api.post("/events", {**PLAN, "category_id": 4711})).keys() == {("body", "category_id")}
        assert faults(alice.api.patch(f"/events/{made}", {"category_id": 4711})).keys() == {("body", "category_id")}


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_what_is_sent_changes_and_the_rest_stays(alice, event, method):
    made = event(location="Hall", capacity=3, category_id=category(alice))
    before = alice.api.get(f"/events/{made}").json
    answer = alice.api.request(method, f"/events/{made}", {"name": "New", "capacity": None, "category_id": None})
    after = {**before, "name": "New", "capacity": None, "seats_left": None, "category_id": None, "category": None}
    assert (answer.status, answer.json) == (200, after | {"updated_at": TIME})
    assert alice.api.get(f"/events/{made}").json == answer.json


def test_it_never_ends_before_it_begins_whichever_of_both_is_changed(alice, event):
    made = event()
    with nothing_changes():
        assert faults(alice.api.patch(f"/events/{made}", {"start_date": "2099-01-07"})).keys() == {
            ("body", "start_date")
        }
        assert faults(alice.api.patch(f"/events/{made}", {"end_date": "2099-01-05"})).keys() == {("body", "end_date")}
    assert alice.api.patch(f"/events/{made}", {"start_date": "2099-01-07", "end_date": "2099-01-08"}).status == 200


def test_its_owner_and_the_admin_change_it_and_nobody_else(ada, alice, bob, charlie, anonymous, event):
    made = event()
    register(bob, made, "eve")
    with nothing_changes():
        for person in (bob, charlie):
            refused(person.api.patch(f"/events/{made}", {"name": "Mine"}), 403)
            refused(person.api.post(f"/events/{made}/cancel"), 403)
            refused(person.api.delete(f"/events/{made}"), 403)
        refused(anonymous.patch(f"/events/{made}", {"name": "Mine"}), 401)
    assert ada.api.patch(f"/events/{made}", {"name": "By the ADMIN"}).status == 200
    assert ada.api.delete(f"/events/{made}").status == 204


def test_events_are_found_by_time_with_both_ends_included(alice, event):
    first = event(start_date="2099-01-01", end_date="2099-01-02")
    second = event(start_date="2099-01-02T00:00:00Z", end_date="2099-01-03T00:00:00Z")

    def found(query):
        return ids(alice.api.get(f"/events?{query}"))

    assert found("start_after=2099-01-01") == [second, first]
    assert found("start_after=2099-01-01T00:00:00.000001Z") == [second]
    assert found("start_after=2099-01-02T01:00:00%2B01:00") == [second]
    assert found("end_before=2099-01-03") == [second, first]
    assert found("end_before=2099-01-02T23:59:59.999999Z") == [first]
    assert found("start_after=2099-01-01&end_before=2099-01-02") == [first]
    assert found("start_after=2099-01-03") == []
    assert faults(alice.api.get("/events?start_after=soon")).keys() == {("query", "start_after")}


def test_events_are_found_by_category_words_location_and_status(alice, event):
    workshops, talks = category(alice), category(alice, "Talks")
    clay = event(name="Clay", description="Pots and pans", location="Studio 2", category_id=workshops)
    stars = event(name="Stars", location="Dome", category_id=talks)
    alice.api.post(f"/events/{stars}/cancel")

    def found(query):
        return ids(alice.api.get(f"/events?{query}"))

    assert found(f"category_id={workshops}") == [clay]
    assert found("category_id=4711") == []
    assert found("search=POTS+studio") == [clay]
    assert found("search=pots+dome") == []
    assert found("location=STUDIO") == [clay]
    assert found("location=2+studio") == [clay]
    assert found("location=pots") == []
    assert found("status=cancelled") == [stars]
    assert found("status=active") == [clay]
    assert found("") == [stars, clay]
    assert faults(alice.api.get("/events?status=open")).keys() == {("query", "status")}
    assert faults(alice.api.get("/events?colour=red")).keys() == {("query", "colour")}


def test_a_page_holds_a_hundred_and_up_to_a_thousand(alice, event):
    rows = [Event(owner=alice.user, name=f"{n}", start_date=BEGINS, end_date=ENDS) for n in range(105)]
    Event.objects.bulk_create(rows)
    first = alice.api.get("/events")
    assert (len(first.json["results"]), first.json["count"]) == (100, 105)
    rest = alice.api.get(f"/events?cursor={first.json['next']}")
    assert [row["name"] for row in rest.json["results"]] == ["4", "3", "2", "1", "0"]
    assert (rest.json["count"], rest.json["next"]) == (None, None)
    assert len(alice.api.get("/events?limit=1000").json["results"]) == 105
    assert faults(alice.api.get("/events?limit=1001")).keys() == {("query", "limit")}


def test_the_count_is_of_those_that_take_place_with_the_same_filters(alice, anonymous, event):
    event(name="A", location="Hall")
    second, third = event(name="B"), event(name="C")

    def count(query=""):
        answer = anonymous.get(f"/events/count{query}")
        assert answer.status == 200
        return answer.json

    assert count() == {"count": 3}
    alice.api.post(f"/events/{second}/cancel")
    alice.api.delete(f"/events/{third}")
    assert count() == {"count": 1}
    assert count("?search=a") == {"count": 1}
    assert count("?location=hall") == {"count": 1}
    assert count("?status=cancelled") == {"count": 0}
    assert count("?start_after=2100-01-01") == {"count": 0}


def test_a_cancelled_event_can_still_be_seen_and_is_cancelled_once(alice, bob, anonymous, event):
    made = event(capacity=1)
    register(bob, made, "eve")
    first = alice.api.post(f"/events/{made}/cancel")
    assert (first.status, first.json["status"], first.json["attendee_count"]) == (200, "cancelled", 1)
    assert alice.api.post(f"/events/{made}/cancel").json == first.json
    assert anonymous.get(f"/events/{made}").json == first.json
    with nothing_changes():
        refused(register(bob, made, "finn", waitlist=True), 409, "events.cancelled")
    assert alice.api.patch(f"/events/{made}", {"description": "Why"}).json["description"] == "Why"


def test_a_deleted_event_is_gone_from_everywhere(ada, alice, bob, anonymous, event):
    workshops = category(alice)
    made = event(category_id=workshops)
    person = register(bob, made, "eve").json["id"]
    paths = [f"/events/{made}", f"/events/{made}/ics", f"/events/{made}/attendees", f"/attendees/{person}"]
    paths += [f"/events/{made}/attendees/export", f"/events/{made}/attendees/print"]
    assert [alice.api.get(path).status for path in paths] == [200] * 6
    assert "Open day" in anonymous.get("/events/calendar.ics").text
    refused(alice.api.delete(f"/categories/{workshops}"), 409, "categories.in_use")
    assert alice.api.delete(f"/events/{made}").status == 204
    for who in (alice, bob, ada):
        for path in paths:
            refused(who.api.get(path), 404, "not_found")
        assert ids(who.api.get("/events")) == ids(who.api.get("/events?search=open")) == []
        assert ids(who.api.get("/attendees")) == []
        with nothing_changes():
            refused(who.api.patch(f"/events/{made}", {"name": "Back"}), 404)
            refused(who.api.delete(f"/events/{made}"), 404)
            refused(who.api.post(f"/events/{made}/cancel"), 404)
            refused(who.api.delete(f"/events/{made}/attendees/{person}"), 404)
            refused(who.api.patch(f"/attendees/{person}", {"name": "Eva"}), 404)
            refused(register(who, made, "finn"), 404)
    assert anonymous.get("/events/count").json == {"count": 0}
    assert "Open day" not in anonymous.get("/events/calendar.ics").text
    assert alice.api.delete(f"/categories/{workshops}").status == 204
    assert Event.objects.filter(pk=made, deleted_at__lte=timezone.now(), category=None).exists()


def test_fewer_seats_than_people_are_refused(alice, bob, event):
    made = event(capacity=3)
    for name in ("eve", "finn"):
        register(bob, made, name)
    with nothing_changes():
        problem = refused(alice.api.patch(f"/events/{made}", {"capacity": 1}), 409, "events.capacity_taken")
    assert problem["detail"] == "2 have a seat already, so there cannot be fewer seats."
    assert alice.api.patch(f"/events/{made}", {"capacity": 2}).json["seats_left"] == 0
    assert counts(alice.api, made) == (2, 0, 0)
