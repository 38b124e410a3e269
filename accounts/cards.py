"""vCards: contacts as phones and mail programs read them (3.0), and as they write them (3.0, 4.0 and 2.1).

Read here, not by vobject: it takes a comma that was not escaped for the end of a text, stops at the first line that is
none, and is busy for hours with a line of forty parameters.
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
_MOST_PARTS = 100  # of a value, that are looked at
_TYPES = frozenset(ContactType.values)


def written(contacts: Iterable[Contact]) -> Iterator[str]:
    """A file of these contacts' cards, in parts."""
    rest = iter(contacts)
    while part := "".join(map(card, islice(rest, PART))):
        yield part


def card(contact: Contact) -> str:
    """A contact as a card (RFC 2426)."""
    name = _escaped(contact.name)
    lines = [
        "BEGIN:VCARD",
        "VERSION:3.0",
        "PRODID:-//Meshwork//Contacts//EN",
        f"UID:urn:uuid:{contact.uuid}",
        f"FN:{name}",
        f"N:;{name};;;",  # it must be there, and nobody knows which part of the name is which
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
    """Writes the contacts of a file as this actor's. Raises Invalid, with an error for each property that is wrong."""
    errors: list[FieldError] = []
    rows = [_row(number, lines, errors) for number, lines in _cards(_lines(vcard), errors)]
    return write(actor, _SOURCE, rows, errors)


def _lines(text: str) -> Iterator[str]:
    """The lines of a file, put together where they were folded, or broken as quoted-printable."""
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
    """The number and the lines of each card; what is no card is added to `errors`."""
    number, inside, outside = 0, False, False
    found: list[str] = []
    for line in filter(str.strip, lines):
        mark = line[:20].strip().upper()
        if mark == "BEGIN:VCARD":
            if inside:
                errors.append(_SOURCE.fault("The card has no END:VCARD.", number))
            if number == MAX_ROWS:
                errors.append(_SOURCE.fault(f"A file may have {MAX_ROWS:,} cards at most. Send it in parts."))
                return
            number, inside, outside, found = number + 1, True, False, []
        elif mark == "END:VCARD" and inside:
            yield number, found
            inside = False
        elif inside:
            found.append(line)
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
    #: In upper case; those without a name, of 2.1, are types.
    parameters: dict[str, list[str]]

    @property
    def preference(self) -> int:
        """1 is the most preferred."""
        (said,) = self.parameters.get("PREF", [""])[:1]
        if re.fullmatch("[0-9]{1,3}", said):
            return int(said)
        return 1 if "PREF" in self.parameters.get("TYPE", []) else _LEAST_PREFERRED


def _row(number: int, lines: list[str], errors: list[FieldError]) -> ContactRow:
    """What a card says of a contact; a line that is no property, and values that cannot be read, come to `errors`."""
    found: dict[str, list[_Property]] = {name: [] for name in _READ}
    strange = ""
    is_old = "VERSION:2.1" in (line.strip().upper() for line in lines)
    for line in lines:
        match = _LINE.fullmatch(line)
        if match is None:
            strange = strange or line
        elif (name := match["name"].upper()) in _READ:
            try:
                found[name].append(_property(match["parameters"], match["value"], is_old))
            except (LookupError, UnicodeError):
                errors.append(_SOURCE.fault("It is not valid in its charset, or that is not known.", number, name))
    if strange:
        errors.append(_SOURCE.fault(f"A line is no property: {strange.strip()[:40]}", number))
    for properties in found.values():
        properties.sort(key=lambda property: property.preference)
    fields = {
        "name": _plain(_first(found["FN"])) or _full_name(_first(found["N"])),
        "email": _plain(_first(found["EMAIL"])),
        "company": next(filter(str.strip, map(_plain, _split(_first(found["ORG"]), ";"))), ""),
        "user_type": _user_type(found["CATEGORIES"]),
        "phone": re.sub("^tel:", "", _plain(_first(found["TEL"])), flags=re.IGNORECASE),
        "notes": "\n".join(_plain(note.value) for note in found["NOTE"]),
    }
    domain = fields["email"].rpartition("@")[2] or "-"  # without an e-mail it is refused for that alone
    return ContactRow(
        number,
        {name: value for name, value in fields.items() if value.strip()},
        otherwise={"company": domain[:100].lower()},
        name=fields["name"][:100],
    )


def _property(parameters: str, value: str, is_old: bool) -> _Property:
    """Raises LookupError or UnicodeError where its charset is unknown, or another one."""
    found: dict[str, list[str]] = {}
    for parameter in _PARAMETER.findall(parameters.upper()):
        name, _, values = parameter.rpartition("=")
        found.setdefault(name.strip() or "TYPE", []).extend(values.replace('"', "").split(","))
    if "QUOTED-PRINTABLE" in (*found.get("ENCODING", ()), *found.get("TYPE", ())):
        (charset,) = found.get("CHARSET", ["UTF-8"])[:1]
        if not _CHARSET.fullmatch(charset):
            raise LookupError
        value = quopri.decodestring(value.encode()).decode(charset)
    if is_old:
        value = re.sub(r"\\(?!;)", r"\\\\", value)  # 2.1 escapes semicolons alone
    return _Property(value, found)


def _first(properties: list[_Property]) -> str:
    """The value that is preferred, and not blank."""
    return next((found.value.strip() for found in properties if found.value.strip()), "")


def _plain(value: str) -> str:
    """A value without its escapes; a comma or semicolon that should have one stays."""
    if "\\" not in value:
        return value
    return re.sub(r"\\(.)", lambda match: "\n" if match[1] in "nN" else match[1], value, flags=re.DOTALL)


def _split(value: str, separator: str) -> Iterator[str]:
    """The first `_MOST_PARTS` parts of a value, still with their escapes."""
    parts = re.finditer(rf"(?:^|{separator})((?:[^\\{separator}]++|\\.?)*)", value, re.DOTALL)
    return (part[1] for part in islice(parts, _MOST_PARTS))


def _full_name(value: str) -> str:
    """The words of a structured name, as they are said."""
    parts = [" ".join(map(_plain, _split(part, ","))) for part in _split(value, ";")]
    family, given, additional, prefix, suffix = [*parts, "", "", "", "", ""][:5]
    return " ".join(f"{prefix} {given} {additional} {family} {suffix}".split())


def _user_type(properties: list[_Property]) -> str:
    """The first category that is a type of contacts; others are of no meaning here."""
    said = (_plain(name).strip().lower() for found in properties for name in _split(found.value, ","))
    return next((name for name in said if name in _TYPES), "")
