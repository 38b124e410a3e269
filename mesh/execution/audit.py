"""The audit trail: one row for every command that reached the host, with its outcome."""

from mesh.declarations.invocation import Invocation
from mesh.execution.flush import Step


def audit_statement(invocation: Invocation, outcome: str, row_id: int | str | None) -> Step:
    """The statement that writes the audit entry; `outcome` is `ok`, `failed` or the code of a refusal."""
    return (
        "INSERT INTO mesh_auditentry (actor_id, key, operation, door, row_id, outcome, request_id, address) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            invocation.actor.id or None,
            invocation.actor.key_id,
            invocation.operation,
            invocation.door,
            "" if row_id is None else str(row_id),
            outcome,
            invocation.request_id,
            invocation.client.address,
        ],
    )
