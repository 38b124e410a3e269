"""Running jobs: runs the operations of claimed rows through the host, and marks how they ended.

A claim is an attempt number and a lease. A run may write only while both are still its own. It marks the row in the
transaction of its effects. So effects happen once, however often a message arrives, and a late worker writes nothing.
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
_MAX_BACKOFF = 600.0


class LeaseLost(Exception):
    """Another run has claimed the job, or the lease has expired: nothing may be written."""


class CutOff(Exception):
    """In all of its attempts the job's process ended or its lease expired."""


def run(ids: Sequence[int]) -> int:
    """Runs those of these jobs that are due and free. Returns the number of runs."""
    # Each is claimed just before it runs, since its lease begins then.
    return sum(1 for id in ids if (claim := claim_first(BY_ID, id)) is not None and run_claim(claim))


def run_all(operation: str) -> int:
    """Runs a job that serves all of its kind until no free row is left, or a run fails. Returns the number of runs."""
    count, outcome = 0, "done"
    while outcome == "done" and not stopping.is_set() and (claim := claim_first(BY_OPERATION, operation)) is not None:
        outcome = run_claim(claim)
        count += 1
    return count


def run_claim(claim: Claim) -> str:
    """Runs a claimed job. Returns the outcome: `done`, `retried`, `failed` or `lost`."""
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
        idle = not host.run_job(invocation, partial(_mark, claim), partial(_call_out, claim))
        outcome = "done"
    except LeaseLost:
        outcome = "lost"
        log.warning("lease_lost")
    except BaseException as error:  # whatever a job raises must not end its thread
        outcome = _end_failed_run(claim, error)
    finally:
        DURATION.labels(claim.operation.name).observe(time.perf_counter() - started)
    RUNS.labels(claim.operation.name, outcome).inc()
    (log.debug if idle else log.info)(
        "job", outcome=outcome, milliseconds=round((time.perf_counter() - started) * 1000, 1)
    )
    structlog.contextvars.clear_contextvars()
    return outcome


_calling: dict[int, Claim] = {}  # the jobs of this process that are calling out, by thread


def hand_back() -> None:
    """Gives back the jobs that are calling out, before this process ends: other workers can claim them at once."""
    for claim in list(_calling.values()):
        fetch(
            "UPDATE mesh_outbox SET status = 'waiting', due_at = clock_timestamp(), lease_until = NULL, sent_at = NULL"
            " WHERE id = %s AND attempt = %s AND due_at = %s AND status = 'running'",
            [claim.id, claim.attempt, claim.due],
        )
        log.warning("job_handed_back", operation=claim.operation.name, job=claim.id)


def _call_out(claim: Claim, outside_call: Callable[[], Any]) -> Any:
    """Makes an outside call and returns its result. Renews the lease meanwhile, for LONGEST_CALL at most."""
    call_ended = threading.Event()

    def renew() -> None:
        pause = claim.options.lease / 3
        renewals = int(LONGEST_CALL / pause)
        try:
            while renewals > 0 and not call_ended.wait(pause):
                renewals -= 1
                try:
                    with transaction.atomic():
                        _mark(claim, False)
                except (DatabaseError, InterfaceError) as error:  # try again while the lease lasts
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
        return outside_call()
    finally:
        del _calling[threading.get_ident()]
        call_ended.set()
        renewer.join()


def _mark(claim: Claim, finished: bool, idle: bool = False) -> None:
    """Renews the lease or marks the job as done, inside the run's transaction. Raises LeaseLost.

    Of the runs that found nothing to do only the last row is kept: it shows that the schedule is alive.
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


#: Skips rows that another run has claimed meanwhile, and locked rows: two runs deleting the same ones could deadlock.
_DELETE_WAITING = (
    "DELETE FROM mesh_outbox WHERE id IN"
    " (SELECT id FROM mesh_outbox WHERE id = ANY(%s) AND status = 'waiting' FOR UPDATE SKIP LOCKED)"
)


def _end_failed_run(claim: Claim, error: BaseException) -> str:
    """After a run that raised: schedules a retry, or gives up.

    A refusal, or an error that is not `retryable`, is final.
    """
    # Only the first line: the further lines of a database error show whole rows.
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
            _mark_failed(claim, message, last, last, explained)
        except (LeaseLost, OperationalError, InterfaceError):
            raise
        except Exception:
            log.exception("give_up_failed")  # the job has failed all the same
            _mark_failed(claim, message, last, False, explained)
    except LeaseLost:
        return "lost"
    except (DatabaseError, InterfaceError) as away:
        log.warning("job_left_to_its_lease", error=str(away))
        return "lost"
    return "failed" if last else "retried"


def _mark_failed(claim: Claim, message: str, last: bool, tell: bool, explained: bool) -> None:
    """Marks a run that raised as failed or for a retry. `tell`: calls the service's `gave_up` method too.

    That method gets the error's message if it is `explained`, that is, meant for people to read.
    """
    with transaction.atomic():
        _mark(claim, False)
        if tell:
            public_message = message if explained else "Something went wrong here."
            host.give_up(claim.operation, claim.actor, claim.arguments, claim.request_id, public_message)
        fetch(
            "UPDATE mesh_outbox SET status = %s, error = %s, lease_until = NULL, sent_at = NULL,"
            " due_at = clock_timestamp() + make_interval(secs => %s),"
            " finished_at = CASE WHEN %s THEN clock_timestamp() END WHERE id = %s",
            ["failed" if last else "waiting", message, _backoff(claim.attempt), last, claim.id],
        )


def _backoff(attempt: int) -> float:
    """The backoff in seconds: 1, 4, 16 … with jitter, so that many jobs do not come back at once."""
    return min(_MAX_BACKOFF, 4.0 ** (attempt - 1)) * random.uniform(0.75, 1.25)  # noqa: S311
