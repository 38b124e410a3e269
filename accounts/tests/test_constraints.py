"""What the database holds when the services are passed by."""

import pytest
from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import IntegrityError, connection, transaction
from django.db.models import ProtectedError

from accounts.models import Session, User
from accounts.tests.assertions import nothing_changes


def violates(name):
    return pytest.raises(IntegrityError, match=name)


def test_an_email_is_there_once_in_any_case(alice):
    with nothing_changes(), violates("accounts_user_email_once"), transaction.atomic():
        User.objects.create(email="ALICE@example.com")
    assert User.objects.create(email="alice@example.org").pk


def test_a_role_is_admin_or_agent(alice):
    for role in ("BOSS", "", "admin"):
        with nothing_changes(), violates("accounts_user_role_known"), transaction.atomic():
            User.objects.filter(pk=alice.id).update(role=role)


@pytest.mark.parametrize("column", ["email", "name", "role", "is_active", "created_at", "updated_at", "password"])
def test_no_column_of_a_user_is_null(alice, column):
    with violates(column), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE accounts_user SET {column} = NULL")


def test_a_session_is_someones(alice):
    with violates("user_id"), transaction.atomic():
        Session.objects.update(user=None)
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("UPDATE accounts_session SET user_id = 999999")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_a_user_with_rows_is_not_deleted(alice, bob):
    alice.api.post("/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z"})
    alice.api.post("/projects", {"title": "Web"})
    alice.api.post("/tasks", {"title": "Do", "assignee_id": bob.id})
    alice.api.post("/notes", {"content": "Text"})
    with nothing_changes():
        for user in (alice.user, bob.user):
            with pytest.raises(ProtectedError):
                user.delete()


def test_createadmin_makes_the_first_admin_and_is_safe_to_repeat(db, anonymous, capsys):
    for _ in range(2):
        call_command("createadmin", "--email", "Boss@example.com", "--password", "a long and lonely road")
    said = capsys.readouterr().out.splitlines()
    assert said == [
        "Boss@example.com is now an ADMIN; sign in at /admin/.",
        "Boss@example.com is an ADMIN; sign in at /admin/.",
    ]
    boss = User.objects.get()
    assert (boss.role, boss.is_active, boss.is_staff, boss.is_superuser) == ("ADMIN", True, True, True)
    login = anonymous.post("/auth/login", {"username": "boss@example.com", "password": "a long and lonely road"})
    assert login.status == 200


def test_createadmin_raises_an_agent_who_is_here(alice):
    call_command("createadmin", "--email", "ALICE@example.com", "--password", alice.password)
    user = User.objects.get()
    assert (user.role, user.name, user.email) == ("ADMIN", "Alice", "alice@example.com")
    assert alice.api.get("/users/me").json["role"] == "ADMIN"


def test_createadmin_with_another_password_ends_the_sessions_made_with_the_old_one(alice):
    call_command("createadmin", "--email", "alice@example.com", "--password", "a long and lonely road")
    assert alice.api.get("/users/me").status == 401


@pytest.mark.parametrize(
    ("email", "password", "message"),
    [
        ("boss", "a long and lonely road", "--email: "),
        ("boss@example.com", "12345678", "--password: This password is too common.\n--password: This password is"),
    ],
)
def test_createadmin_says_what_is_wrong(db, email, password, message):
    with nothing_changes(), pytest.raises(CommandError) as error:
        call_command("createadmin", "--email", email, "--password", password)
    assert str(error.value).startswith(message)
