"""Sends messages for committed jobs from a separate thread, so that no request waits for the broker."""

import atexit
import os
import queue
import threading
import time
from collections.abc import Sequence

import structlog
from kombu.exceptions import OperationalError

from mesh.declarations.operations import Operation
from mesh.outbox.jobs import Job
from mesh.outbox.messages import Sent, send

log = structlog.get_logger(__name__)
_FLUSH_TIMEOUT = 1.0  # seconds that a process waits at its exit for unsent messages
_REST = 0.01  # seconds between batches: messages are expensive, and waiting puts more jobs into each


def begin_soon(operation: Operation) -> None:
    """Starts a periodic job now, without an outbox row. If the message is lost, the schedule starts it."""
    job = Job(operation, {})
    send_soon([Sent(0, job.options.queue, alone=False, wakeup=job.wakeup, begins=True)])


def send_soon(jobs: Sequence[Sent]) -> None:
    """Sends the messages for jobs from a separate thread; best effort, since the relay sends again."""
    _publisher().put(jobs)


class _Publisher:
    """A thread that sends messages. Jobs that arrive while it is busy are sent together."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._jobs: queue.SimpleQueue[Sequence[Sent] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="outbox publisher", daemon=True)
        self._thread.start()
        atexit.register(self._finish)

    def put(self, jobs: Sequence[Sent]) -> None:
        self._jobs.put(jobs)

    def _finish(self) -> None:
        """At process exit: sends what is left, if that is quick."""
        if self.pid == os.getpid():
            self._jobs.put(None)
            self._thread.join(_FLUSH_TIMEOUT)

    def _run(self) -> None:
        ended = False
        while not ended:
            jobs: list[Sent] = []
            while not (jobs and self._jobs.empty()) and not ended:
                more = self._jobs.get()
                jobs += more or ()
                ended = more is None
            try:
                send(jobs)
            except (OperationalError, OSError) as error:
                log.warning("broker_away", error=str(error), jobs=len(jobs))
            except Exception:
                log.exception("publish_failed", jobs=len(jobs))
            if not ended:
                time.sleep(_REST)


_current: _Publisher | None = None
_making = threading.Lock()


def _publisher() -> _Publisher:
    """This process's publisher; a thread does not survive a fork."""
    global _current
    with _making:
        if _current is None or _current.pid != os.getpid():
            _current = _Publisher()
        return _current
