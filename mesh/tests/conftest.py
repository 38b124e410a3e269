"""What several topics need: services for one test only, and a client for the live server."""

from collections.abc import Callable, Iterator

import pytest

import mesh.stores.redis
from mesh.declarations.registry import registry
from mesh.doors.rest.router import router
from mesh.outbox.messages import celery
from mesh.tests.live import Live


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


@pytest.fixture
def live(live_server) -> Live:
    return Live(live_server.thread.host, live_server.thread.port)
