"""Tasks as documents."""

from typing import Annotated
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import NullIf

from mesh import Column, Out, Time
from mesh.documents.mirror import register_document
from tasks.models import Task, TaskStatus


class TaskDocument(Out):
    """A task, as the Task API shows it."""

    id: Annotated[UUID, Column("uuid")]
    title: str
    description: Annotated[str | None, Column(NullIf(F("description"), Value("")))]
    user_id: Annotated[UUID | None, Column("contact__uuid")]
    status: TaskStatus
    due_date: Time | None
    created_at: Time
    updated_at: Time


register_document("tasks", Task, TaskDocument, owner="creator")
