"""Visibility: which rows an actor may see, and who may see a row."""

from collections.abc import Mapping
from functools import lru_cache
from typing import Any, ClassVar, Self, TypeVar, cast

from django.core.exceptions import EmptyResultSet
from django.db import models

from mesh.declarations.actors import Actor, Role

M = TypeVar("M", bound=models.Model, covariant=True)

#: A statement and its parameters; an empty one has no rows.
Statement = tuple[str, tuple[Any, ...]]


class MeshQuerySet(models.QuerySet[M]):
    """A queryset that knows who sees its rows. By default nobody does, so an app that forgets to say leaks nothing."""

    #: Keeps the compiled statement for all rows that an actor sees; anything that changes the queryset drops it.
    _compiled: list[Statement] | None = None

    def visible_to(self, actor: Actor) -> Self:
        """The rows that `actor` may see; an ADMIN sees all. May depend only on the actor's id and role."""
        return self.none()

    def all(self) -> Self:
        clone = super().all()
        clone._compiled = self._compiled
        return clone

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        """Like Django's, but an empty condition keeps the compiled statement."""
        if not kwargs and all(isinstance(arg, models.Q) and not arg for arg in args):
            return self
        return super().filter(*args, **kwargs)


@lru_cache(maxsize=2048)
def _visible(model: type[models.Model], user_id: int, role: Role) -> MeshQuerySet[Any]:
    manager: Any = model._default_manager
    rows: MeshQuerySet[Any] = manager.all().visible_to(Actor(user_id, role)).all()
    rows._compiled = []
    return rows


def visible_rows(model: type[models.Model], actor: Actor) -> MeshQuerySet[Any]:
    """The rows of `model` that `actor` may see."""
    return _visible(model, actor.id, actor.role).all()


def statement_for_ids(rows: models.QuerySet[Any]) -> Statement:
    """The statement that selects the ids of `rows`, compiled once for each actor's whole visibility."""
    compiled = cast(list[Statement] | None, getattr(rows, "_compiled", None))
    if compiled:
        return compiled[0]
    try:
        sql, params = rows.order_by().values("pk").query.sql_with_params()
        statement = sql, tuple(params)
    except EmptyResultSet:
        statement = "", ()
    if compiled is not None:
        compiled.append(statement)
    return statement


class MeshModel(models.Model):
    """A row that some users see. `visible_to` and `audience` say the same thing from both sides."""

    #: Whether a cached query shows rows of this table, so that their changes raise versions.
    versioned: ClassVar[bool] = False

    #: The lookup that leads to a row's owner, a user, whose rows are limited (`mesh/execution/quotas.py`).
    owner_field: ClassVar[str] = ""
    #: The foreign key to the user who may change a row; if it is empty, only ADMINs may.
    editor_field: ClassVar[str] = ""
    #: The message for an actor who sees a row but may not change it.
    change_refusal: ClassVar[str] = "Only its owner may change it."

    #: Whether others may join a row's audience without locking the row; for example, users who begin to share something
    #: see each other. The audience is then read again after the versions are raised: who joins later waits for that.
    audience_is_open: ClassVar[bool] = False

    class Meta:
        abstract = True

    def may_be_changed_by(self, actor: Actor) -> bool:
        """Whether an actor who sees the row may also change it; by default ADMINs and the user in `editor_field`."""
        return bool(actor.is_admin or (self.editor_field and getattr(self, f"{self.editor_field}_id") == actor.id))

    def assign(self, fields: Mapping[str, Any]) -> None:
        """Sets these fields, without saving them."""
        for name, value in fields.items():
            setattr(self, name, value)

    def audience(self) -> set[str]:
        """The cache tags of everyone who sees this row, except ADMINs: `{"user:7", …}`."""
        return set()
