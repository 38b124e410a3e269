"""The interface to the app that keeps the users."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Protocol

from django.conf import settings
from django.utils.module_loading import import_string

from mesh.declarations.actors import Actor


@cache
def identity() -> "Identity":
    """The implementation that `MESH["IDENTITY"]` names."""
    implementation: Identity = import_string(settings.MESH["IDENTITY"])()
    return implementation


class Identity(Protocol):
    """What the mesh needs from the app that keeps the users."""

    def authenticate(
        self, authorization: str, api_key: str, cache_tags: Sequence[str]
    ) -> tuple[Actor, Mapping[str, int]]:
        """The actor behind a credential and, read in the same statement, the versions of `cache_tags`.

        `{actor}` in a cache tag stands for the actor's id. Exactly one credential is sent: `authorization` is a header
        with a bearer token, `api_key` a key. Raises Unauthenticated.
        """

    def actor(self, user_id: int) -> Actor:
        """The active user with this id, as of now. Raises Unauthenticated."""

    def actor_of_job(self, user_id: int) -> Actor:
        """The user with this id, as of now, even if deactivated since: their jobs still run."""

    def actor_by_email(self, email: str) -> Actor:
        """The active user with this e-mail, in any case. Raises Unauthenticated."""

    def wants_mail(self, mails: Sequence[tuple[str, str]]) -> list[bool]:
        """For each (address, kind) of mail, whether it goes out: the user is active and has not turned the kind off."""

    def unsubscribe_paths(self, mails: Sequence[tuple[str, str]]) -> list[str]:
        """For each (address, kind) of mail, the signed path of its unsubscribe page; empty if it cannot be turned off.

        A user turns off this kind of mail there, an address without an account all mail.
        """
