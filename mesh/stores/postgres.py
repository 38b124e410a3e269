"""Raw statements on Django's own connection, in its transaction, with binary results.

Django's cursor decodes timestamps in Python and binds parameters in the client. Here a repeated statement is prepared,
and then run by libpq directly, with psycopg's types and decoding but without its cursor. That takes half the CPU of
psycopg's cursor with a binary result, which takes a quarter of Django's.
"""

import re
from collections.abc import Sequence
from functools import lru_cache
from itertools import count
from typing import Any, cast
from weakref import WeakKeyDictionary

import psycopg
from django.conf import settings
from django.db import DEFAULT_DB_ALIAS, DatabaseError, InterfaceError, OperationalError, connections
from psycopg.adapt import PyFormat, Transformer
from psycopg.errors import error_from_result
from psycopg.pq import ConnStatus, ExecStatus, Format, TransactionStatus

from mesh.errors import Conflict, DeadlineExceeded, MeshError, Unavailable

Row = tuple[Any, ...]

_MOST_PREPARED = 500  # statements for one connection

_RETRIED = {"40001", "40P01"}  # serialization failure, deadlock: nothing was written, so try again


def fetch(sql: str, params: Sequence[Any] = ()) -> list[Row]:
    """All rows of a statement (none if it returns nothing). Raises Django's database errors."""
    connection = connections[DEFAULT_DB_ALIAS]  # once, since each access is a lookup
    if connection.connection is None:
        connection.ensure_connection()
    raw: Any = connection.connection
    statements = _statements.get(raw)
    if statements is None:
        statements = _statements[raw] = _Statements(raw)
    with connection.wrap_database_errors:
        return statements.run(sql, params)


def limit_statements(seconds: float) -> None:
    """Sets the statement timeout for this transaction; sent together with BEGIN, if it has not begun."""
    connection = connections[DEFAULT_DB_ALIAS]
    connection.ensure_connection()
    raw: Any = connection.connection
    begins = raw.pgconn.transaction_status == TransactionStatus.IDLE and raw.isolation_level is None
    limit = b"SET LOCAL statement_timeout = %d" % round(seconds * 1000)
    with connection.wrap_database_errors:
        result = raw.pgconn.exec_(b"BEGIN; " + limit if begins else limit)
        if result.status != ExecStatus.COMMAND_OK:
            raise _error_of(raw, result)


class _Statements:
    """The statements of one connection. One that comes twice with parameters of the same types is prepared."""

    def __init__(self, raw: "psycopg.Connection[Any]") -> None:
        self._cursor = psycopg.Cursor(raw)
        self._types = Transformer(raw)
        self._prepares = settings.MESH["PREPARE"]
        self._names: dict[tuple[str, Any], bytes | None] = {}
        self._numbers = count()

    def run(self, sql: str, params: Sequence[Any]) -> list[Row]:
        raw = self._cursor.connection
        state = raw.pgconn.transaction_status
        if state == TransactionStatus.IDLE and not raw.autocommit and raw.isolation_level is None:
            raw.pgconn.exec_(b"BEGIN")  # as psycopg does before the first statement
        elif state != TransactionStatus.INTRANS and not (state == TransactionStatus.IDLE and raw.autocommit):
            return self._once(sql, params)  # which raises the right error
        if not self._prepares:
            return self._once(sql, params)
        values = self._types.dump_sequence(params, [PyFormat.AUTO] * len(params)) if params else []
        key = sql, self._types.types if params else None
        name = self._names.get(key)
        if name is None:
            if key not in self._names:
                self._names[key] = None
                return self._once(sql, params)
            name = self._prepare(key)
        formats = self._types.formats if params else None
        result = raw.pgconn.exec_prepared(name, cast(Any, values), formats, Format.BINARY)
        if result.status == ExecStatus.TUPLES_OK:
            self._types.set_pgresult(result)
            return cast(list[Row], self._types.load_rows(0, result.ntuples, tuple))
        if result.status == ExecStatus.COMMAND_OK:
            return []
        raise _error_of(raw, result)

    def _once(self, sql: str, params: Sequence[Any]) -> list[Row]:
        self._cursor.execute(cast(Any, sql), params, binary=True, prepare=False)
        return self._cursor.fetchall() if self._cursor.pgresult is not None and self._cursor.pgresult.nfields else []

    def _prepare(self, key: tuple[str, Any]) -> bytes:
        raw, (sql, types) = self._cursor.connection, key
        if len(self._names) > _MOST_PREPARED:
            raw.pgconn.exec_(b"DEALLOCATE ALL")
            self._names.clear()
        name = b"mesh_%d" % next(self._numbers)
        result = raw.pgconn.prepare(name, _numbered(sql), types)
        if result.status != ExecStatus.COMMAND_OK:
            raise _error_of(raw, result)
        self._names[key] = name
        return name


def _error_of(raw: "psycopg.Connection[Any]", result: Any) -> psycopg.Error:
    if raw.pgconn.status == ConnStatus.BAD:
        return psycopg.OperationalError("the connection is lost")
    return error_from_result(result, raw.info.encoding)


_statements: WeakKeyDictionary[Any, _Statements] = WeakKeyDictionary()


@lru_cache(maxsize=1000)
def _numbered(sql: str) -> bytes:
    """The statement with `$1`, `$2`, … for its `%s`."""
    numbers = count(1)
    return re.sub("%(.)", lambda match: "%" if match[1] == "%" else f"${next(numbers)}", sql).encode()


def may_be_retried(error: Exception) -> bool:
    return _state(error) in _RETRIED


def refusal_of(error: DatabaseError | InterfaceError) -> MeshError | None:
    """The refusal that a database error becomes; None if it is a bug."""
    state = _state(error)
    if state == "23505":
        return _conflict_over(constraint_of(error))
    if state == "23503":
        return Conflict("A row that this one refers to was removed meanwhile. Look again and retry.")
    if state == "57014":
        return DeadlineExceeded("The database took too long.")
    if state in _RETRIED or state == "55P03":
        return Unavailable("Others are changing the same rows. Try again.", retry_after=1)
    if state[:2] in ("08", "53", "57") or (not state and isinstance(error, (OperationalError, InterfaceError))):
        return Unavailable("The database cannot be reached. Try again.")
    return None


def constraint_of(error: Exception) -> str:
    """The name of the constraint that was violated; empty for other errors."""
    diagnosis = getattr(error.__cause__, "diag", None)
    return getattr(diagnosis, "constraint_name", None) or ""


def _conflict_over(constraint: str) -> Conflict:
    classes = [Conflict]
    for cls in classes:
        classes += cls.__subclasses__()
    return next((cls() for cls in classes if constraint and cls.constraint == constraint), Conflict())


def _state(error: Exception) -> str:
    return getattr(error.__cause__, "sqlstate", None) or ""
