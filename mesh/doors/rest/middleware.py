"""Where requests come in: a WSGI application for the mesh's own paths, and a Django middleware."""

import logging
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import structlog
from django.core.handlers.wsgi import WSGIRequest, get_path_info, get_script_name
from django.db import DEFAULT_DB_ALIAS, connections
from django.http import HttpRequest
from django.http.response import HttpResponseBase

from mesh.doors.http.requests import request_id_of, take_form
from mesh.doors.http.responses import Reply, problem
from mesh.doors.rest.exchange import answer
from mesh.doors.rest.router import router
from mesh.errors import MeshError

log = structlog.get_logger("mesh.requests")
_logs_requests = partial(logging.getLogger("mesh.requests").isEnabledFor, logging.INFO)


class MeshMiddleware:
    """Answers the mesh's paths, and gives every request an id, in the logs and in the response."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        match = router().match(request.path_info)
        return for_django(
            _with_request_id(request, lambda: self._from_django(request) if match is None else answer(request, *match))
        )

    def _from_django(self, request: HttpRequest) -> HttpResponseBase | Reply:
        try:
            take_form(request)
        except MeshError as refusal:
            return problem(refusal)
        return self.get_response(request)


class _Request(WSGIRequest):
    """A request with only what the mesh reads: Django's own also prepares forms, files and cookies."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = self.META = environ
        self.method = environ["REQUEST_METHOD"].upper()
        self.path_info = get_path_info(environ) or "/"
        self.path = f"{get_script_name(environ).rstrip('/')}/{self.path_info.removeprefix('/')}"


class MeshLane:
    """A WSGI application that answers the mesh's paths without Django's handler, and passes on the rest.

    The handler's signals and middleware cost more than a cached answer. Requests from another origin do go through
    the handler, since they need the CORS middleware.
    """

    def __init__(self, django: Callable[..., Iterable[bytes]]) -> None:
        self.django = django

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ:
            return self.django(environ, start_response)
        request = _Request(environ)
        match = router().match(request.path_info)
        if match is None:
            return self.django(environ, start_response)
        try:
            response: Any = _with_request_id(request, lambda: answer(request, *match))
        finally:
            _keep_connections()
        if not response.streaming:
            response.setdefault("Content-Length", str(len(response.content)))
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return response if response.streaming else [response.content]


def _keep_connections() -> None:
    """Keeps this thread's database connection for its next request, unless it failed.

    Taking one from the pool is slow.
    """
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:  # else a streamed answer still uses it
        connection.close_at = None
        connection.close_if_unusable_or_obsolete()


def for_django(response: HttpResponseBase | Reply) -> HttpResponseBase:
    return response.for_django() if isinstance(response, Reply) else response


def _with_request_id(request: HttpRequest, respond: Callable[[], HttpResponseBase | Reply]) -> HttpResponseBase | Reply:
    """The response, with the request id in it and in every log line meanwhile. Also logs the request itself."""
    # Kept in the request, so that later calls of request_id_of return the same id.
    request_id = request.META["HTTP_X_REQUEST_ID"] = request_id_of(request)
    structlog.contextvars.bind_contextvars(request_id=request_id)
    started = time.perf_counter()
    try:
        response = respond()
        response["X-Request-ID"] = request_id
        if _logs_requests():
            log.info(
                "request",
                method=request.method,
                path=request.path_info,
                status=response.status_code,
                milliseconds=round((time.perf_counter() - started) * 1000, 1),
            )
        return response
    finally:
        structlog.contextvars.clear_contextvars()
