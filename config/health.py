"""Whether the server and its parts are well, and its metrics."""

import os
from datetime import UTC, datetime
from typing import Any

from django.conf import settings
from django.db import DatabaseError, InterfaceError, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django_redis import get_redis_connection
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest, multiprocess
from redis import RedisError


def health(request: HttpRequest) -> HttpResponse:
    """`{"status": "healthy", "version", "timestamp"}`; 503, naming the failing part, when Postgres is away."""
    return _report({"postgres": _postgres()}, required={"postgres"})


def ready(request: HttpRequest) -> HttpResponse:
    """Every part that requests and background work need: 503 with the failing ones named."""
    checks = {"postgres": _postgres(), "cache": _cache()}
    return _report(checks, required=set(checks), parts=True)


def metrics(request: HttpRequest) -> HttpResponse:
    """Prometheus metrics, of all processes of this server."""
    registry = REGISTRY
    if "PROMETHEUS_MULTIPROC_DIR" in os.environ:
        registry = CollectorRegistry()
        multiprocess.MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    return HttpResponse(generate_latest(registry), content_type=CONTENT_TYPE_LATEST)


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
            "summary": "Is the server well?",
            "description": "Needs no sign-in.",
            "tags": ["health"],
            "security": [{}],
            "responses": {
                "200": {"description": "It is.", "content": content},
                "503": {"description": "It is not; `failing` names what.", "content": content},
            },
        }
    }
    result["tags"].append({"name": "health", "description": "The state of the server."})
    return result
