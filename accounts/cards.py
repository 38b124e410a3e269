"""vCards: writes version 3.0, which phones and mail programs read; reads 2.1, 3.0 and 4.0, which they write.

It has a parser of its own, since vobject's ends a text at an unescaped comma, stops at the first invalid line, and
takes hours for a line with forty parameters.
"""

import quopri
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice

from icalendar.parser import Contentline

from accounts.contact_imports import ContactRow, Source, write
from accounts.models import Contact, ContactType
from mesh import Actor
from mesh.errors import FieldError
from mesh.formats.ical import clean
from mesh.formats.sheets import MAX_ROWS, PART, Imported

MEDIA = "text/vcard; charset=utf-8"

_FIELDS = {"name": "FN", "email": "EMAIL", "company": "ORG", "user_type": "CATEGORIES", "phone": "TEL", "notes": "NOTE"}
_SOURCE = Source("vcard", "Card", _FIELDS)
_READ = {*_FIELDS.values(), "N"}

_BREAK = re.compile(r"\r\n|\n|\r")
_LINE = re.compile(
    r"""(?:[\w-]+\.)?            # the group, as in item1.EMAIL
    (?P<name>[\w-]+)
    (?P<parameters>(?:;(?:[^:;"]|"[^"]*")*)*)
    :(?P<value>.*)""",
    re.ASCII | re.DOTALL | re.VERBOSE,
)
_PARAMETER = re.compile(r';((?:[^;"]|"[^"]*")*)')
_CHARSET = re.compile(r"UTF-8|US-ASCII|ISO-8859-\d\d?|WINDOWS-125\d|KOI8-R")
_LEAST_PREFERRED = 101
_MOST_PARTS = 100  # parts of a value that are read
_TYPES = frozenset(ContactType.values)


def written(contacts: Iterable[Contact]) -> Iterator[str]:
    """Yields a file with a card for each contact, in parts."""
    rest = iter(contacts)
    while part := "".join(map(card, islice(rest, PART))):
        yield part


def card(contact: Contact) -> str:
    """A contact as a vCard 3.0 (RFC 2426)."""
    name = _escaped(contact.name)
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "PRODID:-//Meshwork//Contacts//EN",
        f"UID:urn:uuid:{contact.uuid}",
        f"FN:{name}",
        f"N:;{name};;;",  # N is required, and we do not know the parts of the name
        f"ORG:{_escaped(contact.company)}",
        f"CATEGORIES:{contact.user_type}",
        f"EMAIL;TYPE=INTERNET:{_escaped(contact.email)}",
        *([f"TEL;TYPE=VOICE:{_escaped(contact.phone)}"] if contact.phone else []),
        *([f"NOTE:{_escaped(contact.notes)}"] if contact.notes else []),
        f"REV:{contact.updated_at:%Y%m%dT%H%M%SZ}",
        "END:VCARD",
    ]
    return "".join(f"{_folded(line)}\r\n" for line in lines)


def _folded(line: str) -> str:
    folded: bytes = Contentline(line).to_ical()  # type: ignore[no-untyped-call]
    return folded.decode()


def _escaped(text: str) -> str:
    return re.sub(r"([\\,;])", r"\\\1", clean(text)).replace("\n", r"\n")


def from_cards(actor: Actor, vcard: str) -> Imported[Contact]:
    """Imports the contacts of a vCard file as this actor's. Raises Invalid, with an error for each invalid property."""
    errors: list[FieldError] = []
    rows = [_row(number, lines, errors) for number, lines in _cards(_lines(vcard), errors)]
    return write(actor, _SOURCE, rows, errors)


def _lines(text: str) -> Iterator[str]:
    """Yields the lines of a file; folded lines, and soft line breaks of quoted-printable, are joined."""
    parts, quoted = [""], False
    for line in _BREAK.split(text.removeprefix("\ufeff")):
        if quoted and parts[-1].endswith("="):
            parts.append(f"\n{line}")
        elif line.startswith((" ", "\t")):
            parts.append(line[1:])
        else:
            yield "".join(parts)
            parts, quoted = [line], "QUOTED-PRINTABLE" in line.partition(":")[0].upper()
    yield "".join(parts)


def _cards(lines: Iterable[str], errors: list[FieldError]) -> Iterator[tuple[int, list[str]]]:
    """Yields the number of each card, from 1, and its lines; what is not a card is added to `errors`."""
    number, inside, outside = 0, False, False
    card_lines: list[str] = []
    for line in filter(str.strip, lines):
        marker = line[:20].strip().upper()
        if marker == "BEGIN:VCARD":
            if inside:
                errors.append(_SOURCE.fault("The card has no END:VCARD.", number))
            if number == MAX_ROWS:
                errors.append(_SOURCE.fault(f"A file may have {MAX_ROWS:,} cards at most. Send it in parts."))
                return
            number, inside, outside, card_lines = number + 1, True, False, []
        elif marker == "END:VCARD" and inside:
            yield number, card_lines
            inside = False
        elif inside:
            card_lines.append(line)
        elif not outside:
            after = f"after card {number}" if number else "at the beginning"
            errors.append(_SOURCE.fault(f"A card stands between BEGIN:VCARD and END:VCARD; {after} is something else."))
            outside = True
    if inside:
        errors.append(_SOURCE.fault("The card has no END:VCARD.", number))
    elif not number and not outside:
        errors.append(_SOURCE.fault("There is no card in it: a card begins with BEGIN:VCARD."))


@dataclass(frozen=True, slots=True)
class _Property:
    value: str
    #: By name, in upper case; parameters without a name, as in 2.1, are types.
    parameters: dict[str, list[str]]

    @property
    def preference(self) -> int:
        """From 1, the most preferred, to 101."""
        (value,) = self.parameters.get("PREF", [""])[:1]
        if re.fullmatch("[0-9]{1,3}", value):
            return int(value)
        return 1 if "PREF" in self.parameters.get("TYPE", []) else _LEAST_PREFERRED


def _row(number: int, lines: list[str], errors: list[FieldError]) -> ContactRow:
    """Reads a contact from a card's lines; invalid lines, and values that cannot be decoded, are added to `errors`."""
    properties_by_name: dict[str, list[_Property]] = {name: [] for name in _READ}
    invalid_line = ""
    is_old = "VERSION:2.1" in (line.strip().upper() for line in lines)
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            invalid_line = invalid_line or line
        elif (name := match["name"].upper()) in _READ:
            try:
                properties_by_name[name].append(_property(match["parameters"], match["value"], is_old))
            except (LookupError, UnicodeError):
                errors.append(_SOURCE.fault("It is not valid in its charset, or that is not known.", number, name))
    if invalid_line:
        errors.append(_SOURCE.fault(f"A line is no property: {invalid_line.strip()[:40]}", number))
    for properties in properties_by_name.values():
        properties.sort(key=lambda property: property.preference)
    fields = {
        "name": _plain(_first(properties_by_name["FN"])) or _full_name(_first(properties_by_name["N"])),
        "email": _plain(_first(properties_by_name["EMAIL"])),
        "company": next(filter(str.strip, map(_plain, _split(_first(properties_by_name["ORG"]), ";"))), ""),
        "user_type": _user_type(properties_by_name["CATEGORIES"]),
        "phone": re.sub("^tel:", "", _plain(_first(properties_by_name["TEL"])), flags=re.IGNORECASE),
        "notes": "\n".join(_plain(note.value) for note in properties_by_name["NOTE"]),
    }
    domain = fields["email"].rpartition("@")[2] or "-"  # without an e-mail, the only error is the missing e-mail
    return ContactRow(
        number,
        {name: value for name, value in fields.items() if value.strip()},
        otherwise={"company": domain[:100].lower()},
        name=fields["name"][:100],
    )


def _property(parameters: str, value: str, is_old: bool) -> _Property:
    """Raises LookupError if the charset is unknown, and UnicodeError if the value is not valid in it."""
    by_name: dict[str, list[str]] = {}
    for parameter in _PARAMETER.findall(parameters.upper()):
        name, _, values = parameter.rpartition("=")
        by_name.setdefault(name.strip() or "TYPE", []).extend(values.replace('"', "").split(","))
    if "QUOTED-PRINTABLE" in (*by_name.get("ENCODING", ()), *by_name.get("TYPE", ())):
        (charset,) = by_name.get("CHARSET", ["UTF-8"])[:1]
        if not _CHARSET.fullmatch(charset):
            raise LookupError
        value = quopri.decodestring(value.encode()).decode(charset)
    if is_old:
        value = re.sub(r"\\(?!;)", r"\\\\", value)  # 2.1 escapes semicolons alone
    return _Property(value, by_name)


def _first(properties: list[_Property]) -> str:
    """The first value that is not blank; empty if there is none."""
    return next((property.value.strip() for property in properties if property.value.strip()), "")


def _plain(value: str) -> str:
    """A value without its escapes; commas and semicolons that should have been escaped are kept."""
    if "\\" not in value:
        return value
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], value, flags=re.DOTALL)


def _split(value: str, separator: str) -> Iterator[str]:
    """The first `_MOST_PARTS` parts of a value, still with their escapes."""
    parts = re.finditer(rf"(?:^|{separator})((?:[^\\{separator}]++|\\.?)*)", value, re.DOTALL)
    return (part[1] for part in islice(parts, _MOST_PARTS))


def _full_name(value: str) -> str:
    """A structured name in the order in which it is spoken."""
    parts = [" ".join(map(_plain, _split(part, ","))) for part in _split(value, ";")]
    family, given, additional, prefix, suffix = [*parts, "", "", "", "", ""][:5]
    return " ".join(f"{prefix} {given} {additional} {family} {suffix}".split())


def _user_type(properties: list[_Property]) -> str:
    """The first category that is a contact type; empty if there is none. Other categories are ignored."""
    categories = (_plain(name).strip().lower() for property in properties for name in _split(property.value, ","))
    return next((name for name in categories if name in _TYPES), "")
