"""The Task API's own dialect, under `/task-api`: the same operations, in the words that its clients know.

Its users are our contacts; ids are UUIDs, lists bare arrays, and errors have bodies of their own. It answers with the
very documents that are mirrored in object storage.
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
    acts: dict[str, Callable[[_Asked], HttpResponse]]
    acts = {"PATCH": _set_status} if status else {"GET": _show} if id else {"GET": _list, "POST": _create}
    method = "GET" if request.method == "HEAD" else request.method or ""
    if method not in acts:
        refused = _refused(MethodNotAllowed("Method Not Allowed"))
        refused["Allow"] = ", ".join(acts)
        return refused
    admission = Admission(request, _authenticate, changes=method != "GET")

    def answer() -> HttpResponse:
        mesh = admission.enter()
        admission.count()
        return acts[method](_Asked(request, RESOURCES[kind], id, admission, mesh))

    return admission.respond(answer, _refused)


@csrf_exempt
def not_found(request: HttpRequest) -> HttpResponse:
    """Any other path of the dialect."""
    return _refused(NotFound("Not Found"))


@dataclass(frozen=True)
class _Asked:
    """A request of somebody who may ask."""

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


def _authenticate(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, Mapping[str, int] | None]:
    """The user behind a key: any API key's, or the agent's whose key the environment gives. Raises InvalidKey.

    The documented key, which everyone knows, works on the machine itself alone.
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


_HEADERS = {"Cache-Control": "no-store", "X-Content-Type-Options": "nosniff"}


def _json(body: Any, status: int = 200) -> HttpResponse:
    return HttpResponse(json.dumps(body), status=status, content_type="application/json", headers=_HEADERS)


def _refused(refusal: MeshError) -> HttpResponse:
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
