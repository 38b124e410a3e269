"""Actors: a user, perhaps through an API key, or nobody; and the client that a request came from."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["ADMIN", "AGENT", ""]


@dataclass(frozen=True, slots=True)
class Actor:
    """Who makes a request: a user, or nobody (`ANONYMOUS`, id 0). Read from the database for each request."""

    id: int = 0
    role: Role = ""
    email: str = ""
    name: str = ""
    session_id: int | None = None
    #: The id of the API key that acts for the user, and its scopes; both None without a key.
    key_id: int | None = None
    scopes: tuple[str, ...] | None = None

    @property
    def is_admin(self) -> bool:
        return self.role == "ADMIN"

    @property
    def is_anonymous(self) -> bool:
        return self.id == 0 and not self.role

    @property
    def cache_tag(self) -> str:
        """The cache tag of what is shown to this actor: `user:7`."""
        return f"user:{self.id}"

    def may(self, scope: str) -> bool:
        """Whether the API key's scopes include this one, such as `orders:read`; always true without a key."""
        service, _, access = scope.partition(":")
        return self.scopes is None or not {"*", access, f"{service}:*", scope}.isdisjoint(self.scopes)


ANONYMOUS = Actor()
#: The actor of periodic work, and of jobs that serve many users at once.
SYSTEM = Actor(role="ADMIN", name="Meshwork")


@dataclass(frozen=True, slots=True)
class Client:
    """Where a request came from: its IP address, which rate limits use, and its user agent."""

    address: str = ""
    user_agent: str = ""
