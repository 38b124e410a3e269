"""Places for expensive requests: so few at once that each process has a thread left for all the others."""

import threading
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import replace

from django.conf import settings

from mesh.declarations.invocation import Answer
from mesh.errors import Unavailable

_WAIT = 1.0  # seconds that who has all of their own places waits for one of them
_BODY_WAIT = 1.0  # seconds that a request waits for its turn to read its body

_inside: ContextVar[bool] = ContextVar("inside an expensive request", default=False)


class Busy(Unavailable):
    code, retry_after = "busy", 1


class Places:
    """`EXPENSIVE_REQUESTS` in all, of which each person has `EXPENSIVE_REQUESTS_EACH`.

    Who waits holds a thread too, so that those who wait and those who have a place are never more than all places.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._taken: Counter[str] = Counter()
        self._waiting = 0

    def take(self, whose: str) -> Callable[[], None]:
        """A place of this person's; what is returned gives it back. Raises Busy."""
        with self._changed:
            if self._has_all(whose) and not self._is_full():
                self._waiting += 1
                try:
                    self._changed.wait_for(lambda: not self._has_all(whose), _WAIT)
                finally:
                    self._waiting -= 1
            if self._has_all(whose):
                most = settings.MESH["EXPENSIVE_REQUESTS_EACH"]
                raise Busy(f"You may have {most} searches, exports, imports and the like at once. Try again.")
            if self._is_full():
                raise Busy("The server has as many searches, exports, imports and the like as it takes. Try again.")
            self._taken[whose] += 1
        return lambda: self._give_back(whose)

    def _has_all(self, whose: str) -> bool:
        return self._taken[whose] >= int(settings.MESH["EXPENSIVE_REQUESTS_EACH"])

    def _is_full(self) -> bool:
        return self._taken.total() + self._waiting >= int(settings.MESH["EXPENSIVE_REQUESTS"])

    def _give_back(self, whose: str) -> None:
        with self._changed:
            self._taken[whose] -= 1
            self._taken += Counter()  # without those who have none
            self._changed.notify_all()


_places = Places()


@contextmanager
def expensive(whose: str) -> Iterator[None]:
    """Has a place meanwhile, unless what called has one. Raises Busy."""
    if _inside.get():
        yield
        return
    give_back = _places.take(whose)
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)
        give_back()


def streamed(whose: str, begin: Callable[[], Answer]) -> Answer:
    """A streamed answer, which has a place from its beginning until it is closed. Raises Busy."""
    give_back = _places.take(whose)
    try:
        answer = begin()
    except BaseException:
        give_back()
        raise
    assert answer.stream is not None
    parts = _kept(answer.stream, give_back)
    next(parts)
    return replace(answer, stream=parts)


def _kept(stream: Generator[str, None, None], give_back: Callable[[], None]) -> Generator[str, None, None]:
    try:
        yield ""  # it has begun: now closing it comes to the end of this
        yield from stream
    finally:
        stream.close()
        give_back()


@contextmanager
def body(whose: str) -> Iterator[None]:
    """While a body comes in: at most half of the threads wait for one, half of these for one address's. Raises Busy."""
    most = max(1, settings.WEB_THREADS // 2)
    with _came_in:
        if not _came_in.wait_for(lambda: _has_room(whose, most), _BODY_WAIT):
            raise Busy("Too many requests are still coming in. Try again.")
        _coming[whose] += 1
    try:
        yield
    finally:
        with _came_in:
            _coming[whose] -= 1
            if not _coming[whose]:
                del _coming[whose]
            _came_in.notify_all()


def _has_room(whose: str, most: int) -> bool:
    return _coming.total() < most and _coming[whose] < max(1, most // 2)


#: Whose bodies come in, and what says that one has.
_coming: Counter[str] = Counter()
_came_in = threading.Condition()
