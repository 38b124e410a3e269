"""Jobs on their way: written in the transaction of the command that asked for them, then handed to the broker.

A row is the job; a message is only a nudge, and may carry many. It is sent right after the commit, by a thread of its
own, so that no request waits for a broker; the relay sends again what was not taken up.
"""

import atexit
import os
import queue
import threading
import time
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import msgspec
import structlog
from celery import Celery
from django.conf import settings
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from mesh.database import fetch
from mesh.declarations import JobOptions
from mesh.operations import Operation
from mesh.redis import attempt

log = structlog.get_logger(__name__)

TASK = "mesh.work"
DRAIN = "mesh.drain"
TICK = "mesh.tick"
RESEND_AFTER = 5.0  # seconds without a taker after which a message counts as lost
NEGLECTED_AFTER = 10.0  # seconds after which the relay works itself
_LAST_WORDS = 1.0  # seconds that a process waits for it at its end
_NUDGED = 2  # seconds for which a nudge that nobody took up keeps others from being sent
_TOGETHER = 50  # quick jobs that one message carries
_REST = 0.01  # seconds between two messages to the broker, which cost more than many a request: more go in each


@dataclass(frozen=True, slots=True)
class Job:
    """One job that a command asks for."""

    operation: Operation
    arguments: Mapping[str, Any]

    @property
    def options(self) -> JobOptions:
        assert self.operation.declaration.job is not None
        return self.operation.declaration.job

    @property
    def nudge(self) -> str:
        return self.operation.name if self.operation.serves_all else ""


@dataclass(frozen=True, slots=True)
class Sent:
    """What a message says of a job."""

    id: int
    queue: str
    alone: bool
    #: The operation, where one message leads to all that waits of it.
    nudge: str = ""
    #: Whether the message stands for no row, and whoever takes it up writes one.
    begins: bool = False


#: Inserts jobs, due now and about to be sent; `insert_values` gives the parameters. Returns their ids, in order.
INSERT = (
    "INSERT INTO mesh_outbox"
    " (operation, arguments, queue, lease, actor_id, request_id, status, attempt, sent_at, error)"
    " SELECT operation, arguments::jsonb, queue, lease, %s, %s, 'waiting', 0, clock_timestamp(), ''"
    " FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[]) AS job (operation, arguments, queue, lease)"
    " RETURNING id"
)


def insert_values(jobs: Sequence[Job], actor_id: int | None, request_id: str) -> list[Any]:
    return [
        actor_id,
        request_id,
        [job.operation.name for job in jobs],
        [msgspec.json.encode(job.arguments).decode() for job in jobs],
        [job.options.queue for job in jobs],
        [job.options.lease for job in jobs],
    ]


def send(jobs: Iterable[Sent]) -> None:
    """Hands jobs to the broker. Raises OperationalError where it cannot be reached."""
    together: dict[str, list[int]] = defaultdict(list)
    messages: list[tuple[str, list[int]]] = []
    for job in {job.nudge or job.id: job for job in jobs}.values():
        if job.nudge:
            _nudge(job)
        elif job.alone:
            messages.append((job.queue, [job.id]))
        else:
            together[job.queue].append(job.id)
    for name, ids in together.items():
        messages += [(name, ids[i : i + _TOGETHER]) for i in range(0, len(ids), _TOGETHER)]
    for name, ids in messages:
        celery().send_task(TASK, args=[ids], queue=name, ignore_result=True, retry=False)


def _nudge(job: Sent) -> None:
    """Sends the message that leads to all that waits, unless one is on its way; whoever takes it up says `took_up`."""
    answers = attempt(("SET", _flag(job.nudge), "1", "NX", "EX", _NUDGED))
    if answers == [None]:
        return
    try:
        task, arguments = (TICK, [job.nudge, True]) if job.begins else (DRAIN, [job.nudge])
        celery().send_task(task, args=arguments, queue=job.queue, ignore_result=True, retry=False)
    except BaseException:
        took_up(job.nudge)
        raise


def took_up(operation: str) -> None:
    """Before all that waits of an operation is claimed: what commits from now on needs a message of its own."""
    attempt(("DEL", _flag(operation)))


def _flag(operation: str) -> str:
    return f"meshwork:nudged:{operation}"


@cache
def celery() -> Celery:
    """The Celery application that `MESH["CELERY"]` names."""
    app: Celery = import_string(settings.MESH["CELERY"])
    return app


def begin_soon(operation: Operation) -> None:
    """Has a periodic job that serves all begun now, without a row; where the message is lost, its time will come."""
    job = Job(operation, {})
    send_soon([Sent(0, job.options.queue, alone=False, nudge=job.nudge, begins=True)])


def send_soon(jobs: Sequence[Sent]) -> None:
    """Hands jobs to the broker from a thread of its own; at best effort, for the relay sends again."""
    _publisher().put(jobs)


class _Publisher:
    """A thread that sends what it is given, all that has come meanwhile in one go."""

    def __init__(self) -> None:
        self.pid = os.getpid()
        self._jobs: queue.SimpleQueue[Sequence[Sent] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._run, name="outbox publisher", daemon=True)
        self._thread.start()
        atexit.register(self._finish)

    def put(self, jobs: Sequence[Sent]) -> None:
        self._jobs.put(jobs)

    def _finish(self) -> None:
        """At the process's end, such as a command's: what it has begun is sent, where that is quick."""
        if self.pid == os.getpid():
            self._jobs.put(None)
            self._thread.join(_LAST_WORDS)

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


_OVERDUE = (
    "(status = 'waiting' AND due_at <= clock_timestamp()"
    " AND (sent_at IS NULL OR sent_at < clock_timestamp()"  # again and again, but less and less often
    "   - greatest(make_interval(secs => %s), least(interval '20 s', sent_at - due_at)))"
    " OR status = 'running' AND lease_until < clock_timestamp()"
    " AND (sent_at IS NULL OR sent_at < clock_timestamp() - make_interval(secs => %s)))"
)


def take_unsent(limit: int = 500, nudged: Container[str] = ()) -> list[Sent]:
    """Marks jobs that are due and that no message leads to as sent now, and returns them.

    `nudged`: the operations of which one message leads to all that waits.
    """
    rows = fetch(
        "UPDATE mesh_outbox SET sent_at = clock_timestamp() WHERE id = ANY(ARRAY("  # noqa: S608
        f"SELECT id FROM mesh_outbox WHERE {_OVERDUE} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))"
        " RETURNING id, queue, operation",
        [RESEND_AFTER, RESEND_AFTER, limit],
    )
    return [Sent(id, queue, alone=True, nudge=name if name in nudged else "") for id, queue, name in rows]


def queues() -> list[str]:
    """The queues in which jobs wait, or run."""
    rows = fetch(
        "WITH RECURSIVE waiting AS ("
        " (SELECT queue FROM mesh_outbox WHERE status = 'waiting' ORDER BY queue LIMIT 1)"
        " UNION ALL SELECT following.queue FROM waiting, LATERAL (SELECT queue FROM mesh_outbox"
        " WHERE status = 'waiting' AND queue > waiting.queue ORDER BY queue LIMIT 1) AS following)"
        " SELECT queue FROM waiting UNION SELECT queue FROM mesh_outbox WHERE status = 'running' ORDER BY queue"
    )
    return [row[0] for row in rows]


def depths() -> list[tuple[str, str, int, float]]:
    """For each queue and status that is not done: how many jobs, and the seconds since the oldest was due."""
    return fetch(
        "SELECT queue, status, count(*), extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM mesh_outbox"
        " WHERE status <> 'done' GROUP BY queue, status ORDER BY queue, status"
    )
