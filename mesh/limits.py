"""Rate limits: so many requests a minute, counted in Redis in one atomic step. Without Redis nothing is limited."""

import re
from dataclasses import dataclass
from functools import cache

from django.conf import settings

from mesh.errors import RateLimited
from mesh.redis import Script

_SECONDS = {"s": 1, "sec": 1, "min": 60, "h": 3600, "hour": 3600}

# One window per key: it begins with the first request and ends by itself.
_COUNT = Script("""
local n = redis.call('INCR', KEYS[1])
if n == 1 then redis.call('PEXPIRE', KEYS[1], ARGV[1]) end
return {n, redis.call('PTTL', KEYS[1])}
""")


@dataclass(frozen=True, slots=True)
class Limit:
    """`quota` requests in `window` seconds."""

    quota: int
    window: int

    @classmethod
    @cache
    def parse(cls, text: str) -> "Limit | None":
        """`600/min` (or `/s`, `/h`); `off` is none."""
        if text == "off":
            return None
        match = re.fullmatch(r"(\d+)/(s|sec|min|h|hour)", text)
        if match is None:
            raise ValueError(f"a rate limit reads 600/min, 10/s, 1000/h or off, not {text!r}")
        return cls(int(match[1]), _SECONDS[match[2]])


@dataclass(frozen=True, slots=True)
class Usage:
    """What is left of a limit for one key."""

    limit: Limit
    used: int
    resets_in: int

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


def count(limit: Limit, key: str) -> Usage | None:
    """Counts one request; None where Redis is away."""
    return count_and_get(limit, key, "")[0]


def count_and_get(limit: Limit, key: str, wanted: str) -> tuple[Usage | None, bytes | None]:
    """Counts one request and reads the value under `wanted`, if any, on the same way; both None without Redis."""
    then = (("GET", wanted),) if wanted else ()
    answers = _COUNT.attempt([f"meshwork:limit:{key}"], limit.window * 1000, then=then)
    if answers is None:
        return None, None
    used, milliseconds = answers[0]
    return Usage(limit, int(used), max(1, -(-int(milliseconds) // 1000))), answers[1] if wanted else None


def count_login(address: str, account: str) -> None:
    """Counts an attempt to sign in, per address and per account. Raises RateLimited."""
    count_login_from(address)
    count_login_of(account)


def count_login_from(address: str) -> None:
    """Counts an attempt to sign in, before anything of it is looked at. Raises RateLimited."""
    _count_login(f"login:address:{address}")


def count_login_of(account: str) -> None:
    """Counts an attempt to sign in to an account; to none where the name is empty. Raises RateLimited."""
    if account:
        _count_login(f"login:account:{account.lower()}")


def _count_login(key: str) -> None:
    limit = Limit.parse(settings.MESH["RATE_LIMIT_LOGIN"])
    if limit is not None:
        refuse_if_exceeded(count(limit, key))


def refuse_if_exceeded(usage: Usage | None) -> None:
    if usage is not None and usage.exceeded:
        raise RateLimited(
            f"At most {usage.limit.quota} requests in {usage.limit.window} seconds. Wait {usage.resets_in} seconds.",
            retry_after=usage.resets_in,
        )
