"""Who may call an operation: `@query(…, allow=admins)`."""

from collections.abc import Callable

from mesh.declarations.actors import Actor
from mesh.errors import Forbidden, Unauthenticated

Allow = Callable[[Actor], None]


def anyone(actor: Actor) -> None:
    """Anyone, signed in or not."""


def signed_in(actor: Actor) -> None:
    """Any active user."""
    if actor.is_anonymous:
        raise Unauthenticated("Sign in: send `Authorization: Bearer <token>`.")


def in_person(actor: Actor) -> None:
    """Any active user, but not through an API key: for operations on credentials."""
    signed_in(actor)
    if actor.key_id is not None:
        raise Forbidden("Sign in to do this; an API key may not.")


def admins(actor: Actor) -> None:
    """Users with the role ADMIN."""
    signed_in(actor)
    if not actor.is_admin:
        raise Forbidden("Only an ADMIN may do this.")


def nobody(actor: Actor) -> None:
    """Nobody: commands start jobs, and the host runs them without asking."""
    raise Forbidden("Jobs are begun by commands.")
