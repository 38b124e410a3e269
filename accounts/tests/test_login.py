"""POST /auth/login and /auth/login/access-token: signing in."""

import pytest
from django.contrib.auth.hashers import BCryptSHA256PasswordHasher

from accounts.models import Session
from accounts.tests.assertions import Like, faults, nothing_changes, refused
from mesh.testing import Api

PATHS = ["/auth/login", "/auth/login/access-token"]
FORM = "application/x-www-form-urlencoded"
JWT = Like(r"[\w-]+\.[\w-]+\.[\w-]+")
WRONG = "The e-mail or the password is wrong."


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", ["username", "email"])
def test_json_signs_in(alice, anonymous, path, field):
    answer = anonymous.post(path, {field: "alice@example.com", "password": alice.password})
    assert answer.status == 200, answer
    assert answer.json == {"access_token": JWT, "token_type": "bearer", "refresh_token": JWT, "expires_in": 3600}
    assert answer.headers["Cache-Control"] == "no-store"
    assert Api(answer.json["access_token"]).get("/users/me").json["id"] == alice.id


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("field", ["username", "email"])
def test_a_form_signs_in(alice, anonymous, path, field):
    body = f"grant_type=password&{field}=alice%40example.com&password=correct+horse+battery+staple&scope=".encode()
    answer = anonymous.post(path, body, Content_Type=FORM)
    assert answer.status == 200, answer
    assert Api(answer.json["access_token"]).get("/users/me").json["email"] == "alice@example.com"


def test_the_email_is_taken_in_any_case_with_blanks_around_it(alice, anonymous):
    assert anonymous.post("/auth/login", {"username": " ALICE@example.COM ", "password": alice.password}).status == 200


@pytest.mark.parametrize("mount", ["", "/api/v1", "/api/v2"])
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_mount_signs_in_with_and_without_a_slash(alice, mount, slash):
    answer = Api(mount=mount).post(f"/auth/login{slash}", {"username": alice.user.email, "password": alice.password})
    assert answer.status == 200


def test_a_session_remembers_where_it_began(alice, anonymous):
    sent = {"username": alice.user.email, "password": alice.password}
    assert anonymous.post("/auth/login", sent, User_Agent="Firefox " + "x" * 300).status == 200
    session = Session.objects.latest("pk")
    assert (session.user_id, session.address) == (alice.id, "127.0.0.1")
    assert session.user_agent == ("Firefox " + "x" * 300)[:255]


@pytest.mark.parametrize("path", PATHS)
def test_a_wrong_password_and_an_unknown_email_get_the_same_answer(alice, anonymous, path):
    with nothing_changes():
        wrong = anonymous.post(path, {"username": "alice@example.com", "password": "wrong"})
        unknown = anonymous.post(path, {"username": "nobody@example.com", "password": "wrong"})
    assert refused(wrong, 401, "unauthenticated")["detail"] == WRONG
    assert unknown.json == wrong.json
    assert unknown.headers["WWW-Authenticate"] == wrong.headers["WWW-Authenticate"] == 'Bearer realm="meshwork"'


def test_every_refusal_costs_one_hash(alice, bob, charlie, anonymous, monkeypatch):
    """So that nobody learns from the time it takes who is here: known, unknown, deactivated, never had a password."""
    hashed = []
    original = BCryptSHA256PasswordHasher.encode

    def counted(self, password, salt):
        hashed.append(len(salt))
        return original(self, password, salt)

    charlie.user.set_unusable_password()
    charlie.user.save()
    bob.user.is_active = False
    bob.user.save()
    monkeypatch.setattr(BCryptSHA256PasswordHasher, "encode", counted)
    for name in ("alice", "bob", "charlie", "nobody"):
        hashed.clear()
        refused(anonymous.post("/auth/login", {"username": f"{name}@example.com", "password": "wrong"}), 401)
        assert len(hashed) == 1, name


def test_who_is_deactivated_or_has_no_password_is_answered_like_anyone_unknown(alice, bob, anonymous):
    alice.user.is_active = False
    alice.user.save()
    bob.user.set_unusable_password()
    bob.user.save()
    with nothing_changes():
        for user in (alice, bob):
            answer = anonymous.post("/auth/login", {"username": user.user.email, "password": user.password})
            assert refused(answer, 401)["detail"] == WRONG


@pytest.mark.parametrize(
    ("sent", "places"),
    [
        ({}, {("body", "username"), ("body", "password")}),
        (None, {("body", "username"), ("body", "password")}),
        ({"username": "", "password": ""}, {("body", "username"), ("body", "password")}),
        ({"username": "a" * 255, "password": "p" * 129}, {("body", "username"), ("body", "password")}),
        ({"username": 7, "password": None}, {("body", "username"), ("body", "password")}),
        ({"username": "a@b.com", "password": "x", "remember": True}, {("body", "remember")}),
        ({"username": "a@b.com", "password": "x", "grant_type": "client_credentials"}, {("body", "grant_type")}),
        ({"username": "a\x00@b.com", "password": "x\x00"}, {("body", "username"), ("body", "password")}),
    ],
)
def test_what_is_missing_or_out_of_bounds_is_named(db, anonymous, sent, places):
    with nothing_changes():
        assert faults(anonymous.post("/auth/login", sent)).keys() == places


def test_a_form_names_its_faults_too(db, anonymous):
    with nothing_changes():
        found = faults(anonymous.post("/auth/login", b"username=a%40b.com&remember=1", Content_Type=FORM))
    assert found.keys() == {("body", "password"), ("body", "remember")}


def test_bad_credentials_beside_it_are_refused_here_too(alice):
    sent = {"username": alice.user.email, "password": alice.password}
    with nothing_changes():
        refused(Api("forged").post("/auth/login", sent), 401)


def test_get_is_not_for_signing_in(db, anonymous):
    answer = anonymous.get("/auth/login")
    refused(answer, 405)
    assert answer.headers["Allow"] == "POST, OPTIONS"


def test_the_limit_counts_an_account_from_wherever_it_is_tried(alice, anonymous, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "3/min"}
    wrong = {"username": "Alice@example.com", "password": "wrong"}
    for number in range(3):
        refused(anonymous.request("POST", "/auth/login", wrong, X_Forwarded_For=f"10.0.0.{number}"), 401)
    with nothing_changes():
        answer = anonymous.post("/auth/login", {"username": "alice@example.com", "password": alice.password})
        refused(answer, 429, "rate_limited")
    assert 1 <= int(answer.headers["Retry-After"]) <= 60


def login_from(address, username):
    client = Api()
    client.client.defaults["REMOTE_ADDR"] = address
    return client.post("/auth/login", {"username": username, "password": "wrong"})


def test_the_limit_counts_an_address_whatever_it_tries(db, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "3/min"}
    tried = [login_from("10.0.0.1", f"user{number}@example.com").status for number in range(4)]
    assert tried == [401, 401, 401, 429]
    assert login_from("10.0.0.2", "user9@example.com").status == 401


def test_one_account_is_limited_across_addresses_and_spellings(person, settings):
    person("lisa")
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "3/min"}
    spelled = ["lisa@example.com", "LISA@example.com", " lisa@EXAMPLE.com", "Lisa@example.com"]
    tried = [login_from(f"10.0.1.{number}", name).status for number, name in enumerate(spelled)]
    assert tried == [401, 401, 401, 429]


def test_a_lookalike_spelling_reaches_nobody(person, anonymous):
    """Else `lısa` and `liſa` would be further tries at Lisa's password, past the limit of her account."""
    lisa = person("lisa")
    for name in ("lısa", "liſa"):
        refused(anonymous.post("/auth/login", {"username": f"{name}@example.com", "password": lisa.password}), 401)
