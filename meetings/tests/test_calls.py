"""/calls: with one's own contacts; their statuses; the reminder before one, and none of one that is cancelled."""

from datetime import timedelta
from uuid import uuid4

import pytest
from django.utils import timezone

from accounts.tests.assertions import TIME, UUID7, faults, ids, nothing_changes, refused
from meetings.models import Call
from mesh.declarations.registry import registry
from mesh.models import Mail, Outbox
from mesh.tests.jobs import run_jobs, run_periodic

WHEN = "2030-01-01T10:00:00Z"


@pytest.fixture
def maria(alice):
    return alice.api.post("/contacts", {"name": "Maria", "email": "maria@example.com", "company": "Azollon"}).json


@pytest.fixture
def schedule(alice, maria):
    def make(**fields):
        return alice.api.post("/calls", {"contact_id": maria["id"], "title": "Talk", "scheduled_for": WHEN} | fields)

    return make


def test_a_call_is_its_contacts_owners_under_its_id_and_its_uuid(alice, ada, maria, schedule):
    for contact in (maria["id"], maria["uuid"]):
        made = schedule(contact_id=contact, duration_minutes=45, notes="Overview")
        call = Call.objects.latest("pk")
        assert (made.status, made.headers["Location"]) == (201, f"/api/v1/calls/{call.pk}")
        assert made.json == {
            "id": call.pk,
            "uuid": str(call.uuid),
            "contact_id": maria["id"],
            "title": "Talk",
            "scheduled_for": WHEN,
            "duration_minutes": 45,
            "notes": "Overview",
            "status": "scheduled",
            "created_at": TIME,
            "updated_at": TIME,
        }
        assert made.json["uuid"] == UUID7
        for ref in (call.pk, call.uuid):
            assert alice.api.get(f"/calls/{ref}").json == ada.api.get(f"/calls/{ref}").json == made.json


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("title", ""), ("title", "x" * 201), ("scheduled_for", "soon"), ("scheduled_for", None),
        ("duration_minutes", 14), ("duration_minutes", 241), ("notes", "x" * 501), ("status", "open"),
        ("contact_id", 4711), ("contact_id", "019a0000-0000-7000-8000-000000000000"), ("contact_id", None),
        ("contact_id", "maria"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_named(alice, schedule, field, value):
    made = schedule().json["id"]
    with nothing_changes():
        for answer in (schedule(**{field: value}), alice.api.patch(f"/calls/{made}", {field: value})):
            places = {place[:2] for place in faults(answer)}
            assert places == {("body", field)}


@pytest.mark.parametrize("minutes", [15, 240])
def test_the_limits_themselves_are_taken(schedule, minutes):
    assert schedule(duration_minutes=minutes).json["duration_minutes"] == minutes


def test_what_is_sent_changes_and_the_rest_stays(alice, schedule):
    made = schedule(notes="Overview").json
    answer = alice.api.patch(f"/calls/{made['uuid']}", {"title": "New", "notes": ""})
    assert (answer.status, answer.json) == (200, {**made, "title": "New", "notes": "", "updated_at": TIME})


@pytest.mark.parametrize("status", ["completed", "cancelled", "rescheduled", "scheduled"])
def test_the_status_is_sent_in_the_body_or_in_the_query(alice, schedule, status):
    made = schedule().json
    assert alice.api.patch(f"/calls/{made['id']}/status", {"status": status}).json["status"] == status
    again = alice.api.patch(f"/calls/{made['uuid']}/status?new_status={status}")
    assert (again.status, again.json["status"]) == (200, status)
    assert alice.api.patch(f"/calls/{made['id']}/status?new_status=open").status == 422
    assert alice.api.patch(f"/calls/{made['id']}/status").status == 422


def test_calls_are_found_by_contact_status_time_and_words(alice, bob, maria, schedule):
    john = alice.api.post("/contacts", {"name": "John", "email": "j@example.com", "company": "B"}).json
    first = schedule().json["id"]
    second = schedule(contact_id=john["id"], status="completed", scheduled_for="2030-01-02T10:00:00Z").json["id"]

    def found(query, person=alice):
        return ids(person.api.get(f"/calls?{query}"))

    assert found("") == [second, first]
    assert found(f"contact_id={maria['id']}") == found(f"contact_id={maria['uuid']}") == [first]
    assert found("status=completed") == [second]
    assert found(f"from={WHEN}&to={WHEN}") == [first]
    assert found("search=TALK") == [second, first]
    assert found("contact_id=4711") == found(f"contact_id={uuid4()}") == []
    assert found("", bob) == found(f"contact_id={maria['id']}", bob) == []


def test_bob_schedules_and_changes_none_of_alices(bob, maria, schedule):
    made = schedule().json
    with nothing_changes():
        body = {"title": "Talk", "scheduled_for": WHEN}
        mine = faults(bob.api.post("/calls", {**body, "contact_id": maria["id"]}))
        assert mine == faults(bob.api.post("/calls", {**body, "contact_id": 4711}))
        for ref in (made["id"], made["uuid"]):
            refused(bob.api.get(f"/calls/{ref}"), 404)
            refused(bob.api.patch(f"/calls/{ref}", {"title": "Mine"}), 404)
            refused(bob.api.patch(f"/calls/{ref}/status?new_status=cancelled"), 404)
            refused(bob.api.delete(f"/calls/{ref}"), 404)


def test_a_deleted_call_is_gone(alice, schedule):
    made = schedule().json
    assert alice.api.delete(f"/calls/{made['uuid']}").status == 204
    refused(alice.api.get(f"/calls/{made['id']}"), 404)
    assert ids(alice.api.get("/calls")) == []


def remind():
    """Begins the job as the schedule does. Who was reminded since, in order."""
    before = Mail.objects.count()
    run_periodic("remind_of_calls")
    job = Outbox.objects.filter(operation="remind_of_calls").latest("pk")
    assert (job.status, job.error) == ("done", "")
    rows = Mail.objects.filter(kind="call_reminders").order_by("pk")
    return [row.recipient for row in rows][before:]


def begins_in(call, minutes):
    Call.objects.filter(pk=call).update(scheduled_for=timezone.now() + timedelta(minutes=minutes))


@pytest.mark.django_db(transaction=True)
def test_its_owner_is_reminded_a_quarter_of_an_hour_before_once_for_each_time(schedule):
    options = registry.operations["remind_of_calls"].declaration.job
    assert (options.queue, options.every) == ("mail", 60)
    made = schedule(notes="Overview").json["id"]
    begins_in(made, 15.5)
    assert remind() == []
    begins_in(made, 14.5)
    assert [remind(), remind()] == [["alice@example.com"], []]
    begins_in(made, 10)
    assert remind() == ["alice@example.com"]
    text = Mail.objects.latest("pk").text
    assert text.startswith("You have a call with Maria soon.\n\nTalk\n")
    assert "Maria, Azollon\nmaria@example.com\n\nOverview" in text


@pytest.mark.django_db(transaction=True)
def test_of_more_than_one_run_takes_all_are_reminded(maria):
    soon = timezone.now() + timedelta(minutes=5)
    Call.objects.bulk_create(Call(contact_id=maria["id"], title="Talk", scheduled_for=soon) for _ in range(120))
    run_periodic("remind_of_calls")
    run_jobs("remind_of_calls")
    assert Mail.objects.filter(kind="call_reminders").count() == 120
    rows = Outbox.objects.filter(operation="remind_of_calls")
    assert list(rows.values_list("status", flat=True)) == ["done"] * 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("status", ["cancelled", "completed"])
def test_of_one_that_is_cancelled_or_took_place_nobody_is_reminded(alice, schedule, status):
    made = schedule().json["id"]
    begins_in(made, 5)
    alice.api.patch(f"/calls/{made}/status?new_status={status}")
    assert remind() == []
    alice.api.patch(f"/calls/{made}/status?new_status=rescheduled")
    assert remind() == ["alice@example.com"]


@pytest.mark.django_db(transaction=True)
def test_a_call_that_has_begun_reminds_nobody(schedule):
    begins_in(schedule().json["id"], -1)
    assert remind() == []
