"""Access to Redis, which may be unreachable: a failed call returns None, and for PAUSE seconds all calls do.

Commands are sent in one write over redis-py's connections, one for each thread. redis-py's client and pool are not
used, since their bookkeeping for each command costs more than Redis itself.
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

PAUSE = 1.0  # seconds without Redis after it failed, so that not every request waits for the timeout
_closed_until = 0.0


class _ThreadState(threading.local):
    connection: Any = None


_thread_state = _ThreadState()


def forget_connections() -> None:
    """Makes every thread connect anew: after a fork a process must not use its parent's connections."""
    global _thread_state
    _thread_state = _ThreadState()


os.register_at_fork(after_in_child=forget_connections)


def attempt(*commands: Command) -> list[Any] | None:
    """The answers to some commands, sent together; None if Redis cannot be reached.

    If Redis is out of memory, the answer to a command that needs some is an OutOfMemoryError.
    """
    global _closed_until
    if time.monotonic() < _closed_until:
        return None
    connection = _thread_state.connection
    try:
        if connection is not None and connection.is_connected:
            try:
                return _exchange(connection, commands)
            except Disconnected:  # Redis has been restarted
                return _exchange(connection, commands)
        if connection is None:
            pool = get_redis_connection("default").connection_pool
            connection = _thread_state.connection = pool.connection_class(**pool.connection_kwargs)
        return _exchange(connection, commands)
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
        connection.disconnect()  # unread answers would be mixed up with later ones
        raise


def _answer(connection: Any) -> Any:
    try:
        return connection.read_response()
    except ResponseError as error:
        if isinstance(error, (NoScriptError, OutOfMemoryError)):  # the connection and the other answers are fine
            return error
        raise


class Script:
    """A Lua script, sent by its hash, or as source if Redis does not know it yet."""

    def __init__(self, source: str) -> None:
        self.source = source
        self.sha = hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest()

    def attempt(self, keys: Sequence[str], *arguments: str | int, then: Sequence[Command] = ()) -> list[Any] | None:
        """The answers of the script and of the commands in `then`; None if Redis cannot be reached."""
        rest = (len(keys), *keys, *arguments)
        answers = attempt(("EVALSHA", self.sha, *rest), *then)
        if answers and isinstance(answers[0], NoScriptError):
            answers = attempt(("EVAL", self.source, *rest), *then)
        return answers
