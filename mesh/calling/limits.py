"""Rate limits on the number of requests and on what they cost. Without Redis nothing is limited.

A request is counted in one atomic step in Redis. The same round trip looks up its cached answer. What a request cost is
known when it is answered. The process adds the costs up by limit key; once they are a hundredth of the budget, they go
to Redis with the next request. A limit key that is over a budget is refused until the window ends.

A limit key is `user:7`, or `address:…` if nobody is signed in.
"""

import math
import re
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache, lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Literal

from django.conf import settings

from mesh.errors import RateLimited
from mesh.stores.redis import Script

_SECONDS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600}
_UNITS = {"": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
#: Limit keys whose costs a process remembers; beyond that the oldest is forgotten.
_MOST_TALLIED = 10_000

# Each counter's window begins with its first request and ends by itself. The Redis keys have no expiry, because Redis
# evicts keys that expire when it needs memory. Instead, counters are kept in two hashes for each length of window, the
# current one and the one before; a hash whose counters have all ended is emptied and used again.
# KEYS: the two hashes. ARGV: the window in milliseconds, then for each counter its name and the amount to add. The HDEL
# comes first because it is allowed when memory is full; after it the script may also run commands that add something.
_COUNT = Script("""
local time, window = redis.call('TIME'), tonumber(ARGV[1])
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local turn = math.floor(now / window)
local this, last = KEYS[1 + turn % 2], KEYS[2 - turn % 2]
local names = {}
for i = 2, #ARGV, 2 do
    names[i / 2] = ARGV[i]
end
redis.call('HDEL', this, '')
local found = redis.call('HMGET', this, 'turn', unpack(names))
local changes, before = {'turn', string.format('%.0f', turn)}, nil
if found[1] ~= changes[2] then
    redis.call('DEL', this)
    found = {}
end
local answers = {}
for i, name in ipairs(names) do
    local counter = found[i + 1]
    if not counter then
        before = before or redis.call('HMGET', last, unpack(names))
        counter = before[i]
    end
    local ends, used = now + window, tonumber(ARGV[2 * i + 1])
    if counter then
        local its_end, its_use = string.match(counter, '(%d+) (%d+)')
        if tonumber(its_end) > now then
            ends, used = tonumber(its_end), used + tonumber(its_use)
        end
    end
    changes[2 * i + 1], changes[2 * i + 2] = name, string.format('%.0f %.0f', ends, used)
    answers[2 * i - 1], answers[2 * i] = used, ends - now
end
redis.call('HSET', this, unpack(changes))
return answers
""")


@lru_cache(maxsize=4096)
def of_address(address: str) -> str:
    """The limit key of an address: of IPv6 the /64 network, since one machine has all addresses in it."""
    try:
        parsed = ip_address(address)
    except ValueError:
        return f"address:{address}"
    if isinstance(parsed, IPv6Address):
        if parsed.ipv4_mapped is None:
            return f"address:{IPv6Address(int(parsed) >> 64 << 64)}/64"
        parsed = parsed.ipv4_mapped
    return f"address:{parsed}"


@dataclass(frozen=True, slots=True)
class Limit:
    """`quota` of something in `window` seconds."""

    quota: int
    window: int

    @classmethod
    @cache
    def parse(cls, text: str) -> "Limit | None":
        """`600/min` (or `/s`, `/h`), for bytes `200MB/min`; None for `off`. Raises ValueError."""
        if text == "off":
            return None
        match = re.fullmatch(r"(\d+)(kB|MB|GB|)/(s|sec|min|h|hour)", text)
        if match is None:
            raise ValueError(f"a rate limit reads 600/min, 10/s, 1000/h or off, not {text!r}")
        return cls(int(match[1]) * _UNITS[match[2]], _SECONDS[match[3]])


@dataclass(frozen=True, slots=True)
class Usage:
    """How much of a limit one key has used, seconds until the window ends, and `what` is limited."""

    limit: Limit
    used: int
    resets_in: int
    what: str = "requests"

    @property
    def exceeded(self) -> bool:
        return self.used > self.limit.quota

    def headers(self, name: str) -> dict[str, str]:
        """The `RateLimit` and `RateLimit-Policy` headers of this limit."""
        left = max(0, self.limit.quota - self.used)
        return {
            "RateLimit": f'"{name}";r={left};t={self.resets_in}',
            "RateLimit-Policy": f'"{name}";q={self.limit.quota};w={self.limit.window}',
        }


@dataclass(frozen=True, slots=True)
class Budget:
    """A limit on what requests may cost. Costs are counted in `parts` of its unit, such as 1000 for milliseconds."""

    name: str
    what: str
    parts: int
    limit: Limit

    @property
    def least(self) -> int:
        """The parts that must add up before Redis is told."""
        return self.limit.quota * self.parts // 100


def _budgets() -> tuple[Budget | None, ...]:
    """The budgets of server time and of answer bytes, in this order."""
    return _parsed_budgets(settings.MESH["RATE_LIMIT_SECONDS"], settings.MESH["RATE_LIMIT_BYTES"])


@cache
def _parsed_budgets(seconds: str, bytes: str) -> tuple[Budget | None, ...]:
    time, size = Limit.parse(seconds), Limit.parse(bytes)
    return (
        None if time is None else Budget("milliseconds", "seconds of the server's time", 1000, time),
        None if size is None else Budget("bytes", "bytes of answers", 1, size),
    )


class _Ledger:
    """Costs that Redis does not know of yet, in milliseconds and bytes, and which limit keys are over a budget."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, tuple[int, int]] = {}
        self._over: dict[str, tuple[float, Usage]] = {}

    def add(self, limit_key: str, milliseconds: int, size: int) -> None:
        with self._lock:
            before = self._spent.get(limit_key, (0, 0))
            self._spent[limit_key] = before[0] + milliseconds, before[1] + size
            if len(self._spent) > _MOST_TALLIED:
                del self._spent[next(iter(self._spent))]

    def take(self, limit_key: str, budgets: Sequence[Budget | None]) -> list[tuple[Budget, int]]:
        """Takes the costs that Redis should be told of; none while they are small."""
        spent = self._spent.get(limit_key)
        if spent is None or not any(b and amount > b.least for b, amount in zip(budgets, spent, strict=True)):
            return []
        with self._lock:
            spent = self._spent.pop(limit_key, (0, 0))
        return [(budget, amount) for budget, amount in zip(budgets, spent, strict=True) if budget is not None]

    def refuse(self, limit_key: str, usage: Usage) -> None:
        """Remembers that this key is over a budget, until the window ends."""
        with self._lock:
            self._over[limit_key] = time.monotonic() + usage.resets_in, usage
            if len(self._over) > _MOST_TALLIED:
                del self._over[next(iter(self._over))]

    def over(self, limit_key: str) -> list[Usage]:
        """The budget that this key is over, if any."""
        entry = self._over.get(limit_key)
        if entry is None:
            return []
        left = entry[0] - time.monotonic()
        if left <= 0:
            with self._lock:
                self._over.pop(limit_key, None)
            return []
        return [replace(entry[1], resets_in=math.ceil(left))]


_ledger = _Ledger()


def spend(limit_key: str, seconds: float, size: int) -> None:
    """Records what a request cost: the server's time, and the bytes of its answer."""
    if any(_budgets()):
        _ledger.add(limit_key, round(seconds * 1000), size)


@dataclass(frozen=True, slots=True)
class Counted:
    """A counted request: the usage of its limit, the budgets that are used up, and the value read from the cache."""

    requests: Usage | None
    spent: Sequence[Usage]
    cached_value: bytes | None
    looked_up: bool

    def refuse(self) -> None:
        """Raises RateLimited if any limit is exceeded."""
        refuse_if_exceeded(*self.spent, *([self.requests] if self.requests else []))


def count_request(kind: Literal["READ", "WRITE"], limit_key: str, cache_key: str = "") -> Counted:
    """Counts one request, and what earlier ones cost; reads `cache_key`, if any, in the same round trip."""
    limit = Limit.parse(settings.MESH[f"RATE_LIMIT_{kind}"])
    spent = _ledger.take(limit_key, _budgets())
    counters = [] if limit is None else [(f"{kind}:{limit_key}", limit.window, 1)]
    counters += [(f"{budget.name}:{limit_key}", budget.limit.window, amount) for budget, amount in spent]
    answers, cached_value = _count(counters, cache_key) if counters else (None, None)
    requests = Usage(limit, *answers[0]) if answers and limit is not None else None
    for (budget, _), (used, resets_in) in zip(spent, (answers or [])[-len(spent) :], strict=False):
        usage = Usage(budget.limit, -(-used // budget.parts), resets_in, budget.what)
        if usage.exceeded:
            _ledger.refuse(limit_key, usage)
    return Counted(requests, _ledger.over(limit_key), cached_value, looked_up=answers is not None)


def count(limit: Limit, key: str) -> Usage | None:
    """Counts one attempt; None if Redis is unreachable."""
    answers, _ = _count([(key, limit.window, 1)])
    return None if answers is None else Usage(limit, *answers[0])


def _count(
    counters: Sequence[tuple[str, int, int]], cache_key: str = ""
) -> tuple[list[tuple[int, int]] | None, bytes | None]:
    """Adds to counters, given as (name, window in seconds, amount). Returns each one's (total, seconds until it ends).

    Also returns the value under `cache_key`. One write to Redis for each length of window; by default all are a minute.
    """
    windows = sorted({window for _, window, _ in counters})
    counted: dict[str, tuple[int, int]] = {}
    value = None
    for window in windows:
        of_window = [(name, amount) for name, its_window, amount in counters if its_window == window]
        lookup = (("GET", cache_key),) if cache_key and window == windows[-1] else ()
        keys = [f"meshwork:limits:{window}:{half}" for half in (0, 1)]
        answers = _COUNT.attempt(keys, window * 1000, *(item for counter in of_window for item in counter), then=lookup)
        if answers is None or not isinstance(answers[0], list):
            return None, None
        numbers = list(map(int, answers[0]))
        pairs = zip(numbers[::2], numbers[1::2], strict=True)
        counted |= {name: (used, -(-left // 1000)) for (name, _), (used, left) in zip(of_window, pairs, strict=True)}
        value = answers[1] if lookup else None
    return [counted[name] for name, _, _ in counters], value


def count_login(address: str, account: str, counter: str = "login") -> None:
    """Counts an attempt to sign in, or whatever the `counter` is for, per address and per account.

    Raises RateLimited.
    """
    count_login_from(address, counter)
    count_login_of(account, counter)


def count_login_from(address: str, counter: str = "login") -> None:
    """Counts an attempt by address, before its arguments are read. Raises RateLimited."""
    _count_login(f"{counter}:{of_address(address)}")


def count_login_of(account: str, counter: str = "login") -> None:
    """Counts an attempt by account; does nothing if the name is empty. Raises RateLimited."""
    if account:
        digest = blake2b(account.lower().encode(errors="replace"), digest_size=16)
        _count_login(f"{counter}:account:{digest.hexdigest()}")


def _count_login(key: str) -> None:
    limit = Limit.parse(settings.MESH["RATE_LIMIT_LOGIN"])
    if limit is not None and (usage := count(limit, key)) is not None:
        refuse_if_exceeded(usage)


def refuse_if_exceeded(*usages: Usage) -> None:
    """Raises RateLimited for the first usage over its limit."""
    for usage in usages:
        if usage.exceeded:
            limit = usage.limit
            raise RateLimited(
                f"At most {limit.quota} {usage.what} in {limit.window} seconds. Wait {usage.resets_in} seconds.",
                retry_after=usage.resets_in,
            )
