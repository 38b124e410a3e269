"""POST /auth/signup: an account of your own."""

import pytest
from django.contrib.auth.hashers import identify_hasher

from accounts.models import User
from accounts.tests.assertions import TIME, at_once, faults, nothing_changes, refused
from mesh.models import Mail
from mesh.tests.jobs import run_jobs

PASSWORD = "a long and lonely road"


def sign_up(api, **fields):
    return api.post("/auth/signup", {"email": "new@example.com", "password": PASSWORD} | fields)


def test_signing_up_makes_an_agent_who_can_sign_in(db, anonymous):
    made = sign_up(anonymous, name="New Person")
    assert made.status == 201, made
    user = User.objects.get(email="new@example.com")
    assert made.json == {
        "id": user.pk,
        "email": "new@example.com",
        "name": "New Person",
        "role": "AGENT",
        "is_active": True,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.headers["Location"] == f"/api/v1/users/{user.pk}"
    assert identify_hasher(user.password).algorithm == "bcrypt_sha256"
    login = anonymous.post("/auth/login", {"username": "new@example.com", "password": PASSWORD})
    assert login.status == 200


def test_full_name_is_another_name_of_name(db, anonymous):
    assert sign_up(anonymous, full_name="Full Name").json["name"] == "Full Name"


def test_a_name_may_be_left_out_or_empty(db, anonymous):
    assert sign_up(anonymous).json["name"] == ""
    assert sign_up(anonymous, email="other@example.com", name="").json["name"] == ""


def test_name_and_full_name_together_are_refused(db, anonymous):
    with nothing_changes():
        refused(sign_up(anonymous, name="One", full_name="Other"), 422)


@pytest.mark.parametrize("field", ["role", "is_active", "id", "is_staff", "invited_by_id"])
def test_nobody_makes_more_of_themselves_than_an_agent(db, anonymous, field):
    with nothing_changes():
        assert ("body", field) in faults(sign_up(anonymous, **{field: "ADMIN"}))


@pytest.mark.parametrize("email", ["alice@example.com", "ALICE@Example.COM", "  Alice@example.com "])
def test_an_email_that_is_taken_in_any_case_is_a_conflict(alice, anonymous, email):
    with nothing_changes():
        problem = refused(sign_up(anonymous, email=email), 409, "accounts.email_taken")
    assert "already" in problem["detail"]


def test_an_email_that_only_looks_alike_is_free(person, anonymous):
    """`UPPER` folds the dotless ı and the long ſ into I and S, so it must not decide who is who."""
    person("lisa")
    assert sign_up(anonymous, email="lısa@example.com").status == 201
    assert sign_up(anonymous, email="liſa@example.com").status == 201


@pytest.mark.django_db(transaction=True)
def test_of_two_who_sign_up_at_once_with_one_email_one_gets_it(anonymous):
    answers = at_once(
        *[lambda e=e: sign_up(type(anonymous)(), email=e) for e in ("Twin@example.com", "twin@example.com")]
    )
    assert sorted(answer.status for answer in answers) == [201, 409]
    assert User.objects.filter(email__iexact="twin@example.com").count() == 1
    loser = max(answers, key=lambda answer: answer.status)
    refused(loser, 409, "accounts.email_taken")


def test_a_closed_server_refuses_strangers(db, anonymous, settings):
    settings.SIGNUP_OPEN = False
    with nothing_changes():
        problem = refused(sign_up(anonymous), 403, "accounts.signup_closed")
    assert problem["detail"] == "Sign-up is closed here. Ask a colleague for an invitation."


@pytest.mark.parametrize(
    ("password", "message"),
    [
        ("short1x", "This password is too short. It must contain at least 8 characters."),
        ("password123", "This password is too common."),
        ("9051847263", "This password is entirely numeric."),
        ("new@example.com", "The password is too similar to the email."),
    ],
)
def test_djangos_validators_speak_on_the_field(db, anonymous, password, message):
    with nothing_changes():
        problem = refused(sign_up(anonymous, password=password), 422)
    assert [(error["loc"], error["msg"]) for error in problem["errors"]] == [(["body", "password"], message)]


def test_all_that_is_wrong_with_a_password_is_said_at_once(db, anonymous):
    problem = refused(sign_up(anonymous, password="1234567"), 422)
    assert [error["msg"] for error in problem["errors"]] == [
        "This password is too short. It must contain at least 8 characters.",
        "This password is too common.",
        "This password is entirely numeric.",
    ]


def test_a_password_like_ones_own_name_is_refused(db, anonymous):
    with nothing_changes():
        found = faults(sign_up(anonymous, name="Wolfgang Amadeus", password="wolfgangamadeus"))
    assert ("body", "password") in found


def test_a_password_of_eight_to_128_characters_is_taken_as_it_is(db, anonymous):
    assert sign_up(anonymous, email="p8@example.com", password="xK3#mz9 ").status == 201
    assert anonymous.post("/auth/login", {"username": "p8@example.com", "password": "xK3#mz9 "}).status == 200
    refused(anonymous.post("/auth/login", {"username": "p8@example.com", "password": "xK3#mz9"}), 401)
    long = "päss wörd " * 12 + "12345678"
    assert len(long) == 128
    assert sign_up(anonymous, email="p128@example.com", password=long).status == 201
    assert anonymous.post("/auth/login", {"username": "p128@example.com", "password": long}).status == 200
    refused(anonymous.post("/auth/login", {"username": "p128@example.com", "password": long[:-1] + "9"}), 401)
    with nothing_changes():
        assert ("body", "password") in faults(sign_up(anonymous, password=long + "9"))


def test_a_name_has_at_most_100_characters(db, anonymous):
    assert sign_up(anonymous, name="ä" * 100).json["name"] == "ä" * 100
    with nothing_changes():
        assert ("body", "name") in faults(sign_up(anonymous, email="n101@example.com", name="ä" * 101))


def test_an_email_has_at_most_254_characters(db, anonymous):
    domain = ".".join(["d" * 63, "e" * 63, "f" * 57, "com"])
    longest = f"{'a' * 64}@{domain}"
    assert len(longest) == 254
    assert sign_up(anonymous, email=longest).json["email"] == longest
    with nothing_changes():
        assert ("body", "email") in faults(sign_up(anonymous, email=longest.replace("fff.", "ffff.")))


@pytest.mark.parametrize(
    "email", ["", "alice", "a@", "@b.com", "a b@example.com", "a@b\n.com", "a\x00@b.com", 7, None, []]
)
def test_what_is_no_email_is_refused(db, anonymous, email):
    with nothing_changes():
        assert ("body", "email") in faults(sign_up(anonymous, email=email))


def test_everything_wrong_is_named_at_once(db, anonymous):
    with nothing_changes():
        found = faults(anonymous.post("/auth/signup", {"name": 7, "password": "", "colour": "red"}))
    assert found.keys() == {("body", "email"), ("body", "password"), ("body", "name"), ("body", "colour")}


def test_a_form_is_not_for_signing_up(db, anonymous):
    with nothing_changes():
        body = f"email=new@example.com&password={PASSWORD}".encode()
        answer = anonymous.post("/auth/signup", body, Content_Type="application/x-www-form-urlencoded")
        refused(answer, 415)


def test_signing_up_counts_against_the_login_limit_of_the_address(db, anonymous, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "2/min"}
    assert sign_up(anonymous, email="one@example.com").status == 201
    assert sign_up(anonymous, email="two@example.com").status == 201
    with nothing_changes():
        answer = sign_up(anonymous, email="three@example.com")
        refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


@pytest.mark.parametrize(
    "domain",
    ["office.local", "mail.home.arpa", "office.lan", "mail.internal", "fritz.box", "example.test", "münchen.local"],
)
def test_an_email_of_a_small_network_is_taken_wherever_one_is(db, anonymous, alice, domain):
    email = f"new@{domain}"
    assert sign_up(anonymous, email=email).json["email"] == email
    assert anonymous.post("/auth/login", {"username": email.upper(), "password": PASSWORD}).status == 200
    contact = {"name": "New", "email": email, "company": "New"}
    assert alice.api.post("/contacts", contact).json["email"] == email
    meeting = {"title": "A", "scheduled_time": "2099-01-01T10:00:00Z", "attendee_emails": [f"guest@{domain}"]}
    assert alice.api.post("/meetings", meeting).json["attendees"][0]["email"] == f"guest@{domain}"
    assert alice.api.post("/users", {"name": "Other", "email": f"other@{domain}"}).status == 201
    run_jobs()
    assert {mail.recipient for mail in Mail.objects.all()} == {f"guest@{domain}", f"other@{domain}"}


@pytest.mark.parametrize(
    "domain", ["example.invalid", "localhost", "mail.localhost", "a.onion", "local", "10.0.0.1", "[10.0.0.1]"]
)
def test_an_email_that_no_mail_can_reach_is_refused(db, anonymous, domain):
    with nothing_changes():
        assert ("body", "email") in faults(sign_up(anonymous, email=f"new@{domain}"))
