"""Whose job is next in a process: the queues share its threads, and within a queue users take turns.

A queue gets at most half of the threads. One thread is reserved for each other queue, as far as the other half goes.
Within a queue the next job is not the oldest, but that of the next user in the order of ids, round robin. So a user
with one job waits for one job of each other user, however many those have. If a queue has several threads, one user
never gets all of them.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mesh.stores.postgres import fetch


class Turns:
    """Which queue each thread of this process works for, and whose job it runs."""

    def __init__(self, threads: int, queues: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        self.share(threads, queues)

    def share(self, threads: int, queues: Iterable[str]) -> None:
        """Resets everything, for so many threads and these queues."""
        self._threads, self._queues = threads, frozenset(queues)
        #: The most threads for one queue, and the most of them for one user.
        self._most = max(1, threads // 2)
        self._most_of_one = max(1, self._most - 1)
        self._busy: Counter[str] = Counter()
        self._running: Counter[tuple[str, int]] = Counter()
        self._last: dict[str, int] = {}
        self._look_again: set[str] = set()

    def begin(self, queue: str) -> bool:
        """Whether another thread may work for a queue.

        If not, a thread that does will look once more before it ends.
        """
        with self._lock:
            free = self._threads - sum(self._busy.values())
            kept = min(self._most, sum(1 for other in self._queues - {queue} if not self._busy[other]))
            if self._busy[queue] and (self._busy[queue] >= self._most or free <= kept):
                self._look_again.add(queue)
                return False
            self._busy[queue] += 1
            return True

    def look(self, queue: str) -> None:
        """Call it before a claim: the claim will find all jobs that were announced until now."""
        with self._lock:
            self._look_again.discard(queue)

    def end(self, queue: str, *, at_once: bool = False) -> bool:
        """Frees a thread.

        Returns False, and does not, if `begin` was refused since its last `look`, unless `at_once`.
        """
        with self._lock:
            if queue in self._look_again and not at_once:
                return False
            self._busy[queue] -= 1
            return True

    def claim(self, queue: str, waited: float) -> list[Any]:
        """Claims the next job of a queue that has been due, or whose lease has expired, for `waited` seconds.

        Returns its row with the columns of `RETURNED`, in a list, which is empty if there is none. Call `done` when
        the run has ended.
        """
        with self._claiming:
            with self._lock:
                jobs = ((user, number) for (of, user), number in self._running.items() if of == queue)
                full = [user for user, number in jobs if user and number >= self._most_of_one]
                last = self._last.get(queue, -1)
            after, again = ([queue, user, queue, queue, waited, waited, full] for user in (last, -1))
            rows = fetch(_CLAIM, [queue, waited, *after, *again])
            with self._lock:
                for row in rows:
                    user = row[ACTOR] or 0
                    self._last[queue] = user
                    self._running[queue, user] += 1
        return rows

    def done(self, queue: str, user: int | None) -> None:
        """Call it after the run of a claimed job."""
        with self._lock:
            self._running[queue, user or 0] -= 1
            self._running += Counter()  # drops the zeros


RETURNED = (
    "id, operation, arguments, actor_id, request_id, attempt,"
    " extract(epoch FROM clock_timestamp() - due_at)::float8, due_at"
)
ACTOR = 3
#: Goes through the users above an id, lazily, until one has a job that is due and free.
_NEXT = """
    WITH RECURSIVE first AS (
        (SELECT coalesce(actor_id, 0) AS actor, due_at FROM mesh_outbox
            WHERE status = 'waiting' AND queue = %s AND coalesce(actor_id, 0) > %s
            ORDER BY coalesce(actor_id, 0), due_at, id LIMIT 1)
        UNION ALL
        SELECT following.actor, following.due_at FROM first, LATERAL (
            SELECT coalesce(actor_id, 0) AS actor, due_at FROM mesh_outbox
            WHERE status = 'waiting' AND queue = %s AND coalesce(actor_id, 0) > first.actor
            ORDER BY coalesce(actor_id, 0), due_at, id LIMIT 1
        ) AS following
    )
    SELECT own.id FROM first, LATERAL (
        SELECT id FROM mesh_outbox
        WHERE status = 'waiting' AND queue = %s AND coalesce(actor_id, 0) = first.actor
            AND due_at <= clock_timestamp() - make_interval(secs => %s)
        ORDER BY due_at, id LIMIT 1 FOR UPDATE SKIP LOCKED
    ) AS own
    WHERE first.due_at <= clock_timestamp() - make_interval(secs => %s) AND first.actor <> ALL(%s::bigint[])
    LIMIT 1
"""
#: A job whose lease has expired, else one of the next user, else of the first user again.
_CLAIM = f"""
UPDATE mesh_outbox SET status = 'running', attempt = attempt + 1,
    lease_until = clock_timestamp() + make_interval(secs => lease)
WHERE id = coalesce(  -- each subquery runs once, and only if those before it found nothing
    (SELECT id FROM mesh_outbox WHERE status = 'running' AND queue = %s
        AND lease_until < clock_timestamp() - make_interval(secs => %s)
        ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED),
    ({_NEXT}),
    ({_NEXT})
)
RETURNING {RETURNED}
"""  # noqa: S608


def stop_claiming() -> None:
    """This process is about to end: it claims no more jobs."""
    stopping.set()


stopping = threading.Event()
#: Those of this process, which calls `share` when it starts.
turns = Turns(8, ())
