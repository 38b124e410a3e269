"""Jobs as rows of the outbox, written in the transaction of the command that starts them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import msgspec

from mesh.declarations.decorators import JobOptions
from mesh.declarations.operations import Operation


@dataclass(frozen=True, slots=True)
class Job:
    """One job that a command starts."""

    operation: Operation
    arguments: Mapping[str, Any]

    @property
    def options(self) -> JobOptions:
        assert self.operation.declaration.job is not None
        return self.operation.declaration.job

    @property
    def wakeup(self) -> str:
        """The operation, if one message is enough for all its waiting jobs; else empty."""
        return self.operation.name if self.operation.serves_all else ""


#: Inserts jobs, due now and about to be sent; `insert_values` gives the parameters. Returns their ids, in order.
INSERT = (
    "INSERT INTO mesh_outbox"
    " (operation, arguments, queue, lease, actor_id, request_id, status, attempt, sent_at, error)"
    " SELECT operation, arguments::jsonb, queue, lease, %s, %s, 'waiting', 0, clock_timestamp(), ''"
    " FROM unnest(%s::text[], %s::text[], %s::text[], %s::int[]) AS job (operation, arguments, queue, lease)"
    " RETURNING id"
)


def insert_values(jobs: Sequence[Job], actor_id: int | None, request_id: str) -> list[Any]:
    """The parameters of `INSERT`."""
    return [
        actor_id,
        request_id,
        [job.operation.name for job in jobs],
        [msgspec.json.encode(job.arguments).decode() for job in jobs],
        [job.options.queue for job in jobs],
        [job.options.lease for job in jobs],
    ]
