"""Refusals that leave a body unread, from a real web process over one connection that is kept."""

import http.client
import os
import signal
import socket
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import requests

from config.supervisor import WEB_WORKER
from mesh.doors.http.unread import MAX_DROPPED

pytestmark = pytest.mark.server
ROOT = Path(__file__).resolve().parents[2]
LARGE = 3 * 1024 * 1024
NO_JSON = b"{" + b" " * 1000


@pytest.fixture(scope="module", params=sorted({WEB_WORKER, "gthread"}))
def address(request):
    """A web process of each kind that `./run` starts; these requests need no database."""
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", "config.wsgi:application", f"--bind=127.0.0.1:{port}", "--threads=3"]
    command += [f"--worker-class={request.param}", "--no-control-socket", "--keep-alive=75"]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "config.settings"}
    process = subprocess.Popen(command, cwd=ROOT, env=environment, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "Booting worker" not in process.stderr.readline():
        assert process.poll() is None
    yield f"http://127.0.0.1:{port}"
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def chunks(size):
    return (b" " * 4096 for _ in range(size // 4096))


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("POST", "/auth/signup", b" " * LARGE, 413),  # too large, by its length
        ("POST", "/auth/signup", chunks, 413),  # and by what came of it
        ("POST", "/payments/stripe/webhook", b" " * LARGE, 404),  # not set up here
        ("POST", "/notes", b" " * LARGE, 401),
        ("POST", "/notes", chunks, 401),
        ("POST", "/notes", b" " * MAX_DROPPED, 401),
        ("PUT", "/notes", b" " * LARGE, 405),
        ("POST", "/nothing", b" " * LARGE, 404),
        ("POST", "/docs", b" " * LARGE, 405),
    ],
)
def test_a_body_that_is_left_unread_ends_the_connection_and_the_answer_says_so(address, method, path, body, status):
    with requests.Session() as session:
        for _ in range(5):
            sent = body(LARGE) if callable(body) else body
            refused = session.request(method, address + path, data=sent, timeout=20)
            assert (refused.status_code, refused.headers["Connection"]) == (status, "close"), refused.text
            assert session.get(f"{address}/calendar", timeout=20).status_code == 404


@pytest.mark.parametrize(
    ("path", "body", "status"),
    [
        ("/auth/signup", NO_JSON, 400),
        ("/auth/signup", b"{" + b" " * 1_000_000, 400),  # which is read to its end
        ("/notes", NO_JSON, 401),
        ("/notes", b" " * (MAX_DROPPED - 1), 401),
        ("/nothing", NO_JSON, 404),
        ("/docs", NO_JSON, 405),
    ],
)
def test_a_refusal_keeps_its_connection_where_little_is_left(address, path, body, status):
    with closing(http.client.HTTPConnection(urlsplit(address).netloc, timeout=20)) as connection:
        connection.connect()
        connection.auto_open = 0
        for _ in range(5):
            connection.request("POST", path, body)
            refused = connection.getresponse()
            refused.read()
            assert (refused.status, refused.headers["Connection"]) == (status, "keep-alive")
