"""GET and PATCH /users/me."""

import pytest

from accounts.models import User
from accounts.tests.assertions import TIME, faults, nothing_changes, refused


def me(person, **fields):
    return {
        "id": person.id,
        "email": person.user.email,
        "name": person.user.name,
        "role": person.user.role,
        "is_active": True,
        "created_at": TIME,
        "updated_at": TIME,
    } | fields


def test_everyone_sees_themselves(alice, ada):
    assert alice.api.get("/users/me").json == me(alice, email="alice@example.com", name="Alice", role="AGENT")
    assert ada.api.get("/users/me").json == me(ada, role="ADMIN")


def test_nobody_is_nobody(db, anonymous):
    refused(anonymous.get("/users/me"), 401)
    with nothing_changes():
        refused(anonymous.patch("/users/me", {"name": "x"}), 401)


@pytest.mark.parametrize("field", ["name", "full_name"])
def test_one_changes_ones_own_name(alice, field):
    before = User.objects.get().updated_at
    answer = alice.api.patch("/users/me", {field: " Alice Ä. Adams "})
    assert answer.status == 200, answer
    assert answer.json == me(alice, name="Alice Ä. Adams")
    assert alice.api.get("/users/me").json == answer.json
    assert User.objects.get().updated_at > before


def test_an_empty_change_keeps_the_name(alice):
    assert alice.api.patch("/users/me", {}).json["name"] == "Alice"


def test_a_name_has_1_to_100_characters(alice):
    assert alice.api.patch("/users/me", {"name": "x"}).json["name"] == "x"
    assert alice.api.patch("/users/me", {"name": "ä" * 100}).json["name"] == "ä" * 100
    with nothing_changes():
        for name in ("", "  ", "ä" * 101, None, 7, "a\x00b", ["x"]):
            found = faults(alice.api.patch("/users/me", {"name": name}))
            assert found.keys() == {("body", "name")}, name
        refused(alice.api.patch("/users/me", b'{"name": "\\ud800"}'), 400, "malformed")


@pytest.mark.parametrize("field", ["role", "email", "is_active", "password", "id", "invited_by_id"])
def test_only_the_name_is_ones_own_to_change(alice, ada, field):
    with nothing_changes():
        for person in (alice, ada):
            assert faults(person.api.patch("/users/me", {field: "ADMIN"})).keys() == {("body", field)}


def test_a_new_name_shows_at_once_in_what_others_have_cached(alice, bob):
    meeting = alice.api.post(
        "/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id]}
    ).json["id"]
    for _ in range(2):
        answer = bob.api.get(f"/meetings/{meeting}")
    assert (answer.headers["X-Cache"], answer.json["organizer"]["name"]) == ("hit", "Alice")
    alice.api.patch("/users/me", {"name": "Alicia"})
    assert bob.api.get(f"/meetings/{meeting}").json["organizer"]["name"] == "Alicia"
