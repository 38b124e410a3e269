"""Real background processes for the tests: Celery workers and relays on the test's own database and Redis."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

from django.conf import settings
from django.db import connection

from mesh.outbox.messages import celery

ROOT = Path(__file__).resolve().parent.parent.parent
QUEUES = "notes,mail,stock,documents,default"


#: What tests set, and another process reads from its environment.
_SETTINGS = (
    "REDIS_URL", "BROKER_URL", "SITE_URL", "EMAIL_URL", "EMAIL_FROM", "DATA_DIR", "DOCUMENTS_DIR", "AWS_S3_BUCKET",
    "AWS_ENDPOINT_URL", "AWS_REGION", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "SUMMARIZER",
    "SUMMARIZER_BASE_URL", "SUMMARIZER_MODEL", "SUMMARIZER_API_KEY", "SUMMARIZER_FALLBACK", "PAYMENTS",
    "STRIPE_SECRET_KEY", "STRIPE_WEBHOOK_SECRET", "STRIPE_API_BASE", "CURRENCY", "SIGNUP_OPEN",
)  # fmt: skip
_MESH_SETTINGS = ("RATE_LIMIT_READ", "RATE_LIMIT_WRITE", "RATE_LIMIT_LOGIN")


def environment(**changes: str) -> dict[str, str]:
    """The environment in which another process has this test's database, Redis, mail server and other settings."""
    found = connection.settings_dict
    host, port, name = str(found["HOST"]), found["PORT"] or 5432, found["NAME"]
    password = f":{quote(str(found['PASSWORD']))}" if found["PASSWORD"] else ""
    place = f":{port}/{host}/{name}" if host.startswith("/") else f"{host}:{port}/{name}"
    return {
        **os.environ,
        "DATABASE_URL": f"postgres://{quote(str(found['USER']))}{password}@{place}",
        **{name: str(getattr(settings, name)) for name in _SETTINGS},
        **{name: settings.MESH[name] for name in _MESH_SETTINGS},
        **changes,
    }


@contextmanager
def process(*command: str, ready: str = "", **changes: str) -> Iterator[subprocess.Popen[str]]:
    """A process of its own, killed at the end; waits until its output holds `ready`."""
    child = subprocess.Popen(
        [sys.executable, *command],
        cwd=ROOT,
        env=environment(**changes),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    try:
        seen = ""
        while ready and ready not in seen:
            assert child.stdout is not None
            line = child.stdout.readline()
            assert line, f"{command} ended:\n{seen}"
            seen += line
        yield child
    finally:
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
        child.wait()


def worker(program: Sequence[str] = ("celery", "-A", "config.celery"), threads: int = 4, **changes: str):
    """A Celery worker with threads, as `./run` starts it; `program` is Celery, or what stands in for it."""
    options = ["-P", "threads", "-c", str(threads), "-Q", QUEUES, "--without-mingle", "--without-gossip", "-l", "INFO"]
    changes = {"LOG_LEVEL": "INFO", "WORKER_CONCURRENCY": str(threads), **changes}
    return process("-m", *program, "worker", *options, ready=" ready.", **changes)


def relay(**changes: str):
    return process("manage.py", "relay", **changes)


def empty_broker() -> None:
    """Forgets the messages of earlier tests, whose rows are gone, so that a worker need not look at each."""
    with celery().connection_for_write() as broker:
        broker.default_channel.client.flushdb()


def eventually(happened: Callable[[], bool], seconds: float = 90) -> None:
    """Waits until `happened`; fails after `seconds`, far more than a busy machine takes."""
    deadline = time.monotonic() + seconds
    while not happened():
        assert time.monotonic() < deadline, f"did not happen within {seconds} s"
        time.sleep(0.05)
