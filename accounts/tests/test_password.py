"""POST /auth/password: another password, and the end of every session."""

import pytest

from accounts.models import Session, User
from accounts.tests.assertions import faults, nothing_changes, refused
from mesh.testing import Api

NEW = "a long and lonely road"


def change(person, **fields):
    return person.api.post("/auth/password", {"current_password": person.password, "new_password": NEW} | fields)


def test_changing_it_ends_every_session_of_ones_own(alice, bob, anonymous):
    other = anonymous.post("/auth/login", {"username": alice.user.email, "password": alice.password}).json
    answer = change(alice)
    assert (answer.status, answer.text) == (204, "")
    refused(alice.api.get("/users/me"), 401)
    refused(Api(other["access_token"]).get("/users/me"), 401)
    for token in (alice.refresh_token, other["refresh_token"]):
        refused(anonymous.post("/auth/refresh", {"refresh_token": token}), 401, "accounts.session_over")
    assert bob.api.get("/users/me").status == 200
    assert Session.objects.filter(user=alice.user, ended_at=None).count() == 0


def test_the_new_one_signs_in_and_the_old_one_does_not(alice, anonymous):
    assert change(alice).status == 204
    refused(anonymous.post("/auth/login", {"username": alice.user.email, "password": alice.password}), 401)
    assert anonymous.post("/auth/login", {"username": alice.user.email, "password": NEW}).status == 200


def test_a_wrong_current_one_is_a_fault_of_its_field(alice):
    with nothing_changes():
        found = faults(change(alice, current_password="wrong"))
    assert found == {("body", "current_password"): "This is not your current password."}


@pytest.mark.parametrize(
    ("new", "message"),
    [
        ("sh0rt1", "This password is too short. It must contain at least 8 characters."),
        ("password123", "This password is too common."),
        ("9051847263", "This password is entirely numeric."),
        ("alice@example", "The password is too similar to the email."),
    ],
)
def test_djangos_validators_speak_on_the_field(alice, new, message):
    with nothing_changes():
        assert faults(change(alice, new_password=new)) == {("body", "new_password"): message}


@pytest.mark.parametrize("field", ["current_password", "new_password"])
@pytest.mark.parametrize("value", ["", "p" * 129, None, 7, "a\x00b"])
def test_both_have_limits(alice, field, value):
    with nothing_changes():
        assert faults(change(alice, **{field: value})).keys() == {("body", field)}


def test_both_are_needed_and_nothing_else(alice):
    with nothing_changes():
        assert faults(alice.api.post("/auth/password")).keys() == {
            ("body", "current_password"),
            ("body", "new_password"),
        }
        assert faults(change(alice, user_id=1)).keys() == {("body", "user_id")}


def test_it_needs_somebody(db, anonymous):
    refused(anonymous.post("/auth/password", {"current_password": "x", "new_password": NEW}), 401)


def test_guessing_the_current_one_is_limited(alice, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "2/min"}
    with nothing_changes():
        for _ in range(2):
            refused(change(alice, current_password="wrong"), 422)
        refused(change(alice), 429)


def test_a_dry_run_keeps_the_old_one(alice):
    with nothing_changes():
        answer = alice.api.post(
            "/auth/password", {"current_password": alice.password, "new_password": NEW}, Prefer="dry-run"
        )
    refused(answer, 422, "mesh.no_dry_run")
    assert User.objects.get().check_password(alice.password)
