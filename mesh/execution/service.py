"""Service, the base class of every resource: who asks, which rows they see, what was changed."""

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
#: Rows that one run of a periodic job takes.
MAX_DUE_ROWS = 50
#: A query that answers with the id of a row that the actor sees, or with null; what is said where there is none.
Known = tuple[Callable[..., int | None], str]


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
        """The mesh, for this actor, as part of this call."""
        return self.mesh_through(self.invocation.door)

    def mesh_through(self, door: Door) -> Mesh:
        """The mesh, for this actor, as if asked through another door."""
        return Mesh(self.actor, door=door, request_id=self.invocation.request_id, client=self.invocation.client)

    def of(self, service: type[S]) -> S:
        """Another service, called through the mesh: `self.of(MeetingService).get_meeting(id=…)`. Reads only."""
        return self.mesh.of(service)

    def rows(self, model: type[MeshModel]) -> Any:
        """The rows of `model` that the actor may see, as the model's own queryset class."""
        return visible_rows(model, self.actor)

    def lock(self, model: type[M], ref: int | UUID) -> M:
        """The row, locked for a change, with its audience as it was. Raises NotFound where the actor sees none."""
        if isinstance(ref, UUID):
            ref = model._default_manager.filter(uuid=ref).values_list("pk", flat=True).first() or 0
        row: M | None = lock_row(self.rows(model), ref)
        if row is None:
            raise absent(model)
        if model.versioned:
            self.work.cache_tags |= row.audience()
        return row

    def lock_to_change(self, model: type[M], ref: int | UUID) -> M:
        """The same of a row that the actor may change. Raises Forbidden where they only see it."""
        row = self.lock(model, ref)
        if not row.may_be_changed_by(self.actor):
            raise Forbidden(model.change_refusal)
        return row

    def update(self, row: MeshModel, fields: Mapping[str, Any]) -> None:
        """Writes these fields of a locked row, and says that it changed."""
        row.assign(fields)
        self.save(row, fields)

    def save(self, row: MeshModel, fields: Iterable[str] | None = None) -> None:
        """Writes the fields of a locked row (by default all) with the time of the change, and says that it changed."""
        row.assign({"updated_at": Now()})
        row.save(update_fields=None if fields is None else {*fields, "updated_at"})
        self.changed(row)

    def claim_due(self, due: QuerySet[M], again: Callable[..., None], **mark: Any) -> list[M]:
        """The first of the rows that a periodic job serves, marked so that none is served twice.

        Rows that another run has taken are left to it. Where there may be more, the job `again` begins once more.
        """
        rows = list(due.select_for_update(of=("self",), no_key=True, skip_locked=True)[:MAX_DUE_ROWS])
        due.model._base_manager.filter(pk__in=[row.pk for row in rows]).update(**mark)
        if len(rows) == MAX_DUE_ROWS:
            self.defer(again)
        self.changed()
        return rows

    def find_id(self, model: type[MeshModel], ref: int | UUID) -> int | None:
        """The id of the row, where the actor sees one."""
        if not isinstance(ref, UUID):
            return next(iter(self.find_ids(model, [ref])), None)
        found: int | None = self.rows(model).filter(uuid=ref).values_list("pk", flat=True).first()
        return found

    def find_ids(self, model: type[MeshModel], ids: Sequence[int]) -> set[int]:
        """Which of these ids are of rows that the actor may see."""
        return read_ids(self.rows(model), ids)

    def resolve_references(self, fields: Mapping[str, Any], known: Mapping[str, Known]) -> dict[str, Any]:
        """The fields, each reference in them as the id of a row that the actor sees.

        `known`: by the name of a field, who finds the row's id, and what is said where there is none. Raises Invalid,
        which names every reference that leads nowhere.
        """
        referring, errors = dict(fields), list[FieldError]()
        for name, (find, message) in known.items():
            if referring.get(name) is not None:
                referring[name] = find(ref=referring[name])
                if referring[name] is None:
                    errors.append({"loc": ["body", name], "msg": message, "type": "not_found"})
        if errors:
            raise Invalid(errors)
        return referring

    def changed(self, *rows: MeshModel) -> None:
        """These rows are new, other or gone: everyone in their audience reads afresh. No rows: nothing changed."""
        self.work.declared = True
        for row in rows:
            self.work.documents |= has_documents(type(row))
            if row.versioned:
                self.work.cache_tags |= row.audience()
                if row.audience_is_open:
                    self.work.open_rows.append(row)

    def room_for(self, model: type[MeshModel], rows: int) -> None:
        """Before so many rows are made for the actor by a command that does not declare it. Raises RowQuota."""
        require_room(model, self.actor.id, rows)

    def defer(self, job: Callable[..., Any], **arguments: Any) -> None:
        """Begins a job when this command commits: `self.defer(self.summarize_note, id=note.pk)`."""
        operation = registry.operations[job.__name__]
        _, plain = bind_flat(operation, arguments)
        self.work.jobs.append(Job(operation, plain))

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
        """A mail to one address, sent when this command or job commits: see `mesh/mail/messages.py` for its templates.

        All mails of a transaction are rendered and written together at its end, with `context` as it is then. `key`
        names the change: a second mail with it to the same address is the same mail. `kind` is what people turn off
        (`GET /users/me/notifications`); who turned it off gets none. `secret`: it holds what opens an account, so its
        text is forgotten once it is sent.

        A user's command is charged for it: see `mesh/execution/mail_budget.py`.
        """
        self.work.outgoing_mails.append(OutgoingMail(to, kind, template, context, key, attachments, secret))

    def will_mail(self, count: int, *, owed: bool = False) -> None:
        """So many mails will be written by the jobs that this command begins, to addresses other than the actor's own.

        The actor is charged for them with the command (`mesh/execution/mail_budget.py`). `owed`: those whom they are
        for count on what is called off, so they are told also by somebody who has no budget left.
        """
        self.work.mails_to_come += count
        self.work.mails_owed += count * owed

    def one(self, rows: QuerySet[Any], schema: type[Schema], ref: int | UUID) -> Schema:
        """The one of `rows` with this primary key or uuid, as `schema`. Raises NotFound.

        It is read straight to JSON, and decoded when a field is first looked at: see `mesh/rows/encoded.py`.
        """
        found = read_one(rows.filter(uuid=ref), schema) if isinstance(ref, UUID) else read_one(rows, schema, ref)
        if found is None:
            raise absent(rows.model)
        return undecoded(schema, found)

    def result_of(self, row: MeshModel, schema: type[Schema], *, id: int | None = None) -> Schema:
        """A row that was just made or changed, as `schema`; `id` is what `Location` names, where not the row's key."""
        found = read_row(type(row), schema, row.pk)
        if found is None:
            raise absent(type(row))
        return undecoded(schema, found if id is None else replace(found, row_id=id))

    def page(self, rows: QuerySet[Any], schema: type[Schema], page: PageParams) -> Page[Schema]:
        """A page of `rows` as `schema`, newest first, encoded straight to JSON where the answer goes out."""
        return undecoded(page_of(schema), read_page(rows, schema, page))

    @contextmanager
    def naming(self, *loc: str) -> Iterator[None]:
        """A NotFound inside becomes Invalid on the field `loc`: an id in a body that the actor cannot see."""
        try:
            yield
        except NotFound as error:
            raise Invalid.field(["body", *loc], error.detail, "not_found") from None


def absent(model: type[Any]) -> NotFound:
    return NotFound(f"There is no such {model._meta.verbose_name}, or it is not yours to see.")
