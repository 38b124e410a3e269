"""The pages behind the links in mails: what a browser may do with them, and that a token stays nowhere."""

import base64
import hashlib
import re

import pytest
from django.test import Client

from accounts.links import INVITATION, PASSWORD_RESET, never_again_path, password_url, unsubscribe_path
from accounts.models import UnwantedMail
from accounts.tests.assertions import nothing_changes

NEW = "a long and lonely road"


def links(person):
    return {
        "/reset": password_url(person.user, PASSWORD_RESET).removeprefix("http://localhost:8000"),
        "/join": password_url(person.user, INVITATION).removeprefix("http://localhost:8000"),
        "/unsubscribe": unsubscribe_path("bob@example.com", "task_due"),
    }


each_page = pytest.mark.parametrize("path", ["/reset", "/join", "/unsubscribe"])


def token_in(page):
    return re.search(r'name="token" value="([^"]+)"', page.content.decode())[1]


def guarded(response):
    """Nothing of it is loaded, run, framed, kept or told of elsewhere."""
    policy = dict(part.strip().partition(" ")[::2] for part in response["Content-Security-Policy"].split(";"))
    assert {name: value for name, value in policy.items() if name != "style-src"} == {
        "default-src": "'none'",
        "form-action": "'self'",
        "frame-ancestors": "'none'",
        "base-uri": "'none'",
    }
    styles = re.findall(r"<style>(.*?)</style>", response.content.decode(), re.S)
    for style in styles:
        digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
        assert policy["style-src"] == f"'sha256-{digest}'"
    assert re.findall(r"<script|style=|\son\w+=|<img|<link|<iframe", response.content.decode()) == []
    assert response["Referrer-Policy"] == "no-referrer"
    assert response["Cache-Control"] == "no-store"
    return len(styles) == 1


@each_page
def test_the_token_leaves_the_address_and_is_in_a_cookie_for_this_page_alone(alice, settings, path):
    settings.HTTPS = True
    link = links(alice)[path]
    with nothing_changes():
        moved = Client().get(link)
    assert (moved.status_code, moved["Location"], moved.content) == (302, path, b"")
    assert guarded(moved) is False
    cookie = moved.cookies["meshwork_link"]
    assert cookie.value.replace(":", "%3A") == link.partition("token=")[2]
    assert {name: value for name, value in cookie.items() if value and name != "expires"} == {
        "path": path, "max-age": 900, "httponly": True, "samesite": "Lax", "secure": True,
    }  # fmt: skip


@each_page
def test_it_works_without_scripts_twice_and_after_a_scanner(alice, path):
    link = links(alice)[path]
    scanner, browser = Client(), Client(enforce_csrf_checks=True)
    with nothing_changes():
        assert scanner.head(link).status_code == 302
        assert Client().get(link, follow=True).status_code == 200
        for _ in range(2):
            page = browser.get(link, follow=True)
            assert (page.status_code, page.request["QUERY_STRING"]) == (200, "")
            assert guarded(page)
        assert browser.get(path).status_code == 200
        assert browser.get(path + "/").status_code == 200
    sent = {"token": token_in(page)} | ({} if path == "/unsubscribe" else {"new_password": NEW})
    done = browser.post(path, sent)
    assert done.status_code == 200
    assert guarded(done)
    assert done.cookies["meshwork_link"]["max-age"] == 0
    assert done.cookies["meshwork_link"]["path"] == path


def test_of_two_links_in_two_windows_each_form_has_its_own(alice, bob):
    browser = Client()
    first = browser.get(links(alice)["/reset"], follow=True)
    second = browser.get(links(bob)["/reset"], follow=True)
    assert "For alice@example.com." in first.content.decode()
    assert "For bob@example.com." in second.content.decode()
    assert browser.post("/reset", {"token": token_in(first), "new_password": NEW}).status_code == 200
    alice.user.refresh_from_db()
    bob.user.refresh_from_db()
    assert (alice.user.check_password(NEW), bob.user.check_password(NEW)) == (True, False)


def test_the_cookie_alone_changes_nothing(alice):
    """A form of another site has no token."""
    browser = Client()
    browser.get(links(alice)["/reset"])
    with nothing_changes():
        page = browser.post("/reset", {"new_password": NEW})
    assert "We mail you a link" in page.content.decode()
    browser.get(links(alice)["/unsubscribe"])
    with nothing_changes():
        assert browser.post("/unsubscribe", {}).status_code == 422


def test_mail_programs_still_post_to_the_address_with_the_token(alice):
    for path in (unsubscribe_path("bob@example.com", "task_due"), never_again_path("eve@example.com")):
        assert Client(enforce_csrf_checks=True).post(path, {"List-Unsubscribe": "One-Click"}).status_code == 200
    assert UnwantedMail.objects.count() == 1


@pytest.mark.parametrize("token", ["x", "", "x" * 2001, "\r\nSet-Cookie: a=b", "a b;c", "\x00", "é", "%00%0d"])
@each_page
def test_what_is_no_token_is_refused_where_it_is_shown_and_forgotten(db, path, token):
    browser = Client()
    with nothing_changes():
        moved = browser.get(path, {"token": token})
        assert (moved.status_code, moved["Location"]) == (302, path)
        assert len(moved.cookies) == 1
        page = browser.get(path)
    assert page.status_code == 422
    assert guarded(page)
    assert page.cookies["meshwork_link"]["max-age"] == 0
    if path != "/unsubscribe":
        assert "We mail you a link" in Client().get(path).content.decode()


@each_page
def test_refusals_have_the_same_headers(db, settings, path):
    assert guarded(Client().put(path)) is False
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "1/min"}
    sent = {"token": unsubscribe_path("bob@example.com", "task_due").partition("token=")[2].replace("%3A", ":")}
    answers = [Client().post(path, sent if path == "/unsubscribe" else {"email": "a@example.com"}) for _ in range(2)]
    assert [answer.status_code for answer in answers] == [200, 429]
    assert guarded(answers[1])


BROKEN_FORMS = {
    "no boundary": ("multipart/form-data", b"a=1"),
    "a boundary that is none": ("multipart/form-data; boundary=\xe4".encode("latin-1").decode("latin-1"), b"a=1"),
    "too many fields": ("application/x-www-form-urlencoded", b"&".join(b"a%d=1" % n for n in range(1001))),
}


@each_page
@pytest.mark.parametrize("form", BROKEN_FORMS)
def test_a_form_that_cannot_be_read_is_the_senders_fault(db, caplog, path, form):
    content_type, body = BROKEN_FORMS[form]
    answer = Client().generic("POST", path, body, content_type)
    assert answer.status_code == 400
    assert guarded(answer) is True
    assert [record for record in caplog.records if record.levelname == "ERROR"] == []


@each_page
def test_a_form_that_is_too_large_is_told_so(db, path):
    answer = Client().post(path, {"token": "a" * 3_000_000}, content_type="application/x-www-form-urlencoded")
    assert answer.status_code == 413
    assert guarded(answer) is True


@each_page
def test_looking_at_a_page_counts_as_a_request_of_the_address(db, settings, path):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_READ": "2/min"}
    answers = [Client().get(path) for _ in range(3)]
    assert [answer.status_code for answer in answers][-1] == 429
    assert (answers[-1]["Retry-After"], answers[-1]["RateLimit"]) == ("60", '"read";r=0;t=60')
