"""Claims: a run claims a job with an attempt number and a lease. Nobody else can claim it until the lease ends."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import structlog

from mesh.declarations.actors import SYSTEM, Actor
from mesh.declarations.decorators import JobOptions
from mesh.declarations.identity import identity
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.stores.postgres import fetch
from mesh.worker.turns import ACTOR, RETURNED, turns

log = structlog.get_logger(__name__)

MANY = 500  # rows of one kind that one run serves at most


@dataclass(frozen=True, slots=True)
class Claim:
    """A job that this run has claimed. `others`: further rows of its kind that the run serves too, and then deletes."""

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


#: CASE makes Postgres check the id first; otherwise it may scan all rows that wait or run.
BY_ID = """
id = %s AND CASE status WHEN 'waiting' THEN due_at <= clock_timestamp()
    WHEN 'running' THEN lease_until < clock_timestamp() END
"""
BY_OPERATION = """
operation = %s AND (status = 'waiting' AND due_at <= clock_timestamp()
    OR status = 'running' AND lease_until < clock_timestamp())
"""
_CLAIM = """
UPDATE mesh_outbox SET status = 'running', attempt = attempt + 1,
    lease_until = clock_timestamp() + make_interval(secs => lease)
WHERE id = (  -- not IN: a plan may run its subquery again for each row, and so claim several
    SELECT id FROM mesh_outbox WHERE {condition} ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {returned}
"""


def claim_first(condition: str, value: int | str) -> Claim | None:
    """Claims the oldest job that is due and free under `condition` (BY_ID or BY_OPERATION) with this value."""
    rows = fetch(_CLAIM.format(condition=condition, returned=RETURNED), [value])
    return _claim_of(*rows[0]) if rows else None


def claim_next(queue: str, waited: float) -> Claim | None:
    """Claims the queue's next job in turn, among those that have been due for `waited` seconds."""
    while rows := turns.claim(queue, waited):
        claim = None
        try:
            claim = _claim_of(*rows[0])
        finally:
            if claim is None:  # also if the database failed meanwhile
                turns.done(queue, rows[0][ACTOR])
        if claim is not None:
            return claim
    return None


def _claim_of(
    id: int,
    name: str,
    arguments: Any,
    actor_id: int | None,
    request_id: str,
    attempt: int,
    waited: float,
    due: datetime,
) -> Claim | None:
    """A claimed row as a Claim. If this version has no such job, the row is marked as failed, and None is returned."""
    operation = registry.operations.get(name)
    if operation is None or operation.declaration.job is None:
        _give_up_unknown(id, name)
        return None
    others = [row[0] for row in fetch(_OTHERS, [name, MANY])] if operation.serves_all else []
    return Claim(operation, id, attempt, due, arguments, actor_id, request_id, waited, others)


_OTHERS = (
    "SELECT id FROM mesh_outbox WHERE operation = %s AND status = 'waiting' AND due_at <= clock_timestamp() LIMIT %s"
)


def _give_up_unknown(id: int, name: str) -> None:
    log.error("job_unknown", operation=name, job=id)
    fetch(
        "UPDATE mesh_outbox SET status = 'failed', finished_at = clock_timestamp(), lease_until = NULL, error = %s"
        " WHERE id = %s",
        [f"There is no job {name!r} in this version.", id],
    )
