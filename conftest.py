"""The people of the tests: alice owns, bob shares, charlie must see nothing, ada is the ADMIN."""

import socket
import subprocess
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, NoReturn

import pytest
from django.contrib.auth.hashers import make_password
from django_redis import get_redis_connection

from accounts.credentials import open_session
from accounts.models import Role, User
from mesh.calling.client import Mesh
from mesh.declarations.actors import Actor, Client
from mesh.testing import Api

BROWSER_TESTS = Path(__file__).parent / "config" / "tests" / "test_admin_browser.py"
PASSWORD = "correct horse battery staple"
#: A test that asks for one of these, by itself or through another fixture, needs servers.
SERVER_FIXTURES = {"db", "transactional_db", "live_server", "broker"}


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--fast", action="store_true", help="only what needs no server and is not slow")
    parser.addoption("--browser", action="store_true", help="see the admin in a browser, too; one must be here")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests that need a browser are not skipped where there is none: without --browser, they are no part of the run."""
    return True if collection_path == BROWSER_TESTS and not config.getoption("browser") else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Marks the tests that need servers; with --fast, leaves out those and the slow ones."""
    for item in items:
        if item.get_closest_marker("django_db") or not SERVER_FIXTURES.isdisjoint(getattr(item, "fixturenames", ())):
            item.add_marker("server")
    if config.getoption("fast"):
        left_out = {item for item in items if item.get_closest_marker("server") or item.get_closest_marker("slow")}
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]


@cache
def _hash() -> str:
    return make_password(PASSWORD)


@dataclass
class Person:
    """A user with a token: calls the API as them."""

    user: User
    api: Api
    refresh_token: str

    @property
    def id(self) -> int:
        return self.user.pk

    @property
    def actor(self) -> Actor:
        return Actor(self.user.pk, self.user.role, self.user.email, self.user.name)  # type: ignore[arg-type]

    @property
    def mesh(self) -> Mesh:
        return Mesh(self.actor)

    @property
    def password(self) -> str:
        return PASSWORD


def make_person(name: str, role: str = Role.AGENT, invited_by: User | None = None) -> Person:
    user = User(email=f"{name}@example.com", name=name.title(), role=role, invited_by=invited_by)
    user.password = _hash()
    user.save()
    tokens = open_session(user, Client())
    return Person(user, Api(tokens["access_token"]), tokens["refresh_token"])


@pytest.fixture(autouse=True)
def _servers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A test with servers begins with an empty cache; one without may not reach any, in no lane.

    pytest-django keeps it from the database, and this from sockets and processes.
    """
    if request.node.get_closest_marker("server"):
        get_redis_connection("default").flushdb()
        yield
        return
    reached: list[str] = []
    here = threading.get_ident()

    def refuse(name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def refused(*args: Any, **options: Any) -> Any:
            if threading.get_ident() != here:  # a thread of an earlier test
                return real(*args, **options)
            reached.append(name)
            _refuse(name)

        return refused

    for name in ("connect", "connect_ex", "bind"):
        monkeypatch.setattr(socket.socket, name, refuse(f"socket.{name}", getattr(socket.socket, name)))
    monkeypatch.setattr(subprocess.Popen, "__init__", refuse("subprocess.Popen", subprocess.Popen.__init__))
    yield
    if reached:  # also where somebody has caught it
        _refuse(reached[0])


def _refuse(name: str) -> NoReturn:
    pytest.fail(f"{name} in a test without servers: ask for `db`, or mark it `@pytest.mark.server`", pytrace=False)


@pytest.fixture
def person(db: None) -> Callable[..., Person]:
    return make_person


@pytest.fixture
def alice(db: None) -> Person:
    return make_person("alice")


@pytest.fixture
def bob(db: None, alice: Person) -> Person:
    """Alice invited him, so she knows him; he does not know her until they share something."""
    return make_person("bob", invited_by=alice.user)


@pytest.fixture
def charlie(db: None) -> Person:
    return make_person("charlie")


@pytest.fixture
def ada(db: None) -> Person:
    return make_person("ada", Role.ADMIN)


@pytest.fixture
def anonymous() -> Api:
    return Api()
