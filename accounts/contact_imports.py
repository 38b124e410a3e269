"""Contacts from a file, known again by their e-mails: all of its errors, or all of its contacts."""

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
    """How errors name their places in a kind of file: the argument that it is, its parts, and fields of other names."""

    argument: str
    part: str
    fields: Mapping[str, str] = field(default_factory=dict)

    def fault(self, msg: str, *place: int | str, type: str = "value_error") -> FieldError:
        """What is wrong with a part, or with a field of it."""
        names = (self.fields.get(str(name), name) for name in place)
        return {"loc": ["body", self.argument, *names], "msg": msg, "type": type}


@dataclass(frozen=True, slots=True)
class ContactRow:
    """What a part of a file says of a contact: its fields that are not blank."""

    number: int
    fields: dict[str, str]
    #: What a new contact has where the part says nothing.
    otherwise: dict[str, str] = field(default_factory=dict)
    #: Whom its errors name.
    name: str = ""

    @property
    def email(self) -> str:
        """Its e-mail as it is kept; empty where it is none."""
        try:
            return _EMAIL.validate_python(self.fields.get("email"))
        except ValidationError:
            return ""


def from_sheet(actor: Actor, csv: str) -> Imported[Contact]:
    """Writes the contacts of a sheet as this actor's. Raises Invalid, with an error for each cell that is wrong."""
    errors: list[FieldError] = []
    found = sheets.rows(csv, COLUMNS, "email", errors, more="Send it in parts.")
    return write(actor, Source("csv", "Line"), [ContactRow(row.line, row.cells) for row in found], errors)


def write(actor: Actor, source: Source, rows: list[ContactRow], errors: list[FieldError]) -> Imported[Contact]:
    """Writes contacts as this actor's; with `errors`, to which those of the rows come, it raises Invalid."""
    keys = dict(zip((row.number for row in rows), lowercased(row.email for row in rows), strict=True))
    for number, first in sheets.repeats(keys.items()):
        errors.append(source.fault(f"{source.part} {first} has this e-mail too.", number, "email", type="repeated"))
    mine = _locked(actor, set(keys.values()))
    found: list[tuple[Contact | None, dict[str, str], partial[list[FieldError]]]] = []
    for row in rows:
        contacts = mine.get(keys[row.number], [])
        if len(contacts) > 1:
            message = f"You have {len(contacts)} contacts with this e-mail; merge them first."
            errors.append(source.fault(message, row.number, "email"))
        fields = row.fields if contacts else row.otherwise | row.fields
        found.append((contacts[0] if contacts else None, fields, partial(_faults, source, row)))
    return _written(actor, sheets.checked(found, ContactIn, ContactPatch, errors))


def _faults(source: Source, row: ContactRow, error: ValidationError) -> list[FieldError]:
    prefix = f"{row.name}: " if row.name else ""
    return [
        source.fault(f"{prefix}{item['msg']}", *item["loc"], type=item["type"])
        for item in field_errors(error, row.number)
    ]


def _locked(actor: Actor, keys: set[str]) -> dict[str, list[Contact]]:
    """The actor's contacts with these e-mails, locked in the order of their keys.

    The actor is locked first: of two imports at once, the second sees what the first one made.
    """
    list(User.objects.filter(pk=actor.id).select_for_update(no_key=True).values_list("pk"))
    rows = Contact.objects.filter(owner_id=actor.id).alias(lower_email=Lower("email")).filter(lower_email__in=keys)
    contacts = list(rows.order_by("pk").select_for_update(no_key=True))
    found: dict[str, list[Contact]] = {}
    for contact, email in zip(contacts, lowercased(contact.email for contact in contacts), strict=True):
        found.setdefault(email, []).append(contact)
    return found


def _written(actor: Actor, rows: list[tuple[Contact | None, ContactIn]]) -> Imported[Contact]:
    done: Imported[Contact] = Imported()
    for contact, data in rows:
        if contact is None:
            fields = data.model_dump(exclude={"allow_duplicate"})
            done.created.append(Contact(owner_id=actor.id, **fields))
            continue
        fields = data.sent()
        del fields["email"]  # it is the same, in any case
        changed = {name: value for name, value in fields.items() if _said(getattr(contact, name)) != _said(value)}
        contact.assign(changed)
        (done.updated if changed else done.unchanged).append(contact)
    require_room(Contact, actor.id, len(done.created))
    Contact.objects.bulk_create(done.created)
    if done.updated:
        columns = [[getattr(row, name) for row in done.updated] for name in ("name", "company", "phone", "notes")]
        types = [str(row.user_type) for row in done.updated]
        fetch(_UPDATE, [[row.pk for row in done.updated], *columns, types])
    return done


def _said(value: str | None) -> str:
    """A text without what no card can say, and with line breaks of one kind: both come back otherwise unchanged."""
    return clean(str(value or ""))


_UPDATE = """
UPDATE accounts_contact c SET name = new.name, company = new.company, phone = new.phone, notes = new.notes,
    user_type = new.user_type, updated_at = statement_timestamp()
FROM unnest(%s::bigint[], %s::text[], %s::text[], %s::text[], %s::text[], %s::text[])
    AS new (id, name, company, phone, notes, user_type)
WHERE c.id = new.id
"""
