"""Background jobs for ADMINs: list and retry them; and the job that prunes old ones."""

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
    """Which background jobs to list."""

    status: JobStatus | None = Field(None, description="Only jobs that wait, run, are done, or have failed for good.")
    operation: Annotated[str, text(1, 100)] | None = Field(
        None, description="Only jobs of this operation, by its name.", examples=["summarize_note"]
    )


class RetryIn(In):
    """Which failed jobs to retry."""

    operation: Annotated[str, text(1, 100)] | None = Field(
        None, description="Only jobs of this operation, by its name; without it, all.", examples=["summarize_note"]
    )


class JobOut(Out):
    """A background job."""

    id: Id
    operation: str = Field(description="The name of the job's operation.", examples=["summarize_note"])
    arguments: dict[str, Any]
    queue: str
    status: JobStatus = Field(description="`failed` once all attempts are used up, or the job cannot succeed.")
    attempt: int = Field(description="How often it was started.")
    error: str = Field(description="Why the last attempt failed; empty if it did not.")
    due_at: Time = Field(description="When it is started at the earliest.")
    created_at: Time
    finished_at: Time | None = Field(description="When it was done or failed for good; null before.")


class RetriedOut(Out):
    """How many jobs were started again."""

    count: int = Field(description="The number of jobs that wait again.")


JobId = Annotated[Id, Field(description="The job's id, from list_jobs.")]


class JobService(Service):
    """Background jobs, for ADMINs."""

    name = "jobs"

    @query("GET /jobs", allow=admins)
    def list_jobs(self, *, filters: JobFilters, page: PageParams) -> Page[JobOut]:
        """List background jobs, newest first.

        For ADMINs only. Returns what was asked for, its status, the number of attempts and the last error. Jobs that
        are done are deleted after 7 days.
        """
        return self.page(Outbox.objects.filter(**filters.model_dump(exclude_none=True)), JobOut, page)

    @command("POST /jobs/{id}/retry", allow=admins)
    def retry_job(self, *, id: JobId) -> RetriedOut:
        """Retry a background job that failed.

        For ADMINs only. The job is queued again, with all its attempts, and its effects happen once. A job that has
        not failed is refused (409). Returns `count`, which is 1.
        """
        rows = Outbox.objects.filter(pk=id)
        if not rows.exists():
            raise absent(Outbox)
        count = self._retry(rows)
        if not count:
            raise NotFailed("Only a job that has failed can be tried again.")
        return RetriedOut(count=count)

    @command("POST /jobs/retry", allow=admins)
    def retry_jobs(self, *, data: RetryIn) -> RetriedOut:
        """Retry all failed background jobs, or those of one operation.

        For ADMINs only. The jobs are queued again, with all their attempts. Returns how many there were.
        """
        rows = Outbox.objects.all() if data.operation is None else Outbox.objects.filter(operation=data.operation)
        return RetriedOut(count=self._retry(rows))

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
        """Delete jobs done 7 days ago, and idempotency keys after 24 hours."""
        fetch(
            "DELETE FROM mesh_outbox WHERE status = 'done' AND finished_at < now() - make_interval(days => %s)",
            [KEEP_DONE_DAYS],
        )
        fetch(
            "DELETE FROM mesh_idempotencykey WHERE created_at < clock_timestamp() - make_interval(hours => %s)",
            [KEEP_KEYS_HOURS],
        )
        self.changed()
