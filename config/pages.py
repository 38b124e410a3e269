"""The first page, and the responses to errors outside the mesh: a short page for browsers, else a problem in JSON.

They never show the inside of an error: that is in the log.
"""

import structlog
from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from mesh.doors.http.requests import UNKNOWN_HOST, request_id_of
from mesh.doors.http.responses import problem
from mesh.errors import Forbidden, Malformed, MeshError, NotFound

log = structlog.get_logger(__name__)

_HEADERS = {"Cache-Control": "no-store", "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"}


def first(request: HttpRequest) -> HttpResponse:
    """`/`: leads a browser to the documentation and to the admin."""
    if _asks_for_html(request):
        return _page("Meshwork", "It answers here.", 200)
    return not_found(request)


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    log.warning("bad_request", method=request.method, path=request.path, error=str(exception))
    unknown = isinstance(exception, DisallowedHost)
    return _refused(request, Malformed(UNKNOWN_HOST if unknown else "The server cannot make sense of this request."))


def forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _refused(request, Forbidden("You may not do this."))


def forged(request: HttpRequest, reason: str = "") -> HttpResponse:
    """A form came without the token that only our own pages know, or from another site."""
    return _refused(
        request, Forbidden("This form did not come from a page of this site. Reload the page, send it again.")
    )


def not_found(request: HttpRequest, exception: Exception | None = None) -> HttpResponse:
    return _refused(request, NotFound(f"There is nothing at {request.path}. The paths are listed at /docs."))


def server_error(request: HttpRequest) -> HttpResponse:
    log.exception("bug", method=request.method, path=request.path)  # problem() keeps Django from logging it
    return _refused(request, MeshError(f"Something went wrong here. Quote request {request_id_of(request)}."))


def _refused(request: HttpRequest, refusal: MeshError) -> HttpResponse:
    if _asks_for_html(request):
        return _page(refusal.title, refusal.detail, refusal.status)
    return problem(refusal)


def _page(title: str, text: str, status: int) -> HttpResponse:
    page = render_to_string("short_page.html", {"title": title, "text": text})
    response = HttpResponse(page, status=status, headers=_HEADERS)
    response._has_been_logged = True  # type: ignore[attr-defined]  # as in mesh.doors.http.responses.problem
    return response


def _asks_for_html(request: HttpRequest) -> bool:
    """Whether the client is a browser: other programs that accept HTML prefer JSON."""
    if request.path_info.startswith(("/api/", "/task-api")):
        return False
    before, html, _ = request.META.get("HTTP_ACCEPT", "").lower().partition("text/html")
    return bool(html) and "json" not in before
