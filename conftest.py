"""The people of the tests: alice owns, bob shares, charlie must see nothing, ada is the ADMIN."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from pathlib import Path

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


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--browser", action="store_true", help="see the admin in a browser, too; one must be here")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Tests that need a browser are not skipped where there is none: without --browser, they are no part of the run."""
    return True if collection_path == BROWSER_TESTS and not config.getoption("browser") else None


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
def _empty_cache() -> None:
    get_redis_connection("default").flushdb()


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
