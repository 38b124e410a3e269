"""CSV: what is written is read again as it was, no cell is a formula, and every fault has its line."""

import csv
import io
import random
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest

from mesh.errors import FieldError, Invalid
from mesh.formats import sheets
from mesh.formats.sheets import (
    Imported,
    SheetRow,
    chunks,
    fault,
    line_of,
    lines_of,
    records,
    repeats,
    value_of,
    written,
)

COLUMNS = ("sku", "name", "price")
SEEDS = range(20)


def sheet(*rows: Any, columns: Any = COLUMNS) -> str:
    return "".join(written(columns, rows))


def read(text: str, columns: Any = COLUMNS, key: str = "sku") -> tuple[list[SheetRow], list[FieldError]]:
    errors: list[FieldError] = []
    return list(sheets.rows(text, columns, key, errors, more="Use the command.")), errors


def refused(text: str, columns: Any = COLUMNS, key: str = "sku") -> list[tuple[list[Any], str]]:
    with pytest.raises(Invalid) as invalid:
        read(text, columns, key)
    return [(error["loc"], error["msg"]) for error in invalid.value.errors]


def random_cell(dice: random.Random) -> str:
    alphabet = "ab é中\U0001f600,;\"'=+-@\t\n\r|&0"
    return "".join(dice.choice(alphabet) for _ in range(dice.randrange(12)))


@pytest.mark.parametrize("seed", SEEDS)
def test_any_texts_come_back_as_they_were_but_blank_ones(seed):
    dice = random.Random(seed)
    rows = [(f"key{n}", random_cell(dice), random_cell(dice)) for n in range(50)]
    found, errors = read(sheet(*rows))
    assert errors == []
    assert [row.cells for row in found] == [
        {name: cell for name, cell in zip(COLUMNS, row, strict=True) if cell.strip()} for row in rows
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_no_cell_that_is_written_is_a_formula(seed):
    dice = random.Random(seed)
    rows = [[dice.choice("=+-@\t\r\n'") + random_cell(dice) for _ in COLUMNS] for _ in range(50)]
    cells = [cell for row in csv.reader(io.StringIO(sheet(*rows), newline="")) for cell in row]
    assert not [cell for cell in cells if cell[:1] in tuple("=+-@\t\r\n")]
    assert [value_of(cell) for cell in cells[3:]] == [cell for row in rows for cell in row]


@pytest.mark.parametrize(
    ("value", "cell"),
    [
        ("plain", "plain"),
        ("=SUM(A1)", "'=SUM(A1)"),
        ("+49 30", "'+49 30"),
        ("-1", "'-1"),
        ("@home", "'@home"),
        ("'=quoted", "''=quoted"),
        ("''=twice", "'''=twice"),
        ("'plain", "'plain"),
        ("a=b", "a=b"),
        (" =b", " =b"),
        (-1, "-1"),
        (1.5, "1.5"),
        (None, ""),
        (True, "True"),
        (datetime(2030, 1, 1, 10, tzinfo=UTC), "2030-01-01T10:00:00Z"),
        (datetime(2030, 1, 1, 10, tzinfo=timezone(timedelta(hours=2))), "2030-01-01T08:00:00Z"),
    ],
)
def test_how_each_value_is_written(value, cell):
    assert list(csv.reader(io.StringIO(sheet([value], columns=["v"]), newline=""))) == [["v"], [cell]]
    if isinstance(value, str):
        assert value_of(cell) == value


def test_a_sheet_goes_out_in_parts_of_a_thousand_rows():
    parts = list(written(["n"], ([n] for n in range(2500))))
    assert [part.count("\r\n") for part in parts] == [1001, 1000, 500]
    assert "".join(parts) == '"n"\r\n' + "".join(f'"{n}"\r\n' for n in range(2500))
    assert list(written(["n"], [])) == ['"n"\r\n']


def test_a_sheet_is_made_while_it_goes_out():
    asked = []

    def rows():
        for number in range(3000):
            asked.append(number)
            yield [number]

    parts = written(["n"], rows())
    next(parts)
    assert len(asked) == 1000


@pytest.mark.parametrize("end", ["\n", "\r\n", "\r"])
@pytest.mark.parametrize("delimiter", [",", ";"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_commas_or_semicolons_any_end_of_line_and_a_byte_order_mark(end, delimiter, mark):
    lines = [delimiter.join(cells) for cells in (("sku", "name"), ("A", "One"), ("B", "Two"))]
    found, errors = read(mark + end.join(lines) + end)
    assert (found, errors) == ([SheetRow(2, {"sku": "A", "name": "One"}), SheetRow(3, {"sku": "B", "name": "Two"})], [])


def test_a_last_line_without_an_end_counts():
    assert read("sku\nA")[0] == [SheetRow(2, {"sku": "A"})]


def test_a_cell_may_hold_lines_and_the_next_row_has_its_line():
    found, errors = read('sku,name\nA,"one\ntwo\n\nthree"\nB,"say ""hi"""\n')
    assert errors == []
    assert found == [
        SheetRow(2, {"sku": "A", "name": "one\ntwo\n\nthree"}),
        SheetRow(6, {"sku": "B", "name": 'say "hi"'}),
    ]


def test_blank_rows_are_passed_over_and_counted_as_lines():
    found, errors = read("sku,name\n\n,\n  , \nA,\n")
    assert (found, errors) == ([SheetRow(5, {"sku": "A"})], [])


def test_columns_may_be_in_any_order_and_some_left_out():
    found, _ = read(" price , sku \n5,A\n")
    assert found == [SheetRow(2, {"price": "5", "sku": "A"})]


def test_a_row_of_another_width_is_told_with_its_line_and_the_others_are_read():
    found, errors = read("sku,name\nA\nB,Two\nC,x,y\n")
    assert found == [SheetRow(3, {"sku": "B", "name": "Two"})]
    assert [(error["loc"], error["msg"]) for error in errors] == [
        (["body", "csv", 2], "A row has 2 cells, as the header has; here are 1."),
        (["body", "csv", 4], "A row has 2 cells, as the header has; here are 3."),
    ]


def test_what_is_no_csv_from_here_on_ends_the_sheet():
    found, errors = read('sku,name\nA,One\nB,"open\nC,Three\n')
    assert found == [SheetRow(2, {"sku": "A", "name": "One"})]
    ((loc, msg),) = [(error["loc"], error["msg"]) for error in errors]
    assert loc == ["body", "csv", 3]
    assert msg.startswith("The row is no CSV from here on: ")


def test_a_quote_in_the_middle_of_a_cell_is_no_csv():
    found, errors = read('sku\nA\n"B"x\nC\n')
    assert [row.cells["sku"] for row in found] == ["A"]
    assert [error["loc"] for error in errors] == [["body", "csv", 3]]


@pytest.mark.parametrize(
    ("header", "faults"),
    [
        ("", [(1, "The first line must name the columns, of sku, name, price; sku must be one.")]),
        ("name", [(1, "The first line must name the columns, of sku, name, price; sku must be one.")]),
        ("sku,colour", [(1, "colour")]),
        ("sku,sku", [(1, "sku")]),
        ("sku,Name,é", [(1, "Name"), (1, "é")]),
        ("sku,", [(1, "")]),
    ],
)
def test_a_header_that_is_none_is_refused_as_no_cell_could_be_understood(header, faults):
    found = refused(f"{header}\nA,B\n")
    for (loc, msg), (line, told) in zip(found, faults, strict=True):
        assert loc[:3] == ["body", "csv", line]
        assert told == msg or loc[3:] == [told]


def test_an_unknown_column_is_cut_where_it_is_named_and_a_hundred_of_them_are_not_listed():
    ((loc, msg),) = refused("sku," + "x" * 500 + "\n")
    assert (loc, msg) == (
        ["body", "csv", 1, "x" * 100], "Unknown column; the columns are sku, name, price.",
    )  # fmt: skip
    ((loc, msg),) = refused("sku" + ",x" * 100 + "\n")
    assert (loc, msg.endswith("; it has 101 cells.")) == (["body", "csv", 1], True)


def test_ten_thousand_rows_may_come_at_once():
    body = "".join(f"A{n}\n" for n in range(10_000))
    found, errors = read(f"sku\n{body}")
    assert (len(found), errors) == (10_000, [])
    found, errors = read(f"sku\n{body}B\nC\n")
    assert len(found) == 10_000
    assert [(error["loc"], error["msg"]) for error in errors] == [
        (["body", "csv"], "A sheet may have 10,000 rows at most. Use the command.")
    ]


def test_a_record_keeps_its_text_as_it_was():
    text = 'sku;name\r\nA;"one\r\ntwo"\r\n\r\nB;x\r\n'
    found = list(records(lines_of(text)))
    assert [(record.line, record.is_blank) for record in found] == [(1, False), (2, False), (4, True), (5, False)]
    assert "".join(record.text for record in found) == text
    assert list(records(iter([]))) == [sheets.Record(1, [], "")]


def test_repeated_keys_are_told_with_the_line_that_has_it_first():
    keys = [(2, "a"), (3, "b"), (4, "a"), (5, ""), (6, ""), (7, "a"), (8, "B")]
    assert list(repeats(keys)) == [(4, 2), (7, 2)]
    assert list(repeats([])) == []


def test_a_fault_has_a_place_in_the_sheet_or_is_about_all_of_it():
    cell = fault("Wrong.", 7, "price", type="int_parsing")
    assert cell == {"loc": ["body", "csv", 7, "price"], "msg": "Wrong.", "type": "int_parsing"}
    assert (line_of(cell), line_of(fault("Wrong."))) == ([7], [])


def test_what_became_of_the_rows_is_counted():
    counts = Imported(created=["a"], updated=["b", "c"], unchanged=[]).counts()
    assert counts.model_dump() == {"created": 1, "updated": 2, "unchanged": 0}


def long_sheet(rows: int) -> str:
    return "sku,name\n\n" + "".join(f'K{n},"x\ny"\n' if n % 3 == 0 else f"K{n},z\n" for n in range(rows))


def test_a_long_sheet_is_cut_into_sheets_of_a_thousand_rows_with_the_same_header():
    text = long_sheet(2500)
    cut = list(chunks(lines_of(text)))
    assert [len(chunk.rows) for chunk in cut] == [1000, 1000, 501]
    assert all(chunk.text.startswith("sku,name\n") for chunk in cut)
    assert "".join(chunk.text.removeprefix("sku,name\n") for chunk in cut) == text.removeprefix("sku,name\n")


def test_each_line_of_a_chunk_has_its_line_in_the_sheet():
    text = long_sheet(2500)
    whole = {row.cells["sku"]: row.line for row in read(text)[0]}
    for chunk in chunks(lines_of(text)):
        part, errors = read(chunk.text)
        assert errors == []
        assert {row.cells["sku"]: chunk.line_in_sheet(row.line) for row in part} == {
            row.cells["sku"]: whole[row.cells["sku"]] for row in part
        }
        assert chunk.line_in_sheet(1) == 1


def test_rows_that_are_long_are_cut_earlier():
    rows = "".join(f"K{n},{'x' * 130_000}\n" for n in range(7))
    assert [len(chunk.rows) for chunk in chunks(lines_of("sku,name\n" + rows))] == [4, 3]


def test_a_sheet_without_rows_is_a_chunk_too():
    (only,) = chunks(lines_of("sku,name\n"))
    assert (only.rows, only.text, only.line_in_sheet(1)) == ([], "sku,name\n", 1)


def test_a_column_is_found_by_its_name():
    (chunk,) = chunks(lines_of("name, sku\nOne, A \nTwo,'=B\nThree\n\n"))
    assert list(chunk.column("sku")) == [(2, "A"), (3, "=B")]
    assert list(chunk.column("price")) == []
