"""PATCH /users/{id}: what an ADMIN changes of others, and that it holds from the next request on."""

import pytest

from accounts.models import Session, User
from accounts.tests.assertions import TIME, at_once, faults, ids, nothing_changes, refused
from conftest import make_person
from mesh.testing import Api


def test_an_admin_changes_name_role_and_activity(ada, alice):
    before = User.objects.get(pk=alice.id).updated_at
    answer = ada.api.patch(f"/users/{alice.id}", {"name": "Alicia", "role": "ADMIN", "is_active": True})
    assert answer.status == 200, answer
    assert answer.json == {
        "id": alice.id,
        "email": "alice@example.com",
        "name": "Alicia",
        "role": "ADMIN",
        "is_active": True,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert ada.api.get(f"/users/{alice.id}").json == answer.json
    assert User.objects.get(pk=alice.id).updated_at > before


def test_only_what_is_sent_changes(ada, alice):
    assert ada.api.patch(f"/users/{alice.id}", {"name": "Alicia"}).json["role"] == "AGENT"
    assert ada.api.patch(f"/users/{alice.id}", {"role": "ADMIN"}).json["name"] == "Alicia"
    assert ada.api.patch(f"/users/{alice.id}", {}).json["role"] == "ADMIN"


def test_the_role_is_asked_before_anything_is_looked_up(alice, bob, charlie, anonymous):
    with nothing_changes():
        for person in (alice, bob, charlie):
            for id in (alice.id, bob.id, 999999, "x"):
                refused(person.api.patch(f"/users/{id}", {"name": "x"}), 403, "forbidden")
        refused(alice.api.patch(f"/users/{bob.id}", {"colour": "red"}), 403)
        refused(anonymous.patch(f"/users/{bob.id}", {"name": "x"}), 401)


@pytest.mark.parametrize("id", ["0", "999999", "x", "9" * 30])
def test_nobody_to_change_is_a_404(ada, id):
    with nothing_changes():
        refused(ada.api.patch(f"/users/{id}", {"name": "x"}), 404)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("name", ""),
        ("name", "n" * 101),
        ("name", None),
        ("role", "BOSS"),
        ("role", None),
        ("is_active", None),
        ("is_active", "perhaps"),
        ("email", "x@example.com"),
        ("password", "a long and lonely road"),
    ],
)
def test_what_is_out_of_bounds_is_named(ada, alice, field, value):
    with nothing_changes():
        assert faults(ada.api.patch(f"/users/{alice.id}", {field: value})).keys() == {("body", field)}


def test_put_is_not_for_users(ada, alice):
    with nothing_changes():
        answer = ada.api.put(f"/users/{alice.id}", {"name": "x"})
        refused(answer, 405)
    assert answer.headers["Allow"] == "GET, PATCH, HEAD, OPTIONS"


def test_a_promotion_counts_from_the_next_request(ada, alice, charlie):
    refused(alice.api.get(f"/users/{charlie.id}"), 404)
    ada.api.patch(f"/users/{alice.id}", {"role": "ADMIN"})
    assert alice.api.get("/users/me").json["role"] == "ADMIN"
    assert alice.api.get(f"/users/{charlie.id}").status == 200
    assert alice.api.patch(f"/users/{charlie.id}", {"name": "Charles"}).status == 200


def test_a_demotion_counts_from_the_next_request(ada, alice, charlie):
    ada.api.patch(f"/users/{alice.id}", {"role": "ADMIN"})
    meeting = charlie.api.post("/meetings", {"title": "Private", "scheduled_time": "2026-01-05T10:00:00Z"}).json["id"]
    for _ in range(2):
        assert alice.api.get(f"/meetings/{meeting}").status == 200
        assert ids(alice.api.get("/meetings")) == [meeting]
    ada.api.patch(f"/users/{alice.id}", {"role": "AGENT"})
    refused(alice.api.get(f"/meetings/{meeting}"), 404)
    assert ids(alice.api.get("/meetings")) == []
    refused(alice.api.get(f"/users/{charlie.id}"), 404)
    with nothing_changes():
        refused(alice.api.patch(f"/users/{charlie.id}", {"name": "x"}), 403)


def test_a_deactivation_holds_from_the_next_request_on(ada, alice, anonymous):
    meeting = alice.api.post("/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z"}).json["id"]
    for _ in range(2):
        cached = alice.api.get(f"/meetings/{meeting}")
    assert cached.headers["X-Cache"] == "hit"
    assert ada.api.patch(f"/users/{alice.id}", {"is_active": False}).json["is_active"] is False
    refused(alice.api.get(f"/meetings/{meeting}"), 401)
    refused(alice.api.get("/users/me"), 401)
    refused(anonymous.post("/auth/refresh", {"refresh_token": alice.refresh_token}), 401)
    refused(anonymous.post("/auth/login", {"username": alice.user.email, "password": alice.password}), 401)


def test_who_is_deactivated_behind_the_services_back_is_nobody_too(alice, anonymous):
    """As by a statement in the database: their sessions still run, but count for nothing."""
    User.objects.update(is_active=False)
    with nothing_changes():
        refused(alice.api.get("/users/me"), 401)
        refused(anonymous.post("/auth/refresh", {"refresh_token": alice.refresh_token}), 401)
    assert Session.objects.get().ended_at is None


def test_who_is_activated_again_signs_in_again(ada, alice, anonymous):
    ada.api.patch(f"/users/{alice.id}", {"is_active": False})
    ada.api.patch(f"/users/{alice.id}", {"is_active": True})
    refused(alice.api.get("/users/me"), 401)
    refused(anonymous.post("/auth/refresh", {"refresh_token": alice.refresh_token}), 401)
    assert Session.objects.filter(user=alice.user, ended_at=None).count() == 0
    login = anonymous.post("/auth/login", {"username": alice.user.email, "password": alice.password})
    assert Api(login.json["access_token"]).get("/users/me").status == 200


def test_who_is_deactivated_stays_in_the_rows_of_others(ada, alice, bob):
    sent = {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id]}
    meeting = alice.api.post("/meetings", sent).json["id"]
    ada.api.patch(f"/users/{bob.id}", {"is_active": False})
    assert alice.api.get(f"/meetings/{meeting}").json["attendees"][0]["id"] == bob.id
    assert alice.api.get(f"/users/{bob.id}").json["is_active"] is False


@pytest.mark.parametrize("change", [{"role": "AGENT"}, {"is_active": False}, {"role": "AGENT", "is_active": False}])
def test_the_last_admin_stays(ada, alice, change):
    with nothing_changes():
        problem = refused(ada.api.patch(f"/users/{ada.id}", change), 409, "accounts.last_admin")
    assert problem["detail"] == "This is the last active ADMIN. Make someone else an ADMIN first."
    assert ada.api.patch(f"/users/{ada.id}", {"name": "Ada L.", "role": "ADMIN", "is_active": True}).status == 200


def test_an_admin_who_is_deactivated_is_nobody_to_hand_over_to(ada, alice):
    ada.api.patch(f"/users/{alice.id}", {"role": "ADMIN"})
    ada.api.patch(f"/users/{alice.id}", {"is_active": False})
    with nothing_changes():
        refused(ada.api.patch(f"/users/{ada.id}", {"role": "AGENT"}), 409, "accounts.last_admin")


def test_of_two_admins_one_may_go(ada, alice):
    ada.api.patch(f"/users/{alice.id}", {"role": "ADMIN"})
    assert ada.api.patch(f"/users/{ada.id}", {"role": "AGENT"}).json["role"] == "AGENT"
    refused(ada.api.patch(f"/users/{ada.id}", {"role": "ADMIN"}), 403)


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("change", [{"role": "AGENT"}, {"is_active": False}])
def test_two_admins_who_remove_each_other_at_once_leave_one(ada, change):
    eve = make_person("eve", "ADMIN")
    for _ in range(3):
        User.objects.update(role="ADMIN", is_active=True)
        Session.objects.update(ended_at=None)
        answers = at_once(
            lambda: ada.api.patch(f"/users/{eve.id}", change),
            lambda: eve.api.patch(f"/users/{ada.id}", change),
        )
        assert User.objects.filter(role="ADMIN", is_active=True).count() == 1
        statuses = sorted(answer.status for answer in answers)
        assert statuses[0] == 200
        assert statuses[1] in (401, 403, 409), answers
