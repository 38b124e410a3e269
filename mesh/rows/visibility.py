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
    """A queryset that knows its rows' viewers. The base shows nothing: an app that forgets leaks nothing."""

    #: Where the compiled statement of an actor's whole visibility is kept; anything that changes the queryset drops it.
    _compiled: list[Statement] | None = None

    def visible_to(self, actor: Actor) -> Self:
        """The rows that `actor` may see; the ADMIN sees all. Depends on the actor's id and role alone."""
        return self.none()

    def all(self) -> Self:
        clone = super().all()
        clone._compiled = self._compiled
        return clone

    def filter(self, *args: Any, **kwargs: Any) -> Self:
        """As Django's; a condition that is empty changes nothing."""
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
    kept = cast(list[Statement] | None, getattr(rows, "_compiled", None))
    if kept:
        return kept[0]
    try:
        sql, params = rows.order_by().values("pk").query.sql_with_params()
        statement = sql, tuple(params)
    except EmptyResultSet:
        statement = "", ()
    if kept is not None:
        kept.append(statement)
    return statement


class MeshModel(models.Model):
    """A row with viewers. `visible_to` and `audience` say the same thing from both sides."""

    #: Whether a cached query shows rows of this table, so that their changes raise versions.
    versioned: ClassVar[bool] = False

    #: Whose its rows are, as a lookup that leads to a user, who may have so many (`mesh/execution/quotas.py`).
    owner_field: ClassVar[str] = ""
    #: What is said to who sees a row and may not change it.
    change_refusal: ClassVar[str] = "Only its owner may change it."

    #: Whether others may join a row's audience without locking the row, as who meets a user does; it is then looked
    #: at once more when the versions are raised, for whoever joins meanwhile has to wait for them.
    audience_is_open: ClassVar[bool] = False

    class Meta:
        abstract = True

    def may_be_changed_by(self, actor: Actor) -> bool:
        """Whether an actor who sees it may change it, too: by default its owner and ADMINs."""
        return bool(actor.is_admin or getattr(self, f"{self.owner_field}_id") == actor.id)

    def assign(self, fields: Mapping[str, Any]) -> None:
        """Sets these fields, without saving them."""
        for name, value in fields.items():
            setattr(self, name, value)

    def audience(self) -> set[str]:
        """The cache tags of everyone who sees this row, without the ADMINs: `{"user:7", …}`."""
        return set()
