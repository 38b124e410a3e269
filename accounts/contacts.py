"""Contacts: people outside the company whom a user talks to."""

from collections.abc import Iterator
from typing import Annotated

from django.db import IntegrityError, transaction
from django.db.models import QuerySet
from django.db.models.functions import Now
from pydantic import Field

from accounts import cards, contact_imports, timeline
from accounts.contact_schemas import (
    ContactCards,
    ContactFilters,
    ContactIn,
    ContactOut,
    ContactPatch,
    ContactRef,
    ContactSheet,
    MergeIn,
)
from accounts.models import Contact, MergedContact, lowercased
from accounts.timeline import MOST_EMAILS, TimelineEntries, TimelineEntry, TimelineOut, TimelineParams, TimelineQuery
from mesh import Id, Page, PageParams, Ref, Search, Service, Time, command, query, text
from mesh.errors import Conflict, Invalid
from mesh.execution.service import absent
from mesh.formats import sheets
from mesh.formats.sheets import Imported, ImportedOut
from mesh.stores.postgres import constraint_of

ServiceName = Annotated[str, text(1, 100)]
Limit = Annotated[int, Field(ge=1, le=200)]


class DuplicateContact(Conflict):
    code, constraint = "contacts.duplicate", "accounts_contact_email_once"
    message = "You have a contact with this e-mail already. Send `allow_duplicate: true` to have another one."


class TooManyEmails(Conflict):
    code = "contacts.too_many_emails"
    message = f"Together the two have and had more than {MOST_EMAILS:,} e-mails, the most that a contact may have."


class ContactService(Service):
    """Your contacts: people outside the company, and their history with you."""

    name = "contacts"

    @query("GET /contacts")
    def list_contacts(self, *, filters: ContactFilters, search: Search = None, page: PageParams) -> Page[ContactOut]:
        """List your contacts, newest first.

        An ADMIN sees everyone's. The search looks in name, e-mail, company, phone and notes.
        """
        return self.page(self.rows(Contact).of_type(filters.user_type).search(search), ContactOut, page)

    @query("GET /contacts/{id}")
    def get_contact(self, *, id: ContactRef) -> ContactOut:
        """Get one of your contacts.

        For the contact's calls, meetings, notes, tasks and orders, use get_timeline.
        """
        return self.one(self.rows(Contact), ContactOut, id)

    @command("POST /contacts", creates=Contact)
    def create_contact(self, *, data: ContactIn) -> ContactOut:
        """Create a contact.

        Only you and ADMINs see it. If you already have a contact with this e-mail, it is refused (409), unless
        `allow_duplicate` is true. Returns the contact.
        """
        contact = Contact(owner_id=self.actor.id, **data.model_dump(exclude={"allow_duplicate"}))
        self._save(contact, data.allow_duplicate)
        self.changed(contact)
        return self.result_of(contact, ContactOut)

    @command("PATCH /contacts/{id}", "PUT /contacts/{id}")
    def update_contact(self, *, id: ContactRef, data: ContactPatch) -> ContactOut:
        """Update one of your contacts.

        Changes only the fields that you send, and returns the contact. An e-mail that another contact of yours has is
        refused (409), unless `allow_duplicate` is true.
        """
        contact, sent = self.lock(Contact, id), data.sent()
        allowed = bool(sent.pop("allow_duplicate", False))
        is_new_email = "email" in sent and len(set(lowercased([contact.email, sent["email"]]))) > 1
        contact.assign(sent | {"updated_at": Now()})
        if is_new_email:
            self._save(contact, allowed)
        else:
            contact.save()
        self.changed(contact)
        return self.result_of(contact, ContactOut)

    @command("DELETE /contacts/{id}")
    def delete_contact(self, *, id: ContactRef) -> None:
        """Delete one of your contacts, with its calls.

        The history of contacts that were merged into it is deleted too. Notes and tasks stay, without the contact. It
        cannot be undone.
        """
        contact = self._lock_to_delete(id)
        self.changed(contact)
        contact.delete()

    @command("POST /contacts/{id}/merge")
    def merge_contacts(self, *, id: ContactRef, data: MergeIn) -> ContactOut:
        """Merge another contact of yours into this one.

        The other contact is deleted; its calls, notes and tasks move to this one. This one keeps its own values; only
        an empty phone or empty notes are filled from the other, whose values all stay visible in the timeline. Both
        must have the same owner. Returns this contact. It cannot be undone.
        """
        contact, other = self._lock_pair(id, data.contact_id)
        for relation in Contact._meta.related_objects:
            model, name = relation.related_model, relation.field.name
            model._base_manager.filter(**{name: other}).update(**{name: contact})
        fields = {name: getattr(other, name) for name in _MERGED_FIELDS}
        MergedContact.objects.create(contact=contact, uuid=other.uuid, fields=fields, created_at=other.created_at)
        if len(_emails_of(contact)) > MOST_EMAILS:
            raise TooManyEmails
        for name in ("phone", "notes"):
            setattr(contact, name, getattr(contact, name) or getattr(other, name))
        other.delete()
        contact.updated_at = Now()
        self._save(contact, allowed=True)
        self.changed(contact)
        return self.result_of(contact, ContactOut)

    @command("POST /contacts/import", takes="text/csv")
    def import_contacts(self, *, data: ContactSheet) -> ImportedOut:
        """Import contacts from CSV.

        All rows are imported or, if one has an error, none; all errors are listed, with line and column. The first
        line names the columns in any order: email, and any of name, company, user_type, phone, notes. Cells are
        separated by commas or semicolons. A new e-mail creates a contact; an e-mail of one of your contacts updates
        it, and blank cells leave values unchanged. Repeating an import changes nothing. Returns how many were created,
        updated and unchanged.
        """
        return self._import_result(contact_imports.from_sheet(self.actor, data.csv))

    @query("GET /contacts/export", tool=False, media=sheets.MEDIA, filename="contacts.csv")
    def export_contacts(self) -> Iterator[str]:
        """Export your own contacts as CSV.

        The columns are those that import_contacts takes. A cell that a spreadsheet could take for a formula begins
        with `'`, which the import removes again. ADMINs, too, get only their own.
        """
        columns = contact_imports.COLUMNS
        return sheets.written(columns, self._own_contacts().values_list(*columns).iterator(sheets.PART))

    @command("POST /contacts/cards", takes="text/vcard")
    def import_cards(self, *, data: ContactCards) -> ImportedOut:
        """Import contacts from vCards.

        All cards are imported or, if one has an error, none; all errors are listed, with card and property. A new
        e-mail creates a contact; an e-mail of one of your contacts updates it, and what a card leaves out stays
        unchanged. Of several e-mails or phones the preferred one is used, else the first. Without ORG, a new contact's
        company is the domain of its e-mail. CATEGORIES may give the user_type. Repeating an import changes nothing.
        Returns how many were created, updated and unchanged.
        """
        return self._import_result(cards.from_cards(self.actor, data.vcard))

    @query("GET /contacts/cards", tool=False, media=cards.MEDIA, filename="contacts.vcf")
    def export_cards(self) -> Iterator[str]:
        """Export your own contacts as vCards.

        Returns one text/vcard file (version 3.0), as import_cards, phones and mail programs take it. ADMINs, too, get
        only their own.
        """
        return cards.written(self._own_contacts().iterator(sheets.PART))

    @query("GET /contacts/{id}/vcard", tool=False, media=cards.MEDIA)
    def export_card(self, *, id: ContactRef) -> str:
        """Export one of your contacts as a vCard.

        Returns a text/vcard file (version 3.0), to be opened in a phone or a mail program.
        """
        contact = self.rows(Contact).filter(pk=self.find_contact_id(ref=id)).first()
        if contact is None:
            raise absent(Contact)
        return cards.card(contact)

    @query("GET /contacts/{id}/timeline")
    def get_timeline(self, *, id: ContactRef, page: TimelineParams) -> TimelineOut:
        """Get a contact's timeline: its calls, meetings, notes, tasks and orders.

        Returns the entries that you may see, the latest first. Meetings and orders are found by the contact's e-mail.
        Contacts that were merged into this one are entries too. An API key needs the read scope of each service whose
        entries it is to see.
        """
        contact, emails = self._id_and_emails(id)
        return timeline.page(self, contact, emails, page)

    @query(tool=False)
    def recent_entries(
        self,
        *,
        contact_id: Id,
        services: Annotated[list[ServiceName], Field(max_length=20)],
        before: Time,
        limit: Limit,
    ) -> list[TimelineEntry]:
        """List the newest entries of a contact's timeline before a time, of some services."""
        contact, emails = self._id_and_emails(contact_id)
        return timeline.newest(self, contact, emails, services, before=before, limit=limit)

    @query(tool=False)
    def merges_of_contact(self, *, query: TimelineQuery) -> TimelineEntries:
        """List the contacts that were merged into this one, for its timeline."""
        rows = MergedContact.objects.filter(contact__in=self.rows(Contact).filter(pk=query.contact_id))
        return timeline.entries(
            query,
            rows,
            "merged_at",
            lambda row: TimelineEntry(
                service=self.name,
                id=row.pk,
                at=row.merged_at,
                title=f"{row.fields['name']}, {row.fields['company']}, became part of this contact",
                details={**row.fields, "uuid": str(row.uuid), "created_at": row.created_at.isoformat()},
            ),
        )

    @query(tool=False)
    def find_contact_id(self, *, ref: Ref) -> int | None:
        """Get the id of this contact if you may see it, else null."""
        return self.find_id(Contact, ref)

    def _own_contacts(self) -> QuerySet[Contact]:
        """The actor's own contacts, also if the actor is an ADMIN: imports do not see any others."""
        return Contact.objects.filter(owner_id=self.actor.id).order_by("pk")

    def _import_result(self, imported: Imported[Contact]) -> ImportedOut:
        self.changed(*imported.created, *imported.updated)
        return imported.counts()

    def _id_and_emails(self, ref: Ref) -> tuple[int, list[str]]:
        """A contact's id, and its present and former e-mails in lower case. Raises NotFound."""
        contact = self.rows(Contact).filter(pk=self.find_contact_id(ref=ref) or 0).first()
        if contact is None:
            raise absent(Contact)
        return contact.pk, _emails_of(contact)[:MOST_EMAILS]

    def _lock_pair(self, ref: Ref, other: Ref) -> tuple[Contact, Contact]:
        """Locks both contacts, in the order of their ids. Raises NotFound, and Invalid if they cannot be merged."""
        contact_id = self.find_contact_id(ref=ref)
        if contact_id is None:
            raise absent(Contact)
        other_id = self.find_contact_id(ref=other)
        if other_id is None or other_id == contact_id:
            message = "You have no such contact." if other_id is None else "A contact cannot become part of itself."
            raise Invalid.field(["body", "contact_id"], message, "not_found" if other_id is None else "value_error")
        rows = {
            pk: self._lock_to_delete(pk) if pk == other_id else self.lock(Contact, pk)
            for pk in sorted((contact_id, other_id))
        }
        if rows[contact_id].owner_id != rows[other_id].owner_id:
            raise Invalid.field(["body", "contact_id"], "It has another owner.")
        return rows[contact_id], rows[other_id]

    def _lock_to_delete(self, ref: Ref) -> Contact:
        """Locks a contact for deletion: whoever inserts a row that refers to it waits, and is then refused."""
        contact: Contact = self.rows(Contact).select_for_update().get(pk=self.lock(Contact, ref).pk)
        return contact

    def _save(self, contact: Contact, allowed: bool) -> None:
        """Saves a contact with a new e-mail. Raises DuplicateContact if there is one with it, unless it is allowed."""
        contact.is_duplicate = self._is_duplicate(contact, allowed)
        try:
            with transaction.atomic(savepoint=allowed):
                contact.save()
        except IntegrityError as error:  # another one with this e-mail was saved at the same time
            if not allowed or constraint_of(error) != DuplicateContact.constraint:
                raise
            contact.is_duplicate = True
            contact.save()

    def _is_duplicate(self, contact: Contact, allowed: bool) -> bool:
        """Whether its owner has another contact with this e-mail. Raises DuplicateContact unless that is allowed."""
        others = Contact.objects.filter(owner_id=contact.owner_id).exclude(pk=contact.pk)
        exists = others.with_email(contact.email).exists()  # asked once: the answer may change at any moment
        if exists and not allowed:
            raise DuplicateContact
        return exists


def _emails_of(contact: Contact) -> list[str]:
    """A contact's present e-mail, then its former ones, the latest first; in lower case."""
    merged = contact.merged.order_by("-pk").values_list("fields__email", flat=True)
    return list(dict.fromkeys(lowercased([contact.email, *merged])))


#: The fields of a contact that `MergedContact` keeps.
_MERGED_FIELDS = ("name", "email", "company", "user_type", "phone", "notes")
