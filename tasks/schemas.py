"""What goes in and out of projects and tasks."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field

from mesh import Id, In, Out, Ref, Time, text
from tasks.models import TaskStatus

#: How other task lists name the same statuses.
_SYNONYMS = {"ToDo": "todo", "InProgress": "in_progress", "Done": "done", "pending": "todo", "completed": "done"}


def _status(value: object) -> object:
    return _SYNONYMS.get(value, value) if isinstance(value, str) else value


StatusIn = Annotated[
    TaskStatus,
    BeforeValidator(_status),
    Field(description="Also taken: `ToDo`, `InProgress`, `Done`, `pending`, `completed`.", examples=["in_progress"]),
]


class ProjectIn(In):
    """A new project."""

    title: Annotated[str, text(1, 200)] = Field(examples=["Website"])
    description: Annotated[str, text(0, 5000)] = ""


class ProjectPatch(ProjectIn, partial=True):
    """What of a project changes."""


class ProjectOut(Out):
    """A project."""

    id: int
    title: str
    description: str
    owner_id: int
    created_at: Time
    updated_at: Time


class TaskIn(In):
    """A new task."""

    title: Annotated[str, text(1, 200)] = Field(examples=["Implement feature X"])
    description: Annotated[str, text(0, 1000)] = Field("", examples=["Complete implementation"])
    status: StatusIn = TaskStatus.TODO
    due_date: Time | None = None
    due_meeting_id: Id | None = Field(None, description="A meeting you can see, by which it is due.")
    project_id: Id | None = Field(None, description="A project you can see.")
    assignee_id: Id | None = Field(None, description="A user you know; in another's project, one who is in it.")
    contact_id: Ref | None = Field(None, description="A contact of yours.")


class TaskPatch(TaskIn, partial=True):
    """What of a task changes. An assignee may send the status alone."""


class TaskFilters(In):
    """Which tasks."""

    meeting_id: Id | None = None
    project_id: Id | None = None
    assignee_id: Id | None = None
    contact_id: Ref | None = None
    status: StatusIn | None = None
    overdue: bool | None = Field(None, description="Open past their due date, or not.")


class TaskOut(Out):
    """A task."""

    id: int
    uuid: UUID
    title: str
    description: str
    status: TaskStatus
    due_date: Time | None
    due_meeting_id: int | None
    project_id: int | None
    creator_id: int
    assignee_id: int | None
    contact_id: int | None
    created_at: Time
    updated_at: Time
