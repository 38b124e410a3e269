"""Invocation, the envelope in which a request travels to the host, and Answer, which comes back."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mesh.declarations.actors import Actor, Client

Door = Literal["python", "rest", "tool", "cli", "admin", "job"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request to run an operation, the same for every door and every transport.

    `values` are the method's keyword arguments, validated. `arguments` is the same as plain data for JSON (flat, only
    what was sent), for audit, idempotency and remote transports.
    """

    operation: str
    actor: Actor
    values: Mapping[str, Any]
    arguments: Mapping[str, Any] = field(default_factory=dict)
    door: Door = "python"
    request_id: str = ""
    client: Client = field(default_factory=Client)
    idempotency_key: str = ""
    dry_run: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """The result of a call: the JSON body (empty if there is none), and what the doors need to know about it."""

    body: bytes
    row_id: int | str | None = None
    next_cursor: str | None = None
    replayed: bool = False
    dry_run: bool = False
    cache: Literal["", "hit", "miss"] = ""
    #: A streamed text instead of a body. A reader that stops before its end must close it.
    stream: Generator[str, None, None] | None = None
