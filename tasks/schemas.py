"""The input and output schemas of projects and tasks."""

from typing import Annotated
from uuid import UUID

from pydantic import BeforeValidator, Field

from mesh import Also, Id, In, Out, Ref, Time, text
from tasks.models import TaskStatus

#: Names of the same statuses in other task lists.
_SYNONYMS = {"ToDo": "todo", "InProgress": "in_progress", "Done": "done", "pending": "todo", "completed": "done"}


def _status(value: object) -> object:
    return _SYNONYMS.get(value, value) if isinstance(value, str) else value


_STATUS = "How far the task is. `ToDo`, `InProgress`, `Done`, `pending` and `completed` are taken too."
StatusIn = Annotated[TaskStatus, BeforeValidator(_status)]
NewTaskStatus = Annotated[StatusIn, Also("new_status"), Field(description=_STATUS, examples=["in_progress"])]
ProjectId = Annotated[Id, Field(description="The project's id, from list_projects.")]
TaskRef = Annotated[Ref, Field(description="The task's id or uuid, from list_tasks.")]
MemberId = Annotated[Id, Field(description="A member of the project: a user's id, from list_users.")]
AssigneeId = Annotated[Id, Field(description="Who is to do the task: a user's id, from list_users.")]


class ProjectIn(In):
    """A new project."""

    title: Annotated[str, text(1, 200)] = Field(description="What the project is called.", examples=["Website"])
    description: Annotated[str, text(0, 5000)] = Field("", description="What the project is about, as plain text.")


class ProjectPatch(ProjectIn, partial=True):
    """The changes to a project; fields that are not sent stay as they are."""


class ProjectOut(Out):
    """A project."""

    id: int
    title: str
    description: str
    owner_id: int = Field(description="The id of the user who may change it.")
    created_at: Time
    updated_at: Time


class TaskIn(In):
    """A new task."""

    title: Annotated[str, text(1, 200)] = Field(description="What is to be done.", examples=["Implement feature X"])
    description: Annotated[str, text(0, 1000)] = Field(
        "", description="More about it, as plain text.", examples=["Complete implementation"]
    )
    status: StatusIn = Field(TaskStatus.TODO, description=_STATUS, examples=["in_progress"])
    due_date: Time | None = Field(
        None, description="By when it is to be done, in UTC unless it has an offset; null: no date."
    )
    due_meeting_id: Id | None = Field(
        None, description="The meeting by which it is to be done: an id from list_meetings; null: none."
    )
    project_id: Id | None = Field(
        None, description="The project that it belongs to: an id from list_projects; null: none."
    )
    assignee_id: Id | None = Field(
        None,
        description="Who is to do it: the id of a user you know, from list_users; in another's project, one who is"
        " in it; null: nobody yet.",
    )
    contact_id: Ref | None = Field(
        None, description="The contact that it is about: an id or uuid from list_contacts; null: none."
    )


class TaskPatch(TaskIn, partial=True):
    """The changes to a task; fields that are not sent stay as they are."""


class TaskFilters(In):
    """Which tasks to list."""

    meeting_id: Id | None = Field(None, description="Only tasks due by this meeting, by its id from list_meetings.")
    project_id: Id | None = Field(None, description="Only tasks in this project, by its id from list_projects.")
    assignee_id: Id | None = Field(None, description="Only tasks assigned to this user, by their id from list_users.")
    contact_id: Ref | None = Field(
        None, description="Only tasks about this contact, by its id or uuid from list_contacts."
    )
    status: StatusIn | None = Field(
        None,
        description="Only tasks with this status; `ToDo`, `InProgress`, `Done`, `pending`, `completed` are taken too.",
        examples=["in_progress"],
    )
    overdue: bool | None = Field(
        None, description="True: only tasks past their due date, neither done nor cancelled; false: only the others."
    )


class TaskOut(Out):
    """A task."""

    id: int
    uuid: UUID = Field(description="Taken wherever the id is.")
    title: str
    description: str
    status: TaskStatus
    due_date: Time | None = Field(description="By when it is to be done; null: no date.")
    due_meeting_id: int | None = Field(description="The meeting by which it is to be done.")
    project_id: int | None
    creator_id: int = Field(description="The id of the user who may change and delete it.")
    assignee_id: int | None = Field(description="The id of the user who is to do it; null: nobody yet.")
    contact_id: int | None = Field(description="The contact that it is about.")
    created_at: Time
    updated_at: Time
