"""Who asks: a user, perhaps through an API key, or nobody; and where the request came from."""

from dataclasses import dataclass
from typing import Literal

Role = Literal["ADMIN", "AGENT", ""]


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
    def cache_tag(self) -> str:
        """The cache tag of what this actor alone sees."""
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
