"""Jobs as an ADMIN sees them: what waits, what failed, trying again; and the pruning of what is done."""

from typing import Annotated, Any

from django.db import transaction
from django.db.models import QuerySet
from pydantic import Field

from mesh.declarations.decorators import command, job, query
from mesh.declarations.fields import Id, Time, text
from mesh.declarations.permissions import admins
from mesh.declarations.schemas import In, Out, Page, PageParams
from mesh.errors import Conflict
from mesh.execution.service import Service, absent
from mesh.models import JobStatus, Outbox
from mesh.outbox import messages, publisher
from mesh.stores.postgres import fetch

KEEP_DONE_DAYS = 7
KEEP_KEYS_HOURS = 24


class NotFailed(Conflict):
    code = "jobs.not_failed"


class JobFilters(In):
    """Which jobs."""

    status: JobStatus | None = None
    operation: Annotated[str, text(1, 100)] | None = None


class RetryIn(In):
    """Which failed jobs are tried again: all of one kind, or all."""

    operation: Annotated[str, text(1, 100)] | None = Field(None, examples=["summarize_note"])


class JobOut(Out):
    """A job in the background."""

    id: Id
    operation: str
    arguments: dict[str, Any]
    queue: str
    status: JobStatus
    attempt: int
    error: str
    due_at: Time
    created_at: Time
    finished_at: Time | None


class RetriedOut(Out):
    """How many jobs are tried again."""

    count: int


class JobService(Service):
    """Work in the background."""

    name = "jobs"

    @query("GET /jobs", allow=admins)
    def list_jobs(self, *, filters: JobFilters, page: PageParams) -> Page[JobOut]:
        """List the jobs in the background, newest first."""
        return self.page(Outbox.objects.filter(**filters.model_dump(exclude_none=True)), JobOut, page)

    @command("POST /jobs/{id}/retry", allow=admins)
    def retry_job(self, *, id: int) -> RetriedOut:
        """Try a failed job again."""
        found = Outbox.objects.filter(pk=id)
        if not found.exists():
            raise absent(Outbox)
        count = self._retry(found)
        if not count:
            raise NotFailed("Only a job that has failed can be tried again.")
        return RetriedOut(count=count)

    @command("POST /jobs/retry", allow=admins)
    def retry_jobs(self, *, data: RetryIn) -> RetriedOut:
        """Try all failed jobs again, or all of one kind."""
        found = Outbox.objects.all() if data.operation is None else Outbox.objects.filter(operation=data.operation)
        return RetriedOut(count=self._retry(found))

    def _retry(self, jobs: QuerySet[Outbox]) -> int:
        failed = list(jobs.filter(status=JobStatus.FAILED).select_for_update(no_key=True).order_by("pk"))
        rows = fetch(
            "UPDATE mesh_outbox SET status = 'waiting', attempt = 0, finished_at = NULL,"
            " due_at = clock_timestamp(), sent_at = clock_timestamp()"
            " WHERE id = ANY(%s) RETURNING id, queue",
            [[row.pk for row in failed]],
        )
        sent = [messages.Sent(id, queue, alone=True) for id, queue in rows]
        transaction.on_commit(lambda: publisher.send_soon(sent), robust=True)
        self.changed()
        return len(failed)

    @job(queue="default", every=3600)
    def prune(self) -> None:
        """Remove what has done its service: jobs that are done, and idempotency keys past their day."""
        fetch(
            "DELETE FROM mesh_outbox WHERE status = 'done' AND finished_at < now() - make_interval(days => %s)",
            [KEEP_DONE_DAYS],
        )
        fetch(
            "DELETE FROM mesh_idempotencykey WHERE created_at < clock_timestamp() - make_interval(hours => %s)",
            [KEEP_KEYS_HOURS],
        )
        self.changed()
