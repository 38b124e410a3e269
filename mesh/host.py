"""The callee's half: runs an operation, a command in one transaction with its idempotency, audit and versions."""

import base64
import contextvars
import hashlib
import hmac
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import msgspec
import structlog
from cryptography.fernet import Fernet
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from pydantic import TypeAdapter

from mesh import versions
from mesh.call import Answer, Call
from mesh.database import constraint_of, fetch, may_be_retried, refusal_of
from mesh.errors import InProgress, Invalid, MeshError
from mesh.operations import Operation
from mesh.rows import Encoded
from mesh.service import Service, Work, registry

log = structlog.get_logger(__name__)

_ATTEMPTS = 4
_running: contextvars.ContextVar[Call | None] = contextvars.ContextVar("running command", default=None)


class IdempotencyMismatch(Invalid):
    code = "idempotency.mismatch"


class _RolledBack(Exception):
    """Ends a dry run's transaction; carries its answer out."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def in_command() -> bool:
    """Whether a command runs here: what is read in its transaction is not yet true for others."""
    return _running.get() is not None


def run(call: Call) -> Answer:
    """The answer of a call that is allowed and bound. Raises MeshError; a bug is any other exception."""
    operation = registry.operations[call.operation]
    if not operation.is_command:
        return _translated(lambda: _encoded(operation, _method(operation, call, Work())(**call.values)))
    if (outer := _running.get()) is not None:
        raise RuntimeError(
            f"{outer.operation} called the command {call.operation}: reads cross services, writes do not"
        )
    token = _running.set(call)
    try:
        return _translated(lambda: _command(operation, call))
    except MeshError as refusal:
        _record_refusal(call, refusal)
        raise
    finally:
        _running.reset(token)


def _translated(step: Callable[[], Answer]) -> Answer:
    """Database errors become refusals; a deadlock's victim tries again where the transaction is its own."""
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return step()
        except (DatabaseError, InterfaceError) as error:
            if may_be_retried(error) and attempt < _ATTEMPTS and not connection.in_atomic_block:
                continue
            refusal = refusal_of(error)
            if refusal is None:
                raise
            log.warning(
                "database_refused", code=refusal.code, constraint=constraint_of(error), error=type(error).__name__
            )
            raise refusal from error
    raise AssertionError("the last attempt returns or raises")


def _command(operation: Operation, call: Call) -> Answer:
    try:
        with transaction.atomic():
            try:
                return _in_transaction(operation, call)
            except MeshError as error:
                if call.dry_run or not error.keeps_changes:
                    raise
                refusal = error
    except _RolledBack as dry:
        return dry.answer
    raise refusal


def _in_transaction(operation: Operation, call: Call) -> Answer:
    keyed = bool(call.idempotency_key) and not call.dry_run
    if keyed and (stored := _stored(operation, call)) is not None:
        return stored
    work = Work()
    answer = _encoded(operation, _method(operation, call, work)(**call.values))
    if call.dry_run:
        result = answer.body or b"null"
        body = b'{"dry_run":true,"result":' + result + b',"jobs":[],"mails":[]}'
        raise _RolledBack(Answer(body, dry_run=True))
    if not work.declared:
        raise RuntimeError(
            f"{call.operation} must say what it changed: self.changed(row), or self.changed() for nothing"
        )
    steps = [_audit(call, "ok", answer.row_id)]
    if keyed:
        steps.append(_keep(operation, call, answer))
    if work.scopes:
        steps.append((versions.BUMP, [sorted(work.scopes)]))
    _run_together(steps)
    if late := set().union(*(row.audience() for row in work.open_rows)) - work.scopes:
        versions.bump(late)
    return answer


def _run_together(steps: list[tuple[str, list[Any]]]) -> None:
    """Several writes as one statement."""
    *before, (last, _) = steps
    ctes = ", ".join(f"step_{number} AS ({sql})" for number, (sql, _) in enumerate(before))
    fetch(f"WITH {ctes} {last}" if ctes else last, [value for _, values in steps for value in values])


def _method(operation: Operation, call: Call, work: Work) -> Callable[..., Any]:
    service: Service = operation.service(call.actor, call=call, work=work)
    return cast(Callable[..., Any], getattr(service, operation.name))


def _encoded(operation: Operation, result: Any) -> Answer:
    if isinstance(result, Encoded):
        answer = Answer(result.body, result.row_id, result.next_cursor, result.replayed)
    elif operation.adapter is None:
        return Answer(b"")
    else:
        answer = Answer(operation.adapter.dump_json(result), getattr(result, "id", None), getattr(result, "next", None))
    if settings.MESH["CHECK_ANSWERS"] and operation.adapter is not None:
        operation.adapter.validate_json(answer.body)
    return answer


# Idempotency: one effect per owner and key, its answer replayed for 24 hours.


def _owner(call: Call) -> str:
    return f"address:{call.client.address}" if call.actor.is_anonymous else f"user:{call.actor.id}"


def _fingerprint(call: Call) -> bytes:
    asked = msgspec.json.encode([call.operation, call.arguments], order="sorted")
    return hmac.digest(settings.SECRET_KEY.encode(), asked, "sha256")


@cache
def _fernet(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"mesh.idempotency:{secret}".encode()).digest()))


def _stored(operation: Operation, call: Call) -> Answer | None:
    """The answer stored under this key. Holds the key until the transaction ends."""
    owner, key = _owner(call), call.idempotency_key
    number = int.from_bytes(hashlib.blake2b(f"{owner} {key}".encode(), digest_size=8).digest(), signed=True)
    if not fetch("SELECT pg_try_advisory_xact_lock(%s::bigint)", [number])[0][0]:
        raise InProgress("The first request with this Idempotency-Key is still running.")
    found = fetch(
        "SELECT fingerprint, body, row_id, created_at > now() - interval '24 hours' FROM mesh_idempotencykey "
        "WHERE owner = %s AND key = %s",
        [owner, key],
    )
    if not found:
        return None
    fingerprint, body, row_id, fresh = found[0]
    if not fresh:
        fetch("DELETE FROM mesh_idempotencykey WHERE owner = %s AND key = %s", [owner, key])
        return None
    if not hmac.compare_digest(fingerprint, _fingerprint(call)):
        raise IdempotencyMismatch.field(["header", "Idempotency-Key"], "This key was used for another request.")
    if operation.declaration.secret:
        body = _fernet(settings.SECRET_KEY).decrypt(body)
    return Answer(body, row_id or None, replayed=True)


def _keep(operation: Operation, call: Call, answer: Answer) -> tuple[str, list[Any]]:
    body = _fernet(settings.SECRET_KEY).encrypt(answer.body) if operation.declaration.secret else answer.body
    return (
        "INSERT INTO mesh_idempotencykey (owner, key, operation, fingerprint, body, row_id) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        [_owner(call), call.idempotency_key, call.operation, _fingerprint(call), body, str(answer.row_id or "")],
    )


# Audit: every command that reached the host, and what became of it.


def _audit(call: Call, outcome: str, row_id: int | str | None) -> tuple[str, list[Any]]:
    return (
        "INSERT INTO mesh_auditentry (actor_id, operation, door, row_id, outcome, request_id, address) "
        "VALUES (%s, %s, %s, %s, %s, %s, %s)",
        [
            call.actor.id or None,
            call.operation,
            call.door,
            "" if row_id is None else str(row_id),
            outcome,
            call.request_id,
            call.client.address,
        ],
    )


def _record_refusal(call: Call, refusal: MeshError) -> None:
    """A refused command leaves its trace too, after its own transaction was rolled back; at best effort."""
    if call.dry_run or refusal.status >= 500:
        return
    try:
        with transaction.atomic():
            _run_together([_audit(call, refusal.code, None)])
    except (DatabaseError, InterfaceError) as error:
        log.warning("audit_failed", error=str(error), operation=call.operation)


def decoded(operation: Operation, answer: Answer) -> Any:
    """The answer as the method's declared return type, for callers in Python."""
    adapter: TypeAdapter[Any] | None = operation.adapter
    return None if adapter is None else adapter.validate_json(answer.body)
