"""Operations as REST: routes become URLs, a request becomes a call, an answer or a refusal becomes a response.

`MeshMiddleware` answers the mesh's own paths before the rest of Django looks at the request; everything else (the
admin, the docs, health) goes on. The same paths exist as DRF views, from which the OpenAPI document is made.
"""

import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

import structlog
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import Histogram

from mesh.calling.client import Mesh
from mesh.calling.limits import (
    Usage,
    count_login_from,
    count_login_of,
    count_request,
    of_address,
    spend,
)
from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.declarations.arguments import Values, bind_rest
from mesh.declarations.decorators import Route
from mesh.declarations.identity import identity
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.doors.http.requests import UNKNOWN_HOST, body_of, client_of, host_of, prefers_dry_run, query_of
from mesh.doors.http.responses import Reply, problem, success
from mesh.doors.rest.router import Resource
from mesh.errors import Malformed, MeshError, MethodNotAllowed
from mesh.rows import versions
from mesh.stores.postgres import refusal_of

log = structlog.get_logger("mesh.requests")

DURATION = Histogram(
    "meshwork_request_seconds",
    "Time to answer a request, by operation and status.",
    ["operation", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_duration = cache(DURATION.labels)


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
    elif isinstance(response, (HttpResponse, Reply)) and response.status_code != 429:
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
            self._count(of_address(client.address))
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
        meta, tags = self.request.META, self.operation.cache_tags_of(self.path_parameters)
        authorization, api_key = meta.get("HTTP_AUTHORIZATION", ""), meta.get("HTTP_X_API_KEY", "")
        if not authorization and not api_key:
            return ANONYMOUS, versions.current(tags) if tags and not self.operation.cached_per_actor else None
        return identity().authenticate(authorization, api_key, tags)

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
        counted.refuse()
        return (cache_key, counted.found) if cache_key and counted.looked_up else None
