"""`relay`: starts periodic jobs, sends messages again for jobs that nobody claimed, and runs overdue jobs itself."""

import signal
import threading
import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

import structlog
from celery.exceptions import OperationalError as CeleryError
from django.core.management.base import BaseCommand
from django.db import DatabaseError, InterfaceError, close_old_connections
from kombu.exceptions import OperationalError

from mesh import metrics
from mesh.declarations.registry import registry
from mesh.outbox import messages, overdue
from mesh.outbox.schedule import begin_due
from mesh.worker import tasks
from mesh.worker.turns import stop_claiming, turns

log = structlog.get_logger(__name__)

_PAUSE = 0.5
_THREADS = 8
_BROKER_PAUSE = 5.0  # seconds after a failure in which the broker is not tried, since one that hangs is slow to fail


class Command(BaseCommand):
    help = (
        "Keeps jobs moving: begins periodic ones, sends again what was lost, and works itself while the broker or all"
        " workers are away."
    )

    def handle(self, *args: Any, **options: Any) -> None:
        stop = threading.Event()

        def end(*signal: Any) -> None:
            stop_claiming()
            stop.set()

        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, end)
        metrics.serve()
        jobs = (operation.declaration.job for operation in registry.operations.values())
        turns.share(_THREADS, {job.queue for job in jobs if job is not None})
        with ThreadPoolExecutor(_THREADS, thread_name_prefix="relay") as threads:
            relay = Relay(threads)
            while not stop.wait(_PAUSE):
                relay.step()
            threads.shutdown(wait=False, cancel_futures=True)


class Relay:
    """Watches the outbox, one step at a time."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._running: list[Future[None]] = []
        self._away_until = 0.0

    def step(self) -> None:
        """Starts periodic jobs that are due, sends messages that were lost, and runs jobs that nobody claims."""
        try:
            self._begin_periodic_jobs()
            away = time.monotonic() < self._away_until
            unsent = [] if away else overdue.claim_unsent(woken=_woken_operations())
            if unsent and not self._sent(unsent):
                self._away_until, away = time.monotonic() + _BROKER_PAUSE, True
            self._work(0.0 if away else overdue.OVERDUE_AFTER)
        except (DatabaseError, InterfaceError) as error:
            log.warning("database_away", error=str(error))
        except Exception:
            log.exception("relay_failed")
        finally:
            close_old_connections()

    def _begin_periodic_jobs(self) -> None:
        """What fails here, such as a table that `migrate` has yet to make, keeps no other job from being run."""
        try:
            begin_due(registry.periodic_jobs())
        except DatabaseError as error:
            log.warning("schedule_failed", error=str(error))

    def _sent(self, jobs: list[messages.Sent]) -> bool:
        try:
            messages.send(jobs)
        except (OperationalError, CeleryError, OSError) as error:
            log.warning("broker_away", error=str(error), jobs=len(jobs))
            return False
        return True

    def _work(self, waited: float) -> None:
        """Serves each queue, with one more thread at each step, for jobs that have waited for so many seconds."""
        self._running = [future for future in self._running if not future.done()]
        for queue in overdue.queues()[: 2 * _THREADS - len(self._running)]:
            self._running.append(self._threads.submit(_serve, queue, waited))


def _woken_operations() -> set[str]:
    """The operations for which one message is enough for all waiting jobs."""
    return {name for name, operation in registry.operations.items() if operation.serves_all}


def _serve(queue: str, waited: float) -> None:
    try:
        tasks.serve(queue, waited)
    except (DatabaseError, InterfaceError) as error:
        log.warning("database_away", error=str(error))
    except Exception:
        log.exception("relay_failed")
    finally:
        close_old_connections()
