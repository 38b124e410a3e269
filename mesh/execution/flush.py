"""The end of a transaction: its mails, then jobs, audit and versions in one last statement."""

from functools import partial
from typing import Any

from django.db import transaction

from mesh.declarations.invocation import Invocation
from mesh.declarations.registry import registry
from mesh.execution.unit_of_work import Work
from mesh.mail import messages as mails
from mesh.outbox import jobs, publisher
from mesh.outbox.jobs import Job
from mesh.outbox.messages import Sent
from mesh.rows import versions
from mesh.stores.postgres import fetch

Step = tuple[str, list[Any]]  # a statement and its parameters


def require_declared(invocation: Invocation, work: Work) -> None:
    """Raises RuntimeError if the method never called `self.changed`."""
    if not work.declared:
        raise RuntimeError(
            f"{invocation.operation} must say what it changed: self.changed(row), or self.changed() for nothing"
        )


def write_mails(work: Work, written: list[tuple[int, str, str]]) -> None:
    """Adds a `send_mail` job for each mail that was written, given as (id, address, subject)."""
    for id, to, subject in written:
        work.jobs.append(Job(registry.operations["send_mail"], {"id": id}))
        work.mails.append({"to": to, "subject": subject})


def flush(invocation: Invocation, work: Work, steps: dict[str, Step]) -> None:
    """Ends a transaction: writes its mails, then everything else that goes with the rows, in one last statement.

    `steps` are further statements, by a name for each. Jobs are handed to the broker after the commit.
    """
    if work.outgoing_mails:
        write_mails(work, mails.write(work.outgoing_mails))
    if work.documents:
        store = registry.operations["store_documents"]
        transaction.on_commit(partial(publisher.begin_soon, store), robust=True)
    if work.jobs:
        values = jobs.insert_values(work.jobs, invocation.actor.id or None, invocation.request_id)
        steps["jobs"] = (jobs.INSERT, values)
    if work.cache_tags:
        steps["bump"] = (versions.BUMP, [sorted(work.cache_tags)])
    if not steps:
        return
    parts = ", ".join(f"{name} AS ({sql})" for name, (sql, _) in steps.items())
    result = "SELECT id FROM jobs ORDER BY id" if work.jobs else "SELECT 1"
    rows = fetch(f"WITH {parts} {result}", [value for _, values in steps.values() for value in values])
    if late := set().union(*(row.audience() for row in work.open_rows)) - work.cache_tags:
        versions.bump(late)
    if work.jobs:
        sent = [
            Sent(row[0], job.options.queue, job.operation.calls_out, job.wakeup)
            for row, job in zip(rows, work.jobs, strict=True)
            if job.wakeup != invocation.operation  # else the job that is running takes these rows too
        ]
        transaction.on_commit(partial(publisher.send_soon, sent), robust=True)
    work.reset()
