"""Everything that reads what a caller sent takes time in proportion to it, however hostile it is."""

from contextlib import suppress
from datetime import UTC, datetime

import pytest
from pydantic import TypeAdapter, ValidationError

from accounts import cards
from accounts.contact_imports import COLUMNS
from accounts.models import Contact
from mesh import Email
from mesh.declarations.fields import plain_address
from mesh.doors.http.requests import _fields_of, parse_json
from mesh.errors import Invalid, Malformed
from mesh.formats import ical, sheets
from mesh.tests.growth import LINEAR, exponent, hostile
from notes import llm
from notes.action_items import action_items
from notes.due_dates import find_due
from notes.extractive import ExtractiveSummarizer
from notes.languages import language_of
from notes.sentences import Sentence, sentences

pytestmark = pytest.mark.slow

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)

MARKS = (
    ",",
    ";",
    ":",
    ".",
    "-",
    "(",
    '"',
    "'",
    "\\",
    "@",
    "=",
    "*",
    "_",
    "[",
    "#",
    "\n",
    "\r\n",
    "\t",
    " ",
    ",\\",
    "\\,",
)
WORDS = (
    "x",
    "a ",
    "1",
    "１",
    "1.",
    "1,",
    "a@",
    "@a",
    '"a',
    "'a",
    "a;b=",
    "->",
    "- ",
    "؟",
    "؟ ",
    "。",
    "\u0301",
    "\U0001f600",
)
NOTES = (
    *MARKS,
    *WORDS,
    "el el 1st 1st ",
    "el día ",
    "1st . ",
    "1st a\n",
    "a b\n",
    "v\n@ ",
    "- [ ] a: b\n",
    "Ana y Ana y ",
    "Dr Dr Dr, ",
    "Anna will send it and Bob will call ",
    "wird Maria ",
    "muss t werden ",
    "bitte, ",
    "please send it, ",
    "ok so well ",
    "noch Maria ",
    "by the end of ",
    "bis zum el día ",
    "in the next ",
    "¿Quién ",
    "hablará él, ",
    "arar",
    "Who will do it?\nAnna: ",
    "den 3. 3. ",
    "10:00 am ",
)
SUMMARIZED = (
    *("el el 1st 1st ", "1st . ", "1st a\n", "v\n@ ", "- [ ] a: b\n", "wird Maria ", "؟", "Anna: ", "@a ", "1,", "\n"),
    *("Who will do it?\nAnna: ", "please send it, ", "a b\n\n"),
)
LONG = [2_000, 4_000, 8_000, 16_000]
SENTENCES = tuple(unit for unit in NOTES if "\n" not in unit)


def summarize(text):
    ExtractiveSummarizer().summarize(text, now=NOW)


def items(language):
    def found(text):
        action_items([Sentence(f"Ana {text}", bullet=True)], now=NOW, language=language)

    return found


def due(text):
    find_due(f"by {text}", NOW)


def dated(text):
    find_due(f"by {text} 1st", NOW)


def quoted(text):
    words = llm._Words(text)
    for _ in range(5):
        words.quoted(text[:400] + "?")


def card(before):
    def read(text):
        errors = []
        file = f"BEGIN:VCARD\nVERSION:2.1\n{before}{text}\nEND:VCARD"
        for number, lines in cards._cards(cards._lines(file), errors):
            cards._row(number, lines, errors)

    return read


def written_card(text):
    cards.card(Contact(name=text, company=text, email=text, notes=text, updated_at=NOW))


def sheet(text):
    for file in (text, f"name,email\n{text}", f'name,email\n"{text}'):
        with suppress(Invalid):
            list(sheets.rows(file, COLUMNS, "email", [], more=""))


def written_sheet(text):
    list(sheets.written(["name"], [[text]] * 3))


def chunked(text):
    list(sheets.chunks(sheets.lines_of(text)))


def entry(text):
    made = ical.entry(
        "a-1", sequence=0, stamp=NOW, created=NOW, changed=NOW, begins=NOW, ends=NOW, title=text, description=text
    )
    ical.calendar([made], name=text)


def refused(parse, *refusals):
    def attempt(text):
        with suppress(*refusals):
            parse(text)

    return attempt


email = refused(TypeAdapter(Email).validate_python, ValidationError)
query = refused(_fields_of.__wrapped__, Malformed, Invalid)
json = refused(lambda text: parse_json(text.encode()), Malformed)
FILES = (
    *MARKS,
    *WORDS,
    "\n ",
    "=\n",
    "\n=",
    "a:b\n",
    "=3D",
    "TEL:1\n",
    "a,b\n",
    '"a","b"\n',
    '"\n',
    "''=",
    ";'=",
    ";=",
)
JSON = ("[", "{", '{"a":', "[[],", "1", '"', "\\", "[1,", "-", "1e")


@pytest.mark.parametrize("parse", [sentences, language_of, quoted])
def test_a_note(parse):
    assert slow(parse, NOTES, LONG) == {}


@pytest.mark.parametrize("unit", SUMMARIZED)
def test_a_summary(unit):
    assert slow(summarize, [unit], LONG) == {}


@pytest.mark.parametrize("parse", [items("en"), items("de"), items("es"), due, dated])
def test_a_sentence_longer_than_any(parse):
    assert slow(parse, SENTENCES, [400, 800, 1_600, 3_200]) == {}


@pytest.mark.parametrize(
    "before",
    ["", "CATEGORIES:", "ORG:", "N:", "EMAIL:", "TEL;", "FN;CHARSET=", 'FN;A="', "NOTE;QUOTED-PRINTABLE:", "NOTE:\\"],
)
def test_a_card(before):
    assert slow(card(before), FILES, LONG) == {}


@pytest.mark.parametrize("parse", [written_card, entry, sheet, written_sheet, chunked])
def test_a_file(parse):
    assert slow(parse, FILES, LONG) == {}


def address(text: str) -> None:
    with suppress(ValueError):
        plain_address(text)


@pytest.mark.parametrize("parse", [email, address, query], ids=["email", "address", "query"])
def test_a_field(parse):
    assert slow(parse, FILES, LONG) == {}


def test_json():
    assert slow(json, JSON, LONG) == {}


def test_many_days_before_a_date():
    assert exponent(dated, "el día ", [70, 98, 126, 154]) < LINEAR


@pytest.mark.parametrize(("commas", "known"), [(99, "partner"), (100, "")])
def test_of_a_cards_categories_so_many_are_looked_at(commas, known):
    assert cards._row(1, [f"CATEGORIES:{',' * commas}partner"], []).fields.get("user_type", "") == known


def slow(parse, units, sizes):
    """The exponents of the units for which the time grows faster than the text."""
    found = {unit: exponent(parse, unit, sizes) for unit in units}
    return {unit: power for unit, power in found.items() if power >= LINEAR}


def test_a_parser_that_is_not_linear_is_seen():
    def quadratic(text):
        return [text.count("z", place) for place in range(0, len(text), 100)]

    assert exponent(quadratic, "a", [25_000, 50_000, 100_000, 200_000]) > LINEAR
    assert len(hostile("abc", 1000)) == 1000
