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
    """Runs an invocation that is permitted and bound. Raises MeshError; any other exception is a bug."""
    operation = registry.operations[invocation.operation]
    if operation.streams:
        return with_refusals(lambda: _open_stream(operation, invocation))
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
    """Runs a job's method. Returns whether there was anything to do; a run without work is not audited.

    `mark(finished, idle)` is called at the end of each of its transactions; `idle` means that nothing was written.
    A method that yields calls out: `call_out` makes the call that was yielded, with no transaction open, and its
    result is sent back into the method.
    """
    operation = registry.operations[invocation.operation]
    work = Work()
    token = running_command.set(invocation)
    try:
        with transaction.atomic():
            steps = _phases_of(method_of(operation, invocation, work)(**invocation.values))
            outside_call = next(steps, None)
            idle = outside_call is None and not work.to_write and not _has_written()
            _end_phase(invocation, work, mark, finished=outside_call is None, idle=idle)
        while outside_call is not None:
            result = call_out(outside_call)
            with transaction.atomic():
                outside_call = _resume(steps, result)
                _end_phase(invocation, work, mark, finished=outside_call is None)
    finally:
        running_command.reset(token)
    return not idle


def _phases_of(result: Any) -> Generator[Callable[[], Any], Any, None]:
    if isinstance(result, GeneratorType):
        yield from result


def _resume(steps: Generator[Callable[[], Any], Any, None], result: Any) -> Callable[[], Any] | None:
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
    """Whether this transaction has changed or locked a row: only then Postgres has given it an id."""
    return bool(fetch("SELECT pg_current_xact_id_if_assigned() IS NOT NULL")[0][0])


def give_up(operation: Operation, actor: Actor, arguments: Mapping[str, Any], request_id: str, error: str) -> None:
    """Calls the job's `gave_up` method, in the transaction that marks the job as failed."""
    invocation = Invocation(operation.name, actor, {}, arguments, "job", request_id)
    work = Work()
    options = operation.declaration.job
    if options is not None and options.gave_up:
        service: Service = operation.service(actor, invocation=invocation, work=work)
        getattr(service, options.gave_up)(**arguments, error=error)
    flush(invocation, work, {"audit": audit_statement(invocation, "failed", None)})


def _open_stream(operation: Operation, invocation: Invocation) -> Answer:
    """A streamed answer. Reads the first part, so that a refusal is raised here and not while streaming."""
    parts = _stream_parts(operation, invocation)
    next(parts)
    return Answer(b"", stream=parts)


def _stream_parts(operation: Operation, invocation: Invocation) -> Generator[str, None, None]:
    """The parts of a streamed answer, all from one transaction.

    An empty part comes first, once the real first is ready.
    """
    with transaction.atomic():
        parts = iter(method_of(operation, invocation, Work())(**invocation.values))
        first = next(parts, "")
        yield ""
        yield first
        yield from parts
