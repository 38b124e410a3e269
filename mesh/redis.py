"""One way to Redis, which may be away: a call that fails is answered with a default, and the next ones skip it."""

import time
from collections.abc import Callable
from typing import TypeVar

import structlog
from django_redis import get_redis_connection
from redis import Redis, RedisError

log = structlog.get_logger(__name__)
T = TypeVar("T")

PAUSE = 1.0  # seconds without Redis after it failed, so that not every request waits for its time-out
_closed_until = 0.0


def attempt(call: Callable[[Redis], T], default: T) -> T:
    """`call` with a connection to Redis; `default` where Redis cannot be reached."""
    global _closed_until
    if time.monotonic() < _closed_until:
        return default
    try:
        return call(get_redis_connection("default"))
    except RedisError as error:
        _closed_until = time.monotonic() + PAUSE
        log.warning("redis_away", error=str(error))
        return default
