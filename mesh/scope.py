"""Per-user scope: which rows an actor may see, and who may see a row."""

from typing import ClassVar, Self, TypeVar

from django.db import models

from mesh.call import Actor

M = TypeVar("M", bound=models.Model, covariant=True)


class ScopedQuerySet(models.QuerySet[M]):
    """A queryset that knows its rows' viewers. The base shows nothing: an app that forgets leaks nothing."""

    def visible_to(self, actor: Actor) -> Self:
        """The rows that `actor` may see; the ADMIN sees all."""
        return self.none()


class ScopedModel(models.Model):
    """A row with viewers. `visible_to` and `audience` say the same thing from both sides."""

    #: Whether a cached query shows rows of this table, so that their changes raise versions.
    versioned: ClassVar[bool] = False

    class Meta:
        abstract = True

    def audience(self) -> set[str]:
        """The version scopes of everyone who sees this row, without the ADMINs: `{"user:7", …}`."""
        return set()
