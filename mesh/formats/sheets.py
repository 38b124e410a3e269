"""CSV as spreadsheets write and read it, written and parsed as a stream.

Every cell is quoted. Text that a spreadsheet would take for a formula is written with a `'` before it, which is removed
when it is read back. This applies to the beginning of a cell, and also after a separator or line break inside it, since
not every program separates cells by commas.
"""

import csv
import io
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain
from typing import Any, Generic, TypeVar

from pydantic import BaseModel, Field, ValidationError

from mesh.declarations.schemas import Out
from mesh.errors import FieldError, Invalid

M = TypeVar("M")
D = TypeVar("D", bound=BaseModel)

MEDIA = "text/csv; charset=utf-8"

PART = 1000  # rows that are read or written at once
MAX_ROWS = 10_000  # rows of an uploaded sheet
MAX_SHEET = 2**21  # characters of an uploaded sheet
_MOST_IN_CHUNK = 500_000  # characters
_MOST_NAMES = 10  # names in a header for each known column; a line with more is not taken for a header
# Existing quotes and `'` are skipped, so that a text that has a `'` of its own keeps it.
_PLACES = (r"(?:\A|(?<=[;\t\r\n]))", r"""(?=['"]*[=+\-@])""", r"\A", r"""(?=['"]*[\t\r\n])""")
_FORMULA = re.compile("{}{}|{}{}".format(*_PLACES))
_GUARD = re.compile("{}'{}|{}'{}".format(*_PLACES))


def written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A sheet with a header and these rows, as a stream of CSV texts."""
    out = io.StringIO()
    writer = csv.writer(out, quoting=csv.QUOTE_ALL)
    writer.writerow(columns)
    for number, row in enumerate(rows, 1):
        writer.writerow(map(_cell, row))
        if number % PART == 0:
            yield out.getvalue()
            out.seek(0)
            out.truncate()
    yield out.getvalue()


def _cell(value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat().replace("+00:00", "Z")
    return _FORMULA.sub("'", value) if isinstance(value, str) else value


def value_of(cell: str) -> str:
    """The value of a cell, without the guard against formulas."""
    return _GUARD.sub("", cell) if "'" in cell else cell


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a sheet: the line on which it begins, its cells, and its original text."""

    line: int
    cells: list[str]
    text: str
    #: Why it could not be parsed; then no rows follow it.
    fault: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.fault and not any(cell.strip() for cell in self.cells)


def records(lines: Iterable[str]) -> Iterator[Record]:
    """The rows of a sheet, header first. The separator is a comma or a semicolon, whichever the header has more of."""
    rest = iter(lines)
    header = next(rest, "").removeprefix("\ufeff")
    read_lines: list[str] = []
    reader = csv.reader(
        _remember_lines(chain([header], rest), read_lines),
        delimiter=";" if header.count(";") > header.count(",") else ",",
        strict=True,
    )
    line = 1
    try:
        for cells in reader:
            yield Record(line, cells, "".join(read_lines))
            line += len(read_lines)
            read_lines.clear()
    except csv.Error as error:
        yield Record(line, [], "".join(read_lines), f"The row is no CSV from here on: {error}.")


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row: its line, and its non-blank cells by the names in the header."""

    line: int
    cells: dict[str, str]


def rows(csv: str, columns: Sequence[str], key: str, errors: list[FieldError], *, more: str) -> Iterator[SheetRow]:
    """The rows of a sheet that has some of these columns, at least `key`. Adds what is not a valid row to `errors`.

    `more` says in the error message what to do with a longer sheet. Raises Invalid if the header is invalid.
    """
    parsed = records(lines_of(csv))
    names = _names(next(parsed), columns, key)
    for number, record in enumerate((record for record in parsed if not record.is_blank), 1):
        if number > MAX_ROWS:
            errors.append(fault(f"A sheet may have {MAX_ROWS:,} rows at most. {more}"))
            return
        if record.fault:
            errors.append(fault(record.fault, record.line))
        elif len(record.cells) != len(names):
            message = f"A row has {len(names)} cells, as the header has; here are {len(record.cells)}."
            errors.append(fault(message, record.line))
        else:
            cells = zip(names, map(value_of, record.cells), strict=True)
            yield SheetRow(record.line, {name: cell for name, cell in cells if cell.strip()})


def _names(header: Record, columns: Sequence[str], key: str) -> list[str]:
    """The names in the header. Raises Invalid, since without them no cell can be understood."""
    if len(header.cells) > _MOST_NAMES * len(columns):
        message = f"The first line must name the columns, of {', '.join(columns)}; it has {len(header.cells):,} cells."
        raise Invalid([fault(message, 1)])
    names = [cell.strip() for cell in header.cells]
    errors = [fault(header.fault, 1)] if header.fault else []
    seen: set[str] = set()
    for name in names:
        if name not in columns:
            errors.append(fault(f"Unknown column; the columns are {', '.join(columns)}.", 1, name[:100]))
        elif name in seen:
            errors.append(fault("The column is there twice.", 1, name))
        seen.add(name)
    if key not in names and not errors:
        errors.append(fault(f"The first line must name the columns, of {', '.join(columns)}; {key} must be one.", 1))
    if errors:
        raise Invalid(errors)
    return names


def repeats(keys: Iterable[tuple[int, str]]) -> Iterator[tuple[int, int]]:
    """Each line that repeats the key of an earlier one, with that one's line. Lines without a key are skipped."""
    first: dict[str, int] = {}
    return ((line, first[key]) for line, key in keys if key and first.setdefault(key, line) != line)


def fault(msg: str, *place: int | str, type: str = "value_error") -> FieldError:
    """The error for a line, or for one of its cells: `place` is the line and the column, if any."""
    return {"loc": ["body", "csv", *place], "msg": msg, "type": type}


def line_of(error: FieldError) -> list[Any]:
    """The line of an error, in a list; empty if it concerns the whole sheet."""
    return error["loc"][2:3]


class ImportedOut(Out):
    """How many rows were imported."""

    created: int = Field(description="New rows.")
    updated: int = Field(description="Rows that were there and now have other values.")
    unchanged: int = Field(description="Rows that were there with the same values.")


@dataclass
class Imported(Generic[M]):
    """The imported rows, as models."""

    created: list[M] = field(default_factory=list)
    updated: list[M] = field(default_factory=list)
    unchanged: list[M] = field(default_factory=list)

    def counts(self) -> ImportedOut:
        return ImportedOut(created=len(self.created), updated=len(self.updated), unchanged=len(self.unchanged))


def checked(
    rows: Iterable[tuple[M | None, Mapping[str, str], Callable[[ValidationError], Iterable[FieldError]]]],
    new: type[D],
    patch: type[D],
    errors: list[FieldError],
) -> list[tuple[M | None, D]]:
    """Validates rows of a file. Returns for each (the model that it changes, or None if it is new; its data).

    `rows`: (model or None, cells, a function that gives validation errors their places in the file). Raises Invalid
    with all errors, including `errors`.
    """
    validated: list[tuple[M | None, D]] = []
    for model, cells, faults in rows:
        try:
            validated.append((model, (new if model is None else patch).model_validate(cells, strict=False)))
        except ValidationError as error:
            errors += faults(error)
    if errors:
        raise Invalid(sorted(errors, key=line_of))
    return validated


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a long sheet; together with the header they are a sheet of their own."""

    header: Record
    rows: list[Record]
    #: The line of the first row below the header.
    first: int

    @property
    def text(self) -> str:
        return "".join(row.text for row in (self.header, *self.rows))

    @property
    def line(self) -> int:
        """The line of the long sheet on which this chunk begins."""
        return self.rows[0].line if self.rows else self.first

    def line_in_sheet(self, line: int) -> int:
        return line if line < self.first else line - self.first + self.line

    def column(self, name: str) -> Iterator[tuple[int, str]]:
        """The line and value of each cell in a column."""
        columns = [cell.strip() for cell in self.header.cells]
        place = columns.index(name) if name in columns else len(columns)
        return ((row.line, value_of(row.cells[place]).strip()) for row in self.rows if place < len(row.cells))


def chunks(lines: Iterable[str]) -> Iterator[Chunk]:
    """Splits a sheet of any length into chunks; a sheet without rows is one chunk."""
    rest = records(lines)
    header = next(rest)
    rows: list[Record] = []
    first = size = 0
    for row in rest:
        first = first or row.line
        rows.append(row)
        size += len(row.text)
        if len(rows) == PART or size > _MOST_IN_CHUNK:
            yield Chunk(header, rows, first)
            rows, size = [], 0
    if rows or not first:
        yield Chunk(header, rows, first)


def _remember_lines(lines: Iterable[str], read_lines: list[str]) -> Iterator[str]:
    for line in lines:
        read_lines.append(line)
        yield line


def lines_of(text: str) -> Iterable[str]:
    """The lines of a text, with any kind of line ending."""
    return io.StringIO(text, newline="")
