"""The link in mails to strangers, who have no account here: it stops all mail to their address."""

import re

import pytest
from django.core import signing
from django.db import IntegrityError, transaction
from django.test import Client

from accounts.links import never_again_path
from accounts.models import ClosedAddress, MailKind, UnwantedMail, User
from accounts.tests.assertions import nothing_changes
from accounts.tests.test_invitation import DANA, NEW, confirm, link_in
from mesh.declarations.identity import identity
from mesh.models import Mail
from mesh.testing import Api, visibility_mismatches
from mesh.tests.jobs import run_jobs
from mesh.tests.mail_server import mails_in, texts_of

GUEST = "guest@example.com"
PLAN = {"title": "Plan", "scheduled_time": "2099-01-05T10:00:00Z"}
DAY = {"name": "Open day", "start_date": "2099-01-05T10:00:00Z", "end_date": "2099-01-05T12:00:00Z"}


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def to_a_meeting(alice, email=GUEST):
    assert alice.api.post("/meetings", {**PLAN, "attendee_emails": [email]}).status == 201


def to_an_event(alice, email=GUEST):
    event = alice.api.post("/events", DAY).json["id"]
    assert alice.api.post(f"/events/{event}/attendees", {"name": "Gil", "email": email}).status == 201


def to_join(alice, email=GUEST):
    answer = alice.api.post("/users", {"email": email, "name": "Gil"})
    assert answer.status in (201, 409), answer


each_way = pytest.mark.parametrize("invite", [to_a_meeting, to_an_event, to_join])


def sent_to(folder, email=GUEST):
    run_jobs()
    return [message for message in mails_in(folder) if message["To"] == email]


def unsubscribe_path_of(message):
    return message["List-Unsubscribe"].strip().removeprefix("<http://localhost:8000").removesuffix(">")


@each_way
def test_one_click_stops_all_mail_to_a_stranger(alice, folder, invite):
    invite(alice)
    [message] = sent_to(folder)
    path = unsubscribe_path_of(message)
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    text, html = texts_of(message)
    assert path in text
    assert path.split("=")[1].split("%")[0] in html
    for _ in range(2):
        stopped = Client(enforce_csrf_checks=True).post(path, {"List-Unsubscribe": "One-Click"})
        assert stopped.status_code == 200
        assert f"{GUEST} gets no more mail from here." in stopped.content.decode()
    assert list(ClosedAddress.objects.values_list("email", flat=True)) == [GUEST]
    User.objects.filter(email=GUEST).delete()
    for again in (to_a_meeting, to_an_event, to_join):
        again(alice, GUEST.upper())
    assert len(sent_to(folder)) + len(sent_to(folder, GUEST.upper())) == 1
    assert Mail.objects.filter(recipient__iexact=GUEST).count() == 1


def test_what_was_written_before_is_dropped(alice, folder):
    to_join(alice)
    Client().post(never_again_path(GUEST))
    assert sent_to(folder) == []
    mail = Mail.objects.get()
    assert (mail.status, mail.text, mail.html) == ("dropped", "", "")


def test_looking_stops_nothing_and_the_button_does(alice, folder):
    to_join(alice)
    [message] = sent_to(folder)
    browser = Client(enforce_csrf_checks=True)
    with nothing_changes():
        page = browser.get(unsubscribe_path_of(message), follow=True)
    assert page.status_code == 200
    assert f"{GUEST} has no account here; somebody else wrote down this address." in page.content.decode()
    assert browser.post("/unsubscribe", {"token": page.context["token"]}).status_code == 200
    assert ClosedAddress.objects.count() == 1


def test_nobody_is_told_that_an_address_is_closed(alice, charlie):
    ClosedAddress.objects.create(email=GUEST)
    answers = [alice.api.post("/users", {"email": e, "name": "Gil"}) for e in (GUEST, "other@example.com")]
    assert [answer.status for answer in answers] == [201, 201]
    assert answers[0].json.keys() == answers[1].json.keys()
    kinds = (*MailKind.values, "invitation", "api_key")
    assert identity().wants_mail([(GUEST, kind) for kind in kinds]) == [False] * len(kinds)


def test_users_turn_off_single_kinds_as_before(alice, bob, folder):
    alice.api.post("/tasks", {"title": "x", "assignee_id": bob.id})
    [message] = sent_to(folder, "bob@example.com")
    Client().post(unsubscribe_path_of(message))
    assert list(UnwantedMail.objects.values_list("email", "kind")) == [("bob@example.com", "task_assigned")]
    assert ClosedAddress.objects.count() == 0


def test_a_link_from_before_somebody_joined_turns_off_what_they_can_turn_on_again(bob):
    Client().post(never_again_path("BOB@example.com"))
    assert ClosedAddress.objects.count() == 0
    assert set(bob.api.get("/users/me/notifications").json.values()) == {False}
    on = bob.api.patch("/users/me/notifications", {"task_due": True}).json
    assert [kind for kind, wanted in on.items() if wanted] == ["task_due"]
    security = [("bob@example.com", kind) for kind in ("api_key", "password_reset")]
    assert identity().wants_mail(security) == [True, True]


def test_a_password_set_with_a_mailed_link_opens_the_address_again(alice, anonymous, folder):
    alice.api.post("/users", DANA)
    [message] = sent_to(folder, DANA["email"])
    Client().post(unsubscribe_path_of(message))
    anonymous.post("/auth/password/reset", {"email": DANA["email"]})
    _, reset = sent_to(folder, DANA["email"])
    assert reset["Subject"] == "Set a new password"
    assert ClosedAddress.objects.count() == 1
    assert confirm(anonymous, link_in(reset)[1]).status == 204
    assert ClosedAddress.objects.count() == 0
    to_an_event(alice, DANA["email"])
    assert len(sent_to(folder, DANA["email"])) == 3


def test_signing_up_with_an_address_does_not_open_it_for_that_proves_nothing(alice, anonymous, folder):
    ClosedAddress.objects.create(email="guest@example.com")
    signed_up = {"email": GUEST, "password": NEW, "name": "Mallory"}
    assert anonymous.post("/auth/signup", signed_up).status == 201
    tokens = anonymous.post("/auth/login", {"username": GUEST, "password": NEW}).json
    mallory = Api(tokens["access_token"])
    assert set(mallory.get("/users/me/notifications").json.values()) == {False}
    assert set(mallory.patch("/users/me/notifications", {"responses": True}).json.values()) == {False}
    assert mallory.post("/api-keys", {"name": "Key", "scopes": ["*"]}).status == 201
    to_an_event(alice)
    assert sent_to(folder) == []


def test_a_forged_link_closes_nothing(db):
    value = [GUEST, "*"]
    forged = ["x", signing.dumps(value), signing.dumps(value, salt="accounts.invitation"), never_again_path(GUEST)[:-1]]
    with nothing_changes():
        for token in forged:
            assert Client().post("/unsubscribe", {"token": re.sub("^.*=", "", token)}).status_code == 422


def test_both_sides_of_its_scope_agree_and_the_table_keeps_it_lower(alice, bob, charlie):
    for email in ("alice@example.com", GUEST):
        ClosedAddress.objects.create(email=email)
    assert visibility_mismatches(ClosedAddress, [alice.actor, bob.actor, charlie.actor]) == []
    for email in ("Upper@example.com", GUEST):
        with pytest.raises(IntegrityError), transaction.atomic():
            ClosedAddress.objects.create(email=email)
