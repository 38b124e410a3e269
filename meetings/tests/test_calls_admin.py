"""Calls in the admin: everyone's by their time; what became of them said for many at once; by operations alone."""

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from accounts.tests.assertions import nothing_changes, refused
from accounts.tests.browser import submit, text_of
from meetings.models import Call
from mesh.models import AuditEntry

CALLS = "/admin/meetings/call/"


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


@pytest.fixture
def contact():
    """Makes contacts; their ids."""

    def make(person, name):
        body = {"name": name, "email": f"{name}@example.com", "company": "Azollon"}
        return person.api.post("/contacts", body).json["id"]

    return make


@pytest.fixture
def schedule(alice, contact):
    """Makes calls of alice's; their ids."""
    maria = contact(alice, "maria")

    def make(title="Talk", day=1, person=alice, **fields):
        body = {"contact_id": maria, "title": title, "scheduled_for": f"2030-01-0{day}T10:00:00Z"} | fields
        answer = person.api.post("/calls", body)
        assert answer.status == 201, answer
        return answer.json["id"]

    return make


def act(site, action, *ids, **fields):
    """The words of the list after an action on its rows."""
    sent = {"action": action, "_selected_action": [str(id) for id in ids], **fields}
    return text_of(site.post(CALLS, sent, follow=True))


def audited():
    """The operations that came through the admin, and what became of them."""
    return list(AuditEntry.objects.filter(door="admin").order_by("pk").values_list("operation", "outcome"))


def titles(page):
    return [call.title for call in page.context["cl"].result_list]


def errors_of(response):
    return response.context["adminform"].form.errors


def test_everyones_calls_are_listed_by_their_time(site, bob, contact, schedule):
    schedule("Second", 2, status="completed"), schedule("First", 1, status="cancelled"), schedule("Third", 3)
    schedule("Bobs", 4, bob, contact_id=contact(bob, "zoe"), notes="Tea")
    page = site.get(CALLS)
    assert titles(page) == ["Bobs", "Third", "Second", "First"]
    assert "Second maria, Azollon completed 30 Alice" in text_of(page)
    for style in ("bg-green-100", "bg-red-100", "bg-blue-100"):
        assert style in page.content.decode()
    for query, found in (
        ("status__exact=completed", ["Second"]), ("q=TEA", ["Bobs"]), ("q=zoe", ["Bobs"]),
        ("q=bob%40example.com", ["Bobs"]),
        (f"contact__owner__id__exact={bob.id}", ["Bobs"]), ("status__exact=open", []),
        ("scheduled_for__year=2030&scheduled_for__month=1&scheduled_for__day=2", ["Second"]),
    ):  # fmt: skip
        assert titles(site.get(f"{CALLS}?{query}")) == found, query


def test_a_longer_list_takes_no_more_statements(site, contact, schedule, alice):
    def statements():
        site.get(CALLS)  # what is asked but once in a process is known by now
        with CaptureQueriesContext(
            connection,
        ) as asked:
            assert site.get(CALLS).status_code == 200
        return len(asked)

    schedule("One", contact_id=contact(alice, "one"))
    few = statements()
    for number in range(2, 7):
        schedule(contact_id=contact(alice, f"more{number}"))
    assert statements() == few


def test_a_call_is_added_with_anyones_contact(site, alice, contact):
    maria = contact(alice, "maria")
    sent = {"contact": str(maria), "title": "Talk", "scheduled_for_0": "2030-01-01", "scheduled_for_1": "10:00:00"}
    with nothing_changes():
        for name, value, field in (
            ("contact", "", "contact"), ("contact", "4711", "contact"), ("title", "", "title"),
            ("duration_minutes", "14", "duration_minutes"), ("duration_minutes", "241", "duration_minutes"),
            ("scheduled_for_0", "soon", "scheduled_for"), ("notes", "x" * 501, "notes"), ("status", "open", "status"),
        ):  # fmt: skip
            response = submit(site, f"{CALLS}add/", "call_form", **{**sent, name: value})
            assert response.status_code == 200
            assert errors_of(response).keys() == {field}
    response = submit(site, f"{CALLS}add/", "call_form", **sent, notes="One\r\nTwo")
    assert response.status_code == 302, errors_of(response)
    made = Call.objects.get()
    assert (made.contact_id, made.title, made.duration_minutes, made.notes) == (maria, "Talk", 30, "One\nTwo")
    assert (made.scheduled_for.isoformat(), made.status) == ("2030-01-01T10:00:00+00:00", "scheduled")
    assert alice.api.get(f"/calls/{made.pk}").status == 200
    assert audited() == [("schedule_call", "ok")]


def test_a_call_is_changed_and_deleted(site, alice, contact, schedule):
    made, other = schedule(notes="One\nTwo"), contact(alice, "john")
    path = f"{CALLS}{made}/"
    with nothing_changes():
        assert submit(site, f"{path}change/", "call_form").status_code == 302
        assert errors_of(submit(site, f"{path}change/", "call_form", duration_minutes="5")).keys() == {
            "duration_minutes"
        }
    changes = {"title": "New", "contact": str(other), "status": "rescheduled", "scheduled_for_0": "2030-02-01"}
    assert submit(site, f"{path}change/", "call_form", **changes).status_code == 302
    shown = alice.api.get(f"/calls/{made}").json
    assert (shown["title"], shown["contact_id"], shown["status"]) == ("New", other, "rescheduled")
    assert (shown["scheduled_for"], shown["notes"]) == ("2030-02-01T10:00:00Z", "One\nTwo")
    assert site.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    refused(alice.api.get(f"/calls/{made}"), 404)
    assert audited() == [("update_call", "ok"), ("delete_call", "ok")]


@pytest.mark.parametrize(("action", "status"), [("complete", "completed"), ("cancel", "cancelled")])
def test_what_became_of_many_is_said_at_once(site, alice, schedule, action, status):
    first, second, other = schedule(), schedule(), schedule()
    assert f"{status.title()}: 2." in act(site, action, first, second)
    assert dict(Call.objects.values_list("pk", "status")) == {first: status, second: status, other: "scheduled"}
    assert audited() == [("set_call_status", "ok")] * 2


def test_several_are_deleted_at_once(site, schedule):
    first, second, other = schedule(), schedule(), schedule()
    act(site, "delete_selected", first, second, post="yes")
    assert Call.objects.get().pk == other
    assert audited() == [("delete_call", "ok")] * 2


def test_agents_see_none_of_it(alice, schedule):
    made = schedule()
    client = Client()
    client.force_login(alice.user)
    for path in (CALLS, f"{CALLS}add/", f"{CALLS}{made}/change/"):
        assert client.get(path).status_code == 302
    with nothing_changes():
        client.post(CALLS, {"action": "cancel", "_selected_action": [str(made)]})
