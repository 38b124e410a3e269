"""Categories of events."""

from typing import ClassVar, Self

from django.conf import settings
from django.db import models
from django.db.models import Q
from django.db.models.functions import Now

from events.folding import folded
from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.search import every_word
from mesh.stores.postgres import fetch


class CategoryQuerySet(MeshQuerySet["Category"]):
    def visible_to(self, actor: Actor) -> Self:
        return self

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "name", "description"))

    def hold(self, id: int) -> bool:
        """Whether there is a category with this id; it cannot be deleted until the transaction ends."""
        return bool(fetch("SELECT id FROM events_category WHERE id = %s FOR SHARE", [id]))


class Category(MeshModel):
    """A category of events: everyone reads it, its creator changes it."""

    creator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="event_categories")
    name = models.CharField(max_length=100)
    description = models.CharField(max_length=5000, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    versioned: ClassVar[bool] = True
    owner_field = editor_field = "creator"
    change_refusal = "Only who created a category changes it."
    objects = CategoryQuerySet.as_manager()

    class Meta:
        verbose_name_plural = "categories"
        constraints = [
            models.UniqueConstraint(folded("name"), name="events_category_name_once"),
            models.CheckConstraint(condition=~Q(name=""), name="events_category_name"),
        ]

    def __str__(self) -> str:
        return self.name

    def audience(self) -> set[str]:
        return {"categories"}
