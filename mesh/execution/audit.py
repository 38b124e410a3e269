"""The audit trail: every command that reached the host, and its outcome."""

from mesh.declarations.call import Call
from mesh.execution.flush import Step


# Audit: every command that reached the host, and what became of it.
def audit_statement(call: Call, outcome: str, row_id: int | str | None) -> Step:
    return (
        "INSERT INTO mesh_auditentry (actor_id, key, operation, door, row_id, outcome, request_id, address) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
        [
            call.actor.id or None,
            call.actor.key_id,
            call.operation,
            call.door,
            "" if row_id is None else str(row_id),
            outcome,
            call.request_id,
            call.client.address,
        ],
    )
