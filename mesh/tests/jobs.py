"""Jobs, run here in place of a worker."""

from datetime import UTC, datetime

from mesh.declarations.registry import registry
from mesh.models import Outbox, PeriodicJob
from mesh.outbox import schedule
from mesh.worker import runs, tasks

_LONG_AGO = datetime(2026, 1, 1, tzinfo=UTC)


def run_jobs(*operations: str) -> int:
    """Runs the jobs that are due as the worker does, of these operations or all, and those that they begin.

    Returns how many runs there were.
    """
    count = 0
    while True:
        waiting = Outbox.objects.filter(status="waiting", **({"operation__in": operations} if operations else {}))
        waiting.filter(attempt=0).update(due_at=_LONG_AGO)  # in a test's own transaction nothing new is due yet
        ran = runs.run(list(waiting.order_by("id").values_list("id", flat=True)))
        if not ran:
            return count
        count += ran


def run_periodic(operation: str) -> None:
    """The time of a periodic job has come: what the relay and the worker do then."""
    PeriodicJob.objects.update_or_create(operation=operation, defaults={"begun_at": _LONG_AGO})
    ids = schedule.begin_due({operation: registry.periodic_jobs()[operation]})
    if registry.operations[operation].serves_all and ids:
        tasks.drain(operation)
    else:
        runs.run(ids)


def due_now() -> None:
    """Time goes by: what waits for another try is due, and a run that was cut off counts as lost."""
    Outbox.objects.filter(status="waiting").update(due_at=_LONG_AGO)
    Outbox.objects.filter(status="running").update(lease_until=_LONG_AGO)


def store_documents() -> None:
    """What the job does when its time has come."""
    run_periodic("store_documents")
