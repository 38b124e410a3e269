"""POST /users without a password, and the page /join: an invitation, by mail, to choose one."""

import re
import time
from datetime import timedelta

import pytest
from django.core import signing
from django.test import Client

from accounts.models import Session, User
from accounts.tests.assertions import faults, nothing_changes, refused
from mesh.models import Mail
from mesh.tests.jobs import run_jobs
from mesh.tests.mail_server import mails_in, texts_of

NEW = "a long and lonely road"
DANA = {"email": "Dana@example.com", "name": "Dana"}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def link_in(message):
    """The path and the token of the one link for the recipient alone."""
    [(path, token)] = re.findall(r"http://localhost:8000(/reset|/join)\?token=(\S+)\n", texts_of(message)[0])
    return path, token.replace("%3A", ":")


def invited(person, folder):
    answer = person.api.post("/users", DANA)
    assert answer.status == 201, answer
    run_jobs()
    [message] = mails_in(folder)
    return answer.json, message


def confirm(api, token, password=NEW):
    return api.post("/auth/password/reset/confirm", {"token": token, "new_password": password})


def test_an_invited_person_gets_one_mail_with_a_link(alice, folder):
    user, message = invited(alice, folder)
    assert message["To"] == "Dana@example.com"
    assert message["Subject"] == "Alice invites you to Meshwork"
    assert message["List-Unsubscribe"].strip().startswith("<http://localhost:8000/unsubscribe?token=")
    path, token = link_in(message)
    assert path == "/join"
    text, html = texts_of(message)
    assert text.startswith("Hello Dana,\n\nAlice has made an account for you at Meshwork.")
    assert "The link works once, for 7 days." in text
    assert f"/join?token={token.replace(':', '%3A')}" in html
    assert Mail.objects.get().key == f"invitation:{user['id']}"


def test_what_opens_an_account_is_not_kept_once_it_is_sent(alice, folder):
    alice.api.post("/users", DANA)
    assert "/join?token=" in Mail.objects.get().text
    run_jobs()
    mail = Mail.objects.get()
    assert (mail.status, mail.text, mail.html) == ("sent", "", "")


def test_the_link_sets_the_password_once(alice, anonymous, folder):
    _, message = invited(alice, folder)
    token = link_in(message)[1]
    answer = confirm(anonymous, token)
    assert (answer.status, answer.text) == (204, "")
    assert anonymous.post("/auth/login", {"username": "dana@example.com", "password": NEW}).status == 200
    with nothing_changes():
        assert faults(confirm(anonymous, token, "another long road")) == {
            ("body", "token"): "This link was used, or its time is over. Ask for a new one."
        }


def test_it_is_over_after_seven_days(alice, anonymous, folder, settings):
    _, message = invited(alice, folder)
    token = link_in(message)[1]
    value = signing.loads(token, salt="accounts.invitation")
    for age, status in ((timedelta(days=7, seconds=1), 422), (timedelta(days=6, hours=23), 204)):
        assert confirm(anonymous, _made_ago(value, age)).status == status


def _made_ago(value, age):
    """The token as it would have been made some time ago."""

    then = time.time() - age.total_seconds()
    signer = signing.TimestampSigner(salt="accounts.invitation")
    signer.timestamp = lambda: signing.b62_encode(int(then))
    return signer.sign_object(value)


def test_with_a_password_there_is_no_mail(ada, folder):
    assert ada.api.post("/users", {**DANA, "password": NEW}).status == 201
    run_jobs()
    assert Mail.objects.count() == 0


def test_a_refused_invitation_mails_nobody(alice, bob):
    with nothing_changes():
        refused(alice.api.post("/users", {"email": "BOB@example.com", "name": "x"}), 409, "accounts.email_taken")
        refused(alice.api.post("/users", {**DANA, "role": "ADMIN"}), 403)
    assert Mail.objects.count() == 0


def test_a_dry_run_does_not_tell_who_has_an_account(alice, bob):
    with nothing_changes():
        answers = [
            alice.api.post("/users", {**DANA, "email": e}, Prefer="dry-run") for e in (DANA["email"], "bob@example.com")
        ]
    assert refused(answers[0], 422, "mesh.no_dry_run") == answers[1].json
    assert Mail.objects.count() == 0


def test_an_inviter_without_a_name_is_known_by_their_email(alice, folder):
    User.objects.filter(pk=alice.id).update(name="")
    assert invited(alice, folder)[1]["Subject"] == "alice@example.com invites you to Meshwork"


@pytest.mark.parametrize("email", ["dana@example.com\r\nBcc: eve@example.com", "dana@example.com,eve@example.com"])
def test_an_email_is_one_address(alice, email):
    with nothing_changes():
        assert faults(alice.api.post("/users", {"email": email, "name": "Dana"})).keys() == {("body", "email")}
    assert Mail.objects.count() == 0


def test_the_page_sets_the_password(alice, anonymous, folder):
    _, message = invited(alice, folder)
    path, token = link_in(message)
    browser = Client(enforce_csrf_checks=True)
    page = browser.get(path, {"token": token}, follow=True)
    assert page.status_code == 200
    assert "For Dana@example.com." in page.content.decode()
    assert page["Cache-Control"] == "no-store"
    assert page["Referrer-Policy"] == "no-referrer"
    assert not User.objects.get(email="Dana@example.com").has_usable_password()

    weak = browser.post(path, {"token": token, "new_password": "dana"})
    assert weak.status_code == 422
    assert "This password is too short. It must contain at least 8 characters." in weak.content.decode()
    done = browser.post(path, {"token": token, "new_password": NEW})
    assert done.status_code == 200
    assert "Your password is set" in done.content.decode()
    assert anonymous.post("/auth/login", {"username": "dana@example.com", "password": NEW}).status == 200

    again = browser.get(path, {"token": token}, follow=True)
    assert again.status_code == 422
    assert "This link was used, or its time is over. Ask for a new one." in again.content.decode()
    assert browser.post(path, {"token": token, "new_password": NEW}).status_code == 422
    assert Session.objects.filter(user__email="Dana@example.com").count() == 1


def test_someone_who_was_deactivated_meanwhile_stays_outside(ada, anonymous, folder):
    user, message = invited(ada, folder)
    ada.api.patch(f"/users/{user['id']}", {"is_active": False})
    with nothing_changes():
        assert faults(confirm(anonymous, link_in(message)[1])).keys() == {("body", "token")}
