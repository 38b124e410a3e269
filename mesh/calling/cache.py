"""The cache of answers. It can be emptied or away at any time: that costs time, never truth.

Key: `{operation}:{actor}:{role}:{versions}:{hash of arguments}`, where an API key asks with its scopes after the role,
since an operation may leave out what they do not hold. The value begins with the actor it was made for,
which is checked on reading.
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

_WAIT = 2.0  # seconds that a miss waits for another request which computes the same answer
_POLL = 0.01

MAX_STORED = 64 * 1024  # bytes of an answer that is stored,
MAX_STORED_EACH = 16 * 1024 * 1024  # and of all that one person has stored in a minute, by each process
_MOST_COUNTED = 10_000  # people who store something in the same minute


def lookups() -> Counted[tuple[str, str]]:
    """How often each (operation, "hit" or "miss") was, in all processes of this server, since it was started."""
    samples = [sample for metric in collector_registry().collect() for sample in metric.samples]
    return Counted({(s.labels["operation"], s.labels["result"]): int(s.value) for s in samples if s.name == _NAME})


def key_of(operation: Operation, actor: Actor, versions: Mapping[str, int], arguments: Mapping[str, Any]) -> str:
    """The key of an answer; the same for two calls only if the same answer is right for both."""
    whose = f"{actor.id}:{actor.role}" if operation.cached_per_actor else "all"
    if actor.scopes is not None and "*" not in actor.scopes:
        whose += f":{','.join(actor.scopes)}"
    generation = ".".join(map(str, versions.values()))
    digest = hashlib.blake2b(msgspec.json.encode(arguments, order="sorted"), digest_size=16).hexdigest()
    return f"meshwork:{operation.name}:{whose}:{generation}:{digest}"


class _Room:
    """How many bytes each person's misses have stored this minute, in this process."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._minute = 0
        self._stored: dict[str, int] = {}

    def take(self, whose: str, size: int) -> bool:
        """Whether there is room for so many bytes more, which are then taken."""
        minute = int(time.monotonic() / 60)
        with self._lock:
            if minute != self._minute:
                self._minute, self._stored = minute, {}
            stored = self._stored.get(whose, 0) + size
            if size > MAX_STORED or stored > MAX_STORED_EACH or len(self._stored) > _MOST_COUNTED:
                return False
            self._stored[whose] = stored
            return True


_room = _Room()


def cached(
    operation: Operation, actor: Actor, whose: str, key: str, found: bytes | None, compute: Callable[[], Answer]
) -> Answer:
    """The answer that was found under the key, or `compute`'s, stored; concurrent misses of one key compute once.

    What is large is not stored, nor more of `whose` than their share.
    """
    owner = actor.id if operation.cached_per_actor else 0
    if (answer := _unpack(found, owner)) is not None:
        _lookups(operation.name, "hit").inc()
        return answer
    _lookups(operation.name, "miss").inc()
    taken = attempt(("SET", f"{key}:lock", "1", "NX", "PX", int(_WAIT * 1000)))
    if taken == [None]:
        deadline = time.monotonic() + _WAIT
        computing = True
        while computing and time.monotonic() < deadline:
            time.sleep(_POLL)
            computing = attempt(("EXISTS", f"{key}:lock")) == [1]  # asked first: its answer is stored before it goes
            if (answer := _unpack(look_up(key), owner)) is not None:
                return answer
    try:
        answer = compute()
    except BaseException:
        if taken != [None]:
            attempt(("DEL", f"{key}:lock"))
        raise
    packed, unlock = _pack(answer, owner), ("DEL", f"{key}:lock")
    if _room.take(whose, len(packed)):
        attempt(("SET", key, packed, "EX", operation.declaration.ttl), unlock)
    else:
        attempt(unlock)
    return answer


def look_up(key: str) -> bytes | None:
    """What is stored under a key, if any, for `cached` to judge."""
    answers = attempt(("GET", key)) if key else None
    return answers[0] if answers else None


def _pack(answer: Answer, owner: int) -> bytes:
    return f"{owner} {answer.next_cursor or ''}\n".encode() + answer.body


def _unpack(value: bytes | None, owner: int) -> Answer | None:
    if value is None:
        return None
    head, _, body = value.partition(b"\n")
    whose, _, cursor = head.decode("ascii", "replace").partition(" ")
    if whose != str(owner):
        return None
    return Answer(body, next_cursor=cursor or None, cache="hit")
