"""Jobs on their way: written in the transaction of the command that asked for them, then handed to the broker.

A row is the job; a message is only a wakeup, and may carry many. It is sent right after the commit, by a thread of its
own, so that no request waits for a broker; the relay sends again what was not taken up.
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
_WAKEUP_TTL = 2  # seconds for which a wakeup that nobody took up keeps others from being sent
_TOGETHER = 50  # quick jobs that one message carries


@dataclass(frozen=True, slots=True)
class Sent:
    """What a message says of a job."""

    id: int
    queue: str
    alone: bool
    #: The operation, where one message leads to all that waits of it.
    wakeup: str = ""
    #: Whether the message stands for no row, and whoever takes it up writes one.
    begins: bool = False


def send(jobs: Iterable[Sent]) -> None:
    """Hands jobs to the broker. Raises OperationalError where it cannot be reached."""
    together: dict[str, list[int]] = defaultdict(list)
    messages: list[tuple[str, list[int]]] = []
    for job in {job.wakeup or job.id: job for job in jobs}.values():
        if job.wakeup:
            _send_wakeup(job)
        elif job.alone:
            messages.append((job.queue, [job.id]))
        else:
            together[job.queue].append(job.id)
    for name, ids in together.items():
        messages += [(name, ids[i : i + _TOGETHER]) for i in range(0, len(ids), _TOGETHER)]
    for name, ids in messages:
        celery().send_task(TASK, args=[ids], queue=name, ignore_result=True, retry=False)


def _send_wakeup(job: Sent) -> None:
    """Sends the message that leads to all waiting jobs, unless one is on its way. Its receiver calls `clear_wakeup`."""
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
    """Sends a message that leads to what waits in a queue, behind the others'; at best effort, as `send_soon`."""
    try:
        celery().send_task(TASK, args=[[]], queue=queue, ignore_result=True, retry=False)
    except (OperationalError, OSError) as error:
        log.warning("broker_away", error=str(error), jobs=0)


def clear_wakeup(operation: str) -> None:
    """Before all that waits of an operation is claimed: what commits from now on needs a message of its own."""
    attempt(("DEL", _flag(operation)))


def _flag(operation: str) -> str:
    return f"meshwork:woken:{operation}"


@cache
def celery() -> Celery:
    """The Celery application that `MESH["CELERY"]` names."""
    app: Celery = import_string(settings.MESH["CELERY"])
    return app
