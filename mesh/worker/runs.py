"""Running jobs: claim the rows that a message leads to, run their operations through the host, mark their end.

Whoever claims a row gets an attempt number and a lease. A run may write only while both are still its own, and marks
the row in the transaction of its effects: they happen once, however often a message comes, and a late worker writes
nothing.
"""

import random
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
from django.db import DatabaseError, InterfaceError, OperationalError, connection, transaction
from prometheus_client import Counter, Histogram

from mesh.declarations.arguments import bind_flat
from mesh.declarations.invocation import Invocation
from mesh.errors import MeshError
from mesh.execution import host
from mesh.stores.postgres import fetch
from mesh.worker.claims import BY_ID, BY_OPERATION, Claim, claim_first
from mesh.worker.turns import stopping

log = structlog.get_logger(__name__)

RUNS = Counter("meshwork_job_runs_total", "Runs of jobs, by operation and outcome.", ["operation", "outcome"])
DURATION = Histogram("meshwork_job_seconds", "Time that a run of a job took.", ["operation"])
WAITED = Histogram("meshwork_job_wait_seconds", "Time from a job's being due to its run.", ["operation"])
LONGEST_CALL = 600.0  # seconds for which an outside call may hold its job
_LONGEST_PAUSE = 600.0


class LeaseLost(Exception):
    """Another run has taken the job over, or the lease has passed: nothing may be written."""


class CutOff(Exception):
    """A job's process ended, or its lease passed, as often as it may be tried."""


def run(ids: Sequence[int]) -> int:
    """Runs those of the jobs that are due and free, and returns how many runs there were."""
    # Each is claimed when its turn comes, for its lease runs from then.
    return sum(1 for id in ids if (claim := claim_first(BY_ID, id)) is not None and run_claim(claim))


def run_all(operation: str) -> int:
    """Runs a job that serves all until nothing that waits of it is free, or a run fails; returns how many runs."""
    count, outcome = 0, "done"
    while outcome == "done" and not stopping.is_set() and (claim := claim_first(BY_OPERATION, operation)) is not None:
        outcome = run_claim(claim)
        count += 1
    return count


def run_claim(claim: Claim) -> str:
    """What came of it: `done`, `retried`, `failed` or `lost`."""
    started, idle = time.perf_counter(), False
    structlog.contextvars.bind_contextvars(
        request_id=claim.request_id, user_id=claim.actor_id, operation=claim.operation.name, job=claim.id
    )
    WAITED.labels(claim.operation.name).observe(max(0.0, claim.waited))
    try:
        if claim.attempt > claim.options.attempts:
            raise CutOff("Every run of this job was cut off.")
        actor = claim.actor
        values, _ = bind_flat(claim.operation, claim.arguments)
        invocation = Invocation(
            operation=claim.operation.name,
            actor=actor,
            values=values,
            arguments=claim.arguments,
            door="job",
            request_id=claim.request_id,
        )
        idle = not host.run_job(invocation, partial(_mark, claim), partial(_called_out, claim))
        outcome = "done"
    except LeaseLost:
        outcome = "lost"
        log.warning("lease_lost")
    except BaseException as error:  # whatever a job raises is the job's, and must not end its thread
        outcome = _failed(claim, error)
    finally:
        DURATION.labels(claim.operation.name).observe(time.perf_counter() - started)
    RUNS.labels(claim.operation.name, outcome).inc()
    (log.debug if idle else log.info)(
        "job", outcome=outcome, milliseconds=round((time.perf_counter() - started) * 1000, 1)
    )
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
                        _mark(claim, False)
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


def _mark(claim: Claim, finished: bool, idle: bool = False) -> None:
    """Inside the run's transaction: renews the lease, or marks the end. Raises LeaseLost.

    Of a job's runs that found nothing to do, only the last is kept: it tells that the schedule goes on.
    """
    changes = (
        f"status = 'done', finished_at = clock_timestamp(), error = '', lease_until = NULL, idle = {idle}"
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
    if idle and claim.options.every:
        fetch("DELETE FROM mesh_outbox WHERE operation = %s AND idle AND id <> %s", [claim.operation.name, claim.id])


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
        _mark(claim, False)
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
