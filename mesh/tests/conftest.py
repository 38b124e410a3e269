"""What several topics need: services for one test only, and a client for the live server."""

import http.client
import json
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any

import pytest
from django.apps import apps
from django.db import connection

import mesh.stores.redis
from mesh.declarations.registry import registry
from mesh.doors.rest.router import router
from mesh.outbox.messages import celery
from mesh.rows.visibility import ScopedModel
from mesh.worker import tasks


@pytest.fixture(autouse=True)
def _redis_is_here(monkeypatch):
    mesh.stores.redis.forget_connections()
    monkeypatch.setattr(mesh.stores.redis, "_closed_until", 0.0)


@pytest.fixture
def throwaway() -> Iterator[Callable[[], None]]:
    """Services declared in this test leave with it. Call it after declaring them, and their routes answer."""
    before = (dict(registry.services), dict(registry.operations), list(registry.duplicates))
    yield router.cache_clear
    registry.services, registry.operations, registry.duplicates = before
    router.cache_clear()


@pytest.fixture
def broker():
    """The broker of this test's processes, empty."""
    connection = celery().connection_for_write()
    redis = connection.default_channel.client
    redis.flushdb()
    yield redis
    connection.release()


class Live:
    """Calls the live server over a real socket: `(status, headers, body)`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def __call__(
        self, method: str, path: str, token: str = "", data: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=20)) as conn:
            conn.request(method, path, None if data is None else json.dumps(data), sent)
            response = conn.getresponse()
            body = response.read()
            return response.status, dict(response.getheaders()), json.loads(body) if body else None


@pytest.fixture
def live(live_server) -> Live:
    return Live(live_server.thread.host, live_server.thread.port)


def at_once(times: int, call: Callable[[int], Any]) -> list[Any]:
    """The results of `call(0)`, `call(1)`, … made by as many threads."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(call, range(times)))


def everything() -> dict[str, list[Any]]:
    """All rows that belong to people, and the versions: what a refusal must leave as it was."""
    models = [model for model in apps.get_models() if issubclass(model, ScopedModel)]
    models.append(apps.get_model("mesh", "Version"))
    models.append(apps.get_model("mesh", "IdempotencyKey"))
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models}


def sql(statement: str, *params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def wait_for_a_lock() -> None:
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        sql("SELECT pg_stat_clear_snapshot()")
        if sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


@pytest.fixture
def folder(settings, tmp_path):
    """The documents that the folder holds, by name, when it is called."""
    settings.DOCUMENTS_DIR, settings.AWS_S3_BUCKET = tmp_path / "documents", ""

    def documents():
        files = (path for path in settings.DOCUMENTS_DIR.rglob("*") if path.is_file())
        return {str(path.relative_to(settings.DOCUMENTS_DIR)): path.read_bytes() for path in files}

    return documents


@pytest.fixture
def s3(settings):
    """A bucket of the test's own, which documents go to."""
    from mesh.tests.s3 import S3  # a second to import

    made = S3()
    for name, value in made.settings.items():
        setattr(settings, name, value)
    yield made
    made.close()


@pytest.fixture(params=["folder", "s3"])
def kept(request):
    """The documents that the folder, or S3, holds, by name, when it is called."""
    found = request.getfixturevalue(request.param)
    return found if request.param == "folder" else found.documents


def store_documents() -> None:
    """What the job does when its time has come."""
    tasks.tick("store_documents")
