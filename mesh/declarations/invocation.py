"""The envelope in which a request travels, and what comes back."""

from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from mesh.declarations.actors import Actor, Client

Door = Literal["python", "rest", "tool", "cli", "admin", "job"]


@dataclass(frozen=True, slots=True)
class Invocation:
    """One request's envelope, the same through every door and over every transport.

    `values` are the method's keyword arguments, validated; `arguments` is the same as plain JSON-able data
    (flat, only what was sent): what audit, idempotency and remote transports use.
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
    """What a call brought: the JSON body (empty where there is none) and what the edges need to know of it."""

    body: bytes
    row_id: int | str | None = None
    next_cursor: str | None = None
    replayed: bool = False
    dry_run: bool = False
    cache: Literal["", "hit", "miss"] = ""
    #: A text that is made while it goes out, in place of a body; who does not read it to its end closes it.
    stream: Generator[str, None, None] | None = None
