"""POST /notes/{id}/accept: action items become tasks, once, of the note's author."""

from datetime import UTC, datetime

import pytest

from accounts.tests.assertions import faults, nothing_changes, refused
from mesh.models import Outbox
from mesh.testing import Api
from notes.models import ActionItem, Note
from tasks.models import Task

FRIDAY = datetime(2026, 3, 6, 17, tzinfo=UTC)


@pytest.fixture
def note(alice):
    return Note.objects.create(author=alice.user, raw_text="Text", summary="Short", status="done")


@pytest.fixture
def items(note):
    """Two action items of the note: (offer, call)."""
    of = {"note": note, "quote": "Maria will send the offer by Friday."}
    offer = ActionItem.objects.create(title="Send the offer", assignee="Maria", due_date=FRIDAY, **of)
    return offer.pk, ActionItem.objects.create(title="Call", **of).pk


def accept(person, note, *ids, **headers):
    return person.api.post(f"/notes/{note.pk}/accept", {"action_item_ids": list(ids)}, **headers)


def task_ids(answer) -> list:
    assert answer.status == 200, answer
    return [item["task_id"] for item in answer.json["action_items"]]


def test_a_task_has_what_its_item_says_and_nobody_to_do_it(alice, note, items):
    [made, none] = task_ids(accept(alice, note, items[0]))
    shown = alice.api.get(f"/tasks/{made}").json
    assert none is None
    assert {name: shown[name] for name in ("title", "description", "due_date", "creator_id", "assignee_id")} == {
        "title": "Send the offer",
        "description": "Maria will send the offer by Friday.",
        "due_date": "2026-03-06T17:00:00Z",
        "creator_id": alice.id,
        "assignee_id": None,
    }
    assert (shown["status"], shown["project_id"], shown["contact_id"]) == ("todo", None, None)


def test_the_tasks_are_the_authors_even_where_an_admin_accepts(alice, ada, note, items):
    assert None not in task_ids(ada.api.post(f"/notes/{note.pk}/accept", {}))
    assert list(Task.objects.values_list("creator_id", flat=True)) == [alice.id] * 2
    assert alice.api.get("/tasks").json["count"] == 2


@pytest.mark.parametrize("body", [None, {}, {"action_item_ids": None}])
def test_without_ids_all_are_taken(alice, note, items, body):
    made = task_ids(alice.api.post(f"/notes/{note.pk}/accept", body))
    assert made == list(Task.objects.order_by("pk").values_list("pk", flat=True))
    assert [Task.objects.get(pk=id).title for id in made] == ["Send the offer", "Call"]


def test_no_ids_take_none(alice, note, items):
    assert task_ids(accept(alice, note)) == [None, None]
    assert not Task.objects.exists()


def test_the_order_and_the_number_of_the_ids_make_no_difference(alice, note, items):
    offer, call = items
    made = task_ids(accept(alice, note, call, offer, call))
    assert Task.objects.count() == 2
    assert [Task.objects.get(pk=id).title for id in made] == ["Send the offer", "Call"]
    assert task_ids(accept(alice, note, offer, call)) == made
    assert Task.objects.count() == 2


def test_a_task_that_was_deleted_is_made_again(alice, note, items):
    [first, _] = task_ids(accept(alice, note, items[0]))
    assert alice.api.delete(f"/tasks/{first}").status == 204
    [second, _] = task_ids(accept(alice, note, items[0]))
    assert second > first
    assert list(Task.objects.values_list("pk", flat=True)) == [second]


def test_one_unknown_item_refuses_all_and_each_is_named(alice, note, items):
    theirs = ActionItem.objects.create(
        note=Note.objects.create(author=alice.user, raw_text="Other"), title="Other", quote="Other"
    ).pk
    with nothing_changes():
        assert faults(accept(alice, note, items[0], theirs, items[1], 999_999)) == {
            ("body", "action_item_ids", 1): "The note has no such item.",
            ("body", "action_item_ids", 3): "The note has no such item.",
        }


@pytest.mark.parametrize(
    ("ids", "place"),
    [
        ([0], (0,)), (["x"], (0,)), ([True], (0,)), ([1.5], (0,)), ([None], (0,)), ([-1], (0,)), ([2**63], (0,)),
        ("1", ()), ({"0": 1}, ()), ([1] * 51, ()),
    ],
)  # fmt: skip
def test_what_is_no_list_of_ids_is_refused(alice, note, items, ids, place):
    with nothing_changes():
        answer = alice.api.post(f"/notes/{note.pk}/accept", {"action_item_ids": ids})
        assert faults(answer).keys() == {("body", "action_item_ids", *place)}


def test_fields_that_do_not_exist_are_refused(alice, note, items):
    with nothing_changes():
        answer = alice.api.post(f"/notes/{note.pk}/accept", {"assignee_id": alice.id})
        assert faults(answer).keys() == {("body", "assignee_id")}


def test_a_note_without_items_has_none_to_accept(alice, note):
    assert task_ids(alice.api.post(f"/notes/{note.pk}/accept")) == []


def test_who_may_not(alice, bob, charlie, anonymous, note, items):
    reader = Api(X_API_Key=alice.api.post("/api-keys", {"name": "R", "scopes": ["notes:read"]}).json["key"])
    with nothing_changes():
        for person in (bob, charlie):
            assert refused(accept(person, note, *items), 404) == refused(
                person.api.post("/notes/999999/accept", {"action_item_ids": list(items)}), 404
            )
        refused(anonymous.post(f"/notes/{note.pk}/accept"), 401)
    refused(reader.post(f"/notes/{note.pk}/accept"), 403)
    assert task_ids(reader.get(f"/notes/{note.pk}")) == [None, None]
    assert not Task.objects.exists()


def test_a_dry_run_shows_the_tasks_and_makes_none(alice, note, items):
    with nothing_changes():
        tried = accept(alice, note, *items, Prefer="dry-run").json
        assert (tried["dry_run"], tried["jobs"], tried["mails"]) == (True, [], [])
        made = [item["task_id"] for item in tried["result"]["action_items"]]
        assert None not in made
        for id in made:
            refused(alice.api.get(f"/tasks/{id}"), 404)
    shown = alice.api.get(f"/notes/{note.pk}").json["action_items"]
    assert [item["task_id"] for item in shown] == [None, None]
    assert not Outbox.objects.exists()


def test_the_same_key_accepts_once(alice, note, items):
    first = accept(alice, note, items[0], Idempotency_Key="k")
    ActionItem.objects.update(task=None)
    assert accept(alice, note, items[0], Idempotency_Key="k").json == first.json
    assert Task.objects.count() == 1
    refused(accept(alice, note, items[1], Idempotency_Key="k"), 422)


def test_the_note_that_was_read_before_shows_its_tasks_after(alice, ada, note, items):
    before = [person.api.get(f"/notes/{note.pk}").json for person in (alice, ada)]
    after = accept(alice, note, *items).json
    assert before[0] == before[1]
    assert [person.api.get(f"/notes/{note.pk}").json for person in (alice, ada)] == [after, after]
    assert alice.api.get("/notes").json["results"] == [after]
    assert after["updated_at"] == before[0]["updated_at"]
