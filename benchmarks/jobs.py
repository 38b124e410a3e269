"""Background jobs: how many a second a worker finishes, and how long one takes from the POST until it is done."""

import time
from dataclasses import dataclass
from functools import partial
from typing import Any

from redis import Redis

from benchmarks.load import LoadError, Server
from benchmarks.sides import Drained, Side, drained, latency, rounds, show_drained, show_drained_head, show_latency
from benchmarks.stack import Stack, ask

TEXT = """We met Acme about the renewal. They are happy with the service, but the price is a problem: their new budget
is 40,000 EUR. We decided to offer a two-year contract at 42,000 EUR. Maria will send the offer by Friday."""
NOTES = 20_000  # of the data set
BACKLOG = 2000
#: Jobs are kept for a week after their end, so that the table is never empty.
OLD_JOBS = """
INSERT INTO mesh_outbox (operation, arguments, queue, lease, actor_id, request_id, status, attempt, finished_at, error)
SELECT 'summarize_note', '{}', 'notes', 30, 1, md5(i::text), 'done', 1, now(), '' FROM generate_series(1, 20000) AS i
"""
JOBS_OPEN = "SELECT FROM mesh_outbox WHERE status IN ('waiting', 'running', 'failed')"


@dataclass(frozen=True)
class Backlog:
    """Jobs of one kind; `job` is the operation of `services.py`, and what the peer's worker is told."""

    name: str
    job: str


BACKLOGS = (
    Backlog("a summary", "summarize_note"),
    Backlog("a call out for nothing", "call_out"),
    Backlog("one transaction", "settle_note"),
    Backlog("one run for all", "settle_notes"),
)


class Notes(Side):
    """The notes of one side, and what their jobs make of them."""

    done = "SELECT id FROM notes_note WHERE id = ANY(%s) AND status = 'done'"
    undo = (
        f"DELETE FROM notes_actionitem WHERE note_id > {NOTES}",
        f"DELETE FROM notes_note WHERE id > {NOTES}",
    )

    def __init__(self, stack: Stack, server: Server) -> None:
        super().__init__(stack, server)
        number, self.queue = (1, "notes") if self.is_ours else (2, "jobs")
        self.redis = Redis.from_url(stack.redis_url.replace("db=0", f"db={number}"))
        self.open = f"SELECT EXISTS (SELECT FROM notes_note WHERE id > {NOTES} AND status <> 'done')"
        if self.is_ours:
            self.open += f" OR EXISTS ({JOBS_OPEN})"
            self.connection.execute(OLD_JOBS)

    def begin(self, job: str, count: int) -> int:
        """Posts a backlog and waits until its messages are in the queue."""
        body = {"job": job, "count": count, "raw_text": TEXT}
        ask(self.server, "POST", "/backlog", token=self.stack.tokens[0], body=body, expected=202)
        sent = -1
        while sent < (sent := self.redis.llen(self.queue)):
            time.sleep(0.3)
        return count

    def result(self) -> Any:
        """What became of the first note."""
        item = "(title, assignee, due_date, quote) ORDER BY id"
        items = f"SELECT json_agg({item}) FROM notes_actionitem WHERE note_id = note.id"
        return self.row(f"SELECT summary, ({items}) FROM notes_note note WHERE id = {NOTES + 1}")


def measure(stack: Stack, *, only: str, count: int, times: int, rate: float, seconds: int) -> None:
    sides = [Notes(stack, stack.peer), Notes(stack, stack.meshwork)]
    _check(sides)
    show_drained_head("jobs/s")
    for backlog in BACKLOGS:
        if only in backlog.name:
            show_drained(backlog.name, rounds(sides, times, partial(_drained, job=backlog.job, count=count)))
    title = "from the POST until it is done"
    if only in title:
        bodies = [{"raw_text": TEXT}]
        measured = rounds(sides, times, lambda side: latency(side, "/notes", bodies, rate, seconds))
        show_latency(title, f"{rate:g} notes a second", measured)


def _drained(side: Notes, job: str, count: int) -> Drained:
    return drained(side, lambda side: side.begin(job, count))


def _check(sides: list[Notes]) -> None:
    """Both workers run, and make the same summary."""
    for side in sides:
        side.begin("summarize_note", 50)
        side.wait()
    theirs, ours = (side.result() for side in sides)
    if theirs != ours:
        raise LoadError(f"the summaries differ:\n{theirs}\n{ours}")
