"""Rate limits: exactly as many as allowed, also all at once; no way around them; nothing limited without Redis."""

import time
from ipaddress import ip_network

import pytest
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import mesh.stores.redis
from conftest import PASSWORD
from mesh.calling.limits import Limit
from mesh.testing import Api
from mesh.tests.example.models import Thing
from mesh.tests.live import at_once


@pytest.fixture
def limit(settings):
    def set_limits(**limits: str) -> None:
        settings.MESH = {**settings.MESH, **{f"RATE_LIMIT_{kind.upper()}": text for kind, text in limits.items()}}

    return set_limits


def login(api=None, email="alice@example.com", password=PASSWORD, **headers):
    return (api or Api()).post("/auth/login", {"username": email, "password": password}, **headers)


def test_reads_beyond_the_limit_are_a_429_that_says_when(alice, bob, limit):
    limit(read="3/min")
    answers = [alice.api.get("/users/me") for _ in range(5)]
    assert [answer.status for answer in answers] == [200, 200, 200, 429, 429]
    assert [answer.headers["RateLimit"].partition(";t=")[0] for answer in answers] == [
        '"read";r=2', '"read";r=1', '"read";r=0', '"read";r=0', '"read";r=0'
    ]  # fmt: skip
    assert {answer.headers["RateLimit-Policy"] for answer in answers} == {'"read";q=3;w=60'}
    refused = answers[-1]
    assert refused.json["code"] == "rate_limited"
    assert 1 <= int(refused.headers["Retry-After"]) <= 60
    assert refused.headers["RateLimit"].endswith(f";t={refused.headers['Retry-After']}")
    assert bob.api.get("/users/me").status == 200


def test_the_window_ends_by_itself(alice, limit):
    limit(read="1/s")
    assert [alice.api.get("/users/me").status for _ in range(2)] == [200, 429]
    time.sleep(1.1)
    assert alice.api.get("/users/me").status == 200


def test_reads_and_writes_are_counted_apart_and_a_refused_write_changes_nothing(alice, limit):
    limit(read="2/min", write="1/min")
    assert [alice.api.post("/things", {"title": "A"}).status for _ in range(3)] == [201, 429, 429]
    assert Thing.objects.count() == 1
    assert [alice.api.get("/things").status for _ in range(3)] == [200, 200, 429]


def test_a_command_called_as_a_tool_counts_as_a_write(alice, limit):
    limit(write="2/min")
    call = {"arguments": {"title": "A"}}
    assert [alice.api.post("/tools/make_thing", call).status for _ in range(4)] == [200, 200, 429, 429]
    assert Thing.objects.count() == 2
    assert alice.api.post("/things", {"title": "A"}).status == 429


def test_a_user_has_one_limit_over_all_tokens_mounts_and_addresses(alice, limit):
    other = Api(login().json["access_token"])
    limit(read="3/min")
    asked = [
        alice.api.get("/users/me"),
        other.get("/users/me"),
        Api(other.token, "/api/v2").get("/users/me/"),
        Api(other.token, "", X_Forwarded_For="192.0.2.1").get("/users"),
    ]
    assert [answer.status for answer in asked] == [200, 200, 200, 429]


@pytest.mark.parametrize("header", ["X_Forwarded_For", "X_Real_IP", "Forwarded", "X_Client_IP", "CF_Connecting_IP"])
def test_headers_do_not_dodge_the_limit_of_an_address(db, limit, header):
    limit(read="2/min")
    answers = [Api(**{header: f"192.0.2.{number}"}).get("/users/me").status for number in range(4)]
    assert answers == [401, 401, 429, 429]


def test_bad_credentials_are_counted_by_address_too(db, limit):
    limit(read="2/min")
    assert [Api(f"guess{number}").get("/users/me").status for number in range(4)] == [401, 401, 429, 429]


def test_behind_a_trusted_proxy_the_address_that_it_wrote_counts(db, limit, settings):
    limit(read="1/min")
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1"), ip_network("10.0.0.0/8")]
    statuses = [
        Api(X_Forwarded_For=hops).get("/users/me").status
        for hops in (
            "192.0.2.1",
            "192.0.2.2",
            "192.0.2.1",
            "9.9.9.9, 192.0.2.1",
            "9.9.9.8, 192.0.2.3, 10.1.2.3",
            "9.9.9.7, 192.0.2.3",
        )
    ]
    assert statuses == [401, 401, 429, 429, 401, 429]


def test_all_addresses_of_a_network_that_one_machine_has_are_one(db, limit, settings):
    limit(read="2/min", login="1/min")
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    sources = ["2001:db8::1", "2001:db8::2:3:4:5", "2001:DB8:0:0:ffff::", "2001:db8:0:1::1", "::ffff:192.0.2.1"]
    assert [Api(X_Forwarded_For=source).get("/users/me").status for source in sources] == [401, 401, 429, 401, 401]
    assert [Api(X_Forwarded_For="192.0.2.1").get("/users/me").status for _ in range(2)] == [401, 429]
    tries = [login(email=f"user{number}@example.com", X_Forwarded_For=sources[number]) for number in (0, 1, 3)]
    assert [answer.status for answer in tries] == [401, 429, 401]


def test_signing_in_is_limited_by_account_whatever_the_address_and_the_case(alice, limit, settings):
    limit(login="2/min")
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    tries = [
        login(email=email, password="wrong guess", X_Forwarded_For=f"192.0.2.{number}")
        for number, email in enumerate(("alice@example.com", "ALICE@example.com", " Alice@Example.com "))
    ]
    assert [answer.status for answer in tries] == [401, 401, 429]
    assert int(tries[-1].headers["Retry-After"]) >= 1
    assert login(X_Forwarded_For="192.0.2.99").status == 429
    assert login(email="bob@example.com", X_Forwarded_For="192.0.2.98").status == 401


def test_signing_in_is_limited_by_address_whatever_the_account(alice, limit):
    limit(login="2/min")
    assert [login(email=f"user{number}@example.com").status for number in range(3)] == [401, 401, 429]
    assert login().status == 429


def test_an_unknown_account_is_limited_like_a_known_one(alice, limit, settings):
    limit(login="1/min")
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    for email in ("alice@example.com", "nobody@example.com"):
        tries = [login(email=email, password="no", X_Forwarded_For=f"192.0.2.{n}{len(email)}") for n in range(2)]
        assert [answer.status for answer in tries] == [401, 429]


@pytest.mark.django_db(transaction=True)
def test_exactly_as_many_as_allowed_get_in_when_all_come_at_once(alice, live, limit):
    limit(write="7/min")
    answers = at_once(12, lambda n: live("POST", "/things", alice.api.token, {"title": str(n)}))
    assert sorted(status for status, _, _ in answers) == [201] * 7 + [429] * 5
    assert Thing.objects.count() == 7
    assert sorted(headers["RateLimit"].split(";")[1] for _, headers, _ in answers) == sorted(
        [f"r={left}" for left in range(7)] + ["r=0"] * 5
    )


def test_without_redis_nothing_is_limited_and_nothing_fails(alice, limit, monkeypatch):
    limit(read="1/min", login="1/min")
    monkeypatch.setattr(
        mesh.stores.redis, "get_redis_connection", lambda alias: Redis(port=1, retry=Retry(NoBackoff(), 0))
    )
    mesh.stores.redis.forget_connections()
    answers = [alice.api.get("/users/me") for _ in range(3)]
    assert [(answer.status, "RateLimit" in answer.headers) for answer in answers] == [(200, False)] * 3
    assert [login().status for _ in range(2)] == [200, 200]


def test_off_is_no_limit_and_nonsense_is_found():
    assert Limit.parse("off") is None
    assert Limit.parse("600/min") == Limit(600, 60)
    assert Limit.parse("5/h") == Limit(5, 3600)
    for text in ("", "600", "600/day", "-1/min", "a/min"):
        with pytest.raises(ValueError, match="a rate limit reads"):
            Limit.parse(text)
