"""`manage.py mesh`: the table of operations, and calling one."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from mesh.declarations.registry import registry
from mesh.tests.example.models import Thing
from tasks.models import Task


def run(*words: str) -> str:
    out = io.StringIO()
    call_command("mesh", *words, stdout=out)
    return out.getvalue()


def refusal(*words: str) -> str:
    with pytest.raises(CommandError) as refused:
        run(*words)
    return str(refused.value)


def test_the_table_names_every_operation_with_its_routes():
    table = run()
    for name, operation in registry.operations.items():
        assert name in table
        assert operation.summary in table
        for route in operation.declaration.routes:
            assert f"{route.method} {route.path}" in table
    rows = json.loads(run("--json"))
    assert [row["operation"] for row in rows] == list(registry.operations)
    assert next(row for row in rows if row["operation"] == "list_meetings")["cached"] == 60


def test_an_operation_is_called_as_someone_with_options_anywhere(alice):
    for words in (
        ("make_thing", "--as", "alice@example.com", "title=A = B"),
        ("--as", "ALICE@example.com", "make_thing", "title=A = B"),
        ("make_thing", "title=A = B", "--as=alice@example.com"),
    ):
        made = json.loads(run(*words))
        assert (made["title"], made["owner"]["id"]) == ("A = B", alice.id)
    assert Thing.objects.count() == 3


def test_values_are_text_where_text_is_taken_and_json_elsewhere(alice, bob):
    made = json.loads(
        run(
            "schedule_meeting", "title=17", "scheduled_time=2030-01-01T10:00", "duration_minutes=45",
            f"attendee_ids=[{bob.id}]", 'attendee_emails=["g@example.com"]', "--as", "alice@example.com",
        )
    )  # fmt: skip
    assert (made["title"], made["duration_minutes"], len(made["attendees"])) == ("17", 45, 2)
    assert json.loads(run("list_tasks", "overdue=true", "--as", "alice@example.com"))["count"] == 0


def test_an_answer_in_any_script_is_readable_and_none_says_done(alice):
    thing = Thing.objects.create(owner=alice.user, title="\u4e2d\u00e4")
    assert "\u4e2d\u00e4" in run("get_thing", f"id={thing.pk}", "--as", "alice@example.com")
    assert run("delete_thing", f"id={thing.pk}", "--as", "alice@example.com") == "done\n"


def test_a_dry_run_changes_nothing(alice):
    tried = json.loads(run("make_thing", "title=A", "--as", "alice@example.com", "--dry-run"))
    assert (tried["dry_run"], tried["result"]["title"], Thing.objects.count()) == (True, "A", 0)


def test_it_has_the_rights_of_whom_it_asks_as(alice, charlie):
    thing = Thing.objects.create(owner=alice.user, title="Hers")
    assert "no such thing" in refusal("get_thing", f"id={thing.pk}", "--as", "charlie@example.com")
    assert "Only an ADMIN" in refusal("update_user", f"id={alice.id}", "role=ADMIN", "--as", "alice@example.com")
    assert "Sign in" in refusal("get_thing", f"id={thing.pk}")
    assert "no active user" in refusal("get_me", "--as", "nobody@example.com")
    alice.user.is_active = False
    alice.user.save()
    assert "no active user" in refusal("get_me", "--as", "alice@example.com")


def test_what_is_wrong_is_said_all_at_once_and_without_a_traceback(alice):
    said = refusal("create_task", "title=", "project_id=x", "colour=red", "--as", "alice@example.com")
    assert said.splitlines()[0] == "The arguments are invalid:"
    assert sorted(line.strip().partition(":")[0] for line in said.splitlines()[1:]) == ["colour", "project_id", "title"]
    assert "There is no operation 'nothing'" in refusal("nothing")
    assert "not for the command line" in refusal("log_in", "username=a", "password=b")
    assert "name=value" in refusal("get_task", "17", "--as", "alice@example.com")
    assert Task.objects.count() == 0
