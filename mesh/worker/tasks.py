"""The Celery tasks: what a message leads to."""

import threading
import time
import uuid

from celery import Task, shared_task

from mesh.declarations.registry import registry
from mesh.outbox.messages import BEGIN, DRAIN, TASK, clear_wakeup, go_on_later
from mesh.stores.postgres import fetch
from mesh.worker.claims import claim_next
from mesh.worker.runs import run_all, run_claim
from mesh.worker.turns import stopping, turns

_WHILE = 2.0  # seconds after which a thread that serves a queue makes way for other queues, where it is needed


@shared_task(name=TASK, bind=True, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def work(self: "Task[[list[int]], None]", ids: list[int]) -> None:
    """The Celery task: there are jobs in the queue that it came by, these among them, but others may be first."""
    came = self.request.delivery_info
    assert came is not None
    queue = str(came["routing_key"])
    if serve(queue):
        go_on_later(queue)


def serve(queue: str, waited: float = 0.0) -> bool:
    """Runs the jobs of a queue in turn until none is due for `waited` seconds and free, but not for long.

    Returns whether there may be more. Where the queue has its share of this process's threads, they go on with what
    there is, and this one does nothing.
    """
    if stopping.is_set():
        return True
    if not turns.begin(queue):
        return False
    until, ended = time.monotonic() + _WHILE, False
    try:
        while not ended:
            turns.look(queue)
            while (claim := claim_next(queue, waited)) is not None:
                try:
                    run_claim(claim)
                finally:
                    turns.done(queue, claim.actor_id)
                if stopping.is_set() or time.monotonic() > until:
                    return True
            ended = turns.end(queue)
    finally:
        if not ended:
            turns.end(queue, at_once=True)
    return False


@shared_task(name=DRAIN, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def drain(operation: str) -> None:
    """The Celery task for a job that serves all: runs it until nothing that waits of it is free.

    Where another thread of this process is about it, that one looks again when it has finished.
    """
    clear_wakeup(operation)
    with _drains:
        if operation in _asked_again:
            _asked_again[operation] = True
            return
        _asked_again[operation] = True
    try:
        while _asked_again[operation]:
            _asked_again[operation] = False
            run_all(operation)
    finally:
        with _drains:
            asked = _asked_again.pop(operation)
    if asked:  # just as it ended
        drain(operation)


_drains = threading.Lock()
#: The operations that a thread of this process drains, and whether it was asked to look again.
_asked_again: dict[str, bool] = {}


@shared_task(name=BEGIN, acks_late=True, ignore_result=True)
def begin(operation: str) -> None:
    """The Celery task that begins a job which serves all, and runs it.

    It is begun beside those that wait or run: they may have looked before there was anything to see.
    """
    clear_wakeup(operation)
    options = registry.operations[operation].declaration.job
    assert options is not None
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, sent_at, error)"
        " VALUES (%s, '{}', %s, %s, %s, 'waiting', 0, clock_timestamp(), '')",
        [operation, options.queue, options.lease, uuid.uuid4().hex],
    )
    drain(operation)
