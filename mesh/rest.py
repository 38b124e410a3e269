"""Operations as REST: routes become URLs, a request becomes a call, an answer or a refusal becomes a response.

`MeshMiddleware` answers the mesh's own paths before the rest of Django looks at the request; everything else (the
admin, the docs, health) goes on. The same paths exist as DRF views, from which the OpenAPI document is made.
"""

import logging
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache, partial
from typing import Any

import structlog
from django.core.exceptions import DisallowedHost
from django.core.handlers.wsgi import WSGIRequest, get_path_info, get_script_name
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, connections
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.urls import URLPattern, path
from prometheus_client import Histogram
from rest_framework.views import APIView

from mesh import versions
from mesh.binding import Values, bind_rest
from mesh.call import ANONYMOUS, Actor, identity
from mesh.database import refusal_of
from mesh.declarations import Route
from mesh.errors import Malformed, MeshError, MethodNotAllowed
from mesh.http import (
    UNKNOWN_HOST,
    Reply,
    body_of,
    client_of,
    host_of,
    prefers_dry_run,
    problem,
    query_of,
    request_id_of,
    success,
)
from mesh.limits import Usage, count_login_from, count_login_of, count_request, refuse_if_exceeded, spend
from mesh.mesh import Mesh
from mesh.operations import Operation
from mesh.router import Resource, router
from mesh.service import registry

log = structlog.get_logger("mesh.requests")
_is_told = partial(logging.getLogger("mesh.requests").isEnabledFor, logging.INFO)

CANONICAL = "api/v1"

DURATION = Histogram(
    "meshwork_request_seconds",
    "Time to answer a request, by operation and status.",
    ["operation", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_duration = cache(DURATION.labels)


class MeshMiddleware:
    """Answers the mesh's paths; gives every request its id, in the logs and in the answer."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        found = router().match(request.path_info)
        return _for_django(
            _told(request, lambda id: self.get_response(request) if found is None else answer(request, id, *found))
        )


class _Request(WSGIRequest):
    """A request as far as the mesh looks at it: Django's own also makes room for forms, files and cookies."""

    def __init__(self, environ: dict[str, Any]) -> None:
        self.environ = self.META = environ
        self.method = environ["REQUEST_METHOD"].upper()
        self.path_info = get_path_info(environ) or "/"
        self.path = f"{get_script_name(environ).rstrip('/')}/{self.path_info.removeprefix('/')}"


class MeshLane:
    """A WSGI application that answers the mesh's paths without Django's handler, and leaves the rest to it.

    What a handler does for every request, its signals and middleware, costs more than a cached answer. Requests from
    another origin take the long way, for the answer to those is the CORS middleware's.
    """

    def __init__(self, django: Callable[..., Iterable[bytes]]) -> None:
        self.django = django

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if "HTTP_ORIGIN" in environ:
            return self.django(environ, start_response)
        request = _Request(environ)
        found = router().match(request.path_info)
        if found is None:
            return self.django(environ, start_response)
        try:
            response: Any = _told(request, lambda id: answer(request, id, *found))
        finally:
            _keep_connections()
        if not response.streaming:
            response.setdefault("Content-Length", str(len(response.content)))
        start_response(f"{response.status_code} {response.reason_phrase}", list(response.items()))
        return response if response.streaming else [response.content]


def _keep_connections() -> None:
    """Each thread keeps the connection that it took from the pool, unless that failed: taking it costs every time."""
    connection = connections[DEFAULT_DB_ALIAS]
    if not connection.in_atomic_block:  # else a streamed answer is still read from it
        connection.close_at = None
        connection.close_if_unusable_or_obsolete()


def _for_django(response: HttpResponseBase | Reply) -> HttpResponseBase:
    return response.for_django() if isinstance(response, Reply) else response


def _told(request: HttpRequest, respond: Callable[[str], HttpResponseBase | Reply]) -> HttpResponseBase | Reply:
    """The response, with the request's id in it and in every line that is logged meanwhile, and a line of its own."""
    request_id = request.META["HTTP_X_REQUEST_ID"] = request_id_of(request)  # whoever asks for it again finds the same
    structlog.contextvars.bind_contextvars(request_id=request_id)
    started = time.perf_counter()
    try:
        response = respond(request_id)
        response["X-Request-ID"] = request_id
        if _is_told():
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


def answer(
    request: HttpRequest, request_id: str, resource: Resource, path_parameters: dict[str, str], mount: str
) -> HttpResponseBase | Reply:
    """The response to a request for an operation, whatever happens."""
    method = request.method or ""
    if method == "OPTIONS":
        return HttpResponse(status=204, headers={"Allow": ", ".join(resource.allowed)})
    found = resource.methods.get("GET" if method == "HEAD" else method)
    if found is None:
        refusal = MethodNotAllowed(f"{method} is not for this path; {', '.join(resource.allowed)} are.")
        return problem(refusal, {"Allow": ", ".join(resource.allowed)})
    operation, route = found
    started = time.perf_counter()
    exchange = _Exchange(request, request_id, operation, route, path_parameters, mount)
    response = exchange.response()
    seconds = time.perf_counter() - started
    _duration(operation.name, response.status_code).observe(seconds)
    if isinstance(response, StreamingHttpResponse):
        spend(exchange.whose, seconds, 0)
        response.streaming_content = _accounted(exchange.whose, response.streaming_content)
    elif isinstance(response, (HttpResponse, Reply)):
        spend(exchange.whose, seconds, len(response.content))
    if method == "HEAD" and isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()
    elif method == "HEAD" and isinstance(response, (HttpResponse, Reply)):
        length = len(response.content)
        response.content = b""
        response["Content-Length"] = str(length)
    return response


def _accounted(whose: str, parts: Any) -> Iterator[Any]:
    """The parts of a streamed answer; what making them cost is noted when it ends, however it does."""
    seconds, size = 0.0, 0
    try:
        while True:
            started = time.perf_counter()
            part = next(parts, None)
            seconds += time.perf_counter() - started
            if part is None:
                return
            size += len(part)
            yield part
    finally:
        spend(whose, seconds, size)


@dataclass(slots=True)
class _Exchange:
    """One request and its answer."""

    request: HttpRequest
    request_id: str
    operation: Operation
    route: Route
    path_parameters: dict[str, str]
    mount: str
    #: Whose limits it counts against.
    whose: str = ""
    usage: Usage | None = None
    bound: tuple[Values, Values] | None = None

    def response(self) -> HttpResponseBase | Reply:
        try:
            response: HttpResponseBase | Reply = self._answered()
        except MeshError as refusal:
            response = problem(refusal)
        except DisallowedHost:
            response = problem(Malformed(UNKNOWN_HOST))
        except (DatabaseError, InterfaceError) as error:
            response = problem(refusal_of(error) or self._bug())
        except Exception:
            response = problem(self._bug())
        response["X-Content-Type-Options"] = "nosniff"
        if self.usage is not None:
            for name, value in self.usage.headers("write" if self._changes_something else "read").items():
                response[name] = value
        return response

    def _bug(self) -> MeshError:
        log.exception("bug", operation=self.operation.name)
        return MeshError(f"Something went wrong here. Quote request {self.request_id}.")

    def _answered(self) -> HttpResponseBase | Reply:
        request, operation = self.request, self.operation
        host_of(request)
        client = client_of(request)
        try:
            actor, known_versions = self._who()
        except MeshError:
            self._count(f"address:{client.address}")
            raise
        structlog.contextvars.bind_contextvars(user_id=actor.id, operation=operation.name)
        if actor.key_id is not None:
            structlog.contextvars.bind_contextvars(api_key_id=actor.key_id)
        mesh = Mesh(actor, door="rest", request_id=self.request_id, client=client, known_versions=known_versions)
        fresh = "no-cache" in request.META.get("HTTP_CACHE_CONTROL", "").lower()
        looked_up = self._count(mesh.whose, "" if fresh else self._cache_key(mesh))
        operation.permit(actor)
        account, counter = operation.declaration.account, operation.declaration.counter
        if account is not None:
            count_login_from(client.address, counter)
        takes_body = self.route.method not in ("GET", "DELETE")
        body = body_of(request, operation) if takes_body else {}
        values, plain = self.bound or self._bind(body)
        if account is not None:
            count_login_of(str(plain.get(account, "")), counter)
        found = mesh.call(
            operation,
            values,
            plain,
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
            dry_run=prefers_dry_run(request),
            fresh=fresh,
            looked_up=looked_up,
        )
        return success(request, operation, found, self.mount)

    def _who(self) -> tuple[Actor, Mapping[str, int] | None]:
        """The actor, and in the same statement the versions under which a cached answer would be stored."""
        meta, scopes = self.request.META, self.operation.scopes_of(self.path_parameters)
        authorization, api_key = meta.get("HTTP_AUTHORIZATION", ""), meta.get("HTTP_X_API_KEY", "")
        if not authorization and not api_key:
            return ANONYMOUS, versions.current(scopes) if scopes and not self.operation.cached_per_actor else None
        return identity().authenticate(authorization, api_key, scopes)

    @property
    def _changes_something(self) -> bool:
        """Whether a command is asked for, by itself or as a tool."""
        tool = registry.operations.get(self.path_parameters["name"]) if self.operation.name == "call_tool" else None
        return (tool or self.operation).is_command

    def _bind(self, body: Any) -> tuple[Values, Values]:
        return bind_rest(self.operation, self.route, self.path_parameters, query_of(self.request), body)

    def _cache_key(self, mesh: Mesh) -> str:
        """Where the answer is cached; empty where it is not, or where what was sent will be refused."""
        if not self.operation.declaration.ttl:
            return ""
        try:
            self.bound = self._bind({})
        except MeshError:  # said when the request is counted
            return ""
        return mesh.cache_key(self.operation, self.bound[1])

    def _count(self, whose: str, cache_key: str = "") -> tuple[str, bytes | None] | None:
        """Counts the request, and on the same way looks into the cache: (key, value). Raises RateLimited."""
        self.whose = whose
        counted = count_request("WRITE" if self._changes_something else "READ", whose, cache_key)
        self.usage = counted.requests
        refuse_if_exceeded(*counted.all)
        return (cache_key, counted.found) if cache_key and counted.all else None


class OperationView(APIView):
    """A path of the mesh as a DRF view: what the OpenAPI document is made from."""

    resource: Resource | None = None
    authentication_classes = ()
    permission_classes = ()

    def dispatch(self, request: HttpRequest, *args: Any, **path_parameters: str) -> HttpResponseBase:
        assert self.resource is not None
        return _for_django(answer(request, request_id_of(request), self.resource, path_parameters, f"/{CANONICAL}"))


def url_patterns() -> Iterator[URLPattern]:
    """The canonical URLs of every operation."""
    for resource in router().resources.values():
        methods = [name.lower() for name in resource.methods]
        view: Any = type("MeshView", (OperationView,), {"resource": resource, "http_method_names": methods})
        for method in methods:
            setattr(view, method, OperationView.dispatch)
        url = resource.path.replace("{", "<str:").replace("}", ">")
        yield path(f"{CANONICAL}{url}", view.as_view())
