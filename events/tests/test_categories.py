"""/categories: everyone reads them, their creator changes them, none is lost while events are in it."""

import pytest

from accounts.tests.assertions import faults, ids, nothing_changes, refused
from events.models import Category, Event


def create(person, name="Workshops", **fields):
    return person.api.post("/categories", {"name": name, **fields})


def test_everyone_reads_a_category(alice, anonymous):
    made = create(alice, description="To learn")
    shown = {"id": made.json["id"], "name": "Workshops", "description": "To learn"}
    assert (made.status, made.json) == (201, shown)
    assert made.headers["Location"] == f"/api/v1/categories/{shown['id']}"
    assert anonymous.get(f"/categories/{shown['id']}").json == shown
    assert anonymous.get("/categories").json == {"count": 1, "next": None, "results": [shown]}
    refused(anonymous.post("/categories", {"name": "Talks"}), 401)


def test_categories_are_found_by_their_words(alice, anonymous):
    first, second = create(alice).json["id"], create(alice, "Talks", description="A workshop of words").json["id"]
    assert ids(anonymous.get("/categories")) == [second, first]
    assert ids(anonymous.get("/categories?search=WORKSHOP")) == [second, first]
    assert ids(anonymous.get("/categories?search=talks+words")) == [second]


@pytest.mark.parametrize("same", ["workshops", "WORKSHOPS", " Workshops ", "Ｗorkshops"])
def test_a_name_is_there_once_in_any_case_and_form(alice, bob, same):
    create(alice)
    other = create(alice, "Talks").json["id"]
    with nothing_changes():
        refused(create(bob, same), 409, "categories.name_taken")
        refused(alice.api.patch(f"/categories/{other}", {"name": same}), 409, "categories.name_taken")


@pytest.mark.parametrize(
    ("field", "value"), [("name", ""), ("name", "x" * 101), ("description", "x" * 5001), ("colour", "red")]
)
def test_what_is_out_of_bounds_is_named(alice, field, value):
    made = create(alice).json["id"]
    with nothing_changes():
        assert faults(create(alice, **{"name": "A", field: value})).keys() == {("body", field)}
        assert faults(alice.api.patch(f"/categories/{made}", {field: value})).keys() == {("body", field)}


def test_its_creator_and_the_admin_change_it_and_nobody_else(ada, alice, bob):
    made = create(alice).json["id"]
    with nothing_changes():
        for method in ("PUT", "PATCH"):
            refused(bob.api.request(method, f"/categories/{made}", {"name": "Mine"}), 403)
        refused(bob.api.delete(f"/categories/{made}"), 403)
    changed = alice.api.put(f"/categories/{made}", {"description": "New"})
    assert (changed.status, changed.json) == (200, {"id": made, "name": "Workshops", "description": "New"})
    assert ada.api.patch(f"/categories/{made}", {"name": "Courses"}).json["name"] == "Courses"
    assert ada.api.delete(f"/categories/{made}").status == 204
    refused(alice.api.get(f"/categories/{made}"), 404)


def test_one_in_use_stays_until_its_last_event_has_gone(alice, event):
    made = create(alice).json["id"]
    first, second = event(category_id=made), event(category_id=made)
    with nothing_changes():
        refused(alice.api.delete(f"/categories/{made}"), 409, "categories.in_use")
    alice.api.delete(f"/events/{first}")
    alice.api.post(f"/events/{second}/cancel")
    refused(alice.api.delete(f"/categories/{made}"), 409, "categories.in_use")
    alice.api.patch(f"/events/{second}", {"category_id": None})
    assert alice.api.delete(f"/categories/{made}").status == 204
    assert Category.objects.count() == 0
    assert list(Event.objects.values_list("category_id", flat=True)) == [None, None]


def test_a_new_name_shows_at_once_in_its_events(alice, anonymous, event):
    made = create(alice).json["id"]
    of_it = event(category_id=made)
    for _ in range(2):
        assert anonymous.get(f"/events/{of_it}").json["category"]["name"] == "Workshops"
        assert anonymous.get("/events").json["results"][0]["category"]["name"] == "Workshops"
    alice.api.patch(f"/categories/{made}", {"name": "Courses"})
    assert anonymous.get(f"/events/{of_it}").json["category"]["name"] == "Courses"
    assert anonymous.get("/events").json["results"][0]["category"]["name"] == "Courses"
    assert anonymous.get("/categories").json["results"][0]["name"] == "Courses"
