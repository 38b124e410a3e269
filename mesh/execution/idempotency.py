"""Idempotency keys: a command that succeeded takes effect once; its answer is stored, and replayed for 24 hours."""

import base64
import hashlib
import hmac
from functools import cache
from typing import Any

import msgspec
from cryptography.fernet import Fernet
from django.conf import settings

from mesh.declarations.invocation import Answer, Invocation
from mesh.declarations.operations import Operation
from mesh.errors import InProgress, Invalid
from mesh.stores.postgres import fetch


class IdempotencyMismatch(Invalid):
    code = "idempotency.mismatch"


def _owner(invocation: Invocation) -> str:
    return f"address:{invocation.client.address}" if invocation.actor.is_anonymous else f"user:{invocation.actor.id}"


def _fingerprint(invocation: Invocation) -> bytes:
    request = msgspec.json.encode([invocation.operation, invocation.arguments], order="sorted")
    return hmac.digest(settings.SECRET_KEY.encode(), request, "sha256")


@cache
def _fernet(secret: str) -> Fernet:
    return Fernet(base64.urlsafe_b64encode(hashlib.sha256(f"mesh.idempotency:{secret}".encode()).digest()))


def stored(operation: Operation, invocation: Invocation) -> Answer | None:
    """The answer stored under this key, if any. Locks the key until the transaction ends.

    Raises InProgress if another request holds the key, and IdempotencyMismatch if it was used for another request.
    """
    owner, key = _owner(invocation), invocation.idempotency_key
    number = int.from_bytes(hashlib.blake2b(f"{owner} {key}".encode(), digest_size=8).digest(), signed=True)
    if not fetch("SELECT pg_try_advisory_xact_lock(%s::bigint)", [number])[0][0]:
        raise InProgress("The first request with this Idempotency-Key is still running.")
    rows = fetch(
        "SELECT fingerprint, body, row_id, created_at > now() - interval '24 hours' FROM mesh_idempotencykey "
        "WHERE owner = %s AND key = %s",
        [owner, key],
    )
    if not rows:
        return None
    fingerprint, body, row_id, fresh = rows[0]
    if not fresh:
        fetch("DELETE FROM mesh_idempotencykey WHERE owner = %s AND key = %s", [owner, key])
        return None
    if not hmac.compare_digest(fingerprint, _fingerprint(invocation)):
        raise IdempotencyMismatch.field(["header", "Idempotency-Key"], "This key was used for another request.")
    if operation.declaration.secret:
        body = _fernet(settings.SECRET_KEY).decrypt(body)
    return Answer(body, row_id or None, replayed=True)


def keep(operation: Operation, invocation: Invocation, answer: Answer) -> tuple[str, list[Any]]:
    """The statement that stores an answer; encrypted if it holds a credential."""
    body = _fernet(settings.SECRET_KEY).encrypt(answer.body) if operation.declaration.secret else answer.body
    return (
        "INSERT INTO mesh_idempotencykey (owner, key, operation, fingerprint, body, row_id) "
        "VALUES (%s, %s, %s, %s, %s, %s)",
        [
            _owner(invocation),
            invocation.idempotency_key,
            invocation.operation,
            _fingerprint(invocation),
            body,
            str(answer.row_id or ""),
        ],
    )
