"""Rate limits: so many requests a minute, and so much of what they cost. Without Redis nothing is limited.

All that a request is counted by is one atomic step in Redis, on the way of which its cached answer is looked up. What
it cost is known when it is answered: the process keeps it, and hands it along when the same person asks next.
"""

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache, lru_cache
from hashlib import blake2b
from ipaddress import IPv6Address, ip_address
from typing import Literal

from django.conf import settings

from mesh.errors import RateLimited
from mesh.stores.redis import Script

_SECONDS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600}
_UNITS = {"": 1, "kB": 1000, "MB": 1000**2, "GB": 1000**3}
#: Whose requests are not told to Redis yet; of more people than that, those who asked first are forgotten.
_MOST_TALLIED = 10_000

# Each counter's window begins with the first request and ends by itself. No key of it expires, since a server that
# needs room throws away what does: counters stand in two hashes for each length of window, the current one and the one
# before, and a hash whose counters have all ended is emptied for the next.
# KEYS: the two hashes of each counter. ARGV: its name, its window in milliseconds, what is added. HDEL may be called
# when memory is full, and after it so may be what adds something.
_COUNT = Script("""
local time = redis.call('TIME')
local now = time[1] * 1000 + math.floor(time[2] / 1000)
local answers = {}
for i = 1, #KEYS / 2 do
    local name, window, amount = ARGV[3 * i - 2], tonumber(ARGV[3 * i - 1]), tonumber(ARGV[3 * i])
    local turn = math.floor(now / window)
    local odd = turn % 2
    local this, last = KEYS[2 * i - 1 + odd], KEYS[2 * i - odd]
    redis.call('HDEL', this, '')
    if redis.call('HGET', this, 'turn') ~= string.format('%.0f', turn) then
        redis.call('DEL', this)
        redis.call('HSET', this, 'turn', string.format('%.0f', turn))
    end
    local found = redis.call('HGET', this, name) or redis.call('HGET', last, name)
    local ends, used = 0, 0
    if found then
        ends, used = string.match(found, '(%d+) (%d+)')
        ends, used = tonumber(ends), tonumber(used)
    end
    if ends <= now then
        ends, used = now + window, 0
    end
    used = used + amount
    if amount > 0 then
        redis.call('HSET', this, name, string.format('%.0f %.0f', ends, used))
    end
    answers[2 * i - 1], answers[2 * i] = used, ends - now
end
return answers
""")


@lru_cache(maxsize=4096)
def of_address(address: str) -> str:
    """Against whose limits an address counts; of IPv6 its network of 64 bits, for one machine has all of those."""
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
        """`600/min` (or `/s`, `/h`), of bytes `200MB/min`; `off` is none."""
        if text == "off":
            return None
        match = re.fullmatch(r"(\d+)(kB|MB|GB|)/(s|sec|min|h|hour)", text)
        if match is None:
            raise ValueError(f"a rate limit reads 600/min, 10/s, 1000/h or off, not {text!r}")
        return cls(int(match[1]) * _UNITS[match[2]], _SECONDS[match[3]])


@dataclass(frozen=True, slots=True)
class Usage:
    """What is left of a limit for one key; `what` the limit is of."""

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
    """What requests may cost: the setting that says how much, and how many of the parts counted are one of it."""

    setting: str
    name: str
    what: str
    parts: int

    @property
    def limit(self) -> Limit | None:
        return Limit.parse(settings.MESH[self.setting])


_BUDGETS = (
    Budget("RATE_LIMIT_SECONDS", "milliseconds", "seconds of the server's time", 1000),
    Budget("RATE_LIMIT_BYTES", "bytes", "bytes of answers", 1),
)


class _Tally:
    """What requests cost that Redis was not told of yet, by who asked: a number for each budget."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._spent: dict[str, tuple[int, ...]] = {}

    def add(self, whose: str, *amounts: int) -> None:
        with self._lock:
            before = self._spent.get(whose, (0,) * len(amounts))
            self._spent[whose] = tuple(map(int.__add__, before, amounts))
            if len(self._spent) > _MOST_TALLIED:
                del self._spent[next(iter(self._spent))]

    def take(self, whose: str) -> tuple[int, ...]:
        with self._lock:
            return self._spent.pop(whose, (0,) * len(_BUDGETS))


_tally = _Tally()


def spend(whose: str, seconds: float, size: int) -> None:
    """Notes what a request cost: the server's time, and the bytes of its answer."""
    if any(budget.limit for budget in _BUDGETS):
        _tally.add(whose, round(seconds * 1000), size)


@dataclass(frozen=True, slots=True)
class Counted:
    """A request that was counted: what is left of the requests, all limits, and what was looked up meanwhile."""

    requests: Usage | None = None
    all: Sequence[Usage] = ()
    found: bytes | None = None


def count_request(kind: Literal["READ", "WRITE"], whose: str, wanted: str = "") -> Counted:
    """Counts one request, and what earlier ones cost; reads the value under `wanted`, if any, on the same way."""
    limit = Limit.parse(settings.MESH[f"RATE_LIMIT_{kind}"])
    limits = [(budget, found) for budget in _BUDGETS if (found := budget.limit) is not None]
    if limit is None and not limits:
        return Counted()
    spent = dict(zip(_BUDGETS, _tally.take(whose), strict=True)) if limits else {}
    counters = [] if limit is None else [(f"{kind}:{whose}", limit.window, 1)]
    counters += [(f"{budget.name}:{whose}", found.window, spent[budget]) for budget, found in limits]
    answers, value = _counted(counters, wanted)
    if answers is None:
        return Counted()
    usages = [] if limit is None else [Usage(limit, *answers[0])]
    for (budget, found), (used, resets_in) in zip(limits, answers[len(usages) :], strict=True):
        usages.append(Usage(found, -(-used // budget.parts), resets_in, budget.what))
    return Counted(usages[0] if limit is not None else None, usages, value)


def count(limit: Limit, key: str) -> Usage | None:
    """Counts one attempt; None where Redis is away."""
    answers, _ = _counted([(key, limit.window, 1)])
    return None if answers is None else Usage(limit, *answers[0])


def _counted(
    counters: Sequence[tuple[str, int, int]], wanted: str = ""
) -> tuple[list[tuple[int, int]] | None, bytes | None]:
    """Adds to some counters (name, window in seconds, amount): of each what it has, and in how many seconds it ends."""
    keys = [f"meshwork:limits:{window}:{half}" for _, window, _ in counters for half in (0, 1)]
    arguments = [item for name, window, amount in counters for item in (name, window * 1000, amount)]
    answers = _COUNT.attempt(keys, *arguments, then=(("GET", wanted),) if wanted else ())
    if answers is None or not isinstance(answers[0], list):
        return None, None
    numbers = list(map(int, answers[0]))
    pairs = zip(numbers[::2], numbers[1::2], strict=True)
    return [(used, max(1, -(-left // 1000))) for used, left in pairs], answers[1] if wanted else None


def count_login(address: str, account: str, counter: str = "login") -> None:
    """Counts an attempt to sign in, or another one that a `counter` is for, per address and account.

    Raises RateLimited.
    """
    count_login_from(address, counter)
    count_login_of(account, counter)


def count_login_from(address: str, counter: str = "login") -> None:
    """Counts an attempt, before anything of it is looked at. Raises RateLimited."""
    _count_login(f"{counter}:{of_address(address)}")


def count_login_of(account: str, counter: str = "login") -> None:
    """Counts an attempt that is about an account; about none where the name is empty. Raises RateLimited."""
    if account:
        digest = blake2b(account.lower().encode(errors="replace"), digest_size=16)
        _count_login(f"{counter}:account:{digest.hexdigest()}")


def _count_login(key: str) -> None:
    limit = Limit.parse(settings.MESH["RATE_LIMIT_LOGIN"])
    if limit is not None and (usage := count(limit, key)) is not None:
        refuse_if_exceeded(usage)


def refuse_if_exceeded(*usages: Usage) -> None:
    """Raises RateLimited."""
    for usage in usages:
        if usage.exceeded:
            limit = usage.limit
            raise RateLimited(
                f"At most {limit.quota} {usage.what} in {limit.window} seconds. Wait {usage.resets_in} seconds.",
                retry_after=usage.resets_in,
            )
