"""The Task API under `/task-api`: the same operations in another dialect, which its clients expect.

Its users are our contacts, ids are UUIDs, lists are plain arrays, and errors have a format of their own. Responses are
the same documents that are mirrored in object storage.
"""

import hmac
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any
from uuid import UUID

from django.conf import settings
from django.db import IntegrityError, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from accounts.documents import UserDocument
from accounts.models import Contact, ContactType, MailKind, UnwantedMail, User
from meetings.documents import CallDocument
from meetings.models import Call, CallStatus
from mesh import Actor, Email, Mesh, MeshModel, PageParams, Time, text
from mesh.declarations.arguments import bind_flat
from mesh.declarations.identity import identity
from mesh.declarations.invocation import Answer
from mesh.declarations.registry import registry
from mesh.doors.admission import Admission
from mesh.doors.http.requests import is_local, parse_json, prefers_dry_run, query_of, raw_body_of
from mesh.errors import (
    Forbidden,
    Invalid,
    Malformed,
    MeshError,
    MethodNotAllowed,
    NotFound,
    Unauthenticated,
    field_errors,
)
from mesh.rows.reads import read_one, read_page
from mesh.rows.visibility import visible_rows
from tasks.documents import TaskDocument
from tasks.models import Task, TaskStatus

MOST_LISTED = 1000
#: The user for whom TASK_API_KEY authenticates. Nobody can sign up with this e-mail, since its domain is reserved.
AGENT_EMAIL = "task-api@localhost"

_Notes = Annotated[str, text(0, 500)] | None
#: Any text: in this dialect, a malformed id is not found (404), and not invalid.
_Id = Annotated[str, text(0, 100)]


class _Body(BaseModel):
    model_config = ConfigDict(extra="ignore", hide_input_in_errors=True)


class UserBody(_Body):
    name: Annotated[str, text(1, 100)]
    email: Email
    company: Annotated[str, text(1, 100)]
    user_type: ContactType = ContactType.CLIENT
    notes: _Notes = None


class CallBody(_Body):
    user_id: _Id
    title: Annotated[str, text(1, 200)]
    scheduled_for: Time
    duration_minutes: int = Field(30, ge=15, le=240)
    notes: _Notes = None
    status: CallStatus = CallStatus.SCHEDULED


class TaskBody(_Body):
    title: Annotated[str, text(1, 200)]
    description: Annotated[str, text(0, 1000)] | None = None
    user_id: _Id | None = None
    due_date: Time | None = None
    status: TaskStatus = TaskStatus.TODO


@dataclass(frozen=True)
class DialectResource:
    """A resource of the dialect, and the operations behind it."""

    noun: str
    model: type[MeshModel]
    document: type[BaseModel]
    body: type[_Body]
    #: The names of the operations that list, get and create.
    lists: str
    shows: str
    creates: str
    #: The operation that sets the status, and the type of the statuses; empty and None if there is no status.
    sets_status: str = ""
    status: TypeAdapter[Any] | None = None


RESOURCES = {
    "users": DialectResource("User", Contact, UserDocument, UserBody, "list_contacts", "get_contact", "create_contact"),
    "calls": DialectResource(
        "Call", Call, CallDocument, CallBody, "list_calls", "get_call", "schedule_call", "set_call_status",
        TypeAdapter(CallStatus),
    ),
    "tasks": DialectResource(
        "Task", Task, TaskDocument, TaskBody, "list_tasks", "get_task", "create_task", "set_task_status",
        TypeAdapter(TaskStatus),
    ),
}  # fmt: skip


class _Newest(PageParams):
    limit: int = Field(MOST_LISTED, le=MOST_LISTED)


class InvalidKey(Forbidden):
    """The credential is missing or invalid: a 403 in this dialect."""


@csrf_exempt  # the credential is a header, which browsers do not send by themselves
def task_api(request: HttpRequest, kind: str, id: str = "", status: str = "") -> HttpResponse:
    """Handles `/task-api/<kind>`, `…/<id>` and `…/<id>/status`; errors become responses in the dialect."""
    handlers: dict[str, Callable[[_Context], HttpResponse]]
    handlers = {"PATCH": _set_status} if status else {"GET": _get} if id else {"GET": _list, "POST": _create}
    method = "GET" if request.method == "HEAD" else request.method or ""
    if method not in handlers:
        response = _error_response(MethodNotAllowed("Method Not Allowed"))
        response["Allow"] = ", ".join(handlers)
        return response
    admission = Admission(request, _authenticate, changes=method != "GET")

    def answer() -> HttpResponse:
        mesh = admission.enter()
        admission.count()
        return handlers[method](_Context(request, RESOURCES[kind], id, admission, mesh))

    return admission.respond(answer, _error_response)


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """Handles all other paths of the dialect: 404."""
    return _error_response(NotFound("Not Found"))


@dataclass(frozen=True)
class _Context:
    """An admitted request: authenticated and counted."""

    request: HttpRequest
    resource: DialectResource
    id: str
    admission: Admission
    mesh: Mesh

    @property
    def query(self) -> dict[str, str]:
        """The query string. Raises Invalid."""
        try:
            return query_of(self.request)
        except Malformed as refusal:
            raise Invalid.field(["query"], refusal.detail) from None

    def call(self, name: str, arguments: dict[str, Any]) -> Answer:
        operation = registry.operations[name]
        return self.admission.call(
            self.mesh,
            operation,
            lambda: bind_flat(operation, arguments),
            idempotency_key=self.request.META.get("HTTP_IDEMPOTENCY_KEY", ""),
            dry_run=prefers_dry_run(self.request),
        )

    def missing(self, noun: str, id: str) -> NotFound:
        return NotFound(f"{noun} {id} not found")


def _list(context: _Context) -> HttpResponse:
    resource, query, actor = context.resource, context.query, context.mesh.actor
    registry.operations[resource.lists].permit(actor)
    rows = visible_rows(resource.model, actor)
    if resource.status is not None and "status_filter" in query:
        rows = rows.filter(status=_validate(resource.status, query["status_filter"], "query", "status_filter"))
    if resource.model is not Contact and "user_id" in query:
        rows = rows.filter(contact__in=visible_rows(Contact, actor).filter(uuid=_uuid(query["user_id"])))
    newest = read_page(rows, resource.document, _Newest())
    return _json(json.loads(newest.body)["results"])


def _get(context: _Context) -> HttpResponse:
    return _document_response(context, _call_on_row(context, context.resource.shows))


def _create(context: _Context) -> HttpResponse:
    resource = context.resource
    fields = _validate(TypeAdapter(resource.body), parse_json(raw_body_of(context.request)), "body").model_dump(
        mode="json"
    )
    if resource.model is Contact:
        fields["allow_duplicate"] = True
    contact = fields.pop("user_id", None)
    if contact is not None:
        fields["contact_id"] = str(_uuid(contact))
    try:
        answer = context.call(resource.creates, {name: value for name, value in fields.items() if value is not None})
    except Invalid as refusal:
        if contact is not None and any("contact_id" in error["loc"] for error in refusal.errors):
            raise context.missing("User", contact) from None
        raise
    return _change_response(context, answer, 201)


def _set_status(context: _Context) -> HttpResponse:
    resource = context.resource
    assert resource.status is not None
    status = _validate(resource.status, context.query.get("new_status"), "query", "new_status")
    return _change_response(context, _call_on_row(context, resource.sets_status, status=status))


def _call_on_row(context: _Context, operation: str, **arguments: Any) -> Answer:
    """Calls an operation on the row that the path names. Raises NotFound with the dialect's message."""
    try:
        return context.call(operation, {"id": str(_uuid(context.id)), **arguments})
    except NotFound:
        raise context.missing(context.resource.noun, context.id) from None


def _change_response(context: _Context, answer: Answer, status: int = 200) -> HttpResponse:
    """The response to a command: the current document, also for a replay; for a dry run, the operation's own answer."""
    if answer.dry_run:
        headers = {**_HEADERS, "Preference-Applied": "dry-run"}
        return HttpResponse(answer.body, content_type="application/json", headers=headers)
    response = _document_response(context, answer, status)
    if answer.replayed:
        response["Idempotent-Replay"] = "true"
    return response


def _document_response(context: _Context, answer: Answer, status: int = 200) -> HttpResponse:
    """A response with the document of an answer's row. Raises NotFound if the actor no longer sees it."""
    rows = visible_rows(context.resource.model, context.mesh.actor)
    document = read_one(rows, context.resource.document, int(answer.row_id or 0))
    if document is None:
        raise context.missing(context.resource.noun, context.id or json.loads(answer.body)["uuid"])
    return HttpResponse(document.body, status=status, content_type="application/json", headers=_HEADERS)


def _validate(adapter: TypeAdapter[Any], value: Any, *loc: str) -> Any:
    """Validates a value. Raises Invalid with all errors; `loc` is prepended to their locations."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise Invalid(field_errors(error, *loc)) from None


def _uuid(text: str) -> UUID:
    """Parses a UUID; a malformed one becomes the nil UUID, which no row has."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def _authenticate(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, Mapping[str, int] | None]:
    """Authenticates by `X-API-Key`: an API key, or TASK_API_KEY, which is the agent's. Raises InvalidKey.

    The demo key, which is in the documentation, only works on the machine itself.
    """
    key = request.META.get("HTTP_X_API_KEY", "")
    if settings.TASK_API_KEY and hmac.compare_digest(key.encode(), settings.TASK_API_KEY.encode()):
        if key == settings.TASK_API_DEMO_KEY and not is_local(request):
            raise InvalidKey("Invalid API key")
        return _agent(), None
    try:
        return identity().authenticate("", key or "none", cache_tags)
    except Unauthenticated:
        raise InvalidKey("Invalid API key") from None


def _agent() -> Actor:
    """The user with AGENT_EMAIL, created on first use with all mails turned off. Raises InvalidKey if deactivated."""
    user = User.objects.with_email(AGENT_EMAIL).first()
    if user is None:
        try:
            with transaction.atomic():
                user = User.objects.enrol(email=AGENT_EMAIL, name="Task API")
                kinds = [UnwantedMail(email=AGENT_EMAIL, kind=kind) for kind in MailKind.values]
                UnwantedMail.objects.bulk_create(kinds, ignore_conflicts=True)
        except IntegrityError:  # another request created it at the same time
            user = User.objects.with_email(AGENT_EMAIL).get()
    if not user.is_active:
        raise InvalidKey("Invalid API key")
    return Actor(user.pk, "AGENT", user.email, user.name)


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _json(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(json.dumps(body), status=status, content_type="application/json", headers=_HEADERS)


def _error_response(refusal: MeshError) -> HttpResponse:
    if isinstance(refusal, Invalid):
        return _json({"detail": refusal.errors}, 422)
    if isinstance(refusal, Malformed):
        return _json({"detail": [{"loc": ["body"], "msg": refusal.detail, "type": "json_invalid"}]}, 422)
    response = _json({"success": False, "message": refusal.detail}, refusal.status)
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response


urlpatterns = [
    re_path("^(?P<kind>users|calls|tasks)/?$", task_api),
    re_path("^(?P<kind>calls|tasks)/(?P<id>[^/]+)/(?P<status>status)/?$", task_api),
    re_path("^(?P<kind>users|calls|tasks)/(?P<id>[^/]+)/?$", task_api),
    re_path("", not_found),
]
