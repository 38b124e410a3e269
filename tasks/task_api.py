"""The Task API's own dialect, under `/task-api`: the same operations, in the words that its clients know.

Its users are our contacts; ids are UUIDs, lists bare arrays, and errors have bodies of their own. It answers with the
very documents that are mirrored in object storage.
"""

import hmac
import json
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, Self
from uuid import UUID

import structlog
from django.conf import settings
from django.db import DatabaseError, IntegrityError, InterfaceError, transaction
from django.http import HttpRequest, HttpResponse
from django.urls import re_path
from django.views.decorators.csrf import csrf_exempt
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from accounts.documents import UserDocument
from accounts.models import Contact, ContactType, MailKind, UnwantedMail, User
from meetings.documents import CallDocument
from meetings.models import Call, CallStatus
from mesh import Actor, Email, Mesh, MeshModel, PageParams, Time, text
from mesh.calling.limits import Usage, count_request, of_address, spend
from mesh.declarations.identity import identity
from mesh.declarations.invocation import Answer
from mesh.declarations.registry import registry
from mesh.doors.http.requests import (
    client_of,
    is_local,
    parse_json,
    prefers_dry_run,
    query_of,
    raw_body_of,
    request_id_of,
)
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
from mesh.stores.postgres import refusal_of
from tasks.documents import TaskDocument
from tasks.models import Task, TaskStatus

log = structlog.get_logger(__name__)

MOST_LISTED = 1000
#: Whose key the environment gives. Nobody else can have this e-mail: its domain is no one's.
AGENT_EMAIL = "task-api@localhost"

_Notes = Annotated[str, text(0, 500)] | None
#: Looked up before it is said to be none: to this dialect an id of no valid form is one that does not exist.
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
    """A kind of rows in the dialect, and the operations behind it."""

    noun: str
    model: type[MeshModel]
    document: type[BaseModel]
    body: type[_Body]
    #: The operations that list, show and create.
    lists: str
    shows: str
    creates: str
    #: The one that sets the status, and the statuses; None where there is none.
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
    """The credential is missing or bad: to this dialect it is a 403."""


@csrf_exempt  # its credential is a header, which no browser sends by itself
def task_api(request: HttpRequest, kind: str, id: str = "", status: str = "") -> HttpResponse:
    """`/task-api/<kind>`, `…/<id>` and `…/<id>/status`: the response, whatever happens."""
    started = time.perf_counter()
    response = _response(request, kind, id, status)
    whose = request.META.get("meshwork.whose")
    if whose and response.status_code != 429:
        spend(whose, time.perf_counter() - started, len(response.content))
    return response


def _response(request: HttpRequest, kind: str, id: str, status: str) -> HttpResponse:
    try:
        return _answered(request, RESOURCES[kind], id, bool(status))
    except Invalid as refusal:
        return _json({"detail": refusal.errors}, 422)
    except Malformed as refusal:
        return _json({"detail": [{"loc": ["body"], "msg": refusal.detail, "type": "json_invalid"}]}, 422)
    except MeshError as refusal:
        return _refused(refusal)
    except (DatabaseError, InterfaceError) as error:
        return _refused(refusal_of(error) or _bug(request))
    except Exception:
        return _refused(_bug(request))


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """Any other path of the dialect."""
    return _refused(NotFound("Not Found"))


def _answered(request: HttpRequest, resource: DialectResource, id: str, status: bool) -> HttpResponse:
    acts: dict[str, Callable[[_Asked], HttpResponse]]
    acts = {"PATCH": _set_status} if status else {"GET": _show} if id else {"GET": _list, "POST": _create}
    method = "GET" if request.method == "HEAD" else request.method or ""
    if method not in acts:
        refused = _refused(MethodNotAllowed("Method Not Allowed"))
        refused["Allow"] = ", ".join(acts)
        return refused
    asked = _Asked.by(request, resource, id, "read" if method == "GET" else "write")
    response = acts[method](asked)
    for name, value in asked.limits.items():
        response[name] = value
    return response


@dataclass(frozen=True)
class _Asked:
    """A request of somebody who may ask."""

    request: HttpRequest
    resource: DialectResource
    id: str
    mesh: Mesh
    #: The headers that say how many requests are left.
    limits: dict[str, str]

    @classmethod
    def by(cls, request: HttpRequest, resource: DialectResource, id: str, kind: str) -> Self:
        """Raises InvalidKey and RateLimited."""
        client = client_of(request)
        try:
            actor = _actor(request)
        except InvalidKey:
            _count(request, kind, of_address(client.address))
            raise
        usage = _count(request, kind, f"user:{actor.id}")
        mesh = Mesh(actor, door="rest", request_id=request_id_of(request), client=client)
        return cls(request, resource, id, mesh, usage.headers(kind) if usage else {})

    @property
    def query(self) -> dict[str, str]:
        """The query string. Raises Invalid."""
        try:
            return query_of(self.request)
        except Malformed as refusal:
            raise Invalid.field(["query"], refusal.detail) from None

    def call(self, operation: str, arguments: dict[str, Any]) -> Answer:
        key, dry_run = self.request.META.get("HTTP_IDEMPOTENCY_KEY", ""), prefers_dry_run(self.request)
        return self.mesh.call_tool(operation, arguments, idempotency_key=key, dry_run=dry_run)

    def missing(self, noun: str, id: str) -> NotFound:
        return NotFound(f"{noun} {id} not found")


def _list(asked: _Asked) -> HttpResponse:
    resource, wanted, actor = asked.resource, asked.query, asked.mesh.actor
    registry.operations[resource.lists].permit(actor)
    rows = visible_rows(resource.model, actor)
    if resource.status is not None and "status_filter" in wanted:
        rows = rows.filter(status=_checked(resource.status, wanted["status_filter"], "query", "status_filter"))
    if resource.model is not Contact and "user_id" in wanted:
        rows = rows.filter(contact__in=visible_rows(Contact, actor).filter(uuid=_uuid(wanted["user_id"])))
    newest = read_page(rows, resource.document, _Newest())
    return _json(json.loads(newest.body)["results"])


def _show(asked: _Asked) -> HttpResponse:
    return _document(asked, _found(asked, asked.resource.shows))


def _create(asked: _Asked) -> HttpResponse:
    resource = asked.resource
    fields = _checked(TypeAdapter(resource.body), parse_json(raw_body_of(asked.request)), "body").model_dump(
        mode="json"
    )
    if resource.model is Contact:
        fields["allow_duplicate"] = True
    contact = fields.pop("user_id", None)
    if contact is not None:
        fields["contact_id"] = str(_uuid(contact))
    try:
        made = asked.call(resource.creates, {name: value for name, value in fields.items() if value is not None})
    except Invalid as refusal:
        if contact is not None and any("contact_id" in error["loc"] for error in refusal.errors):
            raise asked.missing("User", contact) from None
        raise
    return _changed(asked, made, 201)


def _set_status(asked: _Asked) -> HttpResponse:
    resource = asked.resource
    assert resource.status is not None
    status = _checked(resource.status, asked.query.get("new_status"), "query", "new_status")
    return _changed(asked, _found(asked, resource.sets_status, status=status))


def _found(asked: _Asked, operation: str, **arguments: Any) -> Answer:
    """What an operation on the row that the path names answers. Raises NotFound, in the words of the dialect."""
    try:
        return asked.call(operation, {"id": str(_uuid(asked.id)), **arguments})
    except NotFound:
        raise asked.missing(asked.resource.noun, asked.id) from None


def _changed(asked: _Asked, answer: Answer, status: int = 200) -> HttpResponse:
    """The document as it is by now, of a replay too; of a dry run what would happen, in the words of the operation."""
    if answer.dry_run:
        headers = {**_HEADERS, "Preference-Applied": "dry-run"}
        return HttpResponse(answer.body, content_type="application/json", headers=headers)
    response = _document(asked, answer, status)
    if answer.replayed:
        response["Idempotent-Replay"] = "true"
    return response


def _document(asked: _Asked, answer: Answer, status: int = 200) -> HttpResponse:
    """The document of the row that an operation answered with, where the actor still sees it. Raises NotFound."""
    rows = visible_rows(asked.resource.model, asked.mesh.actor)
    found = read_one(rows, asked.resource.document, int(answer.row_id or 0))
    if found is None:
        raise asked.missing(asked.resource.noun, asked.id or json.loads(answer.body)["uuid"])
    return HttpResponse(found.body, status=status, content_type="application/json", headers=_HEADERS)


def _checked(adapter: TypeAdapter[Any], value: Any, *loc: str) -> Any:
    """The value as the adapter has it. Raises Invalid, with all that is wrong."""
    try:
        return adapter.validate_python(value)
    except ValidationError as error:
        raise Invalid(field_errors(error, *loc)) from None


def _uuid(text: str) -> UUID:
    """An id of no valid form is one that does not exist."""
    try:
        return UUID(text)
    except ValueError:
        return UUID(int=0)


def _actor(request: HttpRequest) -> Actor:
    """The user behind a key: any API key's, or the agent's whose key the environment gives. Raises InvalidKey.

    The documented key, which everyone knows, works on the machine itself alone.
    """
    key = request.META.get("HTTP_X_API_KEY", "")
    if settings.TASK_API_KEY and hmac.compare_digest(key.encode(), settings.TASK_API_KEY.encode()):
        if key == settings.TASK_API_DEMO_KEY and not is_local(request):
            raise InvalidKey("Invalid API key")
        return _agent()
    try:
        actor, _ = identity().authenticate("", key or "none", ())
    except Unauthenticated:
        raise InvalidKey("Invalid API key") from None
    return actor


def _agent() -> Actor:
    """The AGENT_EMAIL of the environment's key, made when it comes first; they get no mail. Raises InvalidKey."""
    user = User.objects.with_email(AGENT_EMAIL).first()
    if user is None:
        try:
            with transaction.atomic():
                user = User.objects.enrol(email=AGENT_EMAIL, name="Task API")
                kinds = [UnwantedMail(email=AGENT_EMAIL, kind=kind) for kind in MailKind.values]
                UnwantedMail.objects.bulk_create(kinds, ignore_conflicts=True)
        except IntegrityError:  # made at the same time
            user = User.objects.with_email(AGENT_EMAIL).get()
    if not user.is_active:
        raise InvalidKey("Invalid API key")
    return Actor(user.pk, "AGENT", user.email, user.name)


def _count(request: HttpRequest, kind: str, whose: str) -> Usage | None:
    request.META["meshwork.whose"] = whose
    counted = count_request("READ" if kind == "read" else "WRITE", whose)
    counted.refuse()
    return counted.requests


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _json(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(json.dumps(body), status=status, content_type="application/json", headers=_HEADERS)


def _refused(refusal: MeshError) -> HttpResponse:
    response = _json({"success": False, "message": refusal.detail}, refusal.status)
    if refusal.retry_after is not None:
        response["Retry-After"] = str(refusal.retry_after)
    return response


def _bug(request: HttpRequest) -> MeshError:
    log.exception("bug", operation="task_api")
    return MeshError(f"Something went wrong here. Quote request {request_id_of(request)}.")


urlpatterns = [
    re_path("^(?P<kind>users|calls|tasks)/?$", task_api),
    re_path("^(?P<kind>calls|tasks)/(?P<id>[^/]+)/(?P<status>status)/?$", task_api),
    re_path("^(?P<kind>users|calls|tasks)/(?P<id>[^/]+)/?$", task_api),
    re_path("", not_found),
]
