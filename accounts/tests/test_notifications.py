"""GET and PATCH /users/me/notifications, and the page /unsubscribe: which mails one gets."""

from concurrent.futures import ThreadPoolExecutor

import pytest
from django.core import signing
from django.db import connections
from django.test import Client

from accounts.links import unsubscribe_path
from accounts.models import ClosedAddress, MailKind, UnwantedMail
from accounts.tests.assertions import faults, nothing_changes, refused
from mesh.declarations.identity import identity
from mesh.models import Mail
from mesh.testing import visibility_mismatches
from mesh.tests.jobs import run_jobs
from mesh.tests.mail_server import mails_in

ALL = {
    "meeting_invitations": True,
    "meeting_changes": True,
    "responses": True,
    "meeting_reminders": True,
    "task_assigned": True,
    "task_due": True,
    "orders": True,
    "low_stock": True,
    "event_registrations": True,
    "event_changes": True,
    "event_reminders": True,
    "call_reminders": True,
}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def test_everything_comes_until_it_is_turned_off(alice):
    assert alice.api.get("/users/me/notifications").json == ALL
    assert set(ALL) == set(MailKind.values)


def test_a_kind_is_turned_off_and_on_again(alice, bob):
    off = alice.api.patch("/users/me/notifications", {"task_due": False, "responses": False})
    assert (off.status, off.json) == (200, {**ALL, "task_due": False, "responses": False})
    assert alice.api.patch("/users/me/notifications", {"task_due": False}).json == off.json
    assert bob.api.get("/users/me/notifications").json == ALL
    on = alice.api.patch("/users/me/notifications", {"task_due": True, "meeting_changes": True})
    assert on.json == {**ALL, "responses": False}
    assert alice.api.get("/users/me/notifications").json == on.json
    assert alice.api.patch("/users/me/notifications", {}).json == on.json


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [({"task_due": None}, "task_due"), ({"task_due": "maybe"}, "task_due"), ({"invitation": False}, "invitation")],
)
def test_a_setting_is_on_or_off_and_of_a_known_kind(alice, sent, wrong):
    with nothing_changes():
        assert faults(alice.api.patch("/users/me/notifications", sent)).keys() == {("body", wrong)}


def test_it_needs_somebody(db, anonymous):
    refused(anonymous.get("/users/me/notifications"), 401)
    with nothing_changes():
        refused(anonymous.patch("/users/me/notifications", {"task_due": False}), 401)


def test_a_dry_run_does_not_tell_who_turned_a_kind_off_was_deactivated_or_wants_no_mail(alice, bob, ada):
    def mails_only():
        tried = alice.api.post("/tasks", {"title": "x", "assignee_id": bob.id}, Prefer="dry-run").json
        return tried["mails"], [job["operation"] for job in tried["jobs"]]

    told = mails_only()
    assert told == ([{"to": "bob@example.com", "subject": "A task for you: x"}], ["send_mail"])
    bob.api.patch("/users/me/notifications", {"task_assigned": False})
    assert mails_only() == told
    ada.api.patch(f"/users/{bob.id}", {"is_active": False})
    assert mails_only() == told
    ClosedAddress.objects.create(email="bob@example.com")
    assert mails_only() == told


def test_a_dry_run_does_not_tell_which_guests_are_known_or_were_mailed_before(alice, bob, charlie):
    guests = ["new@example.com", "charlie@example.com", "off@example.com", "closed@example.com"]
    UnwantedMail.objects.create(email="off@example.com", kind="meeting_invitations")
    ClosedAddress.objects.create(email="closed@example.com")
    plan = {"title": "Plan", "scheduled_time": "2099-01-05T10:00:00Z", "attendee_emails": guests}
    tried = alice.api.post("/meetings", plan, Prefer="dry-run").json
    assert [mail["to"] for mail in tried["mails"]] == guests
    made = alice.api.post("/meetings", plan)
    run_jobs("mail_invitations")
    assert sorted(Mail.objects.values_list("recipient", flat=True)) == ["charlie@example.com", "new@example.com"]
    Mail.objects.update(key=f"meeting:{made.json['id']}:1:change")  # as if each was told of the next change already
    tried = alice.api.patch(f"/meetings/{made.json['id']}", {"title": "Other"}, Prefer="dry-run").json
    assert [mail["to"] for mail in tried["mails"]] == guests


def test_who_turned_a_kind_off_gets_none(alice, bob, folder):
    bob.api.patch("/users/me/notifications", {"task_assigned": False})
    assert alice.api.post("/tasks", {"title": "x", "assignee_id": bob.id}).status == 201
    run_jobs()
    assert (Mail.objects.count(), mails_in(folder)) == (0, [])


def test_who_was_deactivated_gets_none(alice, bob, ada, folder):
    task = alice.api.post("/tasks", {"title": "x"}).json["id"]
    ada.api.patch(f"/users/{bob.id}", {"is_active": False})
    alice.api.patch(f"/tasks/{task}", {"assignee_id": bob.id})
    assert Mail.objects.count() == 0


def test_security_mails_come_whatever_was_turned_off(alice, anonymous, folder):
    alice.api.patch("/users/me/notifications", dict.fromkeys(ALL, False))
    anonymous.post("/auth/password/reset", {"email": "alice@example.com"})
    run_jobs()
    assert [message["Subject"] for message in mails_in(folder)] == ["Set a new password"]


def test_looking_at_the_link_does_nothing_and_its_button_turns_the_kind_off(alice, bob, folder):
    alice.api.post("/tasks", {"title": "x", "assignee_id": bob.id})
    run_jobs()
    [message] = mails_in(folder)
    path = message["List-Unsubscribe"].strip().removeprefix("<http://localhost:8000").removesuffix(">")
    browser = Client(enforce_csrf_checks=True)
    with nothing_changes():
        page = browser.get(path, follow=True)
    assert page.status_code == 200
    assert "bob@example.com gets this mail: <em>Mail when someone assigns a task to you.</em>" in page.content.decode()
    done = browser.post(path, {"token": page.context["token"]})
    assert (done.status_code, "no more mails of this kind" in done.content.decode()) == (200, True)
    assert bob.api.get("/users/me/notifications").json == {**ALL, "task_assigned": False}
    assert alice.api.get("/users/me/notifications").json == ALL


def test_mail_programs_turn_it_off_in_one_click(bob):
    path = unsubscribe_path("BOB@example.com", "task_due")
    for _ in range(2):
        assert Client(enforce_csrf_checks=True).post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert bob.api.get("/users/me/notifications").json == {**ALL, "task_due": False}


def test_it_is_turned_off_as_the_database_compares_e_mails(person):
    greek = person("ΑΣ")
    assert greek.api.patch("/users/me/notifications", {"task_due": False}).json == {**ALL, "task_due": False}
    Client().post(unsubscribe_path("ΑΣ@example.com", "meeting_changes"))
    off = {**ALL, "task_due": False, "meeting_changes": False}
    assert greek.api.get("/users/me/notifications").json == off
    kinds = ("task_due", "meeting_changes", "task_assigned")
    assert identity().wants_mail([("ΑΣ@example.com", kind) for kind in kinds]) == [False, False, True]
    assert greek.api.patch("/users/me/notifications", {"task_due": True, "meeting_changes": True}).json == ALL


def test_guests_turn_it_off_too(db):
    Client().post(unsubscribe_path("guest@example.com", "meeting_changes"))
    assert list(UnwantedMail.objects.values_list("email", "kind")) == [("guest@example.com", "meeting_changes")]


def test_a_forged_link_turns_nothing_off(bob, anonymous):
    value = ["bob@example.com", "task_due"]
    forged = [
        "",
        "x",
        signing.dumps(value),
        signing.dumps(["bob@example.com", "invitation"], salt="accounts.unsubscribe"),
    ]
    with nothing_changes():
        for token in forged:
            page = Client().post("/unsubscribe", {"token": token})
            assert page.status_code == 422
            assert "This link is not whole. Copy all of it from the mail." in page.content.decode()


def test_mails_that_open_an_account_have_no_such_link():
    assert unsubscribe_path("bob@example.com", "invitation") == ""
    assert unsubscribe_path("bob@example.com", "password_reset") == ""
    with pytest.raises(ValueError, match="task_dew"):
        unsubscribe_path("bob@example.com", "task_dew")


def test_turning_off_twice_at_once_is_once(alice, bob, transactional_db):
    def off(_):
        try:
            return alice.api.patch("/users/me/notifications", {"task_due": False}).status
        finally:
            connections.close_all()

    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(off, range(4))) == [200] * 4
    assert UnwantedMail.objects.count() == 1


def test_both_sides_of_its_scope_agree(alice, bob, charlie):
    UnwantedMail.objects.create(email="alice@example.com", kind="task_due")
    UnwantedMail.objects.create(email="guest@example.com", kind="task_due")
    assert visibility_mismatches(UnwantedMail, [alice.actor, bob.actor, charlie.actor]) == []
