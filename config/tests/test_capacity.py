"""A real web under slow and expensive requests of all kinds at once: `/health` and cached reads find a thread."""

import contextlib
import json
import socket

import pytest

from events.models import Category, Event
from mesh.tests.conftest import Live
from mesh.tests.processes import process
from mesh.tests.stores.test_postgres_failures import another_connection
from tasks.models import Project

pytestmark = pytest.mark.django_db(transaction=True)

HOST = b"HTTP/1.1\r\nHost: localhost\r\n"
SLOW = [
    b"GET /health " + HOST[:-2],
    b"POST /api/v1/auth/login " + HOST + b"Content-Length: 1000\r\n\r\n{",
    b"POST /api/v1/auth/login " + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\n{\r\n",
    b"POST /api/v1/auth/login " + HOST + b"Content-Length: 100000000\r\n\r\n{",
    b"POST /admin/login/ " + HOST + b"Content-Length: 100000000\r\n\r\na=",
    b"GET /api/v1/events?limit=1000 " + HOST + b"\r\n",  # a page of a megabyte, which nobody takes
    b"no HTTP\r\n\r\n",
]

#: In this database alone: other tests run in others.
WAITING_HERE = """
SELECT count(*) FROM pg_locks JOIN pg_database ON pg_locks.database = pg_database.oid
WHERE NOT granted AND datname = current_database()
"""


@pytest.fixture(params=[2, 3, 4])
def web(request):
    """The address of a web with so many threads; a search may take longer than the tests wait."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "gunicorn", "config.wsgi", f"--bind=127.0.0.1:{port}", "--worker-class=config.gthread.Worker"]
    changes = {"WEB_THREADS": str(request.param), "EXPENSIVE_REQUESTS": str(request.param - 1)}
    changes |= {"EXPENSIVE_REQUESTS_EACH": "2", "SEARCH_TIMEOUT": "60s", "READ_TIMEOUT": "1s"}
    command += [f"--threads={request.param}", "--no-control-socket"]
    with process(*command, ready="Booting worker", **changes):
        yield request.param, port


@contextlib.contextmanager
def asking(port, *requests):
    with contextlib.ExitStack() as stack:
        for request in requests:
            connection = stack.enter_context(socket.create_connection(("127.0.0.1", port), timeout=20))
            connection.sendall(request)
        yield


def test_health_and_a_cached_read_always_find_a_thread(web, alice, bob, person):
    threads, port = web
    live = Live("127.0.0.1", port)
    times = {"start_date": "2030-01-01T00:00Z", "end_date": "2030-01-02T00:00Z"}
    Event.objects.bulk_create(Event(owner=alice.user, name="E", description="d" * 5000, **times) for _ in range(220))
    Category.objects.create(name="Workshops", creator=alice.user)
    while live("GET", "/api/v1/categories")[1].get("X-Cache") != "hit":
        pass
    searches = [
        b"GET /api/v1/contacts?search=a " + HOST + f"Authorization: Bearer {who.api.token}\r\n\r\n".encode()
        for who in (alice, bob, person("dora"), person("emil"))
    ]
    exports = [search.replace(b"?search=a", b"/export") for search in searches]
    login = json.dumps({"username": "alice@example.com", "password": "a wrong guess"}).encode()
    logins = [b"POST /api/v1/auth/login " + HOST + b"Content-Length: %d\r\n\r\n%s" % (len(login), login)]
    with another_connection() as other, other.transaction():
        other.execute("LOCK TABLE accounts_contact IN ACCESS EXCLUSIVE MODE")  # so that what reads it lasts
        with asking(port, *SLOW * 10, *searches * 5, *exports * 5, *logins * 10):
            for _ in range(10):
                assert live("GET", "/health")[0] == 200
                status, headers, _ = live("GET", "/api/v1/categories")
                assert (status, headers["X-Cache"]) == (200, "hit")
            (waiting,) = other.execute(WAITING_HERE).fetchone()
            assert 1 <= waiting <= threads - 1  # and all the while what is let in goes on


def test_reads_of_web_have_less_time_than_its_commands(web, alice):
    live = Live("127.0.0.1", web[1])
    project = Project.objects.create(owner=alice.user, title="Before")
    with another_connection() as other, other.transaction():
        other.execute("LOCK TABLE tasks_project IN ACCESS EXCLUSIVE MODE")
        status, _, problem = live("GET", "/api/v1/projects", alice.api.token)
        assert (status, problem["code"]) == (504, "deadline_exceeded")
        status, _, problem = live("PATCH", f"/api/v1/projects/{project.pk}", alice.api.token, {"title": "After"})
        assert (status, problem["code"]) == (503, "unavailable")  # after the 5 seconds that a lock may take
    assert Project.objects.get().title == "Before"
