"""Whether the server and its parts are well, and its metrics."""

import contextlib
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_redis import get_redis_connection
from kombu.exceptions import OperationalError
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Gauge, generate_latest
from redis import RedisError

import mesh.metrics
from mesh.documents import mirror
from mesh.outbox import overdue
from mesh.outbox.messages import celery
from shop import reconciler


def health(request: HttpRequest) -> HttpResponse:
    """`{"status": "healthy", "version", "timestamp"}`; 503, naming the failing part, when Postgres is away."""
    return _report({"postgres": _postgres()}, required={"postgres"})


def ready(request: HttpRequest) -> HttpResponse:
    """Every part that requests and background work need: 503 with the failing ones named."""
    checks = {"postgres": _postgres(), "cache": _cache(), "broker": _broker()}
    checks["worker"] = _worker() if checks["broker"] == "ok" else "unknown"
    return _report(checks, required=set(checks), parts=True)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, of all processes of this server, and the state of the queues and of the stock."""
    return HttpResponse(
        generate_latest(mesh.metrics.collector_registry()) + generate_latest(_state()), content_type=CONTENT_TYPE_LATEST
    )


def _state() -> CollectorRegistry:
    collectors = CollectorRegistry()
    depth = Gauge("meshwork_jobs", "Jobs that are not done.", ["queue", "status"], registry=collectors)
    age = Gauge("meshwork_job_oldest_seconds", "How long the oldest due job waits.", ["queue"], registry=collectors)
    with contextlib.suppress(DatabaseError, InterfaceError):
        for queue, status, count, oldest in overdue.depths():
            depth.labels(queue, status).set(count)
            if status == "waiting":
                age.labels(queue).set(max(0.0, oldest))
        count, oldest = mirror.waiting()
        Gauge("meshwork_documents_waiting", "Documents that are not stored yet.", registry=collectors).set(count)
        name, meaning = "meshwork_document_oldest_seconds", "How long the oldest document waits."
        Gauge(name, meaning, registry=collectors).set(oldest)
        wrong = reconciler.open_discrepancies()
        name, meaning = "meshwork_stock_discrepancies", "Numbers that do not agree with the ledger of the stock."
        Gauge(name, meaning, registry=collectors).set(wrong)
    return collectors


def _report(checks: dict[str, str], required: set[str], parts: bool = False) -> HttpResponse:
    failing = sorted(name for name in required if checks[name] != "ok")
    body: dict[str, Any] = {
        "status": "unhealthy" if failing else "healthy",
        "version": settings.VERSION,
        "timestamp": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
    }
    if parts:
        body["parts"] = checks
    if failing:
        body["failing"] = failing
    response = JsonResponse(body, status=503 if failing else 200)
    response["Cache-Control"] = "no-store"
    if failing:
        response["Retry-After"] = "2"
    return response


def _postgres() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except (DatabaseError, InterfaceError):
        return "away"
    return "ok"


def _broker() -> str:
    try:
        with celery().connection_for_write() as broker:
            broker.ensure_connection(max_retries=1, timeout=1)
    except (OperationalError, OSError):
        return "away"
    return "ok"


def _worker() -> str:
    try:
        return "ok" if celery().control.ping(timeout=0.5, limit=1) else "away"
    except (OperationalError, OSError):
        return "unknown"


def _cache() -> str:
    try:
        get_redis_connection("default").ping()
    except RedisError:
        return "away"
    return "ok"


def document(result: dict[str, Any], generator: Any, request: Any, public: bool) -> dict[str, Any]:
    """Adds `GET /health` to the OpenAPI document."""
    properties = {
        "status": {"type": "string", "enum": ["healthy", "unhealthy"]},
        "version": {"type": "string"},
        "timestamp": {"type": "string", "format": "date-time"},
        "failing": {"type": "array", "items": {"type": "string"}, "description": "The parts that fail."},
    }
    schema = {"type": "object", "required": ["status", "version", "timestamp"], "properties": properties}
    content = {"application/json": {"schema": schema}}
    result["paths"]["/health"] = {
        "get": {
            "operationId": "health",
            "summary": "Get the state of the server",
            "description": "Needs no sign-in. Answers 503 while the database is away.",
            "tags": ["health"],
            "security": [{}],
            "responses": {
                "200": {"description": "The server is healthy.", "content": content},
                "503": {"description": "The server is unhealthy; `failing` names the parts.", "content": content},
            },
        }
    }
    result["tags"].append({"name": "health", "description": "The state of the server."})
    result["x-tagGroups"][-1]["tags"].append("health")
    return result
