"""A contact's timeline, and what there is to know before a call: from every service, and no more than one may see."""

from datetime import UTC, datetime, timedelta, timezone
from uuid import uuid4

import pytest
from django.utils.timezone import now

from accounts.models import MergedContact
from accounts.tests.assertions import faults, refused
from accounts.timeline import MOST_EMAILS, Place
from meetings.models import Call
from notes.models import Note
from shop.models import Order
from tasks.models import Task

NOW = now().replace(microsecond=0)
THEN = datetime(2030, 1, 1, tzinfo=UTC)
FAR_FROM_UTC = [timezone(timedelta(hours=hours, minutes=minutes)) for hours, minutes in ((23, 59), (-23, -59), (1, 0))]


def at(hours):
    return (NOW + timedelta(hours=hours)).isoformat().replace("+00:00", "Z")


def contact(person, name="Maria", **fields):
    data = {"name": name, "email": f"{name.lower()}@example.com", "company": "Azollon"}
    return person.api.post("/contacts", data | fields).json


def made_at(model, id, hours):
    model.objects.filter(pk=id).update(created_at=NOW + timedelta(hours=hours))


def shown(person, contact, **params):
    query = "&".join(f"{name}={value}" for name, value in params.items())
    answer = person.api.get(f"/contacts/{contact['id']}/timeline?{query}")
    assert answer.status == 200, answer
    return answer.json


@pytest.fixture
def maria(alice):
    """A contact with one entry of each kind, an hour apart."""
    made = contact(alice, phone="+34 600")
    of = {"contact_id": made["id"]}
    alice.api.post("/calls", {"title": "Talk", "scheduled_for": at(-1), "notes": "Went well", **of})
    meeting = {"title": "Plan", "scheduled_time": at(-2), "attendee_emails": ["MARIA@example.com"]}
    alice.api.post("/meetings", meeting)
    made_at(Note, alice.api.post("/notes", {"raw_text": "She likes tea.\nA lot.", **of}).json["id"], -3)
    made_at(Task, alice.api.post("/tasks", {"title": "Send offer", "due_date": at(9), **of}).json["id"], -4)
    return made


def test_it_has_what_every_service_knows_newest_first(alice, maria):
    page = shown(alice, maria)
    assert (page["count"], page["next"]) == (4, None)
    assert [(e["service"], e["at"], e["title"], e["status"]) for e in page["results"]] == [
        ("calls", at(-1), "Talk", "scheduled"),
        ("meetings", at(-2), "Plan", None),
        ("notes", at(-3), "She likes tea.", "queued"),
        ("tasks", at(-4), "Send offer", "todo"),
    ]
    call, meeting, note, task = page["results"]
    assert call["details"].items() >= {"notes": "Went well", "duration_minutes": 30}.items()
    assert meeting["details"] == {"duration_minutes": 30, "location": None}
    assert note["details"] == {"summary": None, "text": "She likes tea.\nA lot."}
    assert task["details"]["due_date"].startswith(at(9)[:19])
    assert alice.api.get(f"/contacts/{maria['uuid']}/timeline").json == page


def test_orders_are_those_of_the_contacts_e_mail_as_far_as_one_sees_them(alice, ada, person, maria):
    buyer = person("maria")
    order = Order.objects.create(buyer=buyer.user, total_cents=500)
    made_at(Order, order.pk, -5)
    assert shown(alice, maria)["count"] == 4
    assert shown(ada, maria)["results"][4] == {
        "service": "orders",
        "id": order.pk,
        "at": at(-5),
        "title": f"Order {order.pk}",
        "status": "PENDING",
        "details": {"total_cents": 500},
    }


def test_it_shows_nothing_of_others(alice, bob, maria):
    theirs = contact(bob)
    bob.api.post("/calls", {"title": "Bob's", "scheduled_for": at(-1), "contact_id": theirs["id"]})
    bob.api.post("/meetings", {"title": "Bob's", "scheduled_time": at(1), "attendee_emails": ["maria@example.com"]})
    task = alice.api.post("/tasks", {"title": "For Bob", "assignee_id": bob.id, "contact_id": maria["id"]})
    assert task.json["assignee_id"] == bob.id
    assert "Bob's" not in str(shown(alice, maria))
    assert [entry["title"] for entry in shown(bob, theirs)["results"]] == ["Bob's", "Bob's"]
    for ref in (maria["id"], maria["uuid"]):
        missing = bob.api.get(f"/contacts/{4711 if ref == maria['id'] else uuid4()}/timeline").json
        assert refused(bob.api.get(f"/contacts/{ref}/timeline"), 404) == missing


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 200])
def test_its_pages_hold_every_entry_once_also_at_one_time(alice, maria, limit):
    calls = [Call(contact_id=maria["id"], title=f"Call {n}", scheduled_for=NOW) for n in range(5)]
    Call.objects.bulk_create(calls)
    for number in range(4):
        made_at(Note, alice.api.post("/notes", {"raw_text": f"Note {number}", "contact_id": maria["id"]}).json["id"], 0)
        made_at(Task, alice.api.post("/tasks", {"title": f"Task {number}", "contact_id": maria["id"]}).json["id"], 0)
    whole = shown(alice, maria, limit=200)
    assert (whole["count"], len(whole["results"]), whole["next"]) == (17, 17, None)
    found, cursor = [], None
    while True:
        page = shown(alice, maria, limit=limit, **({"cursor": cursor} if cursor else {}))
        assert page["count"] == (None if cursor else 17)
        assert len(page["results"]) <= limit
        found += page["results"]
        cursor = page["next"]
        if cursor is None:
            break
    assert found == whole["results"]


@pytest.mark.parametrize(
    "cursor",
    [
        "x",
        "",
        "aWQ6MQ",
        Place(THEN, "calls", 0).encode(),
        *(Place(THEN.replace(tzinfo=zone), "calls", 1).encode() for zone in (None, *FAR_FROM_UTC)),
    ],
)
def test_a_cursor_is_taken_from_the_page_before(alice, maria, cursor):
    answer = alice.api.get(f"/contacts/{maria['id']}/timeline?cursor={cursor}")
    assert faults(answer).keys() == {("query", "cursor")}


def test_of_a_merged_contact_its_e_mails_count_and_what_it_said_is_there(alice, maria):
    kept = contact(alice, "Mary", company="New")
    alice.api.post(f"/contacts/{kept['id']}/merge", {"contact_id": maria["id"]})
    page = shown(alice, kept)
    assert [entry["service"] for entry in page["results"]] == ["contacts", "calls", "meetings", "notes", "tasks"]
    merged = page["results"][0]
    assert merged["title"] == "Maria, Azollon, became part of this contact"
    assert merged["details"].items() >= {"email": "maria@example.com", "phone": "+34 600"}.items()


def test_of_more_e_mails_than_it_may_have_had_the_newest_count(alice, maria, call):
    """As a contact may have that was merged before there was a limit."""
    said = {"name": "M", "company": "A", "user_type": "client", "phone": None, "notes": ""}
    emails = ["oldest@example.com", *(f"{n}@example.com" for n in range(MOST_EMAILS - 2)), "newest@example.com"]
    rows = [
        MergedContact(contact_id=maria["id"], uuid=uuid4(), fields=said | {"email": email}, created_at=NOW)
        for email in emails
    ]
    MergedContact.objects.bulk_create(rows)
    for email in (emails[0], emails[-1], "maria@example.com"):
        alice.api.post("/meetings", {"title": email, "scheduled_time": at(2), "attendee_emails": [email]})
    met = [entry["title"] for entry in shown(alice, maria, limit=5)["results"] if entry["service"] == "meetings"]
    assert met == ["maria@example.com", "newest@example.com"]
    assert alice.api.get(f"/calls/{call['id']}/brief").status == 200


def test_e_mails_are_found_as_the_database_compares_them(alice):
    greek = contact(alice, email="ΑΣ@example.com")
    for email in ("ασ@example.com", "İx@example.com"):
        alice.api.post("/meetings", {"title": email, "scheduled_time": at(1), "attendee_emails": [email]})
    turkish = contact(alice, email="İx@example.com")
    assert [entry["title"] for entry in shown(alice, greek)["results"]] == ["ασ@example.com"]
    assert [entry["title"] for entry in shown(alice, turkish)["results"]] == ["İx@example.com"]


@pytest.fixture
def call(alice, maria):
    data = {"title": "Follow up", "scheduled_for": at(1), "notes": "Ask for the logo", "contact_id": maria["id"]}
    return alice.api.post("/calls", data).json


def test_a_brief_has_the_contact_the_last_talks_and_what_is_still_to_do(alice, maria, call):
    Note.objects.update(summary="Tea, not coffee.", status="done")
    alice.api.post("/tasks", {"title": "Done", "status": "done", "contact_id": maria["id"]})
    for ref in (call["id"], call["uuid"]):
        answer = alice.api.get(f"/calls/{ref}/brief")
        assert answer.status == 200, answer
        brief = answer.json
        assert (brief["call"], brief["contact"]) == (call, maria)
        assert [entry["title"] for entry in brief["talks"]] == ["Talk", "Plan", "Tea, not coffee."]
        assert [task["title"] for task in brief["open_tasks"]] == ["Send offer"]
        assert brief["orders"] == []
    day = at(9)[:10]
    assert brief["text"].splitlines()[0] == "Follow up"
    assert "Ask for the logo" in brief["text"]
    assert "Maria, Azollon (client)\nmaria@example.com, +34 600" in brief["text"]
    assert "- " + at(-1)[:10] + " Talk (scheduled): Went well" in brief["text"]
    assert f"To do\n- Send offer (todo, due {day})" in brief["text"]


def test_a_brief_looks_back_on_five_talks_and_not_ahead(alice, maria, call):
    rows = [Call(contact_id=maria["id"], title=f"Call {n}", scheduled_for=NOW - timedelta(days=n)) for n in range(7)]
    Call.objects.bulk_create(rows)
    Call.objects.create(contact_id=maria["id"], title="Later", scheduled_for=NOW + timedelta(days=1))
    talks = alice.api.get(f"/calls/{call['id']}/brief").json["talks"]
    assert [entry["title"] for entry in talks] == ["Call 0", "Talk", "Plan", "She likes tea.", "Call 1"]


def test_a_brief_is_for_who_has_the_call(bob, charlie, call):
    for ref in (call["id"], call["uuid"]):
        refused(bob.api.get(f"/calls/{ref}/brief"), 404)
        refused(charlie.api.get(f"/calls/{ref}/brief"), 404)
