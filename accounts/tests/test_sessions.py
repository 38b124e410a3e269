"""GET /auth/sessions, DELETE /auth/sessions/{id}, POST /auth/logout."""

from datetime import timedelta

import pytest
from django.utils import timezone

from accounts.models import Session
from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from mesh.testing import Api


@pytest.fixture
def phone(alice, anonymous):
    """Alice signed in a second time."""
    tokens = anonymous.post(
        "/auth/login", {"username": alice.user.email, "password": alice.password}, User_Agent="Phone"
    ).json
    return Api(tokens["access_token"])


def session_of(person):
    return Session.objects.filter(user=person.user).latest("pk")


def test_the_list_shows_where_one_is_signed_in_newest_first(alice, bob, phone):
    answer = alice.api.get("/auth/sessions")
    newest, oldest = Session.objects.filter(user=alice.user).order_by("-pk")
    assert ids(answer) == [newest.pk, oldest.pk]
    assert answer.json["count"] == 2
    assert answer.json["results"][0] == {
        "id": newest.pk,
        "user_agent": "Phone",
        "address": "127.0.0.1",
        "created_at": TIME,
        "last_used_at": TIME,
        "expires_at": TIME,
    }


def test_the_list_comes_in_pages(alice, phone):
    first = alice.api.get("/auth/sessions?limit=1")
    assert (first.json["count"], len(first.json["results"])) == (2, 1)
    assert f"cursor={first.json['next']}" in first.headers["Link"]
    second = alice.api.get(f"/auth/sessions?limit=1&cursor={first.json['next']}")
    assert (second.json["count"], second.json["next"]) == (None, None)
    assert first.json["results"][0]["id"] > second.json["results"][0]["id"]


def test_ended_and_expired_sessions_are_not_listed(alice, phone):
    Session.objects.filter(pk=session_of(alice).pk).update(expires_at=timezone.now())
    assert len(ids(alice.api.get("/auth/sessions"))) == 1
    Session.objects.filter(pk=session_of(alice).pk).update(
        expires_at=timezone.now() + timedelta(days=1), ended_at=timezone.now()
    )
    assert len(ids(alice.api.get("/auth/sessions"))) == 1


def test_not_even_an_admin_sees_the_sessions_of_others(ada, alice):
    assert ids(ada.api.get("/auth/sessions")) == [session_of(ada).pk]
    with nothing_changes():
        refused(ada.api.delete(f"/auth/sessions/{session_of(alice).pk}"), 404)


def test_nobody_else_may_list_or_end(alice, charlie, anonymous):
    assert ids(charlie.api.get("/auth/sessions")) == [session_of(charlie).pk]
    with nothing_changes():
        refused(charlie.api.delete(f"/auth/sessions/{session_of(alice).pk}"), 404)
        refused(anonymous.get("/auth/sessions"), 401)
        refused(anonymous.delete(f"/auth/sessions/{session_of(alice).pk}"), 401)
    assert alice.api.get("/users/me").status == 200


def test_a_lost_phone_is_signed_out_from_the_next_request_on(alice, phone):
    session = session_of(alice)
    assert phone.get("/users/me").status == 200
    answer = alice.api.delete(f"/auth/sessions/{session.pk}")
    assert (answer.status, answer.text) == (204, "")
    refused(phone.get("/users/me"), 401)
    assert alice.api.get("/users/me").status == 200
    assert session.pk not in ids(alice.api.get("/auth/sessions"))


def test_a_session_ends_once(alice, phone):
    session = session_of(alice)
    assert alice.api.delete(f"/auth/sessions/{session.pk}").status == 204
    with nothing_changes():
        refused(alice.api.delete(f"/auth/sessions/{session.pk}"), 404)


def test_a_session_that_is_not_listed_for_its_age_cannot_be_ended(alice, phone):
    session = session_of(alice)
    Session.objects.filter(pk=session.pk).update(expires_at=timezone.now())
    with nothing_changes():
        refused(alice.api.delete(f"/auth/sessions/{session.pk}"), 404)


@pytest.mark.parametrize("id", ["0", "-1", "x", "999999", "9" * 30, "1%00"])
def test_an_id_of_no_session_is_a_404(alice, id):
    with nothing_changes():
        refused(alice.api.delete(f"/auth/sessions/{id}"), 404)


def test_logging_out_ends_this_session_alone(alice, phone):
    answer = alice.api.post("/auth/logout")
    assert (answer.status, answer.text) == (204, "")
    problem = refused(alice.api.get("/users/me"), 401, "unauthenticated")
    assert problem["detail"] == "This token is not valid, or its session has ended. Sign in again."
    assert phone.get("/users/me").status == 200
    refused(Api().post("/auth/refresh", {"refresh_token": alice.refresh_token}), 401, "accounts.session_over")


def test_logging_out_takes_no_body(alice):
    with nothing_changes():
        assert faults(alice.api.post("/auth/logout", {"refresh_token": "x"})).keys() == {("body", "refresh_token")}
    assert alice.api.post("/auth/logout", {}).status == 204


def test_logging_out_needs_somebody(anonymous, db):
    refused(anonymous.post("/auth/logout"), 401)


def test_what_was_cached_for_a_session_ends_with_it(alice):
    made = alice.api.post("/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z"}).json
    for _ in range(2):
        answer = alice.api.get(f"/meetings/{made['id']}")
    assert answer.headers["X-Cache"] == "hit"
    alice.api.post("/auth/logout")
    refused(alice.api.get(f"/meetings/{made['id']}"), 401)
    refused(alice.api.get("/meetings"), 401)
