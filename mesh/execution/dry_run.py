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

MAX_PREVIEWED_JOBS = 5  # runs of jobs in a dry run, each of which may write hundreds of mails


class RolledBack(Exception):
    """Ends a dry run's transaction; carries its answer out."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


def list_effects(invocation: Invocation, work: Work) -> None:
    """Writes the mails of a dry run: its own, and those of the jobs that do nothing else.

    A job that begins its next part is told with it, as one. Of very many the next part is left, as a job.
    """
    asked, parts = len(work.jobs), list[int]()
    for place, job in enumerate(work.jobs):  # which grows
        if not job.options.mails_only or len(parts) == MAX_PREVIEWED_JOBS:
            continue
        parts.append(place)
        values, _ = bind_flat(job.operation, job.arguments)
        user = replace(invocation.actor, key_id=None, scopes=None)  # as whom it will run
        told = replace(invocation, operation=job.operation.name, actor=user, door="job")
        method_of(job.operation, told, work)(**values)
    work.jobs = [job for place, job in enumerate(work.jobs) if place < asked or place not in parts]
    write_mails(work, mails.preview(work.outgoing_mails))


def dry_run_answer(answer: Answer, work: Work, budget: dict[str, int] | None) -> Answer:
    jobs = [{"operation": job.operation.name, "arguments": job.arguments} for job in work.jobs]
    told: dict[str, Any] = {"jobs": jobs, "mails": work.mails}
    if work.mails and budget is not None:
        told["mail_budget"] = budget
    rest = msgspec.json.encode(told)[1:]
    return Answer(b'{"dry_run":true,"result":' + (answer.body or b"null") + b"," + rest, dry_run=True)
