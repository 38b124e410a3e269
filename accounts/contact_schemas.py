"""The input and output schemas of contacts."""

from typing import Annotated
from uuid import UUID

from pydantic import Field

from accounts.models import ContactType
from mesh import Email, In, Out, Ref, Time, text
from mesh.formats.sheets import MAX_SHEET

ContactRef = Annotated[Ref, Field(description="The contact's id or uuid, from list_contacts.")]


class ContactIn(In):
    """A new contact."""

    name: Annotated[str, text(1, 100)] = Field(description="The person's full name.", examples=["María García"])
    email: Email = Field(description="The person's e-mail address; the timeline finds meetings and orders by it.")
    company: Annotated[str, text(1, 100)] = Field(description="Whom the person works for.", examples=["Test Azollon"])
    user_type: ContactType = Field(ContactType.CLIENT, description="What the person is to you.")
    phone: Annotated[str, text(1, 50)] | None = Field(
        None, description="The phone number, in any format; null: unknown.", examples=["+34 600 123 456"]
    )
    notes: Annotated[str, text(0, 500)] = Field("", description="What else to remember of the person, as plain text.")
    allow_duplicate: bool = Field(
        False, description="True to save it even if another contact of yours has the same e-mail."
    )


class ContactPatch(ContactIn, partial=True):
    """The changes to a contact; fields that are not sent stay as they are."""


class ContactFilters(In):
    """Which contacts to list."""

    user_type: ContactType | None = Field(None, description="Only contacts of this type.")


class ContactOut(Out):
    """A person outside the company, whom you talk to."""

    id: int
    uuid: UUID = Field(description="Taken wherever the id is.")
    name: str
    email: str
    company: str
    user_type: ContactType = Field(description="What the person is to you.")
    phone: str | None
    notes: str
    created_at: Time
    updated_at: Time


class ContactSheet(In):
    """Contacts as CSV."""

    csv: Annotated[str, text(0, MAX_SHEET, strip=False)] = Field(
        description="The whole sheet as text, its header first; at most 10,000 rows.",
        examples=["name,email,company\nMaria,maria@example.com,Azollon\n"],
    )


class ContactCards(In):
    """Contacts as vCards."""

    vcard: Annotated[str, text(0, MAX_SHEET, strip=False)] = Field(
        description="The whole file as text, in version 2.1, 3.0 or 4.0; at most 10,000 cards.",
        examples=["BEGIN:VCARD\nVERSION:3.0\nFN:Maria\nEMAIL:maria@example.com\nEND:VCARD\n"],
    )


class MergeIn(In):
    """Which contact to merge into this one."""

    contact_id: ContactRef = Field(description="The id or uuid of the other contact, which is deleted.")
