"""Calls as documents."""

from typing import Annotated
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import NullIf

from meetings.models import Call, CallStatus
from mesh import Column, Out, Time
from mesh.documents.mirror import register_document


class CallDocument(Out):
    """A call, as the Task API shows it."""

    id: Annotated[UUID, Column("uuid")]
    user_id: Annotated[UUID, Column("contact__uuid")]
    title: str
    scheduled_for: Time
    duration_minutes: int
    notes: Annotated[str | None, Column(NullIf(F("notes"), Value("")))]
    status: CallStatus
    created_at: Time
    updated_at: Time


register_document("calls", Call, CallDocument)
