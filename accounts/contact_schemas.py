"""What goes in and out of contacts."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from accounts.models import ContactType
from mesh import Email, In, Out, Ref, Time, text
from mesh.formats.sheets import MAX_SHEET


class ContactIn(In):
    """A new contact."""

    name: Annotated[str, text(1, 100)] = Field(examples=["María García"])
    email: Email
    company: Annotated[str, text(1, 100)] = Field(examples=["Test Azollon"])
    user_type: ContactType = ContactType.CLIENT
    phone: Annotated[str, text(1, 50)] | None = Field(None, examples=["+34 600 123 456"])
    notes: Annotated[str, text(0, 500)] = ""
    allow_duplicate: bool = Field(False, description="Also where another contact of yours has this e-mail.")


class ContactPatch(ContactIn, partial=True):
    """What of a contact changes."""


class ContactFilters(In):
    """Which contacts."""

    user_type: ContactType | None = None


class ContactOut(Out):
    """Somebody outside, whom you talk to."""

    id: int
    uuid: UUID
    name: str
    email: str
    company: str
    user_type: ContactType
    phone: str | None
    notes: str
    created_at: Time
    updated_at: Time


class ContactSheet(In):
    """Contacts as CSV."""

    csv: Annotated[str, text(0, MAX_SHEET, strip=False)] = Field(
        examples=["name,email,company\nMaria,maria@example.com,Azollon\n"]
    )


class ContactCards(In):
    """Contacts as vCards."""

    vcard: Annotated[str, text(0, MAX_SHEET, strip=False)] = Field(
        examples=["BEGIN:VCARD\nVERSION:3.0\nFN:Maria\nEMAIL:maria@example.com\nEND:VCARD\n"]
    )


class MergeIn(In):
    """Which contact becomes part of this one."""

    contact_id: Ref
