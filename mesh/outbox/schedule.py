"""The schedule: the relay begins periodic jobs, each once, however many relays run."""

from collections.abc import Mapping

from mesh.declarations.decorators import JobOptions
from mesh.stores.postgres import fetch


def begin_due(jobs: Mapping[str, JobOptions]) -> list[int]:
    """Begins those of these periodic jobs that are due, and returns the ids of the new rows.

    A job that waits or runs already is not begun again. A job that is new to the schedule is first due after one
    interval. The relay sends a message for each new row, as for all jobs without one (`overdue.claim_unsent`).
    """
    columns = [[getattr(options, name) for options in jobs.values()] for name in ("every", "queue", "lease")]
    return [row[0] for row in fetch(_BEGIN, [list(jobs), *columns])]


# A row that another relay holds is skipped: that relay begins the job.
_BEGIN = """
WITH job AS (
    SELECT * FROM unnest(%s::text[], %s::int[], %s::text[], %s::int[]) AS job (operation, every, queue, lease)
), new AS (
    INSERT INTO mesh_periodicjob (operation, begun_at) SELECT operation, clock_timestamp() FROM job
    WHERE NOT EXISTS (SELECT 1 FROM mesh_periodicjob AS known WHERE known.operation = job.operation)
    ON CONFLICT DO NOTHING
), due AS (
    SELECT operation, queue, lease FROM mesh_periodicjob AS known JOIN job USING (operation)
    WHERE begun_at <= clock_timestamp() - make_interval(secs => every)
        OR begun_at > clock_timestamp() + interval '1 minute'  -- begun by a clock that was wrong
    FOR NO KEY UPDATE OF known SKIP LOCKED
), marked AS (
    UPDATE mesh_periodicjob AS known SET begun_at = clock_timestamp() FROM due WHERE known.operation = due.operation
)
INSERT INTO mesh_outbox (operation, arguments, queue, lease, request_id, status, attempt, error)
SELECT operation, '{}', queue, lease, replace(gen_random_uuid()::text, '-', ''), 'waiting', 0, '' FROM due
WHERE NOT EXISTS (
    SELECT 1 FROM mesh_outbox AS job WHERE job.operation = due.operation AND job.status IN ('waiting', 'running')
)
RETURNING id
"""
