"""Projects and tasks."""

from datetime import timedelta
from typing import Any, Self

from django.conf import settings
from django.db import models
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Coalesce, Now, TruncDay
from uuid_utils.compat import uuid7

from accounts.models import Contact, peer_source
from mesh import Actor, MeshModel, MeshQuerySet
from mesh.rows.lookups import any_of
from mesh.rows.search import every_word


class ProjectQuerySet(MeshQuerySet["Project"]):
    def visible_to(self, actor: Actor) -> Self:
        return self if actor.is_admin else self.filter(pk__in=_project_ids_of(actor.id))

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "title", "description"))


class Project(MeshModel):
    """A project: its owner edits it; its members, to whom the owner assigned a task in it, read it."""

    # Here and below, `db_index=False`: another index begins with the foreign key.
    owner = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="projects", db_index=False)
    title = models.CharField(max_length=200)
    description = models.CharField(max_length=5000, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = editor_field = "owner"
    change_refusal = "Only its owner changes a project."
    objects = ProjectQuerySet.as_manager()

    class Meta:
        indexes = [models.Index(fields=["owner", "-id"], name="tasks_project_owner")]
        constraints = [models.CheckConstraint(condition=~Q(title=""), name="tasks_project_title")]

    def __str__(self) -> str:
        return self.title

    def audience(self) -> set[str]:
        members = Task.objects.making_members().filter(project=self).values_list("assignee_id", flat=True)
        return {f"user:{user_id}" for user_id in (self.owner_id, *members)}

    def has(self, user_id: int | None) -> bool:
        """Whether a user is its owner or a member."""
        members = Task.objects.making_members().filter(project=self)
        return self.owner_id == user_id or members.filter(assignee_id=user_id).exists()


class TaskStatus(models.TextChoices):
    """How far a task is."""

    TODO = "todo"
    IN_PROGRESS = "in_progress"
    DONE = "done"
    CANCELLED = "cancelled"

    @property
    def is_open(self) -> bool:
        return self in _OPEN


_OPEN = (TaskStatus.TODO, TaskStatus.IN_PROGRESS)


class TaskQuerySet(MeshQuerySet["Task"]):
    def visible_to(self, actor: Actor) -> Self:
        if actor.is_admin:
            return self
        own = Project.objects.filter(owner_id=actor.id).values("pk")
        return self.filter(Q(creator_id=actor.id) | Q(assignee_id=actor.id) | any_of("project_id", own))

    def making_members(self) -> Self:
        """Tasks that were assigned by their project's owner, whose assignees are therefore its members."""
        assigned = self.alias(assigner=Coalesce("assigned_by_id", "creator_id")).exclude(assignee=None)
        return assigned.filter(assigner=F("project__owner_id"))

    def overdue(self, value: bool | None) -> Self:
        """Open tasks past their due date (true), or all others (false); all for None."""
        if value is None:
            return self
        late = Q(due_date__lt=Now(), status__in=_OPEN)
        return self.filter(late) if value else self.exclude(late)

    def to_remind_of(self) -> Self:
        """Open tasks that are due tomorrow, in UTC, and whose people were not reminded of that due date."""
        today = TruncDay(Now())
        due = Q(due_date__gte=today + timedelta(days=1), due_date__lt=today + timedelta(days=2), status__in=_OPEN)
        return self.filter(due).exclude(reminded_for=F("due_date")).order_by("pk")

    def search(self, text: str | None) -> Self:
        return self.filter(every_word(text, "title", "description"))


class Task(MeshModel):
    """A task: its creator and the owner of its project edit it, its assignee changes its status."""

    uuid = models.UUIDField(default=uuid7, unique=True, editable=False)
    creator = models.ForeignKey(settings.AUTH_USER_MODEL, models.PROTECT, related_name="created_tasks", db_index=False)
    assignee = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        related_name="assigned_tasks",
        db_index=False,
    )
    #: Who assigned it; if an ADMIN did, the owner of its project, for whom they act. Null: its creator.
    assigned_by = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        editable=False,
        db_index=False,
        db_constraint=False,
        related_name="+",
    )
    project = models.ForeignKey(Project, models.SET_NULL, null=True, blank=True, related_name="tasks")
    due_meeting = models.ForeignKey(
        "meetings.Meeting", models.SET_NULL, null=True, blank=True, related_name="due_tasks"
    )
    contact = models.ForeignKey(Contact, models.SET_NULL, null=True, blank=True, related_name="tasks")
    title = models.CharField(max_length=200)
    description = models.CharField(max_length=1000, blank=True, default="")
    status = models.CharField(max_length=11, choices=TaskStatus.choices, default=TaskStatus.TODO)
    due_date = models.DateTimeField(null=True, blank=True)
    #: The due date that its assignee or creator was reminded of.
    reminded_for = models.DateTimeField(null=True, editable=False)
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    updated_at = models.DateTimeField(db_default=Now(), editable=False)

    owner_field = "creator"
    change_refusal = "Only who created a task, or owns its project, may do this; its assignee may change its status."
    objects = TaskQuerySet.as_manager()

    class Meta:
        indexes = [
            models.Index(fields=["creator", "-id"], name="tasks_task_creator"),
            models.Index(fields=["assignee", "-id"], name="tasks_task_assignee"),
        ]
        constraints = [
            models.CheckConstraint(condition=~Q(title=""), name="tasks_task_title"),
            models.CheckConstraint(condition=Q(status__in=TaskStatus.values), name="tasks_task_status"),
        ]

    def __str__(self) -> str:
        return self.title

    def audience(self) -> set[str]:
        viewers = {self.creator_id, self.assignee_id, self.project and self.project.owner_id}
        return {f"user:{user_id}" for user_id in viewers - {None}}

    def may_be_changed_by(self, actor: Actor) -> bool:
        if actor.is_admin or self.creator_id == actor.id:
            return True
        return self.project is not None and self.project.may_be_changed_by(actor)

    def may_be_given_by(self, actor: Actor) -> bool:
        """Whether the actor may add people to the task's project by assigning the task to them."""
        return self.project is None or self.project.may_be_changed_by(actor)

    def project_title_for(self, user: Any) -> str:
        """The title of its project; empty if there is none, or the user does not see it."""
        if self.project is None:
            return ""
        visible = Project.objects.visible_to(Actor(user.pk, user.role)).filter(pk=self.project.pk)
        return self.project.title if visible.exists() else ""


def _project_ids_of(user_id: int) -> QuerySet[Any]:
    """The ids of the projects that a user owns or is a member of."""
    member = Task.objects.making_members().filter(assignee_id=user_id).values_list("project_id", flat=True)
    return member.union(Project.objects.filter(owner_id=user_id).values_list("pk", flat=True))


@peer_source
def project_members(user_id: int) -> QuerySet[Any]:
    """The members of the projects that a user is in."""
    members = Task.objects.making_members().filter(project_id__in=_project_ids_of(user_id))
    return members.values_list("assignee_id", flat=True)


@peer_source
def project_owners(user_id: int) -> QuerySet[Any]:
    """The owners of the projects that a user is in."""
    return Project.objects.filter(pk__in=_project_ids_of(user_id)).values_list("owner_id", flat=True)
