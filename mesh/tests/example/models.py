"""Things, and with whom they are shared.

Their tables are made before the migrations, so no constraint refers to a user's.
"""

from typing import Any, ClassVar, Self

from django.conf import settings
from django.contrib.auth import get_user_model
from django.db import models
from django.db.models.functions import Now

from mesh import Actor, MeshModel, MeshQuerySet


class ThingQuerySet(MeshQuerySet["Thing"]):
    def visible_to(self, actor: Actor) -> Self:
        shared = Share.objects.filter(user_id=actor.id).values("thing_id")
        return self.all() if actor.is_admin else self.filter(models.Q(owner_id=actor.id) | models.Q(pk__in=shared))


class Thing(MeshModel):
    versioned: ClassVar[bool] = True
    owner_field: ClassVar[str] = "owner"
    editor_field: ClassVar[str] = "owner"
    change_refusal = "It is shared with you, not yours."

    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False, related_name="+")
    title = models.CharField(max_length=100)
    notes = models.CharField(max_length=200, blank=True, default="")
    #: How many letters its title has; null until a job has counted them.
    letters = models.IntegerField(null=True)
    created_at = models.DateTimeField(db_default=Now(), editable=False)

    objects = ThingQuerySet.as_manager()

    def change(self, fields: dict[str, Any]) -> None:
        Thing.objects.filter(pk=self.pk).update(**fields)

    def share(self, user_id: int) -> Any:
        """The user who sees it now, too; None where there is none."""
        user = get_user_model().objects.filter(pk=user_id).first()
        if user is not None:
            Share.objects.create(thing=self, user=user)
        return user

    @classmethod
    def give_up(cls, id: int) -> None:
        cls.objects.filter(pk=id).update(letters=-1)

    def audience(self) -> set[str]:
        shared = self.shares.values_list("user_id", flat=True) if self.pk else []
        return {f"user:{id}" for id in (self.owner_id, *shared)}


class Share(models.Model):
    thing = models.ForeignKey(Thing, models.CASCADE, related_name="shares")
    user = models.ForeignKey(settings.AUTH_USER_MODEL, models.CASCADE, db_constraint=False, related_name="+")

    class Meta:
        constraints = [models.UniqueConstraint(fields=["thing", "user"], name="example_share_once")]
