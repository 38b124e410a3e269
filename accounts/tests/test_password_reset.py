"""POST /auth/password/reset and …/confirm, and the page /reset: a new password for who forgot theirs."""

import logging
from datetime import timedelta
from ipaddress import ip_network

import pytest
from django.core import signing
from django.db.models import F
from django.http import HttpResponse
from django.test import Client

from accounts.links import PASSWORD_RESET, password_url
from accounts.models import User
from accounts.tests.assertions import at_once, faults, nothing_changes, refused
from accounts.tests.test_invitation import NEW, confirm, link_in
from mesh.models import AuditEntry, Mail, Outbox
from mesh.testing import Answered, Api
from mesh.tests.jobs import run_jobs
from mesh.tests.mail_server import mails_in, texts_of

OVER = {("body", "token"): "This link was used, or its time is over. Ask for a new one."}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def ask(api, email):
    return api.post("/auth/password/reset", {"email": email})


def token_for(person):
    return password_url(person.user, PASSWORD_RESET).partition("token=")[2].replace("%3A", ":")


def time_goes_by(minutes=5):
    User.objects.update(reset_mailed_at=F("reset_mailed_at") - timedelta(minutes=minutes))


def signs_in(email, password):
    return Api().post("/auth/login", {"username": email, "password": password}).status == 200


def test_the_mail_holds_a_link_that_sets_a_new_password_and_ends_every_session(alice, bob, anonymous, folder):
    answer = ask(anonymous, "ALICE@example.com")
    assert (answer.status, answer.text) == (202, "")
    run_jobs()
    [message] = mails_in(folder)
    assert message["To"] == "alice@example.com"
    assert message["Subject"] == "Set a new password"
    assert "List-Unsubscribe" not in message
    assert "The link works once, for 60 minutes." in texts_of(message)[0]
    path, token = link_in(message)
    assert path == "/reset"
    done = confirm(anonymous, token)
    assert (done.status, done.text) == (204, "")
    refused(alice.api.get("/users/me"), 401)
    refused(anonymous.post("/auth/refresh", {"refresh_token": alice.refresh_token}), 401, "accounts.session_over")
    assert bob.api.get("/users/me").status == 200
    assert signs_in("alice@example.com", NEW)
    assert not signs_in("alice@example.com", alice.password)


def test_the_mail_goes_to_the_account_with_this_e_mail_and_not_to_a_look_alike(person, anonymous, folder):
    """The capital of a dotless ı is that of an i, too."""
    for name in ("mıke", "mike"):
        person(name)
        ask(anonymous, f"{name.title()}@example.com")
    run_jobs()
    assert sorted(message["To"] for message in mails_in(folder)) == ["mike@example.com", "mıke@example.com"]


def test_nobody_can_tell_whether_an_email_is_known(alice, ada, anonymous, folder):
    User.objects.filter(pk=ada.id).update(is_active=False)
    known, unknown, inactive = (ask(anonymous, e) for e in ("alice@example.com", "eve@example.com", "ada@example.com"))
    assert known.status == unknown.status == inactive.status == 202
    assert known.text == unknown.text == inactive.text == ""
    ignored = {"X-Request-ID"}
    told = [
        {name: value for name, value in a.headers.items() if name not in ignored} for a in (known, unknown, inactive)
    ]
    assert told[0] == told[1] == told[2]
    assert list(Outbox.objects.order_by("id").values_list("operation", "arguments")) == [
        ("mail_password_reset", {"email": email})
        for email in ("alice@example.com", "eve@example.com", "ada@example.com")
    ]
    run_jobs()
    assert [message["To"] for message in mails_in(folder)] == ["alice@example.com"]


def test_a_dry_run_tells_the_same_of_everyone(alice, anonymous):
    told = []
    for email in ("alice@example.com", "eve@example.com"):
        answer = anonymous.post("/auth/password/reset", {"email": email}, Prefer="dry-run")
        told.append(refused(answer, 422, "mesh.no_dry_run"))
    assert told[0] == told[1]
    assert Outbox.objects.count() == 0


def test_asking_twice_after_a_pause_mails_twice_and_the_first_password_ends_both_links(alice, anonymous, folder):
    for _ in range(2):
        ask(anonymous, "alice@example.com")
        run_jobs()
        time_goes_by()
    first, second = (link_in(message)[1] for message in mails_in(folder))
    assert confirm(anonymous, second).status == 204
    with nothing_changes():
        assert faults(confirm(anonymous, first)) == OVER


def test_a_link_works_once_of_two_that_use_it_at_once_one_wins(alice, transactional_db):
    token = token_for(alice)
    answers = at_once(*(lambda i=i: confirm(Api(), token, f"a long and lonely road {i}") for i in range(4)))
    assert sorted(answer.status for answer in answers) == [204, 422, 422, 422]
    won = next(i for i, answer in enumerate(answers) if answer.status == 204)
    assert [signs_in("alice@example.com", f"a long and lonely road {i}") for i in range(4)] == [
        i == won for i in range(4)
    ]


def test_it_is_over_after_its_time(alice, anonymous, settings):
    token = token_for(alice)
    settings.PASSWORD_RESET_MINUTES = 0
    with nothing_changes():
        assert faults(confirm(anonymous, token)) == OVER
    settings.PASSWORD_RESET_MINUTES = 60
    assert confirm(anonymous, token).status == 204


def test_changing_the_password_ends_it(alice, anonymous):
    token = token_for(alice)
    alice.api.post("/auth/password", {"current_password": alice.password, "new_password": NEW})
    with nothing_changes():
        assert faults(confirm(anonymous, token, "another long road")) == OVER


def test_a_token_is_nobody_elses_and_of_no_other_kind(alice, bob, anonymous):
    value = signing.loads(token_for(alice), salt="accounts.password_reset")
    forged = [
        "x",
        token_for(alice)[:-1],
        token_for(alice) + "x",
        signing.dumps([bob.id, value[1]], salt="accounts.password_reset"),
        signing.dumps(value, salt="accounts.unsubscribe"),
        signing.dumps(value, salt="accounts.password_reset", key="another key that is long enough"),
        alice.refresh_token,
    ]
    with nothing_changes():
        for token in forged:
            assert faults(confirm(anonymous, token)) == OVER


def test_a_weak_password_leaves_the_link_alive(alice, anonymous):
    token = token_for(alice)
    with nothing_changes():
        assert faults(confirm(anonymous, token, "alice@example")) == {
            ("body", "new_password"): "The password is too similar to the email."
        }
    assert confirm(anonymous, token).status == 204


@pytest.mark.parametrize(
    ("sent", "wrong"),
    [
        ({}, {"token", "new_password"}),
        ({"token": "", "new_password": ""}, {"token", "new_password"}),
        ({"token": "t" * 2001, "new_password": "p" * 129}, {"token", "new_password"}),
        ({"token": "a\x00", "new_password": NEW, "more": 1}, {"token", "more"}),
    ],
)
def test_what_is_sent_has_limits(db, anonymous, sent, wrong):
    with nothing_changes():
        assert {loc[1] for loc in faults(anonymous.post("/auth/password/reset/confirm", sent))} == wrong


@pytest.mark.parametrize("email", ["", "x", "a@b.c\r\nBcc: e@x.y", "a" * 250 + "@x.yz", None, 7])
def test_an_email_is_one(db, anonymous, email):
    with nothing_changes():
        assert faults(ask(anonymous, email)).keys() == {("body", "email")}
    assert Outbox.objects.count() == 0


def test_asking_and_guessing_are_limited_each_by_a_counter_of_its_own(alice, anonymous, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "2/min"}
    assert [ask(anonymous, "alice@example.com").status for _ in range(3)] == [202, 202, 429]
    assert Client().post("/reset", {"email": "alice@example.com"}).status_code == 429
    assert [confirm(anonymous, "x").status for _ in range(3)] == [422, 422, 429]
    assert Client().post("/reset", {"token": token_for(alice), "new_password": NEW}).status_code == 429


@pytest.mark.parametrize("door", ["api", "page"])
def test_nobody_is_kept_from_signing_in_by_resets_that_others_ask_for(alice, bob, settings, door):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "3/min"}
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    for number in range(6):
        at = {"X_Forwarded_For": f"192.0.2.{number}"}
        if door == "api":
            assert ask(Api(**at), "alice@example.com").status == 202
        else:
            sent = {"email": "alice@example.com"}
            assert Client().post("/reset", sent, HTTP_X_FORWARDED_FOR=at["X_Forwarded_For"]).status_code == 200
    assert signs_in("alice@example.com", alice.password)
    for _ in range(3):  # nor by what is asked at the same address
        ask(Api(), "bob@example.com")
    assert signs_in("bob@example.com", bob.password)


def test_at_most_one_mail_goes_in_some_minutes_whoever_asks_and_the_answer_is_the_same(alice, anonymous, folder):
    answers = [ask(anonymous, email) for email in ("alice@example.com", "ALICE@example.com", "nobody@example.com")]
    run_jobs()
    answers.append(ask(anonymous, "alice@example.com"))
    run_jobs()
    assert {(answer.status, answer.text) for answer in answers} == {(202, "")}
    assert len({tuple(sorted(answer.headers.keys())) for answer in answers}) == 1
    assert [message["To"] for message in mails_in(folder)] == ["alice@example.com"]
    assert Outbox.objects.filter(operation="mail_password_reset", status="done").count() == 4
    time_goes_by(minutes=4)
    ask(anonymous, "alice@example.com")
    run_jobs()
    assert len(mails_in(folder)) == 1
    time_goes_by(minutes=1)
    ask(anonymous, "alice@example.com")
    run_jobs()
    assert len(mails_in(folder)) == 2


def test_the_pause_is_a_setting_and_each_accounts_own(alice, bob, anonymous, folder, settings):
    settings.PASSWORD_RESET_PAUSE = timedelta(hours=1)
    for person in (alice, bob):
        ask(anonymous, person.user.email)
    run_jobs()
    assert {message["To"] for message in mails_in(folder)} == {"alice@example.com", "bob@example.com"}
    time_goes_by(minutes=59)
    ask(anonymous, "alice@example.com")
    run_jobs()
    assert len(mails_in(folder)) == 2


def test_of_two_that_ask_at_once_one_is_mailed(alice, transactional_db):
    answers = at_once(*[lambda: Answered(HttpResponse(str(alice.user.may_be_mailed_a_reset())))] * 4)
    assert sorted(answer.text for answer in answers) == ["False", "False", "False", "True"]


def test_tokens_and_passwords_reach_no_log_and_no_trail(alice, anonymous, folder, caplog):
    caplog.set_level(logging.DEBUG)
    ask(anonymous, "alice@example.com")
    run_jobs()
    token = link_in(mails_in(folder)[0])[1]
    Client().get("/reset", {"token": token})
    assert confirm(anonymous, token).status == 204
    secrets = (token, token.replace(":", "%3A"), NEW)
    written = [caplog.text, str(list(AuditEntry.objects.values())), str(list(Outbox.objects.values()))]
    written.append(str(list(Mail.objects.values())))
    assert [secret for secret in secrets for text in written if secret in text] == []


def test_the_page_asks_for_an_email_and_mails_the_link(alice, folder):
    browser = Client(enforce_csrf_checks=True)
    assert "We mail you a link" in browser.get("/reset").content.decode()
    for email in ("alice@example.com", "<eve>@example.com", "eve@example.com"):
        page = browser.post("/reset", {"email": email})
        assert page.status_code == (422 if "<" in email else 200)
        assert ("Look into your mail" in page.content.decode()) is ("<" not in email)
    run_jobs()
    [message] = mails_in(folder)
    path, token = link_in(message)
    assert "For alice@example.com." in browser.get(path, {"token": token}, follow=True).content.decode()
    assert browser.post(path, {"token": token, "new_password": NEW}).status_code == 200
    assert signs_in("alice@example.com", NEW)


def test_the_page_of_a_link_that_is_over_offers_a_new_one(alice):
    page = Client().get("/reset", {"token": "x"}, follow=True)
    assert page.status_code == 422
    assert "This link does not work any more" in page.content.decode()
    assert 'action="/reset"' in page.content.decode()


def test_the_pages_take_nothing_but_get_and_post(db):
    for path in ("/reset", "/join", "/unsubscribe"):
        assert Client().put(path).status_code == 405
        browser = Client()
        assert browser.head(path + "?token=x").status_code == 302
        assert browser.head(path).status_code == 422
