"""Documents: rows mirrored as JSON in object storage, a moment after each commit. Postgres is the truth.

A trigger of the row's table appends a `DocumentChange` in the change's own transaction, whatever makes the change. It
takes no locks. The job `store_documents` gathers changes into `WaitingDocument`s, one for each document, and leases
them, so that only one writer has a document at a time. It stores the row as it is when the lease begins; a later change
waits for the next lease.

So only a writer that hung past its lease, or got no answer, could store an older version after a newer one. When such a
writer continues, it notices, and appends a change, so the document is stored again. If it cannot (it was killed),
the writer that took over or retries stores the document once more, when no old request can still be on its way.
"""

import time
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple
from uuid import UUID

import structlog
from django.db.models import Model
from pydantic import BaseModel

from mesh.rows.reads import read_many
from mesh.stores.objects import StorageTimeout, storage
from mesh.stores.postgres import fetch

log = structlog.get_logger(__name__)

LEASE = 60.0  # seconds; more than _MAX_SECONDS and the timeouts of a storage together
IN_DOUBT_SECONDS = 300.0  # seconds for which a request without an answer may still take effect
THREADS = 8  # documents that one run stores at once
_GATHERED = 1000  # changes that one run gathers
_BATCH = 100  # documents that one run stores
_MAX_SECONDS = 20.0  # seconds after which a run begins no further document
_MAX_BACKOFF = 300.0


@dataclass(frozen=True)
class DocumentKind:
    """A kind of documents: `<kind>/<uuid>.json` for each row of a model."""

    kind: str
    model: type[Model]
    schema: type[BaseModel]
    #: The field that holds the row's owner, a user; empty if it belongs to another row.
    owner: str
    #: Fills in what restored rows need and their documents do not contain.
    complete: Callable[[list[Any]], None]

    def name(self, uuid: UUID) -> str:
        return f"{self.kind}/{uuid}.json"

    def bodies(self, uuids: Sequence[UUID]) -> dict[UUID, bytes]:
        """The contents of these rows' documents, by uuid; rows that do not exist are left out."""
        return read_many(self.model, self.schema, "uuid", uuids)


#: By kind. Kinds that others refer to come first, so that they are restored first.
document_kinds: dict[str, DocumentKind] = {}


def register_document(
    kind: str,
    model: type[Model],
    schema: type[BaseModel],
    *,
    owner: str = "",
    complete: Callable[[list[Any]], None] = lambda rows: None,
) -> None:
    """Mirrors every row of `model`, which must have a `uuid`, as a document of this schema; see `DocumentKind`.

    Its table needs a trigger: `AFTER INSERT OR UPDATE OR DELETE … EXECUTE FUNCTION mesh_document_changed('<kind>')`.
    """
    document_kinds[kind] = DocumentKind(kind, model, schema, owner, complete)


def has_documents(model: type[Model]) -> bool:
    return any(each.model is model for each in document_kinds.values())


class Leased(NamedTuple):
    """A document that this run stores. Without a body its row was deleted, and so the document is removed."""

    id: int
    kind: str
    uuid: UUID
    version: int
    body: bytes | None


@dataclass(frozen=True)
class Batch:
    """Documents under one lease."""

    token: UUID
    documents: list[Leased]


class Tried(NamedTuple):
    """The result of storing a document; `in_doubt`: the request got no answer, and may still take effect."""

    error: str = ""
    in_doubt: bool = False


def lease() -> Batch:
    """Gathers changes, and leases documents that are due and free, with their new bodies. Call it in a transaction."""
    fetch(_GATHER, [_GATHERED])
    token = uuid.uuid4()
    rows = fetch(_LEASE, [token, LEASE, IN_DOUBT_SECONDS, list(document_kinds), _BATCH])
    by_kind: dict[str, list[UUID]] = defaultdict(list)
    for _, kind, key, _ in rows:
        by_kind[kind].append(key)
    # A separate statement, after the one that read the versions: so a body is never older than its version.
    bodies = {kind: document_kinds[kind].bodies(keys) for kind, keys in by_kind.items()}
    leased = [Leased(id, kind, key, version, bodies[kind].get(key)) for id, kind, key, version in rows]
    return Batch(token, leased)


def store(batch: Batch) -> dict[int, Tried]:
    """Stores or removes these documents, several at once. Returns the result of each that was tried, by id.

    Call it outside a transaction. If the first ones all fail, the storage is down, and the rest is not tried.
    """
    deadline, tried = time.monotonic() + _MAX_SECONDS, dict[int, Tried]()

    def store_one(document: Leased) -> None:
        is_down = len(tried) >= THREADS and all(result.error for result in list(tried.values()))
        if not is_down and time.monotonic() < deadline:
            tried[document.id] = _store_one(document)

    with ThreadPoolExecutor(THREADS, thread_name_prefix="documents") as threads:
        list(threads.map(store_one, batch.documents))
    _store_overtaken_again(batch, tried)
    return tried


def _store_one(document: Leased) -> Tried:
    name = document_kinds[document.kind].name(document.uuid)
    try:
        if document.body is None:
            storage().remove(name)
        else:
            storage().put(name, document.body)
    except Exception as error:
        message = f"{type(error).__name__}: {error}".partition("\n")[0][:500].replace("\x00", "")
        log.warning("document_not_stored", document=name, error=message)
        return Tried(message, isinstance(error, StorageTimeout))
    return Tried()


def _store_overtaken_again(batch: Batch, tried: Iterable[int]) -> None:
    """Has documents stored again that another writer took over meanwhile: it is unknown whose write came last."""
    documents = [document for document in batch.documents if document.id in set(tried)]
    columns = [[getattr(document, name) for document in documents] for name in ("id", "kind", "uuid")]
    for kind, key in fetch(_CHANGED_AGAIN, [*columns, batch.token]):
        log.warning("document_stored_late", document=document_kinds[kind].name(key))


def finish(batch: Batch, tried: dict[int, Tried]) -> bool:
    """Gives the leases back: removes what is stored, and schedules a retry for what failed. Call it in a transaction.

    Returns whether to continue at once: something was stored, and more is due.
    """
    ids = [document.id for document in batch.documents]
    fetch(_LOCK, [ids, batch.token])
    stored = [document for document in batch.documents if tried.get(document.id) == Tried()]
    versions = [[document.id for document in stored], [document.version for document in stored]]
    fetch(_STORED, [*versions, batch.token])
    fetch(_STORED_ONCE_MORE, [*versions, batch.token])
    failed = {id: result for id, result in tried.items() if result.error}
    columns = [list(failed), [result.error for result in failed.values()], [f.in_doubt for f in failed.values()]]
    fetch(_FAILED, [_MAX_BACKOFF, IN_DOUBT_SECONDS, *columns, batch.token])
    fetch(_NOT_TRIED, [ids, batch.token])
    return bool(stored) and bool(fetch(_MORE)[0][0])


def waiting() -> tuple[int, float]:
    """The number of documents that are not yet stored, and for how many seconds the oldest of them has waited."""
    count, seconds = fetch(_WAITING)[0]
    return count, max(0.0, seconds)


def changed_anew(kind: str, uuids: Sequence[UUID]) -> None:
    """Appends changes, so that these documents are stored anew, or removed if they have no row."""
    fetch("INSERT INTO mesh_documentchange (kind, uuid) SELECT %s, * FROM unnest(%s::uuid[])", [kind, list(uuids)])


#: In key order, the same order in which `_LOCK` locks rows, to avoid deadlocks. The version is counted here, since ids
#: of changes need not become visible in order.
# Arrays instead of IN, here and below: a plan may run the subquery of IN again for each row, and so exceed the limit.
_GATHER = """
WITH change AS (
    DELETE FROM mesh_documentchange
    WHERE id = ANY(ARRAY(SELECT id FROM mesh_documentchange ORDER BY id LIMIT %s FOR UPDATE SKIP LOCKED))
    RETURNING kind, uuid, at
)
INSERT INTO mesh_waitingdocument AS w (kind, uuid, version, changed_at, due_at, attempt, error)
SELECT kind, uuid, 1, min(at), min(at), 0, '' FROM change GROUP BY kind, uuid ORDER BY kind, uuid
ON CONFLICT (kind, uuid) DO UPDATE SET version = w.version + 1, due_at = excluded.due_at
"""
#: If there still is a token, the writer before was lost.
_LEASE = """
UPDATE mesh_waitingdocument SET
    token = %s, lease_until = clock_timestamp() + make_interval(secs => %s),
    unsure_until = CASE WHEN token IS NOT NULL THEN clock_timestamp() + make_interval(secs => %s)
        WHEN unsure_until > clock_timestamp() THEN unsure_until END
WHERE id = ANY(ARRAY(
    SELECT id FROM mesh_waitingdocument WHERE kind = ANY(%s) AND due_at <= clock_timestamp()
        AND (lease_until IS NULL OR lease_until < clock_timestamp())
    ORDER BY due_at, id LIMIT %s FOR UPDATE SKIP LOCKED
))
RETURNING id, kind, uuid, version
"""
_CHANGED_AGAIN = """
INSERT INTO mesh_documentchange (kind, uuid)
SELECT kind, uuid FROM unnest(%s::bigint[], %s::text[], %s::uuid[]) AS tried (id, kind, uuid)
WHERE NOT EXISTS (SELECT 1 FROM mesh_waitingdocument w WHERE w.id = tried.id AND w.token = %s)
RETURNING kind, uuid
"""
_LOCK = "SELECT 1 FROM mesh_waitingdocument WHERE id = ANY(%s) AND token = %s ORDER BY kind, uuid FOR UPDATE"
_STORED = """
DELETE FROM mesh_waitingdocument w USING unnest(%s::bigint[], %s::bigint[]) AS stored (id, version)
WHERE w.id = stored.id AND w.version = stored.version AND w.token = %s AND w.unsure_until IS NULL
"""
_FREE = "UPDATE mesh_waitingdocument AS w SET token = NULL, lease_until = NULL"
#: If the row changed meanwhile, at once. Else, if an old request is in doubt, when that can no longer take effect.
_STORED_ONCE_MORE = f"""
{_FREE}, attempt = 0, error = '', changed_at = clock_timestamp(),
    due_at = CASE WHEN w.version = stored.version THEN unsure_until ELSE clock_timestamp() END
FROM unnest(%s::bigint[], %s::bigint[]) AS stored (id, version)
WHERE w.id = stored.id AND w.token = %s
"""
_FAILED = f"""
{_FREE}, attempt = attempt + 1, error = failed.error,
    due_at = clock_timestamp()
        + make_interval(secs => least(%s, 5 * power(4, least(attempt, 5))) * (0.75 + random() / 2)),
    unsure_until = CASE WHEN failed.in_doubt THEN clock_timestamp() + make_interval(secs => %s) ELSE unsure_until END
FROM unnest(%s::bigint[], %s::text[], %s::bool[]) AS failed (id, error, in_doubt)
WHERE w.id = failed.id AND w.token = %s
"""
_NOT_TRIED = f"{_FREE} WHERE id = ANY(%s) AND token = %s"
_MORE = """
SELECT EXISTS (SELECT 1 FROM mesh_documentchange) OR EXISTS (
    SELECT 1 FROM mesh_waitingdocument
    WHERE due_at <= clock_timestamp() AND (lease_until IS NULL OR lease_until < clock_timestamp())
)
"""
_WAITING = """
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(at)), 0)::float8 FROM (
    SELECT kind, uuid, min(at) AS at FROM (
        SELECT kind, uuid, changed_at AS at FROM mesh_waitingdocument UNION ALL
        SELECT kind, uuid, at FROM mesh_documentchange
    ) AS known GROUP BY kind, uuid
) AS document
"""
