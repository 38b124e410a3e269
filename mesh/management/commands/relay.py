"""`relay`: begins periodic jobs, sends jobs to the broker that no message leads to, and runs overdue ones itself."""

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
_AWAY = 5.0  # seconds for which a broker that failed is not asked again: one that hangs takes its time to fail


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
    """Looks after the outbox, a step at a time."""

    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self._threads = threads
        self._running: list[Future[None]] = []
        self._away_until = 0.0

    def step(self) -> None:
        """Begins what is due; sends what was not sent or was lost; runs what the broker or all workers leave."""
        try:
            begin_due(registry.periodic_jobs())
            away = time.monotonic() < self._away_until
            unsent = [] if away else overdue.claim_unsent(woken=_woken_operations())
            if unsent and not self._sent(unsent):
                self._away_until, away = time.monotonic() + _AWAY, True
            self._work(0.0 if away else overdue.OVERDUE_AFTER)
        except (DatabaseError, InterfaceError) as error:
            log.warning("database_away", error=str(error))
        except Exception:
            log.exception("relay_failed")
        finally:
            close_old_connections()

    def _sent(self, jobs: list[messages.Sent]) -> bool:
        try:
            messages.send(jobs)
        except (OperationalError, CeleryError, OSError) as error:
            log.warning("broker_away", error=str(error), jobs=len(jobs))
            return False
        return True

    def _work(self, waited: float) -> None:
        """Begins to work for each queue, a thread more at each step, at what waits for so many seconds."""
        self._running = [future for future in self._running if not future.done()]
        for queue in overdue.queues()[: 2 * _THREADS - len(self._running)]:
            self._running.append(self._threads.submit(_serve, queue, waited))


def _woken_operations() -> set[str]:
    """The jobs of which one message leads to all that waits."""
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
