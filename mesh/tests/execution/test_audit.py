"""The audit trail: who, through which door, what, and what became of it, also of what was refused."""

from typing import Any

import pytest
from django.core.management import CommandError, call_command

from mesh.models import AuditEntry
from mesh.testing import Api
from mesh.tests.example.models import Share, Thing


def trail() -> list[tuple[Any, ...]]:
    fields = ("actor_id", "operation", "door", "row_id", "outcome", "request_id", "address")
    return list(AuditEntry.objects.order_by("pk").values_list(*fields))


def test_a_command_leaves_who_what_which_row_and_the_request(alice):
    made = alice.api.post("/things", {"title": "A"}, X_Request_ID="first").json["id"]
    alice.api.patch(f"/things/{made}", {"title": "B"}, X_Request_ID="second")
    alice.api.delete(f"/things/{made}", X_Request_ID="third")
    assert trail() == [
        (alice.id, "make_thing", "rest", str(made), "ok", "first", "127.0.0.1"),
        (alice.id, "rename_thing", "rest", str(made), "ok", "second", "127.0.0.1"),
        (alice.id, "delete_thing", "rest", "", "ok", "third", "127.0.0.1"),
    ]


def test_a_refused_command_leaves_its_code(alice, bob, charlie):
    thing = Thing.objects.create(owner=alice.user, title="A")
    Share.objects.create(thing=thing, user=bob.user)
    charlie.api.delete(f"/things/{thing.pk}", X_Request_ID="r1")
    bob.api.delete(f"/things/{thing.pk}", X_Request_ID="r2")
    alice.api.post(f"/things/{thing.pk}/share", {"user_id": bob.id}, X_Request_ID="r3")
    alice.api.post(f"/things/{thing.pk}/share", {"user_id": 12345}, X_Request_ID="r4")
    Api().post("/auth/login", {"username": "alice@example.com", "password": "wrong"}, X_Request_ID="r5")
    assert trail() == [
        (charlie.id, "delete_thing", "rest", "", "not_found", "r1", "127.0.0.1"),
        (bob.id, "delete_thing", "rest", "", "forbidden", "r2", "127.0.0.1"),
        (alice.id, "share_thing", "rest", "", "example.shared_already", "r3", "127.0.0.1"),
        (alice.id, "share_thing", "rest", "", "invalid", "r4", "127.0.0.1"),
        (None, "log_in", "rest", "", "unauthenticated", "r5", "127.0.0.1"),
    ]


def test_every_door_says_its_name(alice):
    alice.mesh.call_tool("make_thing", {"title": "A"})
    alice.api.post("/tools/make_thing", {"arguments": {"title": "A"}}, X_Request_ID="by-tool")
    call_command("mesh", "make_thing", "title=A", email=alice.user.email)
    with pytest.raises(CommandError):
        call_command("mesh", "delete_thing", "id=12345", email=alice.user.email)
    assert [(row[0], row[1], row[2], row[4], row[5]) for row in trail()] == [
        (alice.id, "make_thing", "python", "ok", ""),
        (alice.id, "make_thing", "tool", "ok", "by-tool"),
        (alice.id, "make_thing", "cli", "ok", ""),
        (alice.id, "delete_thing", "cli", "not_found", ""),
    ]


def test_a_replay_has_no_second_entry_and_a_read_has_none(alice):
    for _ in range(3):
        alice.api.post("/things", {"title": "A"}, Idempotency_Key="k")
    alice.api.post("/things", {"title": "B"}, Idempotency_Key="k")
    alice.api.get("/things")
    alice.api.get("/things/12345")
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
    assert alice.api.post("/things", {"title": "A"}).status == 500
    assert (Thing.objects.count(), AuditEntry.objects.count()) == (0, 0)
