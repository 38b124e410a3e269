"""Messages to workers, sent through the broker.

The outbox row is the job. A message is only a wakeup, and may carry the ids of many jobs. It is sent right after the
commit by a separate thread, so that no request waits for the broker. The relay sends again what nobody claimed.
"""

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cache

import structlog
from celery import Celery
from django.conf import settings
from django.utils.module_loading import import_string
from kombu.exceptions import OperationalError

from mesh.stores.redis import attempt

log = structlog.get_logger(__name__)

TASK = "mesh.work"
DRAIN = "mesh.drain"
BEGIN = "mesh.begin"
_WAKEUP_TTL = 2  # seconds for which an unanswered wakeup suppresses further ones
_BATCH = 50  # quick jobs that one message carries


@dataclass(frozen=True, slots=True)
class Sent:
    """A job, as the sender of messages sees it."""

    id: int
    queue: str
    #: Whether it needs a message of its own, such as when it calls out.
    alone: bool
    #: The operation, if one message is enough for all its waiting jobs; else empty.
    wakeup: str = ""
    #: Whether there is no row yet, so that the receiver writes one.
    begins: bool = False


def send(jobs: Iterable[Sent]) -> None:
    """Sends the messages for jobs to the broker. Raises OperationalError if it cannot be reached."""
    quick_jobs: dict[str, list[int]] = defaultdict(list)
    messages: list[tuple[str, list[int]]] = []
    for job in {job.wakeup or job.id: job for job in jobs}.values():
        if job.wakeup:
            _send_wakeup(job)
        elif job.alone:
            messages.append((job.queue, [job.id]))
        else:
            quick_jobs[job.queue].append(job.id)
    for name, ids in quick_jobs.items():
        messages += [(name, ids[i : i + _BATCH]) for i in range(0, len(ids), _BATCH)]
    for name, ids in messages:
        celery().send_task(TASK, args=[ids], queue=name, ignore_result=True, retry=False)


def _send_wakeup(job: Sent) -> None:
    """Sends one message for all waiting jobs of an operation, unless one is on its way.

    The receiver clears the flag.
    """
    answers = attempt(("SET", _flag(job.wakeup), "1", "NX", "EX", _WAKEUP_TTL))
    if answers == [None]:
        return
    try:
        task, arguments = (BEGIN, [job.wakeup]) if job.begins else (DRAIN, [job.wakeup])
        celery().send_task(task, args=arguments, queue=job.queue, ignore_result=True, retry=False)
    except BaseException:
        clear_wakeup(job.wakeup)
        raise


def go_on_later(queue: str) -> None:
    """Sends another message for the jobs that wait in a queue; best effort, like `send_soon`."""
    try:
        celery().send_task(TASK, args=[[]], queue=queue, ignore_result=True, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker_away", error=str(error), jobs=0)


def clear_wakeup(operation: str) -> None:
    """Clears the flag that a wakeup is on its way. Call it before claiming: later commits need a new message."""
    attempt(("DEL", _flag(operation)))


def _flag(operation: str) -> str:
    return f"meshwork:woken:{operation}"


@cache
def celery() -> Celery:
    """The Celery application that `MESH["CELERY"]` names."""
    app: Celery = import_string(settings.MESH["CELERY"])
    return app
