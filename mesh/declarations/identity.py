"""What the mesh asks of the app that keeps the users."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from mesh.declarations.actors import Actor


@cache
def identity() -> "Identity":
    """The app that keeps the users, as `MESH["IDENTITY"]` names it."""
    found: Identity = import_string(settings.MESH["IDENTITY"])()
    return found


class Identity(Protocol):
    """What the mesh asks of the app that keeps the users; `MESH["IDENTITY"]` names it."""

    def authenticate(
        self, authorization: str, api_key: str, cache_tags: Sequence[str]
    ) -> tuple[Actor, Mapping[str, int]]:
        """The actor behind a credential and, in the same statement, the versions of `cache_tags`.

        `{actor}` in a cache tag stands for the actor's id. One credential: a token or a key. Raises Unauthenticated.
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
