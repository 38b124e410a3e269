"""CSV that goes out: no cell is a formula, whatever separates cells; what comes back is the same."""

import csv
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mesh.formats.sheets import rows, written

FORMULAS = ("=", "+", "-", "@")
COLUMNS = ("name", "notes", "sku")
#: In the first column, in others, behind each separator, line break and quote, in the header's own words.
HOSTILE = [
    "=1+1",
    "Ana;=1+1",
    "Ana\t=1+1",
    "Ana,=1+1",
    "Ana\n=1+1",
    "Ana\r\n@SUM(A1)",
    "Ana\r+1",
    'Ana;"=1+1"',
    'Ana;""=1+1',
    'Ana";=1+1',
    ';"',
    ";\t-1",
    ";'=1+1",
    "'=kept",
    "\t=1",
    '"=1"',
    "'",
    ";",
]
TEXTS = st.text(st.sampled_from("=+-@;,\t\r\n\"' a"), max_size=12)


def cells(sheet: str, separator: str) -> list[str]:
    """The cells of a sheet as a program reads it whose lists are separated so."""
    read = csv.reader(io.StringIO(sheet, newline=""), delimiter=separator)
    return [cell.lstrip("\t\r\n") for row in read for cell in row]


def sheet_of(*lines: list[str]) -> str:
    return "".join(written(COLUMNS, lines))


@pytest.mark.parametrize("separator", [",", ";", "\t"])
@pytest.mark.parametrize("text", HOSTILE)
def test_no_cell_is_a_formula_whatever_separates_them(text, separator):
    sheet = sheet_of([text, "b", "c"], ["a", text, "c"], ["a", text, text], ["a", "b", text])
    assert [cell for cell in cells(sheet, separator) if cell.startswith(FORMULAS)] == []


@given(st.lists(st.lists(TEXTS, min_size=3, max_size=3), max_size=3), st.sampled_from(",;\t"))
def test_no_text_makes_a_formula(lines, separator):
    assert [cell for cell in cells(sheet_of(*lines), separator) if cell.startswith(FORMULAS)] == []


def test_every_field_is_quoted_the_header_and_numbers_too():
    assert sheet_of(["Ana", 5, None]) == '"name","notes","sku"\r\n"Ana","5",""\r\n'


@given(st.lists(st.tuples(TEXTS, TEXTS), max_size=4))
def test_an_import_reads_what_an_export_wrote(lines):
    errors = []
    found = rows(sheet_of(*(["key", *line] for line in lines)), COLUMNS, "name", errors, more="")
    assert errors == []
    assert [row.cells for row in found] == [
        {"name": "key"} | {name: text for name, text in zip(COLUMNS[1:], line, strict=True) if text.strip()}
        for line in lines
    ]
