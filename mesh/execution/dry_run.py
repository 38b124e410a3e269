"""Dry runs: a command runs, its effects are listed, and its transaction is rolled back."""

from dataclasses import replace
from typing import Any

import msgspec

from mesh.declarations.arguments import bind_flat
from mesh.declarations.invocation import Answer, Invocation
from mesh.execution.flush import write_mails
from mesh.execution.invoke import method_of
from mesh.execution.unit_of_work import Work
from mesh.mail import messages as mails

MAX_PREVIEWED_JOBS = 5  # job runs in one dry run; each may write hundreds of mails


class RolledBack(Exception):
    """Rolls a dry run's transaction back, and carries its answer out."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def list_effects(invocation: Invocation, work: Work) -> None:
    """Writes the mails of a dry run: those of the command, and those of its `mails_only` jobs, which it runs.

    A job that defers its own next part is listed once, with the mails of all parts. After MAX_PREVIEWED_JOBS runs the
    next part is listed as a job instead.
    """
    deferred, previewed = len(work.jobs), list[int]()
    for place, job in enumerate(work.jobs):  # the list grows meanwhile
        if not job.options.mails_only or len(previewed) == MAX_PREVIEWED_JOBS:
            continue
        previewed.append(place)
        values, _ = bind_flat(job.operation, job.arguments)
        user = replace(invocation.actor, key_id=None, scopes=None)  # the job will run as the user, not as the API key
        preview = replace(invocation, operation=job.operation.name, actor=user, door="job")
        method_of(job.operation, preview, work)(**values)
    work.jobs = [job for place, job in enumerate(work.jobs) if place < deferred or place not in previewed]
    write_mails(work, mails.preview(work.outgoing_mails))


def dry_run_answer(answer: Answer, work: Work, budget: dict[str, int] | None) -> Answer:
    jobs = [{"operation": job.operation.name, "arguments": job.arguments} for job in work.jobs]
    effects: dict[str, Any] = {"jobs": jobs, "mails": work.mails}
    if work.mails and budget is not None:
        effects["mail_budget"] = budget
    rest = msgspec.json.encode(effects)[1:]
    return Answer(b'{"dry_run":true,"result":' + (answer.body or b"null") + b"," + rest, dry_run=True)
