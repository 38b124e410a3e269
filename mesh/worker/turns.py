"""Whose job is next in a process: the queues share its threads, and in a queue users take turns.

A queue has at most half of the threads, and one is kept for every other queue, as far as the other half goes. In a
queue the next job is not the oldest, but that of the next user, by their ids and round again: who has one job waits for
one of each other user, however many those have. Of several threads that a queue has, one user never has all.
"""

import threading
from collections import Counter
from collections.abc import Iterable
from typing import Any

from mesh.stores.postgres import fetch


class Turns:
    """The threads of one process, by the queues that they work for, and whose jobs they run."""

    def __init__(self, threads: int, queues: Iterable[str]) -> None:
        self._lock = threading.Lock()
        self._claiming = threading.Lock()
        self.share(threads, queues)

    def share(self, threads: int, queues: Iterable[str]) -> None:
        """Begins anew, with so many threads and these queues."""
        self._threads, self._queues = threads, frozenset(queues)
        #: The threads that a queue may have, and those of them that may run one user's jobs.
        self._most = max(1, threads // 2)
        self._most_of_one = max(1, self._most - 1)
        self._busy: Counter[str] = Counter()
        self._running: Counter[tuple[str, int]] = Counter()
        self._last: dict[str, int] = {}
        self._asked: set[str] = set()

    def begin(self, queue: str) -> bool:
        """Whether another thread may work for a queue. If not, one that does so will look again before it ends."""
        with self._lock:
            free = self._threads - sum(self._busy.values())
            kept = min(self._most, sum(1 for other in self._queues - {queue} if not self._busy[other]))
            if self._busy[queue] and (self._busy[queue] >= self._most or free <= kept):
                self._asked.add(queue)
                return False
            self._busy[queue] += 1
            return True

    def look(self, queue: str) -> None:
        """Before a thread claims: what was asked until now, it will find."""
        with self._lock:
            self._asked.discard(queue)

    def end(self, queue: str, *, at_once: bool = False) -> bool:
        """Whether a thread is free again; not if somebody has asked since it looked, unless `at_once`."""
        with self._lock:
            if queue in self._asked and not at_once:
                return False
            self._busy[queue] -= 1
            return True

    def claim(self, queue: str, waited: float) -> list[Any]:
        """Claims the next job of a queue that is due for `waited` seconds, or whose lease has passed so long ago.

        Returns its row, as `RETURNED`, or none. `done` says that its run has ended.
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
        """After the run of a job that was claimed."""
        with self._lock:
            self._running[queue, user or 0] -= 1
            self._running += Counter()  # which leaves out those that are 0


RETURNED = (
    "id, operation, arguments, actor_id, request_id, attempt,"
    " extract(epoch FROM clock_timestamp() - due_at)::float8, due_at"
)
ACTOR = 3
#: The first job of each user with an id above one, as far as they are asked for, and then one that is due and free.
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
#: A lost job, else one of the next user, else of the first again.
_CLAIM = f"""
UPDATE mesh_outbox SET status = 'running', attempt = attempt + 1,
    lease_until = clock_timestamp() + make_interval(secs => lease)
WHERE id = coalesce(  -- each is asked for once, and only where those before it found none
    (SELECT id FROM mesh_outbox WHERE status = 'running' AND queue = %s
        AND lease_until < clock_timestamp() - make_interval(secs => %s)
        ORDER BY lease_until LIMIT 1 FOR UPDATE SKIP LOCKED),
    ({_NEXT}),
    ({_NEXT})
)
RETURNING {RETURNED}
"""  # noqa: S608


def stop_claiming() -> None:
    """This process is to end: what it runs is its last."""
    stopping.set()


stopping = threading.Event()
#: Of this process, which says how many threads it has when it begins.
turns = Turns(8, ())
