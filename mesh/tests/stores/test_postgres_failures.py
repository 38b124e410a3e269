"""What callers are told when Postgres refuses: 503 with Retry-After, never a 500, and nothing is half done."""

import threading
from datetime import timedelta

import psycopg
import pytest
from django.db import connection

from mesh.testing import Api
from mesh.tests.database import sql, wait_for_a_lock
from mesh.tests.example.models import Thing


def another_connection() -> psycopg.Connection:
    keys = ("host", "port", "user", "password")
    settings = {key: connection.settings_dict[key.upper()] or None for key in keys}
    return psycopg.connect(dbname=connection.settings_dict["NAME"], **settings, autocommit=True)


@pytest.mark.django_db(transaction=True)
def test_a_row_that_others_keep_locked_is_a_503_with_retry_after(alice):
    thing = Thing.objects.create(owner=alice.user, title="Before")
    with another_connection() as other, other.transaction():
        other.execute("SELECT * FROM example_thing FOR UPDATE")
        sql("SET lock_timeout = '150ms'")
        refused = alice.api.patch(f"/things/{thing.pk}", {"title": "After"})
    sql("RESET lock_timeout")
    assert (refused.status, refused.json["code"], refused.headers["Retry-After"]) == (503, "unavailable", "1")
    assert "lock" not in refused.text
    assert Thing.objects.get().title == "Before"
    assert alice.api.patch(f"/things/{thing.pk}", {"title": "After"}).status == 200


@pytest.mark.django_db(transaction=True)
def test_a_statement_that_takes_too_long_is_a_504(alice, settings):
    settings.MESH = {**settings.MESH, "STATEMENT_TIMEOUT": timedelta(milliseconds=150)}
    thing = Thing.objects.create(owner=alice.user, title="Before")
    with another_connection() as other, other.transaction():
        other.execute("SELECT * FROM example_thing FOR UPDATE")
        refused = alice.api.patch(f"/things/{thing.pk}", {"title": "After"})
    assert (refused.status, refused.json["code"]) == (504, "deadline_exceeded")
    assert Thing.objects.get().title == "Before"


def lose_connection() -> None:
    """Postgres ends the connection that the requests of this thread use, as a restart does."""
    (pid,) = sql("SELECT pg_backend_pid()")[0]
    with another_connection() as other:
        other.execute("SELECT pg_terminate_backend(%s, 2000)", [pid])


def reconnect() -> None:
    connection.close()
    connection.close_pool()


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("path", ["/users/me", "/meetings", "/things", "/tools"])
def test_a_read_on_a_lost_connection_is_a_503_with_retry_after(alice, path):
    lose_connection()
    refused = alice.api.get(path)
    reconnect()
    assert (refused.status, refused.headers.get("Retry-After")) == (503, "2")
    assert refused.json["code"] == "unavailable"
    assert alice.api.get(path).status == 200


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize("signed_in", [True, False])
def test_a_write_on_a_lost_connection_is_a_503_and_changes_nothing(alice, signed_in):
    lose_connection()
    if signed_in:
        refused = alice.api.post("/things", {"title": "A"})
    else:
        refused = Api().post("/auth/signup", {"email": "new@example.com", "password": "a long enough password"})
    reconnect()
    assert (refused.status, refused.headers.get("Retry-After")) == (503, "2")
    assert "server closed" not in refused.text
    assert Thing.objects.count() == 0


@pytest.mark.django_db(transaction=True)
def test_a_postgres_that_takes_no_connections_is_a_503_and_afterwards_all_is_well(alice, live):
    name = connection.settings_dict["NAME"]
    connection.close()
    keys = ("host", "port", "user", "password")
    settings = {key: connection.settings_dict[key.upper()] or None for key in keys}
    with psycopg.connect(dbname="postgres", **settings, autocommit=True) as other:
        other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS false')
        try:
            other.execute("SELECT pg_terminate_backend(pid, 2000) FROM pg_stat_activity WHERE datname = %s", [name])
            first = live("GET", "/things", alice.api.token)
            write = live("POST", "/things", alice.api.token, {"title": "A"})
            health = live("GET", "/health")
        finally:
            other.execute(f'ALTER DATABASE "{name}" ALLOW_CONNECTIONS true')
            reconnect()
    assert (first[0], first[1].get("Retry-After")) == (503, "2")
    assert (write[0], write[1].get("Retry-After")) == (503, "2")
    assert (health[0], health[2]["failing"]) == (503, ["postgres"])
    for _ in range(10):
        if live("GET", "/things", alice.api.token)[0] == 200:
            break
        threading.Event().wait(0.5)
    assert live("GET", "/things", alice.api.token)[2]["count"] == 0


@pytest.mark.django_db(transaction=True)
def test_the_victim_of_a_deadlock_tries_again_by_itself(ada, person, live):
    """Postgres chooses the victim, mostly who waited first. Where it is the other side, the round does not count."""
    for round in range(5):
        eve = person(f"eve{round}", "ADMIN")
        answers = []

        def demoted(id=eve.id, answers=answers):
            answers.append(live("PATCH", f"/users/{id}", ada.api.token, {"role": "AGENT"}))

        demote = threading.Thread(target=demoted)
        try:
            with another_connection() as other, other.transaction():
                other.execute("SELECT 1 FROM accounts_user WHERE id = %s FOR UPDATE", [ada.id])
                demote.start()  # it has eve's row and waits for ada's
                wait_for_a_lock()
                other.execute("UPDATE accounts_user SET name = 'Evelyn' WHERE id = %s", [eve.id])
        except psycopg.errors.DeadlockDetected:
            continue
        finally:
            demote.join()
        assert [(status, body["role"], body["name"]) for status, _, body in answers] == [(200, "AGENT", "Evelyn")]
        return
    pytest.fail("the other side was the victim every time")
