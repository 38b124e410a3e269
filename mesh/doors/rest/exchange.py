"""Operations as REST: a request becomes a call through `Admission`, an answer or a refusal becomes a response.

`MeshMiddleware` answers the mesh's own paths before the rest of Django sees the request. Everything else (the admin,
the docs, health) goes on to Django. The same paths exist as DRF views, from which the OpenAPI document is made.
"""

import time
from functools import cache

from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from prometheus_client import Histogram

from mesh.declarations.arguments import Values, bind_rest
from mesh.declarations.decorators import Route
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.doors.admission import Admission
from mesh.doors.http.requests import body_of, prefers_dry_run, query_of
from mesh.doors.http.responses import Reply, problem, success
from mesh.doors.rest.router import Resource
from mesh.errors import MethodNotAllowed

DURATION = Histogram(
    "meshwork_request_seconds",
    "Time to answer a request, by operation and status.",
    ["operation", "status"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10),
)
_duration = cache(DURATION.labels)


def answer(
    request: HttpRequest, resource: Resource, path_parameters: dict[str, str], mount: str
) -> HttpResponseBase | Reply:
    """The response to a request for an operation. Raises nothing: errors become problems."""
    method = request.method or ""
    if method == "OPTIONS":
        return HttpResponse(status=204, headers={"Allow": ", ".join(resource.allowed)})
    route = resource.methods.get("GET" if method == "HEAD" else method)
    if route is None:
        refusal = MethodNotAllowed(f"{method} is not for this path; {', '.join(resource.allowed)} are.")
        return problem(refusal, {"Allow": ", ".join(resource.allowed)})
    started = time.perf_counter()
    response = _response(request, *route, path_parameters, mount)
    _duration(route[0].name, response.status_code).observe(time.perf_counter() - started)
    if method == "HEAD" and isinstance(response, StreamingHttpResponse):
        response.streaming_content = ()
    elif method == "HEAD" and isinstance(response, (HttpResponse, Reply)):
        length = len(response.content)
        response.content = b""
        response["Content-Length"] = str(length)
    return response


def _response(
    request: HttpRequest, operation: Operation, route: Route, path_parameters: dict[str, str], mount: str
) -> HttpResponseBase | Reply:
    admission = Admission(request, changes=_is_write(operation, path_parameters))

    def bind() -> tuple[Values, Values]:
        body = {} if route.method in ("GET", "DELETE") else body_of(request, operation)
        return bind_rest(operation, route, path_parameters, query_of(request), body)

    def respond() -> HttpResponseBase | Reply:
        result = admission.call(
            admission.enter(operation.cache_tags_of(path_parameters), operation=operation.name),
            operation,
            bind,
            idempotency_key=request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
            dry_run=prefers_dry_run(request),
            fresh="no-cache" in request.META.get("HTTP_CACHE_CONTROL", "").lower(),
        )
        return success(request, operation, result, mount)

    return admission.respond(respond, problem)


def _is_write(operation: Operation, path_parameters: dict[str, str]) -> bool:
    """Whether the request is for a command, also if a `@dispatch` calls it by name."""
    dispatched = registry.operations.get(path_parameters.get(operation.declaration.dispatches_to, ""))
    return (dispatched or operation).is_command
