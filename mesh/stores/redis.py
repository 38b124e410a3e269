"""One way to Redis, which may be away: what fails is answered with a default, and the next calls skip it.

Commands go out in one write over redis-py's connections, one for each thread, without its client and its pool, whose
bookkeeping for each command costs more than Redis itself does.
"""

import hashlib
import os
import threading
import time
from collections.abc import Sequence
from typing import Any, cast

import structlog
from django_redis import get_redis_connection
from hiredis import pack_command
from redis import ConnectionError as Disconnected
from redis import RedisError
from redis.exceptions import NoScriptError, OutOfMemoryError, ResponseError

log = structlog.get_logger(__name__)

Command = Sequence[str | bytes | int]

PAUSE = 1.0  # seconds without Redis after it failed, so that not every request waits for its time-out
_closed_until = 0.0


class _Kept(threading.local):
    connection: Any = None


_kept = _Kept()


def forget_connections() -> None:
    """Every thread connects anew: a fork must not talk over its parent's connections."""
    global _kept
    _kept = _Kept()


os.register_at_fork(after_in_child=forget_connections)


def attempt(*commands: Command) -> list[Any] | None:
    """The answers to some commands, sent together; None where Redis cannot be reached.

    The answer to what would need memory where none is left is an OutOfMemoryError.
    """
    global _closed_until
    if time.monotonic() < _closed_until:
        return None
    kept = _kept.connection
    try:
        if kept is not None and kept.is_connected:
            try:
                return _exchange(kept, commands)
            except Disconnected:  # Redis was started anew since
                return _exchange(kept, commands)
        if kept is None:
            pool = get_redis_connection("default").connection_pool
            kept = _kept.connection = pool.connection_class(**pool.connection_kwargs)
        return _exchange(kept, commands)
    except RedisError as error:
        _closed_until = time.monotonic() + PAUSE
        log.warning("redis_away", error=str(error))
        return None


def _exchange(connection: Any, commands: Sequence[Command]) -> list[Any]:
    try:
        packed = [b"".join(pack_command(cast(Any, tuple(command))) for command in commands)]
        connection.send_packed_command(packed, check_health=False)
        return [_answer(connection) for _ in commands]
    except BaseException:
        connection.disconnect()  # answers may still be on their way
        raise


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        if isinstance(error, (NoScriptError, OutOfMemoryError)):  # the connection and the other answers are fine
            return error
        raise


class Script:
    """A Lua script, sent by its hash, and whole where Redis does not know it yet."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def attempt(self, keys: Sequence[str], *arguments: str | int, then: Sequence[Command] = ()) -> list[Any] | None:
        """The answers of the script and of the commands after it; None where Redis cannot be reached."""
        rest = (len(keys), *keys, *arguments)
        answers = attempt(("EVALSHA", self.sha, *rest), *then)
        if answers and isinstance(answers[0], NoScriptError):
            answers = attempt(("EVAL", self.source, *rest), *then)
        return answers
