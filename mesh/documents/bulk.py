"""All documents at once: compare them with their rows, store them anew, restore rows from them."""

import time
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import Any, Literal, NamedTuple, TypeVar
from uuid import UUID

from django.db import DataError, IntegrityError, transaction
from django.db.models import Model
from pydantic import BaseModel, ValidationError

from mesh.declarations.schemas import column_of
from mesh.documents import mirror
from mesh.documents.mirror import THREADS, DocumentKind, document_kinds
from mesh.stores.objects import storage
from mesh.stores.postgres import fetch

T = TypeVar("T")
Finding = Literal["", "missing", "stale", "extra", "waiting"]

_AT_ONCE = 500  # documents in memory at a time
_ATTEMPTS = 3


class Compared(NamedTuple):
    """The result of comparing one document with its row; `finding` is empty if they agree."""

    name: str
    finding: Finding = ""


class NotEmpty(Exception):
    """There are rows that differ from their documents, or have none."""


class NotStored(Exception):
    """The storage did not store a document."""


class _UnknownReference(Exception):
    """A document refers to a row that does not exist."""


class Restored(NamedTuple):
    """The result of restoring one document; `error` says what is wrong with it, if anything."""

    name: str
    made: bool = False
    error: str = ""


def size() -> int:
    """About how many documents there should be, which is the number of rows."""
    return sum(each.model._base_manager.count() for each in document_kinds.values())


def compare() -> Iterator[Compared]:
    """Compares every row with its document, and every document with the rows.

    A document that is still to be stored is `waiting`. Whatever seems wrong is compared again, since it may have
    changed between reading the row and reading the document.
    """
    for each in document_kinds.values():
        for uuids in _uuids(each):
            wrong = _findings(each, uuids)
            yield from (Compared(each.name(uuid), wrong.get(uuid, "")) for uuid in uuids)
        for names in _batched(storage().names(each.kind)):
            for name in _without_row(each, names):
                uuid = _uuid_in(each, name)
                finding = _findings(each, [uuid]).get(uuid) if uuid else _extra(name)
                if finding in ("extra", "waiting"):
                    yield Compared(name, finding)


def rebuild() -> Iterator[int]:
    """Stores every document anew, and removes those without a row. Yields how many are done so far.

    If it is interrupted, the job does the rest of what has begun. Raises NotStored.
    """
    done = 0
    for each in document_kinds.values():
        for uuids in _uuids(each):
            mirror.changed_anew(each.kind, uuids)
        for names in _batched(storage().names(each.kind)):
            extra = {name: _uuid_in(each, name) for name in _without_row(each, names)}
            mirror.changed_anew(each.kind, [uuid for uuid in extra.values() if uuid])
            for name in (name for name, uuid in extra.items() if uuid is None):
                storage().remove(name)
    while True:
        with transaction.atomic():
            batch = mirror.lease()
        if batch.documents:
            tried = mirror.store(batch)
            with transaction.atomic():
                mirror.finish(batch, tried)
            if errors := [result.error for result in tried.values() if result.error]:
                raise NotStored(errors[0])
            done += len(tried)
            yield done
        elif fetch("SELECT 1 FROM mesh_waitingdocument WHERE lease_until > clock_timestamp() LIMIT 1"):
            time.sleep(0.2)  # a worker is storing the last ones
        else:
            return


def restore(user_id: int) -> Iterator[Restored]:
    """Creates the rows of all documents, owned by this user. Rows that already exist stay.

    Raises NotEmpty, before anything is written, if a row differs from its document.
    """
    for each in document_kinds.values():
        for uuids in _uuids(each):
            _refuse_others(each, uuids)
    for each in document_kinds.values():
        for names in _batched(storage().names(each.kind)):
            existing = set(names) - set(_without_row(each, names))
            yield from (Restored(name) for name in existing)
            new = [name for name in names if name not in existing]
            yield from _restore_batch(each, dict(zip(new, _contents(new), strict=True)), user_id)


def _uuids(each: DocumentKind) -> Iterator[list[UUID]]:
    """The uuids of all rows in order, in batches of _AT_ONCE."""
    uuids = each.model._base_manager.order_by("uuid").values_list("uuid", flat=True)
    some = list(uuids[:_AT_ONCE])
    while some:
        yield some
        some = list(uuids.filter(uuid__gt=some[-1])[:_AT_ONCE])


def _findings(each: DocumentKind, uuids: Iterable[UUID]) -> dict[UUID, Finding]:
    """What is wrong with these documents, compared several times since they may just be changing."""
    suspects, waiting = list(uuids), set[UUID]()
    findings: dict[UUID, Finding] = {}
    for _ in range(_ATTEMPTS):
        findings = _compare_batch(each, suspects)
        waiting |= _waiting(each, list(findings)) if findings else set()
        suspects = [uuid for uuid in findings if uuid not in waiting]
        if not suspects:
            break
    late: dict[UUID, Finding] = dict.fromkeys(waiting, "waiting")
    return late | {uuid: findings[uuid] for uuid in suspects}


def _compare_batch(each: DocumentKind, uuids: Sequence[UUID]) -> dict[UUID, Finding]:
    bodies = each.bodies(uuids)
    stored = zip(uuids, _contents([each.name(uuid) for uuid in uuids]), strict=True)
    return {uuid: _finding(bodies.get(uuid), content) for uuid, content in stored if bodies.get(uuid) != content}


def _extra(name: str) -> Finding:
    return "" if storage().get(name) is None else "extra"


def _finding(body: bytes | None, content: bytes | None) -> Finding:
    return "extra" if body is None else "missing" if content is None else "stale"


def _waiting(each: DocumentKind, uuids: Sequence[UUID]) -> set[UUID]:
    rows = fetch(
        "SELECT uuid FROM mesh_waitingdocument WHERE kind = %s AND uuid = ANY(%s)"
        " UNION SELECT uuid FROM mesh_documentchange WHERE kind = %s AND uuid = ANY(%s)",
        [each.kind, list(uuids), each.kind, list(uuids)],
    )
    return {row[0] for row in rows}


def _without_row(each: DocumentKind, names: Sequence[str]) -> list[str]:
    """The names of documents that have no row."""
    uuids = [uuid for name in names if (uuid := _uuid_in(each, name))]
    rows = each.model._base_manager.filter(uuid__in=uuids).values_list("uuid", flat=True)
    existing = {each.name(uuid) for uuid in rows}
    return [name for name in names if name not in existing]


def _uuid_in(each: DocumentKind, name: str) -> UUID | None:
    """The uuid in a document's name; None if it is not a name that we make."""
    try:
        uuid = UUID(name.removeprefix(f"{each.kind}/").removesuffix(".json"))
    except ValueError:
        return None
    return uuid if name == each.name(uuid) else None


def _contents(names: Sequence[str]) -> list[bytes | None]:
    with ThreadPoolExecutor(THREADS, thread_name_prefix="documents") as threads:
        return list(threads.map(storage().get, names))


def _batched(items: Iterator[T]) -> Iterator[list[T]]:
    while some := list(islice(items, _AT_ONCE)):
        yield some


def _refuse_others(each: DocumentKind, uuids: Sequence[UUID]) -> None:
    bodies = each.bodies(uuids)
    for uuid, content in zip(uuids, _contents([each.name(uuid) for uuid in uuids]), strict=True):
        if content is None or _parsed(each, content) != each.schema.model_validate_json(bodies[uuid]):
            raise NotEmpty(f"The row of {each.name(uuid)} is there already, and is not what the document says.")


def _parsed(each: DocumentKind, content: bytes) -> BaseModel | None:
    try:
        return each.schema.model_validate_json(content)
    except ValidationError:
        return None


def _restore_batch(each: DocumentKind, contents: dict[str, bytes | None], user_id: int) -> Iterator[Restored]:
    bodies: dict[str, Any] = {}
    for name, content in contents.items():
        try:
            bodies[name] = each.schema.model_validate_json(content or b"")
            if each.name(bodies[name].id) != name:
                del bodies[name]
                yield Restored(name, error="it has another id than its name says")
        except ValidationError as error:
            yield Restored(name, error=_in_a_line(error))
    references = _referred(each, list(bodies.values()))
    rows: dict[str, Model] = {}
    for name, body in bodies.items():
        try:
            rows[name] = _row(each, body, references, user_id)
        except _UnknownReference as error:
            yield Restored(name, error=str(error))
    try:
        _write(each, list(rows.values()))
        yield from (Restored(name, made=True) for name in rows)
    except (IntegrityError, DataError):
        for name, row in rows.items():
            try:
                _write(each, [row])
                yield Restored(name, made=True)
            except (IntegrityError, DataError) as error:
                yield Restored(name, error=str(error).partition("\n")[0])


def _in_a_line(error: ValidationError) -> str:
    return "; ".join(f"{'.'.join(map(str, e['loc'])) or 'the document'}: {e['msg']}" for e in error.errors())


def _write(each: DocumentKind, rows: list[Model]) -> None:
    """Writes the rows, and drops their document changes: the documents are already up to date."""
    with transaction.atomic():
        each.complete(rows)
        each.model._base_manager.bulk_create(rows)
        uuids = [getattr(row, "uuid") for row in rows]  # noqa: B009  (the model is any that has one)
        fetch("DELETE FROM mesh_documentchange WHERE kind = %s AND uuid = ANY(%s)", [each.kind, uuids])


def _sources(each: DocumentKind) -> dict[str, tuple[str, str]]:
    """For each field of the schema: the model's field, and for a reference the column that identifies the other row."""
    sources = {}
    for name, info in each.schema.model_fields.items():
        source = column_of(name, info)
        field, _, key = (source if isinstance(source, str) else name).partition("__")
        sources[name] = field, key
    return sources


def _referred(each: DocumentKind, bodies: Sequence[BaseModel]) -> dict[tuple[str, Any], int]:
    """The primary keys of the rows that bodies refer to, by the body's field and its value."""
    keys: dict[tuple[str, Any], int] = {}
    for name, (field, key) in _sources(each).items():
        if key:
            related: Any = each.model._meta.get_field(field).related_model
            values = {getattr(body, name) for body in bodies} - {None}
            rows = related._base_manager.filter(**{f"{key}__in": values}).values_list(key, "pk")
            keys |= {(name, value): pk for value, pk in rows}
    return keys


def _row(each: DocumentKind, body: BaseModel, references: dict[tuple[str, Any], int], user_id: int) -> Model:
    """The row for a body, not yet written. Raises _UnknownReference."""
    row = each.model()
    for name, (field_name, key) in _sources(each).items():
        field: Any = each.model._meta.get_field(field_name)
        value = getattr(body, name)
        if key and value is not None:
            if (name, value) not in references:
                raise _UnknownReference(f"{name}: there is no {value}")
            value = references[name, value]
        elif value is None and not field.null:
            value = ""
        setattr(row, field.attname, value)
    if each.owner:
        setattr(row, f"{each.owner}_id", user_id)
    return row
