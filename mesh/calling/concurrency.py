"""Concurrency limits: few expensive requests at once, so that each process keeps a thread for the others."""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from django.conf import settings

from mesh.declarations.invocation import Answer
from mesh.errors import Unavailable

_WAIT = 1.0  # seconds that a request waits if its limit key has all of its own places
_BODY_WAIT = 1.0  # seconds that a request waits for its turn to read its body

_inside: ContextVar[bool] = ContextVar("inside an expensive request", default=False)


class Busy(Unavailable):
    code, retry_after = "busy", 1


class Places:
    """`EXPENSIVE_REQUESTS` places in all, `EXPENSIVE_REQUESTS_EACH` for each limit key.

    A request that waits holds a thread too. So those that wait and those that have a place are together never more
    than all places.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._waiting = 0

    def take(self, limit_key: str) -> Callable[[], None]:
        """Takes a place; the function that is returned gives it back. Raises Busy."""
        with self._changed:
            if self._has_all(limit_key) and not self._is_full():
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: not self._has_all(limit_key), _WAIT)
                finally:
                    self._waiting -= 1
            if self._has_all(limit_key):
                most = settings.MESH["EXPENSIVE_REQUESTS_EACH"]
                raise Busy(f"You may have {most} searches, exports, imports and the like at once. Try again.")
            if self._is_full():
                raise Busy("The server has as many searches, exports, imports and the like as it takes. Try again.")
            self._taken[limit_key] += 1
        return lambda: self._give_back(limit_key)

    def _has_all(self, limit_key: str) -> bool:
        return self._taken[limit_key] >= int(settings.MESH["EXPENSIVE_REQUESTS_EACH"])

    def _is_full(self) -> bool:
        return self._taken.total() + self._waiting >= int(settings.MESH["EXPENSIVE_REQUESTS"])

    def _give_back(self, limit_key: str) -> None:
        with self._changed:
            self._taken[limit_key] -= 1
            self._taken += Counter()  # drops the zeros
            self._changed.notify_all()


_places = Places()


@contextmanager
def expensive(limit_key: str) -> Iterator[None]:
    """Holds a place, unless the caller already holds one. Raises Busy."""
    if _inside.get():
        yield
        return
    give_back = _places.take(limit_key)
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)
        give_back()


def streamed(limit_key: str, begin: Callable[[], Answer]) -> Answer:
    """Begins a streamed answer, which holds a place until it is closed. Raises Busy."""
    give_back = _places.take(limit_key)
    try:
        answer = begin()
    except BaseException:
        give_back()
        raise
    assert answer.stream is not None
    parts = _with_place(answer.stream, give_back)
    next(parts)
    return replace(answer, stream=parts)


def _with_place(stream: Generator[str, None, None], give_back: Callable[[], None]) -> Generator[str, None, None]:
    try:
        yield ""  # begin: only a generator that has begun runs its `finally` when it is closed
        yield from stream
    finally:
        stream.close()
        give_back()


@contextmanager
def body(limit_key: str) -> Iterator[None]:
    """While a body is read: at most half of the threads may read one, half of these for one address. Raises Busy."""
    most = max(1, settings.WEB_THREADS // 2)
    with _body_read:
        if not _body_read.wait_for(lambda: _has_room(limit_key, most), _BODY_WAIT):
            raise Busy("Too many requests are still coming in. Try again.")
        _bodies_read[limit_key] += 1
    try:
        yield
    finally:
        with _body_read:
            _bodies_read[limit_key] -= 1
            if not _bodies_read[limit_key]:
                del _bodies_read[limit_key]
            _body_read.notify_all()


def _has_room(limit_key: str, most: int) -> bool:
    return _bodies_read.total() < most and _bodies_read[limit_key] < max(1, most // 2)


#: The number of bodies that are being read, by limit key, and what signals that one has been read.
_bodies_read: Counter[str] = Counter()
_body_read = threading.Condition()
