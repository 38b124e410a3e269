"""The callee's half: runs an operation, a command in one transaction with its idempotency, audit and versions."""

from collections.abc import Callable, Generator, Mapping
from types import GeneratorType
from typing import Any

from django.db import transaction

from mesh.declarations.actors import Actor
from mesh.declarations.invocation import Answer, Invocation
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.declarations.running import running_command
from mesh.errors import MeshError, NoDryRun
from mesh.execution.audit import audit_statement
from mesh.execution.flush import flush, require_declared
from mesh.execution.invoke import method_of
from mesh.execution.service import Service
from mesh.execution.transaction import record_refusal, run_command, run_query, with_refusals
from mesh.execution.unit_of_work import Work
from mesh.stores.postgres import fetch


def run(invocation: Invocation) -> Answer:
    """The answer of a call that is allowed and bound. Raises MeshError; a bug is any other exception."""
    operation = registry.operations[invocation.operation]
    if operation.streams:
        return with_refusals(lambda: _streamed(operation, invocation))
    if not operation.is_command:
        return with_refusals(lambda: run_query(operation, invocation))
    if (outer := running_command.get()) is not None:
        raise RuntimeError(
            f"{outer.operation} called the command {invocation.operation}: reads cross services, writes do not"
        )
    token = running_command.set(invocation)
    try:
        if invocation.dry_run and not operation.has_dry_run:
            raise NoDryRun(*(("header", "Prefer") if invocation.door == "rest" else ("dry_run",)))
        return with_refusals(lambda: run_command(operation, invocation))
    except MeshError as refusal:
        record_refusal(invocation, refusal)
        raise
    finally:
        running_command.reset(token)


def run_job(
    invocation: Invocation, mark: Callable[[bool, bool], None], call_out: Callable[[Callable[[], Any]], Any]
) -> bool:
    """Runs a job's method, and returns whether there was anything to do: a run that found nothing is not audited.

    `mark(finished, idle)` is called inside each of its transactions, as their last look; `idle`: nothing was written.
    A method that yields calls out: `call_out` calls what it yields with no transaction open, and the result is sent
    back in.
    """
    operation = registry.operations[invocation.operation]
    work = Work()
    token = running_command.set(invocation)
    try:
        with transaction.atomic():
            steps = _started(method_of(operation, invocation, work)(**invocation.values))
            outside = next(steps, None)
            idle = outside is None and not work.to_write and not _has_written()
            _end_phase(invocation, work, mark, finished=outside is None, idle=idle)
        while outside is not None:
            result = call_out(outside)
            with transaction.atomic():
                outside = _resumed(steps, result)
                _end_phase(invocation, work, mark, finished=outside is None)
    finally:
        running_command.reset(token)
    return not idle


def _started(result: Any) -> Generator[Callable[[], Any], Any, None]:
    if isinstance(result, GeneratorType):
        yield from result


def _resumed(steps: Generator[Callable[[], Any], Any, None], result: Any) -> Callable[[], Any] | None:
    try:
        return steps.send(result)
    except StopIteration:
        return None


def _end_phase(
    invocation: Invocation, work: Work, mark: Callable[[bool, bool], None], *, finished: bool, idle: bool = False
) -> None:
    if finished:
        require_declared(invocation, work)
    mark(finished, idle)
    flush(invocation, work, {"audit": audit_statement(invocation, "ok", None)} if finished and not idle else {})


def _has_written() -> bool:
    """Whether this transaction has changed or locked a row: only then has it a number of its own."""
    return bool(fetch("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")[0][0])


def give_up(operation: Operation, actor: Actor, arguments: Mapping[str, Any], request_id: str, error: str) -> None:
    """Tells a job's service that it has failed for good, in the transaction that marks it so."""
    invocation = Invocation(operation.name, actor, {}, arguments, "job", request_id)
    work = Work()
    options = operation.declaration.job
    if options is not None and options.gave_up:
        service: Service = operation.service(actor, invocation=invocation, work=work)
        getattr(service, options.gave_up)(**arguments, error=error)
    flush(invocation, work, {"audit": audit_statement(invocation, "failed", None)})


def _streamed(operation: Operation, invocation: Invocation) -> Answer:
    """The answer whose text is still to come; what refuses it does so now."""
    parts = _parts(operation, invocation)
    next(parts)
    return Answer(b"", stream=parts)


def _parts(operation: Operation, invocation: Invocation) -> Generator[str, None, None]:
    """The parts of a streamed answer, from one transaction; before them an empty one, when the first is at hand."""
    with transaction.atomic():
        parts = iter(method_of(operation, invocation, Work())(**invocation.values))
        first = next(parts, "")
        yield ""
        yield first
        yield from parts
