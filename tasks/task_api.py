"""The Task API's own dialect, under `/task-api`: the same operations, in the words that its clients know.

Its users are our contacts; ids are UUIDs, lists bare arrays, and errors have bodies of their own. It answers with the
very documents that are mirrored in object storage.
"""

import hmac
import json
from collections.abc import Callable
from dataclasses import dataclass
from email.utils import parseaddr
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
from mesh import Actor, Email, Mesh, PageParams, ScopedModel, Time, text
from mesh.call import Answer, identity
from mesh.database import refusal_of
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
from mesh.http import client_of, parse_json, query_of, raw_body_of, request_id_of
from mesh.limits import Limit, count, refuse_if_exceeded
from mesh.rows import read_page, read_row
from mesh.scope import scoped
from mesh.service import registry
from tasks.documents import TaskDocument
from tasks.models import Task, TaskStatus

log = structlog.get_logger(__name__)

MOST_LISTED = 1000

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
class Resource:
    """A kind of rows in the dialect, and the operations behind it."""

    noun: str
    model: type[ScopedModel]
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
    "users": Resource("User", Contact, UserDocument, UserBody, "list_contacts", "get_contact", "create_contact"),
    "calls": Resource(
        "Call", Call, CallDocument, CallBody, "list_calls", "get_call", "schedule_call", "set_call_status",
        TypeAdapter(CallStatus),
    ),
    "tasks": Resource(
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


def _answered(request: HttpRequest, resource: Resource, id: str, status: bool) -> HttpResponse:
    acts: dict[str, Callable[[_Asked], HttpResponse]]
    acts = {"PATCH": _set_status} if status else {"GET": _show} if id else {"GET": _list, "POST": _create}
    method = "GET" if request.method == "HEAD" else request.method or ""
    if method not in acts:
        refused = _refused(MethodNotAllowed("Method Not Allowed"))
        refused["Allow"] = ", ".join(acts)
        return refused
    return acts[method](_Asked.by(request, resource, id, "READ" if method == "GET" else "WRITE"))


@dataclass(frozen=True)
class _Asked:
    """A request of somebody who may ask."""

    request: HttpRequest
    resource: Resource
    id: str
    mesh: Mesh

    @classmethod
    def by(cls, request: HttpRequest, resource: Resource, id: str, kind: str) -> Self:
        """Raises InvalidKey and RateLimited."""
        client = client_of(request)
        try:
            actor = _actor(request.META.get("HTTP_X_API_KEY", ""))
        except InvalidKey:
            _count(kind, f"address:{client.address}")
            raise
        _count(kind, f"user:{actor.id}")
        return cls(request, resource, id, Mesh(actor, door="rest", request_id=request_id_of(request), client=client))

    @property
    def query(self) -> dict[str, str]:
        """The query string. Raises Invalid."""
        try:
            return query_of(self.request)
        except Malformed as refusal:
            raise Invalid.field(["query"], refusal.detail) from None

    def call(self, operation: str, arguments: dict[str, Any]) -> Answer:
        key = self.request.META.get("HTTP_IDEMPOTENCY_KEY", "")
        return self.mesh.call_tool(operation, arguments, idempotency_key=key)

    def missing(self, noun: str, id: str) -> NotFound:
        return NotFound(f"{noun} {id} not found")


def _list(asked: _Asked) -> HttpResponse:
    resource, wanted, actor = asked.resource, asked.query, asked.mesh.actor
    registry.operations[resource.lists].permit(actor)
    rows = scoped(resource.model, actor)
    if resource.status is not None and "status_filter" in wanted:
        rows = rows.filter(status=_checked(resource.status, wanted["status_filter"], "query", "status_filter"))
    if resource.model is not Contact and "user_id" in wanted:
        rows = rows.filter(contact__in=scoped(Contact, actor).filter(uuid=_uuid(wanted["user_id"])))
    newest = read_page(rows, resource.document, _Newest())
    return _json(json.loads(newest.body)["results"])


def _show(asked: _Asked) -> HttpResponse:
    return _document(asked.resource, _found(asked).row_id)


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
    return _document(resource, made.row_id, 201)


def _set_status(asked: _Asked) -> HttpResponse:
    resource = asked.resource
    assert resource.status is not None
    status = _checked(resource.status, asked.query.get("new_status"), "query", "new_status")
    row = _found(asked).row_id
    asked.call(resource.sets_status, {"id": row, "status": status})
    return _document(resource, row)


def _found(asked: _Asked) -> Answer:
    """The row that the path names. Raises NotFound, in the words of the dialect."""
    try:
        return asked.call(asked.resource.shows, {"id": str(_uuid(asked.id))})
    except NotFound:
        raise asked.missing(asked.resource.noun, asked.id) from None


def _document(resource: Resource, row: Any, status: int = 200) -> HttpResponse:
    found = read_row(resource.model, resource.document, row)
    if found is None:
        raise NotFound(f"{resource.noun} was removed meanwhile")
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


def _actor(key: str) -> Actor:
    """The user behind a key: any API key's, or the agent's whose key the environment gives. Raises InvalidKey."""
    if settings.TASK_API_KEY and hmac.compare_digest(key.encode(), settings.TASK_API_KEY.encode()):
        return _agent()
    try:
        actor, _ = identity().authenticate("", key or "none", ())
    except Unauthenticated:
        raise InvalidKey("Invalid API key") from None
    return actor


def _agent() -> Actor:
    """The AGENT of the environment's key, made when it comes first; they get no mail. Raises InvalidKey."""
    email = f"task-api@{parseaddr(settings.EMAIL_FROM)[1].rpartition('@')[2]}"
    user = User.objects.with_email(email).first()
    if user is None:
        try:
            with transaction.atomic():
                user = User.objects.enrol(email=email, name="Task API")
                kinds = [UnwantedMail(email=email.lower(), kind=kind) for kind in MailKind.values]
                UnwantedMail.objects.bulk_create(kinds, ignore_conflicts=True)
        except IntegrityError:  # made at the same time
            user = User.objects.with_email(email).get()
    if not user.is_active:
        raise InvalidKey("Invalid API key")
    return Actor(user.pk, user.role, user.email, user.name)


def _count(kind: str, whose: str) -> None:
    limit = Limit.parse(settings.MESH[f"RATE_LIMIT_{kind}"])
    if limit is not None:
        refuse_if_exceeded(count(limit, f"{kind}:{whose}"))


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
