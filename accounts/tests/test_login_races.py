"""A login that races a new password, a reset or a deactivation: no session is left that the old password opened."""

import time
from concurrent.futures import Future, ThreadPoolExecutor
from threading import Event, current_thread, main_thread

import pytest
from django.contrib.auth.hashers import check_password
from django.db import connection, connections

from accounts import credentials, signing_in
from accounts.links import PASSWORD_RESET, password_url
from accounts.models import Session, SessionQuerySet, User
from accounts.tests.assertions import refused
from mesh.testing import Api

NEW = "a long and lonely road"
pytestmark = pytest.mark.django_db(transaction=True)


def change(alice, ada):
    return alice.api.post("/auth/password", {"current_password": alice.password, "new_password": NEW})


def reset(alice, ada):
    token = password_url(alice.user, PASSWORD_RESET).partition("token=")[2].replace("%3A", ":")
    return Api().post("/auth/password/reset/confirm", {"token": token, "new_password": NEW})


def deactivate(alice, ada):
    return ada.api.patch(f"/users/{alice.id}", {"is_active": False})


each_end = pytest.mark.parametrize("end", [change, reset, deactivate])


def log_in(alice):
    return Api().post("/auth/login", {"username": alice.user.email, "password": alice.password})


def refresh(alice):
    return Api().post("/auth/refresh", {"refresh_token": alice.refresh_token})


class Gate:
    """Holds another thread at a place until it is opened."""

    def __init__(self) -> None:
        self.reached, self.open = Event(), Event()

    def hold(self) -> None:
        if current_thread() is not main_thread():
            self.reached.set()
            assert self.open.wait(20)


@pytest.fixture
def elsewhere():
    """Begins a call in another thread, with a connection of its own."""
    with ThreadPoolExecutor(1) as pool:

        def begin(call, *arguments) -> Future:
            def run():
                try:
                    return call(*arguments)
                finally:
                    connections.close_all()

            return pool.submit(run)

        yield begin


@pytest.fixture
def checked(monkeypatch):
    """A login is held after its password was found right, and before its session is written."""
    gate, check = Gate(), signing_in.checked_password

    def held(*arguments):
        user = check(*arguments)
        gate.hold()
        return user

    monkeypatch.setattr(signing_in, "checked_password", held)
    return gate


@pytest.fixture
def ended(monkeypatch):
    """What ends the sessions is held after it has, and before it commits."""
    gate, end = Gate(), SessionQuerySet.end

    def held(rows):
        count = end(rows)
        gate.hold()
        return count

    monkeypatch.setattr(SessionQuerySet, "end", held)
    return gate


def alive(alice):
    return Session.objects.filter(user=alice.user).active().count()


def a_login_that_is_overtaken(alice, ada, end, checked, elsewhere):
    """Its password is right; then `end` happens, whole; then its session is written."""
    login = elsewhere(log_in, alice)
    assert checked.reached.wait(20)
    assert end(alice, ada).status in (200, 204)
    checked.open.set()
    return login.result(20)


def a_login_in_the_midst(alice, ada, end, ended, elsewhere, asked):
    """`end` has ended the sessions and not committed; the login, or refresh, waits for it, or is answered before."""
    ending = elsewhere(end, alice, ada)
    assert ended.reached.wait(20)
    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(closing, asked, alice)
        for _ in range(2000):
            if answer.done() or somebody_waits():
                break
            time.sleep(0.01)
        ended.open.set()
        assert ending.result(20).status in (200, 204)
        return answer.result(20)


def closing(call, *arguments):
    try:
        return call(*arguments)
    finally:
        connections.close_all()


def somebody_waits():
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_stat_clear_snapshot()")
        cursor.execute("SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'")
        return cursor.fetchone() is not None


@each_end
def test_a_login_that_is_overtaken_opens_nothing(alice, ada, checked, elsewhere, end):
    answer = a_login_that_is_overtaken(alice, ada, end, checked, elsewhere)
    assert refused(answer, 401, "unauthenticated")["detail"] == "The e-mail or the password is wrong."
    assert alive(alice) == 0


@each_end
@pytest.mark.parametrize("asked", [log_in, refresh])
def test_what_comes_in_the_midst_opens_nothing(alice, ada, ended, elsewhere, end, asked):
    refused(a_login_in_the_midst(alice, ada, end, ended, elsewhere, asked), 401)
    assert alive(alice) == 0


@each_end
def test_without_the_condition_it_is_lost(alice, ada, checked, elsewhere, end, monkeypatch):
    monkeypatch.setattr(credentials, "_UNCHANGED", "TRUE OR %s = ''")
    assert a_login_that_is_overtaken(alice, ada, end, checked, elsewhere).status == 200
    assert alive(alice) == 1


@each_end
def test_without_the_lock_it_is_lost(alice, ada, ended, elsewhere, end, monkeypatch):
    monkeypatch.setattr(credentials, "_LOCK", "")
    assert a_login_in_the_midst(alice, ada, end, ended, elsewhere, log_in).status == 200
    assert alive(alice) == 1


def test_logins_at_once_do_not_wait_for_each_other(alice, elsewhere, monkeypatch):
    gate, tokens = Gate(), credentials._tokens

    def held(*arguments):
        gate.hold()
        return tokens(*arguments)

    monkeypatch.setattr(credentials, "_tokens", held)
    first = elsewhere(log_in, alice)
    assert gate.reached.wait(20)
    assert log_in(alice).status == 200
    gate.open.set()
    assert first.result(20).status == 200
    assert alive(alice) == 3


def test_a_stronger_hash_is_written_only_over_the_one_that_was_checked(alice, monkeypatch):
    monkeypatch.setattr("config.pytest_settings.QuickHasher.rounds", 13)
    stale = User.objects.get(pk=alice.id)
    assert log_in(alice).status == 200
    stronger = User.objects.get(pk=alice.id).password
    assert stronger != stale.password
    assert stronger.startswith("bcrypt_sha256$$2b$13$")
    User.objects.filter(pk=alice.id).update(password="bcrypt_sha256$another")
    assert stale.check_password(alice.password)
    assert User.objects.get(pk=alice.id).password == "bcrypt_sha256$another"
    assert check_password(alice.password, stronger)
