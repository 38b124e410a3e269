"""Contacts as documents, which the Task API calls users."""

from typing import Annotated
from uuid import UUID

from django.db.models import F, Value
from django.db.models.functions import Lower, NullIf

from accounts.models import Contact, ContactType, lowercased
from mesh import Column, Email, Out, Time
from mesh.documents.mirror import register_document


class UserDocument(Out):
    """A contact, as the Task API shows it."""

    id: Annotated[UUID, Column("uuid")]
    name: str
    email: Email
    company: str
    user_type: ContactType
    notes: Annotated[str | None, Column(NullIf(F("notes"), Value("")))]
    created_at: Time
    updated_at: Time


def _mark_duplicates(contacts: list[Contact]) -> None:
    """Marks all but the first contact with an e-mail as duplicates: documents do not hold that flag."""
    lower = lowercased(contact.email for contact in contacts)
    owners = {contact.owner_id for contact in contacts}
    rows = Contact.objects.filter(owner_id__in=owners).annotate(lower_email=Lower("email"))
    taken = set(rows.filter(lower_email__in=lower).values_list("lower_email", flat=True))
    for contact, email in zip(contacts, lower, strict=True):
        contact.is_duplicate = email in taken
        taken.add(email)


register_document("users", Contact, UserDocument, owner="owner", complete=_mark_duplicates)
