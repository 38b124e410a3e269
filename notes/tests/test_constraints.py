"""What the database holds when the services are passed by; both sides of the scope."""

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from accounts.tests.assertions import nothing_changes
from mesh.testing import visibility_mismatches
from notes.models import ActionItem, Note
from tasks.models import Task


@pytest.fixture
def note(alice):
    return Note.objects.create(author=alice.user, raw_text="Text")


@pytest.fixture
def item(note):
    return ActionItem.objects.create(note=note, title="Do", quote="Text")


def violates(name):
    return pytest.raises(IntegrityError, match=name)


@pytest.mark.parametrize("status", ["", "DONE", "finished"])
def test_a_status_is_one_of_four(note, status):
    with nothing_changes(), violates("notes_note_status"), transaction.atomic():
        Note.objects.update(status=status)


def test_a_text_has_1_to_100_000_characters(note):
    for text in ("", "ä" * 100_001):
        with nothing_changes(), violates("notes_note_text"), transaction.atomic():
            Note.objects.update(raw_text=text)
    for text in ("x", "ä" * 100_000):
        assert Note.objects.update(raw_text=text) == 1


def test_an_action_item_has_a_title(item):
    with nothing_changes(), pytest.raises(IntegrityError), transaction.atomic():
        ActionItem.objects.update(title="")


def test_a_summary_has_an_end(note):
    """Every text has a length, in the database too."""
    with nothing_changes(), pytest.raises((IntegrityError, DataError)), transaction.atomic():
        Note.objects.update(summary="x" * 1_000_001)


def test_a_task_comes_from_one_action_item(item, alice, note):
    task = Task.objects.create(creator=alice.user, title="Do")
    other = ActionItem.objects.create(note=note, title="Other", quote="Text", task=task)
    with nothing_changes(), violates("task_id"), transaction.atomic():
        ActionItem.objects.exclude(pk=other.pk).update(task=task)


@pytest.mark.parametrize(
    ("model", "fields"),
    [
        (Note, {"error": 500}),
        (ActionItem, {"title": 200}),
        (ActionItem, {"assignee": 100}),
        (ActionItem, {"quote": 500}),
    ],
)
def test_texts_have_their_lengths_in_the_database_too(item, model, fields):
    [(column, length)] = fields.items()
    assert model.objects.update(**{column: "ä" * length}) == 1
    with nothing_changes(), pytest.raises(DataError), transaction.atomic():
        model.objects.update(**{column: "ä" * (length + 1)})


@pytest.mark.parametrize(
    ("table", "column"),
    [("note", c) for c in ("author_id", "raw_text", "status", "created_at", "updated_at")]
    + [("actionitem", c) for c in ("note_id", "title", "quote")],
)
def test_what_is_needed_is_not_null(item, table, column):
    with violates(column), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE notes_{table} SET {column} = NULL")


def test_who_sees_a_row_and_who_hears_of_its_changes_are_the_same(item, alice, bob, charlie):
    Note.objects.create(author=charlie.user, raw_text="Other")
    for model in (Note, ActionItem):
        assert visibility_mismatches(model, [p.actor for p in (alice, bob, charlie)]) == []
