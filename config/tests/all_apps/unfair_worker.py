"""A Celery worker that runs the oldest job first, on whichever thread is free, to show that turns are needed."""

import sys

from config.celery import app
from mesh.stores.postgres import fetch
from mesh.worker.turns import RETURNED, Turns

_OLDEST = f"""
UPDATE mesh_outbox SET status = 'running', attempt = attempt + 1,
    lease_until = clock_timestamp() + make_interval(secs => lease)
WHERE id = (
    SELECT id FROM mesh_outbox WHERE status = 'waiting' AND queue = %s ORDER BY id LIMIT 1 FOR UPDATE SKIP LOCKED
)
RETURNING {RETURNED}
"""


def oldest(turns, queue, waited):
    return fetch(_OLDEST, [queue])


if __name__ == "__main__":
    Turns.claim = oldest
    Turns.begin = lambda turns, queue: True
    app.worker_main(sys.argv[1:])
