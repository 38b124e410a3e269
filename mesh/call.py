"""Who asks, and the envelope in which the request travels."""

from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal, Protocol

from django.conf import settings
from django.utils.module_loading import import_string

Role = Literal["ADMIN", "AGENT", ""]
Door = Literal["python", "rest", "tool", "cli", "admin", "job"]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who asks: a user, or nobody (`ANONYMOUS`, id 0). Made anew from the database for each request."""

    id: int = 0
    role: Role = ""
    email: str = ""
    name: str = ""
    session_id: int | None = None
    #: The API key that asks for the user, and what it may do of all that they may; None where no key does.
    key_id: int | None = None
    scopes: tuple[str, ...] | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "ADMIN"

    @property
    def is_anonymous(self) -> bool:
        return self.id == 0 and not self.role

    @property
    def scope(self) -> str:
        """The version scope of what this actor alone sees."""
        return f"user:{self.id}"

    def may(self, scope: str) -> bool:
        """Whether the API key's scopes hold this one, such as `orders:read`; without a key, always."""
        service, _, access = scope.partition(":")
        return self.scopes is None or not {"*", access, f"{service}:*", scope}.isdisjoint(self.scopes)


ANONYMOUS = Actor()
#: Who runs what nobody asked for: periodic work, and jobs that serve many at once.
SYSTEM = Actor(role="ADMIN", name="Meshwork")


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from: the address that limits count, and what a list of sessions shows."""

    address: str = ""
    user_agent: str = ""


@dataclass(frozen=True, slots=True)
class Call:
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
    client: Client = Client()
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


@cache
def identity() -> "Identity":
    """The app that keeps the users, as `MESH["IDENTITY"]` names it."""
    found: Identity = import_string(settings.MESH["IDENTITY"])()
    return found


class Identity(Protocol):
    """What the mesh asks of the app that keeps the users; `MESH["IDENTITY"]` names it."""

    def authenticate(self, authorization: str, api_key: str, scopes: Sequence[str]) -> tuple[Actor, Mapping[str, int]]:
        """The actor behind a credential and, in the same statement, the versions of `scopes`.

        `{actor}` in a scope stands for the actor's id. One credential: a token or a key. Raises Unauthenticated.
        """

    def actor(self, user_id: int) -> Actor:
        """The active user with this id, as of now. Raises Unauthenticated."""

    def actor_of_job(self, user_id: int) -> Actor:
        """The user with this id, as of now, also when deactivated since: what they asked for is still done."""

    def actor_by_email(self, email: str) -> Actor:
        """The active user with this e-mail, in any case. Raises Unauthenticated."""

    def wants_mail(self, mails: Sequence[tuple[str, str]]) -> list[bool]:
        """Whether each (address, kind) of mail goes out: its user is not deactivated, and did not turn it off."""

    def unsubscribe_paths(self, mails: Sequence[tuple[str, str]]) -> list[str]:
        """For each (address, kind) of mail: the page, signed, where a user turns this kind off, or a stranger all mail.

        Empty where it cannot be turned off.
        """
