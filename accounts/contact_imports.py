"""Imports contacts from a file, matched by e-mail: writes all of them, or reports all errors and writes nothing."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial

from django.db.models.functions import Lower
from pydantic import TypeAdapter, ValidationError

from accounts.contact_schemas import ContactIn, ContactPatch
from accounts.models import Contact, User, lowercased
from mesh import Actor, Email
from mesh.errors import FieldError, field_errors
from mesh.execution.quotas import require_room
from mesh.formats import sheets
from mesh.formats.ical import clean
from mesh.formats.sheets import Imported
from mesh.stores.postgres import fetch

COLUMNS = ("name", "email", "company", "user_type", "phone", "notes")

_EMAIL: TypeAdapter[str] = TypeAdapter(Email)


@dataclass(frozen=True, slots=True)
class Source:
    """How errors name their location in a kind of file.

    `argument` is the operation's argument that holds the file, `part` what a contact is called there (such as "Line"),
    and `fields` maps our field names to the file's, where they differ.
    """

    argument: str
    part: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def fault(self, msg: str, *place: int | str, type: str = "value_error") -> FieldError:
        """An error at a part of the file, or at a field of it."""
        names = (self.fields.get(str(name), name) for name in place)
        return {"loc": ["body", self.argument, *names], "msg": msg, "type": type}


@dataclass(frozen=True, slots=True)
class ContactRow:
    """A contact as a part of a file describes it; blank fields are left out."""

    number: int
    fields: dict[str, str]
    #: Default values for a new contact.
    otherwise: dict[str, str] = field(default_factory=dict)
    #: The person's name, as error messages show it.
    name: str = ""

    @property
    def email(self) -> str:
        """The e-mail as it is stored; empty if it is not valid."""
        try:
            return _EMAIL.validate_python(self.fields.get("email"))
        except ValidationError:
            return ""


def from_sheet(actor: Actor, csv: str) -> Imported[Contact]:
    """Imports the contacts of a CSV file as this actor's. Raises Invalid, with an error for each invalid cell."""
    errors: list[FieldError] = []
    rows = sheets.rows(csv, COLUMNS, "email", errors, more="Send it in parts.")
    return write(actor, Source("csv", "Line"), [ContactRow(row.line, row.cells) for row in rows], errors)


def write(actor: Actor, source: Source, rows: list[ContactRow], errors: list[FieldError]) -> Imported[Contact]:
    """Imports contacts as this actor's. Adds the errors of the rows to `errors`; raises Invalid if there are any."""
    keys = dict(zip((row.number for row in rows), lowercased(row.email for row in rows), strict=True))
    for number, first in sheets.repeats(keys.items()):
        errors.append(source.fault(f"{source.part} {first} has this e-mail too.", number, "email", type="repeated"))
    own = _lock_contacts(actor, set(keys.values()))
    pairs: list[tuple[Contact | None, dict[str, str], partial[list[FieldError]]]] = []
    for row in rows:
        matches = own.get(keys[row.number], [])
        if len(matches) > 1:
            message = f"You have {len(matches)} contacts with this e-mail; merge them first."
            errors.append(source.fault(message, row.number, "email"))
        fields = row.fields if matches else row.otherwise | row.fields
        pairs.append((matches[0] if matches else None, fields, partial(_field_errors, source, row)))
    return _save(actor, sheets.checked(pairs, ContactIn, ContactPatch, errors))


def _field_errors(source: Source, row: ContactRow, error: ValidationError) -> list[FieldError]:
    prefix = f"{row.name}: " if row.name else ""
    return [
        source.fault(f"{prefix}{item['msg']}", *item["loc"], type=item["type"])
        for item in field_errors(error, row.number)
    ]


def _lock_contacts(actor: Actor, keys: set[str]) -> dict[str, list[Contact]]:
    """Locks the actor's contacts with these e-mails, in the order of their ids; returns them by e-mail.

    The actor is locked first: of two imports at the same time, the second sees the contacts of the first.
    """
    list(User.objects.filter(pk=actor.id).select_for_update(no_key=True).values_list("pk"))
    rows = Contact.objects.filter(owner_id=actor.id).alias(lower_email=Lower("email")).filter(lower_email__in=keys)
    contacts = list(rows.order_by("pk").select_for_update(no_key=True))
    by_email: dict[str, list[Contact]] = {}
    for contact, email in zip(contacts, lowercased(contact.email for contact in contacts), strict=True):
        by_email.setdefault(email, []).append(contact)
    return by_email


def _save(actor: Actor, rows: list[tuple[Contact | None, ContactIn]]) -> Imported[Contact]:
    result: Imported[Contact] = Imported()
    for contact, data in rows:
        if contact is None:
            fields = data.model_dump(exclude={"allow_duplicate"})
            result.created.append(Contact(owner_id=actor.id, **fields))
            continue
        fields = data.sent()
        del fields["email"]  # it differs at most in upper and lower case
        changed = {
            name: value for name, value in fields.items() if _comparable(getattr(contact, name)) != _comparable(value)
        }
        contact.assign(changed)
        (result.updated if changed else result.unchanged).append(contact)
    require_room(Contact, actor.id, len(result.created))
    Contact.objects.bulk_create(result.created)
    if result.updated:
        columns = [[getattr(row, name) for row in result.updated] for name in ("name", "company", "phone", "notes")]
        types = [str(row.user_type) for row in result.updated]
        fetch(_UPDATE, [[row.pk for row in result.updated], *columns, types])
    return result


def _comparable(value: str | None) -> str:
    """A text as a vCard can hold it, so that importing an exported card changes nothing."""
    return clean(str(value or ""))


_UPDATE = """
UPDATE accounts_contact c SET name = new.name, company = new.company, phone = new.phone, notes = new.notes,
    user_type = new.user_type, updated_at = statement_timestamp()
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS new (id, name, company, phone, notes, user_type)
WHERE c.id = new.id
"""
