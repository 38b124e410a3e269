"""The audit trail: who, through which door, what, and what became of it, also of what was refused."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mesh.models import AuditEntry
from mesh.testing import Api
from tasks.models import Project, Task


def trail() -> list[tuple[Any, ...]]:
    fields = ("actor_id", "operation", "door", "row_id", "outcome", "request_id", "address")
    return list(AuditEntry.objects.order_by("pk").values_list(*fields))


def test_a_command_leaves_who_what_which_row_and_the_request(alice):
    made = alice.api.post("/projects", {"title": "A"}, X_Request_ID="first").json["id"]
    alice.api.patch(f"/projects/{made}", {"title": "B"}, X_Request_ID="second")
    alice.api.delete(f"/projects/{made}", X_Request_ID="third")
    assert trail() == [
        (alice.id, "create_project", "rest", str(made), "ok", "first", "127.0.0.1"),
        (alice.id, "update_project", "rest", str(made), "ok", "second", "127.0.0.1"),
        (alice.id, "delete_project", "rest", "", "ok", "third", "127.0.0.1"),
    ]


def test_a_refused_command_leaves_its_code(alice, bob, charlie):
    task = Task.objects.create(creator=alice.user, assignee=bob.user, title="A")
    charlie.api.delete(f"/tasks/{task.pk}", X_Request_ID="r1")
    bob.api.delete(f"/tasks/{task.pk}", X_Request_ID="r2")
    alice.api.post("/users", {"email": "BOB@example.com", "name": "B"}, X_Request_ID="r3")
    alice.api.post("/tasks", {"title": "A", "project_id": 12345}, X_Request_ID="r4")
    Api().post("/auth/login", {"username": "alice@example.com", "password": "wrong"}, X_Request_ID="r5")
    assert trail() == [
        (charlie.id, "delete_task", "rest", "", "not_found", "r1", "127.0.0.1"),
        (bob.id, "delete_task", "rest", "", "forbidden", "r2", "127.0.0.1"),
        (alice.id, "invite_user", "rest", "", "accounts.email_taken", "r3", "127.0.0.1"),
        (alice.id, "create_task", "rest", "", "invalid", "r4", "127.0.0.1"),
        (None, "log_in", "rest", "", "unauthenticated", "r5", "127.0.0.1"),
    ]


def test_every_door_says_its_name(alice):
    alice.mesh.call_tool("create_project", {"title": "A"})
    alice.api.post("/tools/create_project", {"arguments": {"title": "A"}}, X_Request_ID="by-tool")
    call_command("mesh", "create_project", "title=A", email=alice.user.email)
    with pytest.raises(CommandError):
        call_command("mesh", "delete_project", "id=12345", email=alice.user.email)
    assert [(row[0], row[1], row[2], row[4], row[5]) for row in trail()] == [
        (alice.id, "create_project", "python", "ok", ""),
        (alice.id, "create_project", "tool", "ok", "by-tool"),
        (alice.id, "create_project", "cli", "ok", ""),
        (alice.id, "delete_project", "cli", "not_found", ""),
    ]


def test_a_replay_has_no_second_entry_and_a_read_has_none(alice):
    for _ in range(3):
        alice.api.post("/projects", {"title": "A"}, Idempotency_Key="k")
    alice.api.post("/projects", {"title": "B"}, Idempotency_Key="k")
    alice.api.get("/projects")
    alice.api.get("/projects/12345")
    assert [row[4] for row in trail()] == ["ok", "idempotency.mismatch"]


def test_no_entry_holds_what_was_sent(alice):
    Api().post("/auth/signup", {"email": "x@example.com", "password": "a long enough password", "name": "Secret"})
    Api().post("/auth/login", {"username": "x@example.com", "password": "a long enough password"})
    entries = str(list(AuditEntry.objects.values()))
    assert AuditEntry.objects.count() == 2
    assert "password" not in entries
    assert "Secret" not in entries


def test_the_entry_and_the_change_stand_or_fall_together(alice, monkeypatch):
    def broken(*values: Any) -> Any:
        raise RuntimeError("no audit today")

    monkeypatch.setattr("mesh.execution.transaction.audit_statement", broken)
    assert alice.api.post("/projects", {"title": "A"}).status == 500
    assert (Project.objects.count(), AuditEntry.objects.count()) == (0, 0)
