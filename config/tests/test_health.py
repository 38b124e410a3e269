"""Health, metrics and the pages of the documentation."""

import math
import os
import re
import signal
import socket
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import urljoin, urlsplit

import pytest
import requests
from django.conf import settings as django_settings
from django.db.models.functions import Now
from prometheus_client.parser import text_string_to_metric_families
from rest_framework_simplejwt.tokens import AccessToken

from accounts.tests.assertions import TIME, refused
from mesh.models import Outbox
from mesh.testing import Api
from mesh.tests.jobs import run_periodic
from mesh.tests.processes import worker

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def root():
    return Api(mount="")


def fresh(stamp):
    assert stamp == TIME
    return datetime.now(UTC) - datetime.fromisoformat(stamp) < timedelta(seconds=10)


@pytest.mark.parametrize("path", ["/health", "/health/"])
def test_health_says_healthy_version_and_time(db, root, path):
    answer = root.get(path)
    assert answer.status == 200
    assert answer.json == {"status": "healthy", "version": django_settings.VERSION, "timestamp": TIME}
    assert fresh(answer.json["timestamp"])
    assert answer.headers["Cache-Control"] == "no-store"
    assert answer.headers["X-Request-ID"]


def test_health_looks_at_no_credentials(db):
    assert Api("forged", mount="").get("/health").status == 200
    assert Api("forged", mount="").get("/metrics").status == 200


def test_without_a_worker_the_server_is_not_ready_and_says_so(db, root):
    answer = root.get("/health/ready")
    assert (answer.status, answer.json["failing"], answer.json["parts"]["broker"]) == (503, ["worker"], "ok")
    assert answer.headers["Retry-After"] == "2"


@pytest.mark.django_db(transaction=True)
def test_ready_names_every_part(root):
    with worker():
        answer = root.get("/health/ready")
    assert answer.status == 200, answer
    assert answer.json.keys() == {"status", "version", "timestamp", "parts"}
    assert answer.json["status"] == "healthy"
    assert answer.json["parts"].items() >= {"postgres": "ok", "cache": "ok"}.items()
    assert set(answer.json["parts"].values()) == {"ok"}


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/openapi.json", "/docs", "/redoc"])
def test_a_slash_at_the_end_is_optional_and_redirects_nowhere(db, root, path):
    with_slash = root.client.get(f"{path}/")
    without = root.client.get(path)
    assert (with_slash.status_code, with_slash["Content-Type"]) == (without.status_code, without["Content-Type"])
    assert without.status_code == (503 if path == "/health/ready" else 200)  # no worker runs here


@pytest.mark.parametrize("path", ["/health", "/health/ready", "/metrics", "/openapi.json", "/docs", "/redoc"])
def test_only_reading_is_allowed(db, root, path):
    answer = root.post(path, {"x": 1})
    refused(answer, 405)
    assert answer.headers["Allow"].startswith("GET, HEAD")


@pytest.mark.parametrize(
    "path", ["/", "/nothing", "/api/v1/nothing", "/health/nothing", "/openapiXjson", "/api/v3/users"]
)
def test_where_nothing_is_the_answer_is_a_problem(db, root, path):
    problem = refused(root.get(path), 404, "not_found")
    assert problem["detail"] == f"There is nothing at {path}. The paths are listed at /docs."


def metric(text, name, **labels):
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            if sample.name == name and labels.items() <= sample.labels.items():
                return sample.value
    return 0.0


def test_metrics_count_requests_and_cache_lookups(alice, root):
    alice.api.post("/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z"})

    def counted():
        answer = root.get("/metrics")
        assert answer.status == 200
        assert answer.headers["Content-Type"].startswith("text/plain; version=")
        seconds, lookups = "meshwork_request_seconds", "meshwork_cache_lookups_total"
        return [
            metric(answer.text, f"{seconds}_count", operation="list_meetings", status="200"),
            metric(answer.text, f"{seconds}_count", operation="get_meeting", status="404"),
            metric(answer.text, lookups, operation="list_meetings", result="miss"),
            metric(answer.text, lookups, operation="list_meetings", result="hit"),
        ]

    before = counted()
    for _ in range(3):
        assert alice.api.get("/meetings").status == 200
    refused(alice.api.get("/meetings/999999"), 404)
    assert [after - start for start, after in zip(before, counted(), strict=True)] == [3, 1, 1, 2]


def test_metrics_say_how_long_ago_periodic_jobs_were_done(db, root):
    def seconds(operation):
        return metric(root.get("/metrics").text, "meshwork_periodic_job_seconds", operation=operation)

    assert seconds("check_payments") == math.inf
    run_periodic("check_payments")
    assert 0 < seconds("check_payments") < 10
    assert seconds("expire_reservations") == math.inf
    for ago, told in ((90, pytest.approx(90, abs=10)), (7200, math.inf)):
        Outbox.objects.update(finished_at=Now() - timedelta(seconds=ago))
        assert seconds("check_payments") == told
    family = 'meshwork_periodic_job_seconds{operation="%s"}'
    assert family % "check_payments" in root.get("/metrics").text
    assert family % "prune_sessions" not in root.get("/metrics").text  # once an hour


def test_metrics_name_no_person_and_no_path(alice, root):
    alice.api.get(f"/users/{alice.id}?search=x")
    alice.api.get("/users?search=secret-word")
    text = root.get("/metrics").text
    assert "secret-word" not in text
    assert "alice" not in text


ASSET = re.compile(r"""(?:src|href|url)\s*[=(:]\s*["']?([^"'\s>)]+)""")


@pytest.mark.parametrize("path", ["/docs", "/docs/", "/redoc", "/redoc/"])
def test_the_docs_need_nothing_from_another_host(db, root, path):
    response = root.client.get(path)
    assert (response.status_code, response["Content-Type"]) == (200, "text/html; charset=utf-8")
    page = response.content.decode()
    addresses = ASSET.findall(page)
    assert any(address.startswith("/static/") for address in addresses)
    away = [address for address in addresses if urlsplit(urljoin("http://here/docs", address)).netloc != "here"]
    assert away == []
    for address in addresses:
        if address.startswith("/static/"):
            asset = root.client.get(address)
            assert asset.status_code == 200, address
            assert len(b"".join(asset.streaming_content)) > 100
    assert "/openapi.json" in page


@pytest.mark.parametrize("path", ["/docs", "/redoc"])
def test_the_docs_let_the_browser_load_nothing_from_another_host(db, root, path):
    """ReDoc's own script fetches its maker's logo, which no setting turns off."""
    policy = root.client.get(path)["Content-Security-Policy"]
    directives = {name: values for name, *values in (part.split() for part in policy.split(";") if part.strip())}
    assert directives["default-src"] == ["'self'"]
    allowed = {value for values in directives.values() for value in values}
    assert allowed <= {"'self'", "'unsafe-inline'", "'unsafe-eval'", "data:", "blob:", "'none'"}


def test_the_document_that_the_docs_show_names_the_operations_and_health(db, root):
    document = root.get("/openapi.json")
    assert (document.status, document.headers["Content-Type"]) == (200, "application/json")
    assert document.json["openapi"].startswith("3.1")
    assert document.json["info"]["version"] == django_settings.VERSION
    paths = document.json["paths"]
    assert {"/api/v1/meetings", "/api/v1/tasks/{id}/status", "/api/v1/auth/login", "/health"} <= paths.keys()
    assert all(path.startswith("/api/v1/") or path == "/health" for path in paths)


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def without_postgres(tmp_path_factory):
    """A real gunicorn whose Postgres is nobody's port."""
    port, dead = free_port(), free_port()
    log = tmp_path_factory.mktemp("gunicorn") / "log"
    environment = {
        **os.environ,
        "DATABASE_URL": f"postgres://nobody:nothing@127.0.0.1:{dead}/nowhere",
        "DJANGO_SETTINGS_MODULE": "config.settings",
    }
    command = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}", "--threads", "2"]
    with log.open("wb") as output:
        server = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=output, stderr=output)
    try:
        for _ in range(150):
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            assert server.poll() is None, log.read_text()
            time.sleep(0.1)
        yield f"http://127.0.0.1:{port}"
    finally:
        server.send_signal(signal.SIGTERM)
        server.wait(20)


@pytest.mark.server
@pytest.mark.parametrize(("path", "parts"), [("/health", False), ("/health/ready", True)])
def test_without_postgres_health_names_it(without_postgres, path, parts):
    answer = requests.get(without_postgres + path, timeout=60)
    assert answer.status_code == 503
    assert int(answer.headers["Retry-After"]) >= 1
    body = answer.json()
    assert (body["status"], body["version"]) == ("unhealthy", django_settings.VERSION)
    assert "postgres" in body["failing"]
    assert fresh(body["timestamp"])
    if parts:
        assert body["parts"]["postgres"] == "away"
        assert body["parts"]["cache"] == "ok"
    assert "nobody" not in answer.text


@pytest.mark.server
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_without_postgres_a_signed_in_request_is_a_503_and_no_bug(without_postgres, method):
    token = AccessToken()
    token.payload |= {"user_id": "1", "session_id": 1}
    path = {"GET": "/users/me", "POST": "/notes"}[method]
    headers = {"Authorization": f"Bearer {token}"}
    answer = requests.request(method, without_postgres + path, json={"content": "x"}, headers=headers, timeout=20)
    assert answer.status_code == 503, answer.text
    assert answer.json()["code"] == "unavailable"
    assert int(answer.headers["Retry-After"]) >= 1


@pytest.mark.server
def test_without_postgres_signing_in_is_a_503(without_postgres):
    sent = {"username": "alice@example.com", "password": "x"}
    answer = requests.post(f"{without_postgres}/auth/login", json=sent, timeout=20)
    assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")


@pytest.mark.server
def test_without_postgres_docs_and_metrics_still_answer(without_postgres):
    for path in ("/docs", "/redoc", "/openapi.json", "/metrics"):
        assert requests.get(without_postgres + path, timeout=20).status_code == 200, path
