"""P9: no read is older than the last write that was acknowledged before it began; the cache costs time, never truth."""

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from django_redis import get_redis_connection
from redis import Redis
from redis.backoff import NoBackoff
from redis.retry import Retry

import mesh.calling.cache
import mesh.stores.redis
from mesh.tests.example.services import ThingService
from mesh.tests.live import at_once

DEAD_PORT = 1


def share(person: Any, *others: Any, title: str = "0") -> int:
    made = person.api.post("/things", {"title": title}).json["id"]
    for other in others:
        assert person.api.post(f"/things/{made}/share", {"user_id": other.id}).status == 200
    return made


def cached_list(person: Any) -> list[dict[str, Any]]:
    """The person's list of things, which has just been answered from the cache."""
    first, second = person.api.get("/things"), person.api.get("/things")
    assert second.headers.get("X-Cache") == "hit"
    assert second.json == first.json
    return second.json["results"]


def race(live: Any, writer: Any, readers: list[Any], thing: int, rounds: int) -> tuple[int, int, int]:
    """Renames the thing again and again while others read it: (reads, stale ones, ones from the cache)."""
    acknowledged, done, found = [0], threading.Event(), []

    def read(number: int) -> None:
        person = readers[number % len(readers)]
        path = ("/things", f"/things/{thing}")[number // len(readers) % 2]
        while not done.is_set():
            least = acknowledged[0]
            status, headers, body = live("GET", path, person.api.token)
            assert status == 200
            title = (body["results"][0] if "results" in body else body)["title"]
            found.append((int(title) < least, "X-Cache" in headers))

    def write(_: int) -> None:
        try:
            for number in range(1, rounds + 1):
                status, _, _ = live("PATCH", f"/things/{thing}", writer.api.token, {"title": str(number)})
                assert status == 200
                acknowledged[0] = number
        finally:
            done.set()

    at_once(5, lambda number: write(0) if number == 4 else read(number))
    return len(found), sum(stale for stale, _ in found), sum(hit for _, hit in found)


@pytest.mark.django_db(transaction=True)
def test_three_hundred_writes_against_four_readers_leave_no_stale_read(alice, bob, live):
    reads, stale, hits = race(live, alice, [alice, bob], share(alice, bob), 300)
    assert stale == 0
    assert reads > 300
    assert hits > 20


@pytest.mark.django_db(transaction=True)
def test_with_the_version_left_out_of_the_key_stale_reads_are_seen(alice, bob, live, monkeypatch):
    key_of = mesh.calling.cache.key_of
    monkeypatch.setattr(
        "mesh.calling.client.key_of", lambda op, actor, versions, arguments: key_of(op, actor, {}, arguments)
    )
    _, stale, _ = race(live, alice, [alice, bob], share(alice, bob), 20)
    assert stale > 10


def test_a_deleted_thing_is_gone_from_cached_lists_at_once(alice, bob):
    thing = share(alice, bob)
    cached_list(alice), cached_list(bob)
    alice.api.delete(f"/things/{thing}")
    assert [person.api.get("/things").json["count"] for person in (alice, bob)] == [0, 0]
    assert [person.api.get(f"/things/{thing}").status for person in (alice, bob)] == [404, 404]


def test_another_role_counts_from_the_next_read(alice, bob, ada):
    share(alice)
    assert cached_list(bob) == []
    assert ada.api.patch(f"/users/{bob.id}", {"role": "ADMIN"}).status == 200
    assert bob.api.get("/things").json["count"] == 1
    assert ada.api.patch(f"/users/{bob.id}", {"role": "AGENT"}).status == 200
    assert bob.api.get("/things").json["count"] == 0


def test_what_an_admin_changes_shows_at_once_and_what_an_admin_reads_is_never_cached(alice, ada):
    thing = share(alice)
    cached_list(alice)
    ada.api.patch(f"/things/{thing}", {"title": "By the ADMIN"})
    assert alice.api.get("/things").json["results"][0]["title"] == "By the ADMIN"
    stored = get_redis_connection("default").keys("*")
    assert [ada.api.get("/things").headers.get("X-Cache") for _ in range(3)] == [None] * 3
    assert get_redis_connection("default").keys("*") == stored


def test_an_emptied_cache_answers_right(alice):
    share(alice)
    before = cached_list(alice)
    get_redis_connection("default").flushdb()
    after = alice.api.get("/things")
    assert (after.json["results"], after.headers.get("X-Cache")) == (before, None)


def test_without_redis_it_is_slower_and_right(alice, bob, monkeypatch):
    thing = share(alice, bob)
    cached_list(bob)
    monkeypatch.setattr(
        mesh.stores.redis, "get_redis_connection", lambda alias: Redis(port=DEAD_PORT, retry=Retry(NoBackoff(), 0))
    )
    mesh.stores.redis.forget_connections()
    alice.api.patch(f"/things/{thing}", {"title": "While Redis was away"})
    answers = [bob.api.get("/things") for _ in range(3)]
    assert [a.json["results"][0]["title"] for a in answers] == ["While Redis was away"] * 3
    assert [a.headers.get("X-Cache") for a in answers] == [None] * 3
    monkeypatch.undo()
    mesh.stores.redis.forget_connections()
    monkeypatch.setattr(mesh.stores.redis, "_closed_until", 0.0)
    assert cached_list(bob)[0]["title"] == "While Redis was away"


def _overwrite(change: Callable[[bytes], bytes]) -> None:
    redis = get_redis_connection("default")
    (key,) = [key for key in redis.keys("meshwork:list_things:*") if not key.endswith(b":lock")]
    redis.set(key, change(redis.get(key)), ex=60)


@pytest.mark.parametrize("forged", [b"%d \n", b"", b"no line", b"\xff\xff \n", b" \n", b"0 \n"])
def test_a_value_made_for_another_or_of_another_form_is_not_taken(alice, bob, forged):
    share(alice)
    before = cached_list(alice)
    lie = (forged % bob.id if b"%" in forged else forged) + b'{"count":1,"next":null,"results":["a lie"]}'
    _overwrite(lambda value: lie)
    answered = alice.api.get("/things")
    assert (answered.status, answered.headers.get("X-Cache")) == (200, None)
    assert answered.json["results"] == before


def test_a_value_made_for_the_same_actor_would_be_taken(alice):
    share(alice)
    cached_list(alice)
    _overwrite(lambda value: b"%d \n" % alice.id + b'{"count":7,"next":null,"results":[]}')
    assert alice.api.get("/things").json["count"] == 7


@pytest.mark.parametrize("header", ["no-cache", "No-Cache", "max-age=0, no-cache"])
def test_no_cache_asks_the_database(alice, header):
    share(alice)
    cached_list(alice)
    _overwrite(lambda value: b"%d \n" % alice.id + b'{"count":7,"next":null,"results":[]}')
    answered = alice.api.get("/things", Cache_Control=header)
    assert (answered.json["count"], answered.headers.get("X-Cache")) == (1, None)


@pytest.mark.django_db(transaction=True)
def test_misses_at_the_same_time_compute_once(alice, live, monkeypatch):
    share(alice)
    compute, computed = ThingService.list_things, []

    def slow(service: Any, **values: Any) -> Any:
        computed.append(1)
        time.sleep(0.3)
        return compute(service, **values)

    monkeypatch.setattr(ThingService, "list_things", slow)
    answers = at_once(6, lambda _: live("GET", "/things", alice.api.token))
    assert [(status, body["count"]) for status, _, body in answers] == [(200, 1)] * 6
    assert len(computed) == 1
    at_once(2, lambda number: live("GET", f"/things?limit={number + 1}", alice.api.token))
    assert len(computed) == 3


def test_a_read_that_is_refused_does_not_keep_the_next_one_waiting(alice):
    for _ in range(3):
        assert alice.api.get("/things/123456").status == 404
        assert get_redis_connection("default").keys("*:lock") == []
