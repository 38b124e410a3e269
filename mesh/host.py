"""The callee's half: runs an operation, a command in one transaction with its idempotency, audit and versions."""

import contextvars
from collections.abc import Callable, Generator, Mapping
from dataclasses import replace
from functools import partial
from types import GeneratorType
from typing import Any, cast

import msgspec
import structlog
from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection, transaction
from pydantic import TypeAdapter

from mesh import idempotency, mail, mail_budget, outbox, quotas, versions
from mesh.binding import bind_flat
from mesh.call import Actor, Answer, Call
from mesh.database import constraint_of, fetch, limit_statements, may_be_retried, refusal_of
from mesh.errors import MeshError, NoDryRun
from mesh.operations import Operation
from mesh.outbox import Job
from mesh.rows import Encoded
from mesh.service import Service, Work, registry

log = structlog.get_logger(__name__)

Step = tuple[str, list[Any]]  # a statement and its parameters

_ATTEMPTS = 4
MOST_FORETOLD = 5  # runs of jobs in a dry run, each of which may write hundreds of mails
_running: contextvars.ContextVar[Call | None] = contextvars.ContextVar("running command", default=None)


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
    if operation.streams:
        return _translated(lambda: _streamed(operation, call))
    if not operation.is_command:
        return _translated(lambda: _query(operation, call))
    if (outer := _running.get()) is not None:
        raise RuntimeError(
            f"{outer.operation} called the command {call.operation}: reads cross services, writes do not"
        )
    token = _running.set(call)
    try:
        if call.dry_run and not operation.has_dry_run:
            raise NoDryRun(*(("header", "Prefer") if call.door == "rest" else ("dry_run",)))
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


def _query(operation: Operation, call: Call) -> Answer:
    method = _method(operation, call, Work())
    if not operation.searches(call.arguments) or connection.in_atomic_block:
        return _encoded(operation, method(**call.values))
    with transaction.atomic():
        limit_statements(settings.MESH["SEARCH_TIMEOUT"].total_seconds())
        return _encoded(operation, method(**call.values))


def _command(operation: Operation, call: Call) -> Answer:
    try:
        with transaction.atomic():
            limit_statements(settings.MESH["STATEMENT_TIMEOUT"].total_seconds())
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
    if keyed and (stored := idempotency.stored(operation, call)) is not None:
        return stored
    if operation.declaration.creates is not None:
        quotas.require_room(operation.declaration.creates, call.actor.id)
    work = Work()
    answer = _encoded(operation, _method(operation, call, work)(**call.values))
    budget = _charge(call, work)
    if call.dry_run:
        _foretell(call, work)
        raise _RolledBack(_dry(answer, work, budget))
    _require_declared(call, work)
    steps = {"audit": _audit(call, "ok", answer.row_id)}
    if keyed:
        steps["keep"] = idempotency.keep(operation, call, answer)
    _settle(call, work, steps)
    return answer


def _charge(call: Call, work: Work) -> dict[str, int] | None:
    """Counts the mails of a command and of its jobs, wanted or not, so that the count tells nothing of anyone.

    Before they are written: who waits here for another command of the same user holds no mail up.
    """
    own = call.actor.email.lower()
    told = {(letter.key, address) for letter in work.letters if (address := letter.to.lower()) != own}
    count = len(told) + work.mails_to_come
    return mail_budget.charge(call.actor, count) if count or call.dry_run else None


def _foretell(call: Call, work: Work) -> None:
    """Writes the mails of a dry run: its own, and those of the jobs that do nothing else.

    A job that begins its next part is told with it, as one. Of very many the next part is left, as a job.
    """
    asked, parts = len(work.jobs), list[int]()
    for place, job in enumerate(work.jobs):  # which grows
        if not job.options.foretold or len(parts) == MOST_FORETOLD:
            continue
        parts.append(place)
        values, _ = bind_flat(job.operation, job.arguments)
        user = replace(call.actor, key_id=None, scopes=None)  # as whom it will run
        told = replace(call, operation=job.operation.name, actor=user, door="job")
        _method(job.operation, told, work)(**values)
    work.jobs = [job for place, job in enumerate(work.jobs) if place < asked or place not in parts]
    _note_mails(work, mail.foretell(work.letters))


def _dry(answer: Answer, work: Work, budget: dict[str, int] | None) -> Answer:
    jobs = [{"operation": job.operation.name, "arguments": job.arguments} for job in work.jobs]
    told: dict[str, Any] = {"jobs": jobs, "mails": work.mails}
    if work.mails and budget is not None:
        told["mail_budget"] = budget
    rest = msgspec.json.encode(told)[1:]
    return Answer(b'{"dry_run":true,"result":' + (answer.body or b"null") + b"," + rest, dry_run=True)


def _require_declared(call: Call, work: Work) -> None:
    if not work.declared:
        raise RuntimeError(
            f"{call.operation} must say what it changed: self.changed(row), or self.changed() for nothing"
        )


def _note_mails(work: Work, written: list[tuple[int, str, str]]) -> None:
    for id, to, subject in written:
        work.jobs.append(Job(registry.operations["send_mail"], {"id": id}))
        work.mails.append({"to": to, "subject": subject})


def _settle(call: Call, work: Work, steps: dict[str, Step]) -> None:
    """The end of a transaction: its mails, and then all that must be written beside the rows, in one last statement.

    Jobs are handed to the broker after the commit.
    """
    if work.letters:
        _note_mails(work, mail.write(work.letters))
    if work.documents:
        store = registry.operations["store_documents"]
        transaction.on_commit(partial(outbox.begin_soon, store), robust=True)
    if work.jobs:
        values = outbox.insert_values(work.jobs, call.actor.id or None, call.request_id)
        steps["jobs"] = (outbox.INSERT, values)
    if work.scopes:
        steps["bump"] = (versions.BUMP, [sorted(work.scopes)])
    if not steps:
        return
    parts = ", ".join(f"{name} AS ({sql})" for name, (sql, _) in steps.items())
    result = "SELECT id FROM jobs ORDER BY id" if work.jobs else "SELECT 1"
    rows = fetch(f"WITH {parts} {result}", [value for _, values in steps.values() for value in values])
    if late := set().union(*(row.audience() for row in work.open_rows)) - work.scopes:
        versions.bump(late)
    if work.jobs:
        sent = [
            outbox.Sent(row[0], job.options.queue, job.operation.calls_out, job.nudge)
            for row, job in zip(rows, work.jobs, strict=True)
            if job.nudge != call.operation  # else whoever runs it goes on with it
        ]
        transaction.on_commit(partial(outbox.send_soon, sent), robust=True)
    work.settled()


def run_job(call: Call, mark: Callable[[bool], None], call_out: Callable[[Callable[[], Any]], Any]) -> None:
    """Runs a job's method. `mark(finished)` is called inside each of its transactions, as their last look.

    A method that yields calls out: `call_out` calls what it yields with no transaction open, and the result is sent
    back in.
    """
    operation = registry.operations[call.operation]
    work = Work()
    token = _running.set(call)
    try:
        with transaction.atomic():
            steps = _started(_method(operation, call, work)(**call.values))
            outside = next(steps, None)
            _end_phase(call, work, mark, outside is None)
        while outside is not None:
            result = call_out(outside)
            with transaction.atomic():
                outside = _resumed(steps, result)
                _end_phase(call, work, mark, outside is None)
    finally:
        _running.reset(token)


def _started(result: Any) -> Generator[Callable[[], Any], Any, None]:
    if isinstance(result, GeneratorType):
        yield from result


def _resumed(steps: Generator[Callable[[], Any], Any, None], result: Any) -> Callable[[], Any] | None:
    try:
        return steps.send(result)
    except StopIteration:
        return None


def _end_phase(call: Call, work: Work, mark: Callable[[bool], None], finished: bool) -> None:
    if finished:
        _require_declared(call, work)
    mark(finished)
    _settle(call, work, {"audit": _audit(call, "ok", None)} if finished else {})


def give_up(operation: Operation, actor: Actor, arguments: Mapping[str, Any], request_id: str, error: str) -> None:
    """Tells a job's service that it has failed for good, in the transaction that marks it so."""
    call = Call(operation.name, actor, {}, arguments, "job", request_id)
    work = Work()
    options = operation.declaration.job
    if options is not None and options.gave_up:
        service: Service = operation.service(actor, call=call, work=work)
        getattr(service, options.gave_up)(**arguments, error=error)
    _settle(call, work, {"audit": _audit(call, "failed", None)})


def _method(operation: Operation, call: Call, work: Work) -> Callable[..., Any]:
    service: Service = operation.service(call.actor, call=call, work=work)
    return cast(Callable[..., Any], getattr(service, operation.name))


def _streamed(operation: Operation, call: Call) -> Answer:
    """The answer whose text is still to come; what refuses it does so now."""
    parts = _parts(operation, call)
    next(parts)
    return Answer(b"", stream=parts)


def _parts(operation: Operation, call: Call) -> Generator[str, None, None]:
    """The parts of a streamed answer, from one transaction; before them an empty one, when the first is at hand."""
    with transaction.atomic():
        parts = iter(_method(operation, call, Work())(**call.values))
        first = next(parts, "")
        yield ""
        yield first
        yield from parts


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


# Audit: every command that reached the host, and what became of it.


def _audit(call: Call, outcome: str, row_id: int | str | None) -> Step:
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


def _record_refusal(call: Call, refusal: MeshError) -> None:
    """A refused command leaves its trace too, after its own transaction was rolled back; at best effort."""
    if refusal.status >= 500 or (call.dry_run and not isinstance(refusal, NoDryRun)):
        return
    try:
        with transaction.atomic():
            _settle(call, Work(), {"audit": _audit(call, refusal.code, None)})
    except (DatabaseError, InterfaceError) as error:
        log.warning("audit_failed", error=str(error), operation=call.operation)


def decoded(operation: Operation, answer: Answer) -> Any:
    """The answer as the method's declared return type, for callers in Python."""
    if answer.stream is not None:
        return answer.stream
    adapter: TypeAdapter[Any] | None = operation.adapter
    return None if adapter is None else adapter.validate_json(answer.body)
