"""The Celery application: how messages travel. The jobs themselves are rows of the outbox (`mesh/worker/`)."""

import os
import threading
import warnings
from typing import Any

import django
from celery import Celery
from celery.exceptions import SecurityWarning
from celery.signals import celeryd_after_setup, setup_logging, worker_init, worker_shutting_down
from django.conf import settings

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
django.setup()

from config import broker  # noqa: E402
from mesh import metrics  # noqa: E402
from mesh.worker.runs import hand_back  # noqa: E402
from mesh.worker.turns import stop_claiming, turns  # noqa: E402

# Allows running as root, in a container or at a first try: messages are only JSON, so none can run code.
warnings.filterwarnings("ignore", category=SecurityWarning)

_LAST_CALLS = 7.0  # seconds for which a stopping worker waits for its jobs
_VISIBILITY = 120  # seconds after which an unacknowledged message is delivered again

broker.use()
app = Celery("meshwork")
app.conf.update(
    broker_url=settings.BROKER_URL,
    worker_consumer="config.broker:Consumer",
    imports=["mesh.worker.tasks"],
    task_acks_late=True,
    task_reject_on_worker_lost=True,
    task_ignore_result=True,
    task_default_queue="default",
    worker_prefetch_multiplier=1,
    accept_content=["json"],
    task_serializer="json",
    enable_utc=True,
    broker_connection_retry_on_startup=True,
    broker_connection_max_retries=None,
    worker_cancel_long_running_tasks_on_connection_loss=False,
    # Lost messages are only redelivered when Kombu looks for them: often, not every 100 seconds.
    broker_transport_options={
        "visibility_timeout": _VISIBILITY,
        "unacked_restore_interval": 2,
        "unacked_restore_throttle": 1,
        "socket_connect_timeout": 2,
        "socket_timeout": 3,  # a broker that hangs counts as down; longer than the one second for which workers poll
        "socket_keepalive": True,
    }
    if "redis" in settings.BROKER_URL
    else {},
    result_backend_transport_options={"visibility_timeout": _VISIBILITY},
    visibility_timeout=_VISIBILITY,
)


@worker_init.connect
def _show_metrics(**kwargs: Any) -> None:
    metrics.serve()


@celeryd_after_setup.connect
def _share_threads(instance: Any, **kwargs: Any) -> None:
    """Shares the worker's threads among its queues, once their number is known."""
    turns.share(instance.concurrency, instance.app.amqp.queues.consume_from)


@worker_shutting_down.connect
def _end_in_time(**kwargs: Any) -> None:
    """Starts no further job. Jobs whose calls take longer than a stop may take are handed back; the process ends."""
    stop_claiming()
    timer = threading.Timer(_LAST_CALLS, _hand_back)
    timer.daemon = True
    timer.start()


def _hand_back() -> None:
    try:
        hand_back()
    finally:
        os._exit(0)


@setup_logging.connect
def _keep_our_logging(**kwargs: Any) -> None:
    """Keeps Celery from setting up its own logging, since Django's is in place."""
