"""Every way in which a call can be refused, with its HTTP and gRPC statuses.

Apps subclass with a code of their own: `class OutOfStock(Conflict): code = "shop.out_of_stock"`.
The shape of an answer is RFC 9457 (`application/problem+json`).
"""

import json
from collections.abc import Sequence
from itertools import takewhile
from typing import Any, ClassVar, TypedDict

from pydantic import ValidationError


class FieldError(TypedDict):
    """One thing wrong with the input: `loc` is its path, such as `["body", "title"]`."""

    loc: list[str | int]
    msg: str
    type: str


MAX_ERRORS = 100  # errors in one refusal
MAX_ERROR_BYTES = 32 * 1024  # bytes of all errors in one refusal
MAX_NAME = 100  # characters of a name that the caller sent


class MeshError(Exception):
    """A refusal that the caller can understand. Anything else that is raised is a bug: a logged 500."""

    status: ClassVar[int] = 500
    grpc: ClassVar[str] = "INTERNAL"
    code: str = "internal"
    title: ClassVar[str] = "Internal error"
    retry_after: int | None = None
    #: Whether the command's changes so far are committed although it is refused (a stolen token's session must end).
    keeps_changes: ClassVar[bool] = False

    def __init__(self, detail: str = "", *, retry_after: int | None = None, **extra: Any) -> None:
        super().__init__(detail or self.title)
        self.detail = detail or self.title
        self.extra = extra
        if retry_after is not None:
            self.retry_after = retry_after

    def problem(self) -> dict[str, Any]:
        """The RFC 9457 body: `type, title, status, detail, code`, and `errors` for validation errors."""
        return {
            "type": "about:blank",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
            **self.extra,
        }


class Malformed(MeshError):
    status, grpc, code, title = 400, "INVALID_ARGUMENT", "malformed", "Malformed request"


class Invalid(MeshError):
    """The input does not hold; `errors` names every fault at once, but of very many the first.

    `more`: how many others there are that nobody listed.
    """

    status, grpc, code, title = 422, "INVALID_ARGUMENT", "invalid", "Invalid input"

    def __init__(self, errors: Sequence[FieldError], detail: str = "", *, more: int = 0) -> None:
        self.listed = _listed(errors)
        self.more = len(errors) - len(self.listed) + more
        self.errors = self.listed + ([_others(self.listed, self.more)] if self.more else [])
        super().__init__(detail or _sentence(self.listed, self.more), errors=self.errors)

    @classmethod
    def field(cls, loc: Sequence[str | int], msg: str, type_: str = "value_error") -> "Invalid":
        """One field is wrong: `Invalid.field(["body", "meeting_id"], "No such meeting.")`."""
        return cls([{"loc": list(loc), "msg": msg, "type": type_}])


class NoDryRun(Invalid):
    """The operation has no dry run: see `dry_run` in `mesh.declarations.decorators.command`."""

    code = "mesh.no_dry_run"

    def __init__(self, *loc: str) -> None:
        msg = "This operation has no dry run. Leave it out to do it."
        super().__init__([{"loc": list(loc), "msg": msg, "type": "no_dry_run"}])


class Unauthenticated(MeshError):
    status, grpc, code, title = 401, "UNAUTHENTICATED", "unauthenticated", "Not signed in"


class Forbidden(MeshError):
    status, grpc, code, title = 403, "PERMISSION_DENIED", "forbidden", "Not allowed"


class NotFound(MeshError):
    status, grpc, code, title = 404, "NOT_FOUND", "not_found", "Not found"


class MethodNotAllowed(MeshError):
    status, grpc, code, title = 405, "UNIMPLEMENTED", "method_not_allowed", "Method not allowed"


class Conflict(MeshError):
    """The current state does not allow it. A violation of a unique constraint raises the subclass that names it."""

    status, grpc, code, title = 409, "ABORTED", "conflict", "Conflict"
    constraint: ClassVar[str] = ""
    message: ClassVar[str] = "Another row already has this value."

    def __init__(self, detail: str = "", **options: Any) -> None:
        super().__init__(detail or self.message, **options)


class InProgress(Conflict):
    """The first request with this Idempotency-Key is still running."""

    code, retry_after = "idempotency.in_progress", 1


class TooLarge(MeshError):
    status, grpc, code, title = 413, "RESOURCE_EXHAUSTED", "too_large", "Too large"


class UnsupportedMediaType(MeshError):
    status, grpc, code, title = 415, "INVALID_ARGUMENT", "unsupported_media_type", "Unsupported media type"


class RateLimited(MeshError):
    status, grpc, code, title = 429, "RESOURCE_EXHAUSTED", "rate_limited", "Too many requests"
    retry_after = 60


class Unavailable(MeshError):
    status, grpc, code, title = 503, "UNAVAILABLE", "unavailable", "Unavailable"
    retry_after = 2


class DeadlineExceeded(MeshError):
    status, grpc, code, title = 504, "DEADLINE_EXCEEDED", "deadline_exceeded", "Took too long"


def field_errors(error: ValidationError, *prefix: str | int) -> list[FieldError]:
    """pydantic's errors as FieldErrors, without the input that was sent, which may be a secret."""
    return [
        {"loc": [*prefix, *item["loc"]], "msg": item["msg"].removeprefix("Value error, "), "type": item["type"]}
        for item in error.errors(include_url=False, include_context=False, include_input=False)
    ]


def _listed(errors: Sequence[FieldError]) -> list[FieldError]:
    """The first errors, as many as fit into a refusal, with names shortened."""
    found: list[FieldError] = []
    room = MAX_ERROR_BYTES
    for error in errors[:MAX_ERRORS]:
        short: FieldError = {**error, "loc": [_short(part) for part in error["loc"]]}
        room -= len(json.dumps(short))
        if room < 0 and found:
            break
        found.append(short)
    return found


def _short(part: str | int) -> str | int:
    return part if isinstance(part, int) or len(part) <= MAX_NAME else f"{part[:MAX_NAME]}…"


def _others(listed: Sequence[FieldError], more: int) -> FieldError:
    """The error that stands for those not listed; its place is their common one, as far as they have one."""
    columns = zip(*(error["loc"] for error in listed), strict=False)
    place = [column[0] for column in takewhile(lambda column: len(set(column)) == 1, columns)]
    return {"loc": place, "msg": f"{more:,} more are not listed. Correct these first.", "type": "more_errors"}


def _sentence(errors: Sequence[FieldError], more: int) -> str:
    if len(errors) == 1 and not more:
        only = errors[0]
        return f"{'.'.join(map(str, only['loc']))}: {only['msg']}"
    which = f"the first {len(errors)} are in errors" if more else "see errors"
    return f"{len(errors) + more:,} fields are invalid; {which}."
