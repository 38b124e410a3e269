"""A cache that is full: what is stored makes room, limits hold, and nothing fails. Large or rare answers stay out."""

import contextlib
import subprocess
import time

import pytest
from django_redis import get_redis_connection
from redis import Redis
from redis.exceptions import OutOfMemoryError

import mesh.stores.redis
from config.servers import _valkey_binary
from conftest import PASSWORD
from events.models import Event
from mesh.calling import cache
from mesh.testing import Api

KILOBYTES_64 = "x" * 65536


@pytest.fixture
def small(tmp_path, monkeypatch):
    """A Valkey with eight megabytes, under the policy of the embedded one, as the cache of this test."""
    path = tmp_path / "valkey.sock"
    command = [str(_valkey_binary()), "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(tmp_path)]
    process = subprocess.Popen([*command, "--maxmemory", "8mb", "--maxmemory-policy", "volatile-lfu"])
    redis = Redis(unix_socket_path=str(path))
    try:
        while not path.exists():
            assert process.poll() is None
            time.sleep(0.01)
        monkeypatch.setattr(mesh.stores.redis, "get_redis_connection", lambda alias: redis)
        mesh.stores.redis.forget_connections()
        yield redis
    finally:
        mesh.stores.redis.forget_connections()
        redis.close()
        process.kill()
        process.wait()


@pytest.fixture
def ten_logins(settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "10/min", "RATE_LIMIT_READ": "600/min"}


def guesses(times):
    data = {"username": "alice@example.com", "password": "a wrong guess"}
    return [Api().post("/auth/login", data).status for _ in range(times)]


def test_a_full_cache_makes_room_and_forgets_no_guess(alice, small, ten_logins):
    assert guesses(10) == [401] * 10
    for number in range(1000):
        small.set(f"meshwork:list_events:all:1:{number}", KILOBYTES_64, ex=300)
    assert small.info("stats")["evicted_keys"] > 500
    assert guesses(1) == [429]
    assert alice.api.post("/auth/login", {"username": "alice@example.com", "password": PASSWORD}).status == 429


def test_where_nothing_can_make_room_nothing_fails_and_limits_hold(alice, small, ten_logins):
    with contextlib.suppress(OutOfMemoryError):
        for _ in range(1000):
            small.rpush("a queue", KILOBYTES_64)
    with pytest.raises(OutOfMemoryError):
        small.set("anything", KILOBYTES_64)
    answers = [alice.api.get("/meetings") for _ in range(3)]
    assert [(answer.status, answer.headers.get("X-Cache")) for answer in answers] == [(200, None)] * 3
    assert [answer.headers["RateLimit"].split(";")[1] for answer in answers] == ["r=599", "r=598", "r=597"]
    assert guesses(11) == [401] * 10 + [429]


def test_counters_of_windows_that_ended_leave_nothing(small, settings, db):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_READ": "5/s"}
    for _ in range(4):
        Api().get("/users/me")
        time.sleep(1.1)
    Api().get("/users/me")
    counters = {key: small.hkeys(key) for key in small.keys("meshwork:limits:*")}
    assert len(counters) <= 2
    assert max(len(fields) for fields in counters.values()) <= 2  # the address, and the turn


@pytest.fixture
def stored():
    redis = get_redis_connection("default")
    return lambda: {key.decode().split(":")[1] for key in redis.keys("meshwork:*") if b":limits:" not in key}


@pytest.mark.parametrize(
    ("query", "kept"),
    [
        ("", True),
        ("?start_after=2030-01-15T10:00:00Z", True),
        ("?start_after=2030-01-15", True),
        ("?status=active&limit=10", True),
        ("?start_after=2030-01-15T10:00:00.000001Z", False),
        ("?end_before=2030-01-15T10:00:01Z", False),
        ("?start_after=2030-01-15T10:00:00.5%2B01:00", False),
        ("?search=summer", False),
        ("?location=hall", False),
        ("?cursor=aWQ6OTk", False),
    ],
)
def test_what_is_unlikely_to_be_asked_again_is_not_stored(db, anonymous, stored, query, kept):
    answers = [anonymous.get(f"/events{query}") for _ in range(2)]
    assert [answer.status for answer in answers] == [200, 200]
    assert stored() == ({"list_events"} if kept else set())
    assert answers[1].headers.get("X-Cache") == ("hit" if kept else None)


def test_what_is_large_is_not_stored(alice, anonymous, stored, person):
    for number in range(20):
        Event.objects.create(
            owner=alice.user, name=f"E{number}", description="d" * 5000,
            start_date="2030-01-01T00:00Z", end_date="2030-01-02T00:00Z",
        )  # fmt: skip
    assert len(anonymous.get("/events").text) > cache.MAX_STORED
    assert stored() == set()
    assert anonymous.get("/events?limit=5").headers.get("X-Cache") is None
    assert anonymous.get("/events?limit=5").headers.get("X-Cache") == "hit"


def test_one_person_stores_no_more_than_their_share_of_a_minute(monkeypatch):
    room = cache._StorageQuota()
    most = cache.MAX_STORED_EACH // cache.MAX_STORED
    assert [room.reserve("address:1", cache.MAX_STORED) for _ in range(most + 1)] == [True] * most + [False]
    assert room.reserve("address:2", cache.MAX_STORED)
    assert not room.reserve("address:2", cache.MAX_STORED + 1)
    minute = cache.time.monotonic() + 60
    monkeypatch.setattr(cache.time, "monotonic", lambda: minute)
    assert room.reserve("address:1", 1)
