"""POST /auth/refresh: rotation, and the end of a session whose refresh token comes twice."""

import time
from datetime import timedelta

import pytest
from django.db import connection, transaction
from django.utils import timezone
from rest_framework_simplejwt.tokens import AccessToken, RefreshToken

from accounts.models import Session
from accounts.tests.assertions import Like, at_once, faults, nothing_changes, refused
from mesh.testing import Api

JWT = Like(r"[\w-]+\.[\w-]+\.[\w-]+")


def refresh(token, api=None):
    return (api or Api()).post("/auth/refresh", {"refresh_token": token})


def test_a_refresh_token_brings_new_tokens_of_the_same_session(alice, anonymous):
    before = Session.objects.get()
    answer = refresh(alice.refresh_token)
    assert answer.status == 200, answer
    assert answer.json == {"access_token": JWT, "token_type": "bearer", "refresh_token": JWT, "expires_in": 3600}
    assert answer.json["refresh_token"] != alice.refresh_token
    after = Session.objects.get()
    assert (after.pk, after.user_id, after.ended_at) == (before.pk, alice.id, None)
    assert after.refresh_jti != before.refresh_jti
    assert after.last_used_at > before.last_used_at
    assert after.expires_at > before.expires_at
    assert Api(answer.json["access_token"]).get("/users/me").json["id"] == alice.id


def test_the_access_token_of_before_still_works_after_a_refresh(alice):
    assert refresh(alice.refresh_token).status == 200
    assert alice.api.get("/users/me").status == 200


def test_refreshing_can_go_on_and_on(alice):
    token = alice.refresh_token
    for _ in range(4):
        token = refresh(token).json["refresh_token"]
    assert Session.objects.filter(ended_at=None).count() == 1


def test_a_refresh_token_that_comes_twice_ends_its_session_for_both(alice):
    renewed = refresh(alice.refresh_token).json
    problem = refused(refresh(alice.refresh_token), 401, "accounts.token_reused")
    assert problem["detail"] == "This refresh token was used before, so its session has ended. Sign in again."
    assert Session.objects.get().ended_at is not None
    refused(Api(renewed["access_token"]).get("/users/me"), 401)
    refused(alice.api.get("/users/me"), 401)
    refused(refresh(renewed["refresh_token"]), 401, "accounts.session_over")


def test_a_token_reused_leaves_the_other_sessions_alone(alice, bob, anonymous):
    other = anonymous.post("/auth/login", {"username": alice.user.email, "password": alice.password}).json
    refresh(alice.refresh_token)
    refused(refresh(alice.refresh_token), 401)
    assert Api(other["access_token"]).get("/users/me").status == 200
    assert bob.api.get("/users/me").status == 200


def wait_until_blocked(number):
    for _ in range(400):
        with connection.cursor() as cursor:
            cursor.execute("SELECT pg_stat_clear_snapshot()")
            cursor.execute(
                "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
            )
            if cursor.fetchone()[0] >= number:
                return
        time.sleep(0.01)
    raise AssertionError("the requests never met")


@pytest.mark.django_db(transaction=True)
def test_of_two_that_refresh_at_once_with_one_token_one_wins_and_the_session_ends(alice):
    """Both are held at the session's row until both have looked at it."""
    release = []

    def hold():
        with transaction.atomic():
            Session.objects.select_for_update().get()
            release.append(True)
            wait_until_blocked(2)

    def later():
        while not release:
            time.sleep(0.01)
        return refresh(alice.refresh_token)

    _, *answers = at_once(hold, later, later)
    assert sorted(answer.status for answer in answers) == [200, 401]
    winner, loser = sorted(answers, key=lambda answer: answer.status)
    refused(loser, 401, "accounts.token_reused")
    assert Session.objects.get().ended_at is not None
    refused(Api(winner.json["access_token"]).get("/users/me"), 401)
    refused(refresh(winner.json["refresh_token"]), 401, "accounts.session_over")


def test_an_access_token_does_not_refresh_and_a_refresh_token_does_not_sign_in(alice):
    with nothing_changes():
        refused(refresh(alice.api.token), 401, "accounts.session_over")
        refused(Api(alice.refresh_token).get("/users/me"), 401)


def signed(kind, **claims):
    token = kind()
    token.payload |= claims
    return str(token)


def test_a_token_of_another_users_session_is_worth_nothing(alice, bob):
    session = Session.objects.get(user=alice.user)
    claims = {"user_id": str(bob.id), "session_id": session.pk, "jti": session.refresh_jti}
    with nothing_changes():
        refused(refresh(signed(RefreshToken, **claims)), 401)
        refused(Api(signed(AccessToken, **claims)).get("/users/me"), 401)


def test_a_token_with_odd_claims_is_a_401(alice):
    session = Session.objects.get()
    for claims in ({}, {"user_id": "x"}, {"user_id": str(alice.id)}, {"user_id": alice.id, "session_id": "x"}):
        refused(refresh(signed(RefreshToken, **claims)), 401)
        refused(Api(signed(AccessToken, **claims)).get("/users/me"), 401)
    for odd in (2**63, -1, 10**30, True, [1], None):
        refused(Api(signed(AccessToken, user_id=odd, session_id=session.pk)).get("/users/me"), 401)
        refused(Api(signed(AccessToken, user_id=alice.id, session_id=odd)).get("/users/me"), 401)


@pytest.mark.parametrize("text", ["x", "a.b.c", "....", "ey" * 900])
def test_what_is_no_token_is_a_401(alice, text):
    with nothing_changes():
        refused(refresh(text), 401, "accounts.session_over")
        refused(Api(text).get("/users/me"), 401)


def test_the_end_of_a_session_in_time_ends_its_tokens(alice):
    Session.objects.update(expires_at=timezone.now() - timedelta(seconds=1))
    with nothing_changes():
        refused(refresh(alice.refresh_token), 401, "accounts.session_over")
        refused(alice.api.get("/users/me"), 401)


def test_an_access_token_ends_after_its_hour(alice):
    session = Session.objects.get()
    claims = {"user_id": str(alice.id), "session_id": session.pk}
    now = int(time.time())
    assert Api(signed(AccessToken, **claims, exp=now + 30)).get("/users/me").status == 200
    refused(Api(signed(AccessToken, **claims, exp=now - 1)).get("/users/me"), 401)


@pytest.mark.parametrize("sent", [{}, {"refresh_token": ""}, {"refresh_token": 7}, {"refresh_token": "x" * 2001}])
def test_a_refresh_token_must_be_sent(db, anonymous, sent):
    with nothing_changes():
        assert faults(anonymous.post("/auth/refresh", sent)).keys() == {("body", "refresh_token")}


def test_a_refresh_repeated_with_its_idempotency_key_is_no_reuse(alice):
    sent = {"refresh_token": alice.refresh_token}
    first = Api().post("/auth/refresh", sent, Idempotency_Key="k")
    again = Api().post("/auth/refresh", sent, Idempotency_Key="k")
    assert (first.status, again.status) == (200, 200)
    assert again.json == first.json
    assert again.headers["Idempotent-Replay"] == "true"
    assert Session.objects.get().ended_at is None


def test_a_dry_run_is_refused_and_leaves_the_token_alone(alice):
    with nothing_changes():
        answer = Api().post("/auth/refresh", {"refresh_token": alice.refresh_token}, Prefer="dry-run")
    refused(answer, 422, "mesh.no_dry_run")
    assert refresh(alice.refresh_token).status == 200


def test_a_reuse_is_noticed_whatever_is_preferred(alice):
    """A thief asked for dry runs, so that the reuse was rolled back with them."""
    refresh(alice.refresh_token)
    refused(Api().post("/auth/refresh", {"refresh_token": alice.refresh_token}, Prefer="dry-run"), 422)
    refused(refresh(alice.refresh_token), 401, "accounts.token_reused")
    assert Session.objects.get().ended_at is not None
