"""What fails, under DEBUG as everywhere: a short page for a browser, a problem for all others, the rest in the log.

Also whose names a server under DEBUG answers to, and for whom the Task API's documented key works there.
"""

import http.client
import json
import select
import socket
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path

import pytest

from config.tests.test_run import free_port
from mesh.tests.processes import ROOT, eventually, process

pytestmark = pytest.mark.django_db(transaction=True)

BROWSER = "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"
PASSWORD = "the-mail-servers-password"
SECRET = "what a local variable of a view holds"
DEMO_KEY = "demo-secret-key-change-in-production"
WITH_DEBUG = {
    "DEBUG": "on",
    "ALLOWED_HOSTS": "",
    "TASK_API_KEY": DEMO_KEY,
    "EMAIL_URL": f"smtp://mesh:{PASSWORD}@mail.example:587",
    "SECRET_OF_A_VIEW": SECRET,
}


@dataclass
class Server:
    port: int
    log: Path

    def ask(self, method: str, path: str, body: bytes | None = None, **headers: str) -> tuple[int, str, str]:
        """The status, the media type and the text of the answer."""
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        connection.putrequest(method, path, skip_host="Host" in headers)
        for name, value in headers.items():
            connection.putheader(name.replace("_", "-"), value)
        if body is not None:
            connection.putheader("Content-Length", str(len(body)))
        connection.endheaders(body)
        response = connection.getresponse()
        found = response.status, response.headers["Content-Type"].partition(";")[0], response.read().decode()
        connection.close()
        return found

    def answers(self) -> bool:
        with socket.socket() as probe:
            return probe.connect_ex(("127.0.0.1", self.port)) == 0

    def raw(self, request: bytes) -> str:
        with socket.create_connection(("127.0.0.1", self.port), timeout=30) as connection:
            connection.sendall(request)
            answer = b""
            while part := connection.recv(65536):
                answer += part
            return answer.decode()


@pytest.fixture(scope="module")
def server(django_db_setup: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    port = free_port()
    log = tmp_path_factory.mktemp("web") / "log"
    command = ["-m", "gunicorn", "config.tests.broken:application", f"--bind=127.0.0.1:{port}", "--no-control-socket"]
    command += [
        "--worker-class=config.gthread.Worker",
        "--threads=4",
        "--preload",
        f"--error-logfile={log}",
        "--capture-output",
    ]
    with process(*command, **WITH_DEBUG):
        found = Server(port, log)
        eventually(found.answers)
        yield found


def is_no_technical_page(text: str) -> None:
    for told in (PASSWORD, SECRET, "Traceback", "Request Method", "DEBUG", "urlpatterns", "settings", ".py"):
        assert told not in text, told


FAILING = {
    "/nowhere": (404, "not_found"),
    "/admin/broken/bug": (500, "internal"),
    "/broken/bug": (500, "internal"),
    "/broken/bad": (400, "malformed"),
    "/broken/suspicious": (400, "malformed"),
    "/broken/denied": (403, "forbidden"),
}


def test_whatever_fails_nobody_gets_a_technical_page(server: Server) -> None:
    for path, (status, code) in FAILING.items():
        found, media, text = server.ask("GET", path, Accept=BROWSER)
        assert (path, found, media) == (path, status, "text/html")
        is_no_technical_page(text)
        assert ('href="/docs"' in text, 'href="/admin/"' in text) == (True, True)
        for accept in ("*/*", "application/json", "application/json, text/html"):
            found, media, text = server.ask("GET", path, Accept=accept)
            assert (path, found, media) == (path, status, "application/problem+json")
            is_no_technical_page(text)
            assert (json.loads(text)["status"], json.loads(text)["code"]) == (status, code)
    assert server.log.read_text().count("ZeroDivisionError: " + SECRET) == 8
    assert "Traceback" in server.log.read_text()


def test_what_programs_ask_is_answered_as_to_programs(server: Server) -> None:
    for path, status in {
        "/api/v1/nowhere": 404,
        "/api/v2/nowhere": 404,
        "/api/v1/broken/bug": 500,
        "/api/v1/broken/suspicious": 400,
        "/task-api/broken/bug": 500,
    }.items():
        found, media, text = server.ask("GET", path, Accept=BROWSER)
        assert (path, found, media) == (path, status, "application/problem+json")
        is_no_technical_page(text)
    assert server.ask("GET", "/task-api/nowhere", Accept=BROWSER)[:2] == (404, "application/json")


@pytest.mark.parametrize(
    "host", ["a b", "evil.example", "192.0.2.1:8000", "localhost.evil.example", "[::2]", "x" * 300]
)
def test_other_names_than_the_machines_are_refused(server: Server, host: str) -> None:
    for path in ("/", "/health", "/api/v1/events", "/admin/login/", "/task-api/users", "/nowhere"):
        for accept in (BROWSER, "*/*"):
            status, media, text = server.ask("GET", path, Host=host, Accept=accept, X_API_Key=DEMO_KEY)
            program = accept == "*/*" or path.startswith(("/api", "/task-api"))
            assert (path, status, media) == (path, 400, "application/problem+json" if program else "text/html")
            assert "ALLOWED_HOSTS" in text
            is_no_technical_page(text.replace("ALLOWED_HOSTS", ""))


def test_the_machines_own_names_are_answered(server: Server) -> None:
    for host in ("localhost", "127.0.0.1", f"127.0.0.1:{server.port}", "[::1]", "desk.localhost", socket.gethostname()):
        assert server.ask("GET", "/health", Host=host)[0] == 200, host


def test_a_form_without_its_token_gets_the_short_page(server: Server) -> None:
    status, media, text = server.ask("POST", "/admin/login/", b"username=a", Accept=BROWSER)
    assert (status, media) == (403, "text/html")
    is_no_technical_page(text)
    assert "reload" in text.lower()
    assert server.ask("POST", "/admin/login/", b"username=a")[:2] == (403, "application/problem+json")


@pytest.mark.parametrize(
    "request_",
    [
        b"GET / HTTP/1.1\r\n\r\n",
        b"NONSENSE\r\n\r\n",
        b"GET /%ff%00 HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: a b\r\nConnection: close\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nAccept: text/html;x*=klingon''y\r\nConnection: close\r\n\r\n",
        b"POST /admin/login/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: multipart/form-data\r\nContent-Length: 1\r\n"
        b"Connection: close\r\n\r\nx",
    ],
)
def test_what_is_no_proper_request_gets_a_refusal(server: Server, request_: bytes) -> None:
    answer = server.raw(request_)
    assert answer.startswith("HTTP/1.1 4") or answer.startswith("HTTP/1.1 200"), answer
    is_no_technical_page(answer)


def test_the_first_page_leads_on(server: Server) -> None:
    status, media, text = server.ask("GET", "/", Accept=BROWSER)
    assert (status, media) == (200, "text/html")
    assert ('href="/docs"' in text, 'href="/admin/"' in text) == (True, True)
    assert server.ask("GET", "/")[:2] == (404, "application/problem+json")
    assert server.ask("GET", "/static/admin/css/base.css")[:2] == (200, "text/css")


def test_the_documented_key_works_on_this_machine_alone(server: Server) -> None:
    for host in ("localhost:8000", "127.0.0.1", "127.0.0.2:1", "[::1]:8000", "desk.localhost"):
        expected = 400 if host.startswith("127.0.0.2") else 200
        assert server.ask("GET", "/task-api/users", Host=host, X_API_Key=DEMO_KEY)[0] == expected, host
    named = server.ask("GET", "/task-api/users", Host=socket.gethostname(), X_API_Key=DEMO_KEY)
    assert (named[0], json.loads(named[2])) == (403, {"success": False, "message": "Invalid API key"})


def test_debug_relaxes_what_it_did(server: Server) -> None:
    body = json.dumps({"email": "new@example.com", "password": "correct horse battery staple"}).encode()
    assert server.ask("POST", "/auth/signup", body, Content_Type="application/json")[0] == 201
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)
    connection.request("GET", "/events", headers={"Origin": "http://localhost:3000"})
    assert connection.getresponse().headers["Access-Control-Allow-Origin"] == "http://localhost:3000"
    connection.close()


def test_nothing_is_decided_by_djangos_own_debug() -> None:
    """It is off, whatever the environment says: what is for development alone asks for DEVELOPMENT."""
    with (ROOT / "config" / "settings.py").open("rb") as file:
        names = [token.string for token in tokenize.tokenize(file.readline) if token.type == tokenize.NAME]
    assert names.count("DEBUG") == 1
    for path in ROOT.glob("[a-z]*/**/*.py"):
        assert path == Path(__file__) or "settings.DEBUG" not in path.read_text(), path


@pytest.mark.parametrize("path", ["/reset", "/admin/login/", "/task-api/users"])
def test_forms_that_come_in_slowly_leave_threads_for_others(server: Server, path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100\r\n"
    head += "Content-Type: application/x-www-form-urlencoded\r\n\r\na"
    slow = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(20)]
    try:
        for connection in slow:
            connection.sendall(head.encode())
        assert server.ask("GET", "/health")[0] == 200
        assert select.select(slow, [], [], 0)[0] == []  # they are still waited for
    finally:
        for connection in slow:
            connection.close()
