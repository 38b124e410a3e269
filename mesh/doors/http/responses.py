"""Writing HTTP responses: answers, streams, documents and problems."""

import hashlib
import json
from collections.abc import Mapping
from http.client import responses
from urllib.parse import urlencode

import msgspec
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import get_conditional_response
from django.utils.encoding import iri_to_uri

from mesh.declarations.invocation import Answer
from mesh.declarations.operations import Operation
from mesh.doors.http.requests import host_of, query_of
from mesh.errors import MeshError


class Reply(dict[str, str]):
    """A response: its headers, with a status and a body.

    Cheaper than Django's, which checks and copies every header.
    """

    streaming = False

    def __init__(self, content: bytes, status: int, headers: Mapping[str, str]) -> None:
        super().__init__(headers)
        self.content, self.status_code = content, status

    @property
    def reason_phrase(self) -> str:
        return responses[self.status_code]

    def for_django(self) -> HttpResponse:
        return HttpResponse(self.content, status=self.status_code, headers=self)


def success(request: HttpRequest, operation: Operation, answer: Answer, mount: str) -> HttpResponseBase | Reply:
    """The response to a call that succeeded."""
    if answer.stream is not None:
        return streamed(operation, answer)
    if operation.declaration.media:
        return _document(request, operation.declaration.media, answer)
    status = 200 if answer.dry_run else operation.status
    response = Reply(answer.body, status, {"Cache-Control": "no-store"})
    if answer.body:
        response["Content-Type"] = "application/json"
    if answer.dry_run:
        response["Preference-Applied"] = "dry-run"
    elif operation.location and answer.row_id is not None:
        response["Location"] = mount + operation.location.replace("{id}", str(answer.row_id))
    if answer.replayed:
        response["Idempotent-Replay"] = "true"
    if answer.cache:
        response["X-Cache"] = answer.cache
    if answer.next_cursor is not None:
        query = f"cursor={answer.next_cursor}"
        if request.META.get("QUERY_STRING"):
            query = urlencode(query_of(request) | {"cursor": answer.next_cursor})
        response["Link"] = f'<{request.scheme}://{host_of(request)}{iri_to_uri(request.path)}?{query}>; rel="next"'
    return response


def streamed(operation: Operation, answer: Answer) -> StreamingHttpResponse:
    """The response that streams an answer. Closing it ends the transaction in which the answer is read."""
    headers = {"Cache-Control": "no-store", **_csp_headers(operation.declaration.media)}
    if operation.declaration.filename:
        headers["Content-Disposition"] = f'attachment; filename="{operation.declaration.filename}"'
    return StreamingHttpResponse(answer.stream or (), content_type=operation.declaration.media, headers=headers)


def _csp_headers(media: str) -> dict[str, str]:
    """Headers for HTML: it shows text that users wrote, so no scripts may run and nothing may be loaded."""
    page = media.startswith("text/html")
    return {"Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'"} if page else {}


def _document(request: HttpRequest, media: str, answer: Answer) -> HttpResponse:
    """A text of another media type than JSON. Clients may store it, and revalidate it with its ETag."""
    text = msgspec.json.decode(answer.body, type=str).encode()
    etag = f'"{hashlib.sha256(text).hexdigest()[:32]}"'
    headers = {"Cache-Control": "private, no-cache", "ETag": etag, **_csp_headers(media)}
    response = HttpResponse(text, content_type=media, headers=headers)
    return get_conditional_response(request, etag=etag, response=response) or response


def problem(refusal: MeshError, headers: dict[str, str] | None = None) -> HttpResponse:
    """The response to a refusal: RFC 9457 problem+json, with the headers that its status requires."""
    response = HttpResponse(
        json.dumps(refusal.problem()), status=refusal.status, content_type="application/problem+json"
    )
    response._has_been_logged = True  # type: ignore[attr-defined]  # or Django would log it again
    response["Cache-Control"] = "no-store"
    if refusal.status == 401:
        response["WWW-Authenticate"] = 'Bearer realm="meshwork"'
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    for name, value in (headers or {}).items():
        response[name] = value
    return response
