"""The cache of answers. It may be emptied or unreachable at any time: requests then take longer, answers stay right.

Key: `{operation}:{actor}:{role}:{versions}:{hash of arguments}`. For an API key its scopes follow the role, since an
operation may leave out what they do not allow. The value begins with the id of the actor it was made for, which is
checked on reading.
"""

import hashlib
import threading
import time
from collections import Counter as Counted
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import msgspec
from prometheus_client import Counter

from mesh.declarations.actors import Actor
from mesh.declarations.invocation import Answer
from mesh.declarations.operations import Operation
from mesh.metrics import collector_registry
from mesh.stores.redis import attempt

_NAME = "meshwork_cache_lookups_total"
LOOKUPS = Counter(_NAME, "Cached reads, by operation and result.", ["operation", "result"])

_lookups = cache(LOOKUPS.labels)

_WAIT = 2.0  # seconds that a miss waits for another request that is computing the same answer
_POLL = 0.01

MAX_STORED = 64 * 1024  # bytes of one answer; larger ones are not stored
MAX_STORED_EACH = 16 * 1024 * 1024  # bytes that one limit key may store in a minute, in each process
_MOST_COUNTED = 10_000  # limit keys that may store something in the same minute, in each process


def lookups() -> Counted[tuple[str, str]]:
    """The number of lookups by (operation, "hit" or "miss"), in all processes of this server, since its start."""
    samples = [sample for metric in collector_registry().collect() for sample in metric.samples]
    return Counted({(s.labels["operation"], s.labels["result"]): int(s.value) for s in samples if s.name == _NAME})


def key_of(operation: Operation, actor: Actor, versions: Mapping[str, int], arguments: Mapping[str, Any]) -> str:
    """The key of an answer; the same for two calls only if the same answer is right for both."""
    viewer = f"{actor.id}:{actor.role}" if operation.cached_per_actor else "all"
    if actor.scopes is not None and "*" not in actor.scopes:
        viewer += f":{','.join(actor.scopes)}"
    generation = ".".join(map(str, versions.values()))
    digest = hashlib.blake2b(msgspec.json.encode(arguments, order="sorted"), digest_size=16).hexdigest()
    return f"meshwork:{operation.name}:{viewer}:{generation}:{digest}"


class _StorageQuota:
    """How many bytes the misses of each limit key have stored this minute, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._stored: dict[str, int] = {}

    def reserve(self, limit_key: str, size: int) -> bool:
        """Reserves so many bytes; False if there is no room for them."""
        minute = int(time.monotonic() / 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._stored = minute, {}
            stored = self._stored.get(limit_key, 0) + size
            if size > MAX_STORED or stored > MAX_STORED_EACH or len(self._stored) > _MOST_COUNTED:
                return False
            self._stored[limit_key] = stored
            return True


_storage_quota = _StorageQuota()


def cached(
    operation: Operation,
    actor: Actor,
    limit_key: str,
    key: str,
    cached_value: bytes | None,
    compute: Callable[[], Answer],
) -> Answer:
    """The answer from the cache, or from `compute`, then stored. Concurrent misses of one key compute once.

    `cached_value`: what was read under the key. An answer is not stored if it is large, or if `limit_key` has used
    up its share of the cache.
    """
    owner = actor.id if operation.cached_per_actor else 0
    if (answer := _unpack(cached_value, owner)) is not None:
        _lookups(operation.name, "hit").inc()
        return answer
    _lookups(operation.name, "miss").inc()
    lock = attempt(("SET", f"{key}:lock", "1", "NX", "PX", int(_WAIT * 1000)))
    if lock == [None]:
        deadline = time.monotonic() + _WAIT
        computing = True
        while computing and time.monotonic() < deadline:
            time.sleep(_POLL)
            # The lock is checked first: the answer is stored before the lock is released.
            computing = attempt(("EXISTS", f"{key}:lock")) == [1]
            if (answer := _unpack(look_up(key), owner)) is not None:
                return answer
    try:
        answer = compute()
    except BaseException:
        if lock != [None]:
            attempt(("DEL", f"{key}:lock"))
        raise
    packed, unlock = _pack(answer, owner), ("DEL", f"{key}:lock")
    if _storage_quota.reserve(limit_key, len(packed)):
        attempt(("SET", key, packed, "EX", operation.declaration.ttl), unlock)
    else:
        attempt(unlock)
    return answer


def look_up(key: str) -> bytes | None:
    """The raw value stored under a key, if any; `cached` checks and unpacks it. An empty key is not looked up."""
    answers = attempt(("GET", key)) if key else None
    return answers[0] if answers else None


def _pack(answer: Answer, owner: int) -> bytes:
    return f"{owner} {answer.next_cursor or ''}\n".encode() + answer.body


def _unpack(value: bytes | None, owner: int) -> Answer | None:
    if value is None:
        return None
    head, _, body = value.partition(b"\n")
    stored_owner, _, cursor = head.decode("ascii", "replace").partition(" ")
    if stored_owner != str(owner):
        return None
    return Answer(body, next_cursor=cursor or None, cache="hit")
