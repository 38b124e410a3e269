"""What the relay looks for: jobs whose message was never sent or was lost."""

from collections.abc import Container

from mesh.outbox.messages import Sent
from mesh.stores.postgres import fetch

RESEND_AFTER = 5.0  # seconds without a claim after which a message counts as lost
OVERDUE_AFTER = 10.0  # seconds without a claim after which the relay runs the job itself


_OVERDUE = (
    "(status = 'waiting' AND due_at <= clock_timestamp()"
    " AND (sent_at IS NULL OR sent_at < clock_timestamp()"  # at growing intervals, up to 20 seconds
    "   - greatest(make_interval(secs => %s), least(interval '20 s', sent_at - due_at)))"
    " OR status = 'running' AND lease_until < clock_timestamp()"
    " AND (sent_at IS NULL OR sent_at < clock_timestamp() - make_interval(secs => %s)))"
)


def claim_unsent(limit: int = 500, woken: Container[str] = ()) -> list[Sent]:
    """Claims jobs that are due and have no message on its way, by marking them as sent now. Returns them.

    `woken`: the operations for which one message is enough for all their jobs.
    """
    rows = fetch(
        "UPDATE mesh_outbox SET sent_at = clock_timestamp() WHERE id = ANY(ARRAY("  # noqa: S608
        f"SELECT id FROM mesh_outbox WHERE {_OVERDUE} ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))"
        " RETURNING id, queue, operation",
        [RESEND_AFTER, RESEND_AFTER, limit],
    )
    return [Sent(id, queue, alone=True, wakeup=name if name in woken else "") for id, queue, name in rows]


def queues() -> list[str]:
    """The queues in which jobs wait or run."""
    rows = fetch(
        "WITH RECURSIVE waiting AS ("
        " (SELECT queue FROM mesh_outbox WHERE status = 'waiting' ORDER BY queue LIMIT 1)"
        " UNION ALL SELECT following.queue FROM waiting, LATERAL (SELECT queue FROM mesh_outbox"
        " WHERE status = 'waiting' AND queue > waiting.queue ORDER BY queue LIMIT 1) AS following)"
        " SELECT queue FROM waiting UNION SELECT queue FROM mesh_outbox WHERE status = 'running' ORDER BY queue"
    )
    return [row[0] for row in rows]


def depths() -> list[tuple[str, str, int, float]]:
    """For each queue and status other than `done`: (queue, status, jobs, seconds since the oldest was due)."""
    return fetch(
        "SELECT queue, status, count(*), extract(epoch FROM clock_timestamp() - min(due_at))::float8 FROM mesh_outbox"
        " WHERE status <> 'done' GROUP BY queue, status ORDER BY queue, status"
    )
