"""The Celery tasks, where messages arrive."""

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

_TIME_SLICE = 2.0  # seconds after which a thread that serves a queue makes way for other queues


@shared_task(name=TASK, bind=True, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def work(self: "Task[[list[int]], None]", ids: list[int]) -> None:
    """Serves the queue that the message came through. It holds jobs with these ids, but others may be first."""
    delivery = self.request.delivery_info
    assert delivery is not None
    queue = str(delivery["routing_key"])
    if serve(queue):
        go_on_later(queue)


def serve(queue: str, waited: float = 0.0) -> bool:
    """Runs the jobs of a queue in turn, until none is free that has been due for `waited` seconds, or time is up.

    Returns whether there may be more. If the queue already has its share of this process's threads, this one does
    nothing, and those continue.
    """
    if stopping.is_set():
        return True
    if not turns.begin(queue):
        return False
    deadline, ended = time.monotonic() + _TIME_SLICE, False
    try:
        while not ended:
            turns.look(queue)
            while (claim := claim_next(queue, waited)) is not None:
                try:
                    run_claim(claim)
                finally:
                    turns.done(queue, claim.actor_id)
                if stopping.is_set() or time.monotonic() > deadline:
                    return True
            ended = turns.end(queue)
    finally:
        if not ended:
            turns.end(queue, at_once=True)
    return False


@shared_task(name=DRAIN, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def drain(operation: str) -> None:
    """Runs a job that serves all of its kind until no free row is left.

    If another thread of this process is doing so, that one looks again when it has finished.
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
            look_again = _asked_again.pop(operation)
    if look_again:  # it was asked just as it ended
        drain(operation)


_drains = threading.Lock()
#: The operations that a thread of this process drains, and whether it must look again.
_asked_again: dict[str, bool] = {}


@shared_task(name=BEGIN, acks_late=True, ignore_result=True)
def begin(operation: str) -> None:
    """Starts a job that serves everything of its kind, and runs it.

    It is started beside a waiting or running one, which may have looked before there was anything to do.
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
