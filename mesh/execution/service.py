"""Service, the base class of every resource: the actor, the rows they see, and what was changed."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, ClassVar, TypeVar
from uuid import UUID

from django.db.models import QuerySet
from django.db.models.functions import Now
from pydantic import BaseModel

from mesh.calling.client import Mesh
from mesh.declarations.actors import Actor
from mesh.declarations.arguments import bind_flat
from mesh.declarations.decorators import Declaration
from mesh.declarations.invocation import Door, Invocation
from mesh.declarations.registry import registry
from mesh.declarations.schemas import Page, PageParams, page_of
from mesh.documents.mirror import has_documents
from mesh.errors import FieldError, Forbidden, Invalid, NotFound
from mesh.execution.quotas import require_room
from mesh.execution.unit_of_work import Work
from mesh.mail.messages import Attachment, OutgoingMail
from mesh.outbox.jobs import Job
from mesh.rows.encoded import undecoded
from mesh.rows.reads import lock_row, read_ids, read_one, read_page, read_row
from mesh.rows.visibility import MeshModel, visible_rows

M = TypeVar("M", bound=MeshModel)
Schema = TypeVar("Schema", bound=BaseModel)
S = TypeVar("S", bound="Service")
#: The most rows that one run of a periodic job claims.
MAX_DUE_ROWS = 50
#: A query that returns the id of a row that the actor sees, or None; and the error message if there is none.
Finder = tuple[Callable[..., int | None], str]


class Service:
    """One resource's operations. Subclasses set `name` and have typed methods marked @query or @command."""

    name: ClassVar[str] = ""

    def __init__(self, actor: Actor, *, invocation: Invocation | None = None, work: Work | None = None) -> None:
        self.actor = actor
        self.invocation = invocation or Invocation(operation="", actor=actor, values={})
        self.work = work or Work()

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if cls.name:
            registry.add(cls)

    @classmethod
    def declarations(cls) -> dict[str, Declaration]:
        return {n: m.__operation__ for n, m in vars(cls).items() if hasattr(m, "__operation__")}

    @property
    def mesh(self) -> Mesh:
        """The mesh for this actor, as part of this call."""
        return self.mesh_through(self.invocation.door)

    def mesh_through(self, door: Door) -> Mesh:
        """The mesh for this actor, as if the call came through another door."""
        return Mesh(self.actor, door=door, request_id=self.invocation.request_id, client=self.invocation.client)

    def of(self, service: type[S]) -> S:
        """Another service, called through the mesh: `self.of(MeetingService).get_meeting(id=…)`. Reads only."""
        return self.mesh.of(service)

    def rows(self, model: type[MeshModel]) -> Any:
        """The rows of `model` that the actor may see, as the model's own queryset class."""
        return visible_rows(model, self.actor)

    def lock(self, model: type[M], ref: int | UUID) -> M:
        """The row, locked for a change; remembers its audience before the change.

        Raises NotFound if the actor sees none.
        """
        if isinstance(ref, UUID):
            ref = model._default_manager.filter(uuid=ref).values_list("pk", flat=True).first() or 0
        row: M | None = lock_row(self.rows(model), ref)
        if row is None:
            raise absent(model)
        if model.versioned:
            self.work.cache_tags |= row.audience()
        return row

    def lock_to_change(self, model: type[M], ref: int | UUID) -> M:
        """Like `lock`, for a row that the actor may change. Raises NotFound, or Forbidden if they may only see it."""
        row = self.lock(model, ref)
        if not row.may_be_changed_by(self.actor):
            raise Forbidden(model.change_refusal)
        return row

    def update(self, row: MeshModel, fields: Mapping[str, Any]) -> None:
        """Writes these fields of a locked row, with the time of the change, and declares it changed."""
        row.assign(fields)
        self.save(row, fields)

    def save(self, row: MeshModel, fields: Iterable[str] | None = None) -> None:
        """Writes these fields of a locked row (default: all) with the time of the change, and declares it changed."""
        row.assign({"updated_at": Now()})
        row.save(update_fields=None if fields is None else {*fields, "updated_at"})
        self.changed(row)

    def claim_due(self, due: QuerySet[M], again: Callable[..., None], **mark: Any) -> list[M]:
        """Claims rows that are due for a periodic job: locks the first MAX_DUE_ROWS, and sets the fields in `mark`.

        The mark takes the rows out of `due`, so that none is served twice. Rows that another run has locked are
        skipped. If there may be more rows, the job `again` is deferred.
        """
        rows = list(due.select_for_update(of=("self",), no_key=True, skip_locked=True)[:MAX_DUE_ROWS])
        due.model._base_manager.filter(pk__in=[row.pk for row in rows]).update(**mark)
        if len(rows) == MAX_DUE_ROWS:
            self.defer(again)
        self.changed()
        return rows

    def find_id(self, model: type[MeshModel], ref: int | UUID) -> int | None:
        """The id of the row, or None if the actor sees none."""
        if not isinstance(ref, UUID):
            return next(iter(self.find_ids(model, [ref])), None)
        row_id: int | None = self.rows(model).filter(uuid=ref).values_list("pk", flat=True).first()
        return row_id

    def find_ids(self, model: type[MeshModel], ids: Sequence[int]) -> set[int]:
        """Those of these ids whose rows the actor may see."""
        return read_ids(self.rows(model), ids)

    def resolve_references(self, fields: Mapping[str, Any], finders: Mapping[str, Finder]) -> dict[str, Any]:
        """The fields, with each reference in them replaced by the id of a row that the actor sees.

        `finders`: for each field that is a reference, the query that finds the row's id, and the error message if
        there is no such row. Raises Invalid, which lists every reference without a row.
        """
        resolved, errors = dict(fields), list[FieldError]()
        for name, (find, message) in finders.items():
            if resolved.get(name) is not None:
                resolved[name] = find(ref=resolved[name])
                if resolved[name] is None:
                    errors.append({"loc": ["body", name], "msg": message, "type": "not_found"})
        if errors:
            raise Invalid(errors)
        return resolved

    def changed(self, *rows: MeshModel) -> None:
        """Declares that these rows were created, changed or deleted, so that everyone in their audience reads afresh.

        Without rows it declares that nothing that is cached changed.
        """
        self.work.declared = True
        for row in rows:
            self.work.documents |= has_documents(type(row))
            if row.versioned:
                self.work.cache_tags |= row.audience()
                if row.audience_is_open:
                    self.work.open_rows.append(row)

    def room_for(self, model: type[MeshModel], rows: int) -> None:
        """Checks the quota before `rows` are created for the actor, if the command has no `creates=`.

        Raises RowQuota.
        """
        require_room(model, self.actor.id, rows)

    def defer(self, job: Callable[..., Any], **arguments: Any) -> None:
        """Starts a job when this command commits: `self.defer(self.summarize_note, id=note.pk)`."""
        operation = registry.operations[job.__name__]
        _, plain_arguments = bind_flat(operation, arguments)
        self.work.jobs.append(Job(operation, plain_arguments))

    def mail(
        self,
        *,
        to: str,
        kind: str,
        template: str,
        context: Mapping[str, Any] | Callable[[], Mapping[str, Any]],
        key: str,
        attachments: Sequence[Attachment] = (),
        secret: bool = False,
    ) -> None:
        """Sends a mail to one address when this command or job commits. See `mesh/mail/messages.py` for templates.

        All mails of a transaction are rendered and written together at its end, with `context` as it is then. `key`
        identifies the change: a second mail with the same key to the same address is not written. `kind` is what
        people can turn off (`GET /users/me/notifications`). `secret`: the mail holds a credential, so its text is
        deleted once it is sent.

        A user's command is charged for it: see `mesh/execution/mail_budget.py`.
        """
        self.work.outgoing_mails.append(OutgoingMail(to, kind, template, context, key, attachments, secret))

    def will_mail(self, count: int, *, owed: bool = False) -> None:
        """Declares how many mails the jobs of this command will write, to addresses other than the actor's own.

        The actor is charged for them with the command (`mesh/execution/mail_budget.py`). `owed`: the recipients rely
        on something that is being cancelled, so they are told even if the actor has no budget left.
        """
        self.work.mails_to_come += count
        self.work.mails_owed += count * owed

    def one(self, rows: QuerySet[Any], schema: type[Schema], ref: int | UUID) -> Schema:
        """The one of `rows` with this primary key or uuid, as `schema`. Raises NotFound.

        It is read straight to JSON, and decoded only when a field is accessed: see `mesh/rows/encoded.py`.
        """
        encoded = read_one(rows.filter(uuid=ref), schema) if isinstance(ref, UUID) else read_one(rows, schema, ref)
        if encoded is None:
            raise absent(rows.model)
        return undecoded(schema, encoded)

    def result_of(self, row: MeshModel, schema: type[Schema], *, id: int | None = None) -> Schema:
        """A row that was just created or changed, as `schema`; `id` goes into `Location` if it is not the row's key."""
        encoded = read_row(type(row), schema, row.pk)
        if encoded is None:
            raise absent(type(row))
        return undecoded(schema, encoded if id is None else replace(encoded, row_id=id))

    def page(self, rows: QuerySet[Any], schema: type[Schema], page: PageParams) -> Page[Schema]:
        """A page of `rows` as `schema`, newest first, read straight to JSON."""
        return undecoded(page_of(schema), read_page(rows, schema, page))

    @contextmanager
    def naming(self, *loc: str) -> Iterator[None]:
        """Turns a NotFound inside into Invalid on the body's field `loc`, which refers to a row that is not visible."""
        try:
            yield
        except NotFound as error:
            raise Invalid.field(["body", *loc], error.detail, "not_found") from None


def absent(model: type[Any]) -> NotFound:
    """The refusal for a row that does not exist, or that the actor may not see."""
    return NotFound(f"There is no such {model._meta.verbose_name}, or it is not yours to see.")
