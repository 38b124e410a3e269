"""Running jobs: claim the rows that a message leads to, run their operations through the host, mark their end.

Whoever claims a row gets an attempt number and a lease. A run may write only while both are still its own, and marks
the row in the transaction of its effects: they happen once, however often a message comes, and a late worker writes
nothing.
"""

import random
import threading
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

import structlog
from celery import Task, shared_task
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from prometheus_client import Counter, Histogram

from mesh import host
from mesh.binding import bind_flat
from mesh.call import SYSTEM, Actor, Call, identity
from mesh.database import fetch
from mesh.declarations import JobOptions
from mesh.errors import MeshError
from mesh.operations import Operation
from mesh.outbox import DRAIN, TASK, TICK, took_up
from mesh.service import registry
from mesh.turns import ACTOR, RETURNED, Turns

log = structlog.get_logger(__name__)

RUNS = Counter("meshwork_job_runs_total", "Runs of jobs, by operation and outcome.", ["operation", "outcome"])
DURATION = Histogram("meshwork_job_seconds", "Time that a run of a job took.", ["operation"])
WAITED = Histogram("meshwork_job_wait_seconds", "Time from a job's being due to its run.", ["operation"])

MANY = 500  # rows of one kind that one run serves at the most
LONGEST_CALL = 600.0  # seconds for which an outside call may hold its job
_LONGEST_PAUSE = 600.0


class LeaseLost(Exception):
    """Another run has taken the job over, or the lease has passed: nothing may be written."""


class CutOff(Exception):
    """A job's process ended, or its lease passed, as often as it may be tried."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this run has taken. One that serves all of its kind has the others with it, which are gone then."""

    operation: Operation
    id: int
    attempt: int
    due: datetime
    arguments: Mapping[str, Any]
    actor_id: int | None
    request_id: str
    waited: float
    others: list[int]

    @property
    def options(self) -> JobOptions:
        assert self.operation.declaration.job is not None
        return self.operation.declaration.job

    @property
    def actor(self) -> Actor:
        if self.actor_id is None or self.operation.serves_all:
            return SYSTEM
        return identity().actor_of_job(self.actor_id)


@shared_task(name=TASK, bind=True, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def work(self: "Task[[list[int]], None]", ids: list[int]) -> None:
    """The Celery task: there are jobs in the queue that it came by, these among them, but others may be first."""
    came = self.request.delivery_info
    assert came is not None
    serve(str(came["routing_key"]))


def serve(queue: str, waited: float = 0.0) -> int:
    """Runs the jobs of a queue in turn until none is due for `waited` seconds and free; returns how many runs.

    Where the queue has its share of this process's threads, they go on with what there is, and this one does nothing.
    """
    if not turns.begin(queue):
        return 0
    count, ended = 0, False
    try:
        while not ended:
            turns.look(queue)
            while not _stopping.is_set() and (claim := _next(queue, waited)) is not None:
                try:
                    _run(claim)
                finally:
                    turns.done(queue, claim.actor_id)
                count += 1
            ended = turns.end(queue, at_once=_stopping.is_set())
    finally:
        if not ended:
            turns.end(queue, at_once=True)
    return count


def stop() -> None:
    """This process is to end: what it runs is its last."""
    _stopping.set()


_stopping = threading.Event()
#: Of this process, which says how many threads it has when it begins.
turns = Turns(8, ())


@shared_task(name=DRAIN, acks_late=True, reject_on_worker_lost=True, ignore_result=True)
def drain(operation: str) -> None:
    """The Celery task for a job that serves all: runs it until nothing that waits of it is free.

    Where another thread of this process is about it, that one looks again when it has finished.
    """
    took_up(operation)
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


@shared_task(name=TICK, acks_late=True, ignore_result=True)
def tick(operation: str, nudged: bool = False) -> None:
    """The Celery task behind the schedule: begins a periodic job, unless it waits or runs already.

    One that is nudged is begun beside those, too: they may have looked, or end without looking, before there was
    anything to see.
    """
    if nudged:
        took_up(operation)
    periodic = registry.operations[operation]
    options = periodic.declaration.job
    assert options is not None
    begun = fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, sent_at, error)"
        " SELECT %s, '{}', %s, %s, %s, 'waiting', 0, clock_timestamp(), '' WHERE %s OR NOT EXISTS"
        " (SELECT 1 FROM mesh_outbox WHERE operation = %s AND status IN ('waiting', 'running')) RETURNING id",
        [operation, options.queue, options.lease, uuid.uuid4().hex, nudged, operation],
    )
    if periodic.serves_all and begun:
        drain(operation)
    else:
        run([row[0] for row in begun])


def run(ids: Sequence[int]) -> int:
    """Runs those of the jobs that are due and free, and returns how many runs there were."""
    # Each is claimed when its turn comes, for its lease runs from then.
    return sum(1 for id in ids if (claim := _claim(_BY_ID, id)) is not None and _run(claim))


def run_all(operation: str) -> int:
    """Runs a job that serves all until nothing that waits of it is free, or a run fails; returns how many runs."""
    count, outcome = 0, "done"
    while outcome == "done" and not _stopping.is_set() and (claim := _claim(_BY_OPERATION, operation)) is not None:
        outcome = _run(claim)
        count += 1
    return count


#: A row by its id is asked about its status last (CASE), or Postgres may look through all that wait and run for it.
_BY_ID = """
id = %s AND CASE status WHEN 'waiting' THEN due_at <= clock_timestamp()
    WHEN 'running' THEN lease_until < clock_timestamp() END
"""
_BY_OPERATION = """
operation = %s AND (status = 'waiting' AND due_at <= clock_timestamp()
    OR status = 'running' AND lease_until < clock_timestamp())
"""
_CLAIM = """
UPDATE mesh_outbox SET status = 'running', attempt = attempt + 1,
    lease_until = clock_timestamp() + make_interval(secs => lease)
WHERE id = (  -- not IN, which a plan may run again for each row, and so claim several
    SELECT id FROM mesh_outbox WHERE {which} ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {returned}
"""


def _claim(which: str, value: int | str) -> Claim | None:
    """The oldest of such jobs that is due and free."""
    rows = fetch(_CLAIM.format(which=which, returned=RETURNED), [value])
    return _claimed(*rows[0]) if rows else None


def _next(queue: str, waited: float) -> Claim | None:
    """The job of a queue whose turn it is, due for so many seconds."""
    while rows := turns.claim(queue, waited):
        claim = _claimed(*rows[0])
        if claim is not None:
            return claim
        turns.done(queue, rows[0][ACTOR])
    return None


def _claimed(
    id: int,
    name: str,
    arguments: Any,
    actor_id: int | None,
    request_id: str,
    attempt: int,
    waited: float,
    due: datetime,
) -> Claim | None:
    """A row that was claimed; None, and the row has failed, where this version has no such job."""
    operation = registry.operations.get(name)
    if operation is None or operation.declaration.job is None:
        _give_up_unknown(id, name)
        return None
    others = [row[0] for row in fetch(_OTHERS, [name, MANY])] if operation.serves_all else []
    return Claim(operation, id, attempt, due, arguments, actor_id, request_id, waited, others)


_OTHERS = (
    "SELECT id FROM mesh_outbox WHERE operation = %s AND status = 'waiting' AND due_at <= clock_timestamp() LIMIT %s"
)


def _run(claim: Claim) -> str:
    """What came of it: `done`, `retried`, `failed` or `lost`."""
    started = time.perf_counter()
    structlog.contextvars.bind_contextvars(
        request_id=claim.request_id, user_id=claim.actor_id, operation=claim.operation.name, job=claim.id
    )
    WAITED.labels(claim.operation.name).observe(max(0.0, claim.waited))
    try:
        if claim.attempt > claim.options.attempts:
            raise CutOff("Every run of this job was cut off.")
        actor = claim.actor
        values, _ = bind_flat(claim.operation, claim.arguments)
        call = Call(
            operation=claim.operation.name,
            actor=actor,
            values=values,
            arguments=claim.arguments,
            door="job",
            request_id=claim.request_id,
        )
        host.run_job(call, partial(_mark, claim), partial(_called_out, claim))
        outcome = "done"
    except LeaseLost:
        outcome = "lost"
        log.warning("lease_lost")
    except BaseException as error:  # whatever a job raises is the job's, and must not end its thread
        outcome = _failed(claim, error)
    finally:
        DURATION.labels(claim.operation.name).observe(time.perf_counter() - started)
    RUNS.labels(claim.operation.name, outcome).inc()
    log.info("job", outcome=outcome, milliseconds=round((time.perf_counter() - started) * 1000, 1))
    structlog.contextvars.clear_contextvars()
    return outcome


_calling: dict[int, Claim] = {}  # what calls out in this process, by thread


def hand_back() -> None:
    """Before this process ends in the middle of calls: others may begin their jobs at once."""
    for claim in list(_calling.values()):
        fetch(
            "UPDATE mesh_outbox SET status = 'waiting', due_at = clock_timestamp(), lease_until = NULL, sent_at = NULL"
            " WHERE id = %s AND attempt = %s AND due_at = %s AND status = 'running'",
            [claim.id, claim.attempt, claim.due],
        )
        log.warning("job_handed_back", operation=claim.operation.name, job=claim.id)


def _called_out(claim: Claim, outside: Callable[[], Any]) -> Any:
    """What the outside call returns; the lease is renewed while it takes its time, but not for ever."""
    ended = threading.Event()

    def renew() -> None:
        pause = claim.options.lease / 3
        renewals = int(LONGEST_CALL / pause)
        try:
            while renewals > 0 and not ended.wait(pause):
                renewals -= 1
                try:
                    with transaction.atomic():
                        _mark(claim, finished=False)
                except (DatabaseError, InterfaceError) as error:  # once more while the lease lasts
                    log.warning("lease_not_renewed", error=type(error).__name__)
                    connection.close()
        except LeaseLost:
            log.warning("lease_not_renewed", error="LeaseLost")
        finally:
            connection.close()

    renewer = threading.Thread(target=renew, name="lease", daemon=True)
    renewer.start()
    _calling[threading.get_ident()] = claim
    try:
        return outside()
    finally:
        del _calling[threading.get_ident()]
        ended.set()
        renewer.join()


def _mark(claim: Claim, finished: bool) -> None:
    """Inside the run's transaction: renews the lease, or marks the end. Raises LeaseLost."""
    changes = (
        "status = 'done', finished_at = clock_timestamp(), error = '', lease_until = NULL"
        if finished
        else "lease_until = clock_timestamp() + make_interval(secs => lease)"
    )
    marked = fetch(
        f"UPDATE mesh_outbox SET {changes} WHERE id = %s AND CASE status WHEN 'running'"  # noqa: S608
        " THEN attempt = %s AND due_at = %s AND lease_until > clock_timestamp() END RETURNING id",
        [claim.id, claim.attempt, claim.due],
    )
    if not marked:
        raise LeaseLost
    if finished and claim.others:
        fetch(_DELETE_WAITING, [claim.others])


#: What another run has taken up meanwhile is its own; what it deletes too is not waited for, or two deadlock.
_DELETE_WAITING = (
    "DELETE FROM mesh_outbox WHERE id IN"
    " (SELECT id FROM mesh_outbox WHERE id = ANY(%s) AND status = 'waiting' FOR UPDATE SKIP LOCKED)"
)


def _failed(claim: Claim, error: BaseException) -> str:
    """After a run that raised: waits for another try, or gives up. A refusal or what is not `retryable` is final."""
    # The first line alone: a database's next ones show whole rows.
    message = f"{type(error).__name__}: {error}".partition("\n")[0][:500].replace("\x00", "")
    explained = isinstance(error, (MeshError, CutOff, OSError)) or hasattr(error, "retryable")  # for people to read
    refused = (isinstance(error, MeshError) and error.status < 500) or getattr(error, "retryable", True) is False
    last = refused or claim.attempt >= claim.options.attempts
    if last:
        log.error("job_failed", error=message, exc_info=not refused)
    else:
        log.warning("job_retried", error=message)
    try:
        try:
            _end_badly(claim, message, last, last, explained)
        except (LeaseLost, OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("give_up_failed")  # the job has failed all the same
            _end_badly(claim, message, last, False, explained)
    except LeaseLost:
        return "lost"
    except (DatabaseError, InterfaceError) as away:
        log.warning("job_left_to_its_lease", error=str(away))
        return "lost"
    return "failed" if last else "retried"


def _end_badly(claim: Claim, message: str, last: bool, tell: bool, explained: bool) -> None:
    """Marks a run that raised; `tell`: with its service's last word, in the words of an error that is `explained`."""
    with transaction.atomic():
        _mark(claim, finished=False)
        if tell:
            told = message if explained else "Something went wrong here."
            host.give_up(claim.operation, claim.actor, claim.arguments, claim.request_id, told)
        fetch(
            "UPDATE mesh_outbox SET status = %s, error = %s, lease_until = NULL, sent_at = NULL,"
            " due_at = clock_timestamp() + make_interval(secs => %s),"
            " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE id = %s",
            ["failed" if last else "waiting", message, _pause(claim.attempt), last, claim.id],
        )


def _pause(attempt: int) -> float:
    """Seconds until the next try: 1, 4, 16 … with jitter, so that many do not come back at once."""
    return min(_LONGEST_PAUSE, 4.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311


def _give_up_unknown(id: int, name: str) -> None:
    log.error("job_unknown", operation=name, job=id)
    fetch(
        "UPDATE mesh_outbox SET status = 'failed', finished_at = clock_timestamp(), lease_until = NULL, error = %s"
        " WHERE id = %s",
        [f"There is no job {name!r} in this version.", id],
    )
