"""The one transaction of a command: idempotency, the method, the flush. Database errors become refusals."""

from collections.abc import Callable

import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction

from mesh.declarations.invocation import Answer, Invocation
from mesh.declarations.operations import Operation
from mesh.errors import MeshError, NoDryRun
from mesh.execution import idempotency, mail_budget, quotas
from mesh.execution.audit import audit_statement
from mesh.execution.dry_run import RolledBack, dry_run_answer, list_effects
from mesh.execution.flush import flush, require_declared
from mesh.execution.invoke import encode_answer, method_of
from mesh.execution.unit_of_work import Work
from mesh.stores.postgres import constraint_of, limit_statements, may_be_retried, refusal_of

log = structlog.get_logger(__name__)

_ATTEMPTS = 4


def with_refusals(step: Callable[[], Answer]) -> Answer:
    """Runs a step. Turns database errors into refusals, and retries deadlocks unless a transaction is already open."""
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


def run_query(operation: Operation, invocation: Invocation) -> Answer:
    """Runs a query; a search runs in a transaction of its own, with a shorter statement timeout."""
    method = method_of(operation, invocation, Work())
    if not operation.searches(invocation.arguments) or connection.in_atomic_block:
        return encode_answer(operation, method(**invocation.values))
    with transaction.atomic():
        limit_statements(settings.MESH["SEARCH_TIMEOUT"].total_seconds())
        return encode_answer(operation, method(**invocation.values))


def run_command(operation: Operation, invocation: Invocation) -> Answer:
    """Runs a command in one transaction. A dry run is rolled back; some refusals keep their changes."""
    try:
        with transaction.atomic():
            limit_statements(settings.MESH["STATEMENT_TIMEOUT"].total_seconds())
            try:
                return _in_transaction(operation, invocation)
            except MeshError as error:
                if invocation.dry_run or not error.keeps_changes:
                    raise
                refusal = error
    except RolledBack as rolled_back:
        return rolled_back.answer
    raise refusal


def _in_transaction(operation: Operation, invocation: Invocation) -> Answer:
    keyed = bool(invocation.idempotency_key) and not invocation.dry_run
    if keyed and (stored := idempotency.stored(operation, invocation)) is not None:
        return stored
    if operation.declaration.creates is not None:
        quotas.require_room(operation.declaration.creates, invocation.actor.id)
    work = Work()
    answer = encode_answer(operation, method_of(operation, invocation, work)(**invocation.values))
    budget = _charge(invocation, work)
    if invocation.dry_run:
        list_effects(invocation, work)
        raise RolledBack(dry_run_answer(answer, work, budget))
    require_declared(invocation, work)
    steps = {"audit": audit_statement(invocation, "ok", answer.row_id)}
    if keyed:
        steps["keep"] = idempotency.keep(operation, invocation, answer)
    flush(invocation, work, steps)
    return answer


def _charge(invocation: Invocation, work: Work) -> dict[str, int] | None:
    """Charges the mail budget for the mails of a command and of its jobs.

    It counts mails that nobody wants too, so that the count reveals no one's settings. It runs before the mails are
    written: a command that waits here for another one of the same user holds no locks on mails.
    """
    own_address = invocation.actor.email.lower()
    others = {(mail.key, address) for mail in work.outgoing_mails if (address := mail.to.lower()) != own_address}
    count = len(others) + work.mails_to_come
    return mail_budget.charge(invocation.actor, count, owed=work.mails_owed) if count or invocation.dry_run else None


def record_refusal(invocation: Invocation, refusal: MeshError) -> None:
    """Writes an audit entry for a refused command, after its transaction was rolled back; best effort."""
    if refusal.status >= 500 or (invocation.dry_run and not isinstance(refusal, NoDryRun)):
        return
    try:
        with transaction.atomic():
            flush(invocation, Work(), {"audit": audit_statement(invocation, refusal.code, None)})
    except (DatabaseError, InterfaceError) as error:
        log.warning("audit_failed", error=str(error), operation=invocation.operation)
