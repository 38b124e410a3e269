"""CSV as spreadsheets write and read it, made and taken apart while it flows by.

Every cell is quoted. What a spreadsheet would take for a formula goes out behind a `'`, and comes in without it: at the
beginning of a cell, and within it behind a separator or line break, for not every program separates cells by commas.
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

PART = 1000  # rows that are read, or go out, at once
MAX_ROWS = 10_000  # that come in at once
MAX_SHEET = 2**21  # characters
_MOST_IN_CHUNK = 500_000  # characters
_MOST_NAMES = 10  # in a header, for each column that there is: beyond that it is none
# Quotes and a `'` that were there before do not count, so that a text with a `'` of its own comes back with it.
_PLACES = (r"(?:\A|(?<=[;\t\r\n]))", r"""(?=['"]*[=+\-@])""", r"\A", r"""(?=['"]*[\t\r\n])""")
_FORMULA = re.compile("{}{}|{}{}".format(*_PLACES))
_GUARD = re.compile("{}'{}|{}'{}".format(*_PLACES))


def written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A sheet of these rows below the names of their columns, in parts."""
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
    """What a cell says."""
    return _GUARD.sub("", cell) if "'" in cell else cell


@dataclass(frozen=True, slots=True)
class Record:
    """One row of a sheet: the line on which it begins, its cells, and its text as it was."""

    line: int
    cells: list[str]
    text: str
    #: Why it is none; nothing after it can be made out.
    fault: str = ""

    @property
    def is_blank(self) -> bool:
        return not self.fault and not any(cell.strip() for cell in self.cells)


def records(lines: Iterable[str]) -> Iterator[Record]:
    """The rows of a sheet, its header first, whose cells stand between commas or semicolons."""
    rest = iter(lines)
    header = next(rest, "").removeprefix("\ufeff")
    taken: list[str] = []
    reader = csv.reader(
        _kept(chain([header], rest), taken),
        delimiter=";" if header.count(";") > header.count(",") else ",",
        strict=True,
    )
    line = 1
    try:
        for cells in reader:
            yield Record(line, cells, "".join(taken))
            line += len(taken)
            taken.clear()
    except csv.Error as error:
        yield Record(line, [], "".join(taken), f"The row is no CSV from here on: {error}.")


@dataclass(frozen=True, slots=True)
class SheetRow:
    """A row by the names in the header: its cells that are not blank."""

    line: int
    cells: dict[str, str]


def rows(csv: str, columns: Sequence[str], key: str, errors: list[FieldError], *, more: str) -> Iterator[SheetRow]:
    """The rows of a sheet with some of these columns, of which `key` must be one; what is no row is added to `errors`.

    `more` says what to do with a longer sheet. Raises Invalid where the header is none.
    """
    found = records(lines_of(csv))
    names = _names(next(found), columns, key)
    for number, record in enumerate((record for record in found if not record.is_blank), 1):
        if number > MAX_ROWS:
            errors.append(fault(f"A sheet may have {MAX_ROWS:,} rows at most. {more}"))
            return
        if record.fault:
            errors.append(fault(record.fault, record.line))
        elif len(record.cells) != len(names):
            said = f"A row has {len(names)} cells, as the header has; here are {len(record.cells)}."
            errors.append(fault(said, record.line))
        else:
            cells = zip(names, map(value_of, record.cells), strict=True)
            yield SheetRow(record.line, {name: cell for name, cell in cells if cell.strip()})


def _names(header: Record, columns: Sequence[str], key: str) -> list[str]:
    """The names in the header. Raises Invalid, as without them no cell can be understood."""
    if len(header.cells) > _MOST_NAMES * len(columns):
        said = f"The first line must name the columns, of {', '.join(columns)}; it has {len(header.cells):,} cells."
        raise Invalid([fault(said, 1)])
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
    """Each line whose key a line before has too, with that line; lines without a key are not compared."""
    first: dict[str, int] = {}
    return ((line, first[key]) for line, key in keys if key and first.setdefault(key, line) != line)


def fault(msg: str, *place: int | str, type: str = "value_error") -> FieldError:
    """What is wrong with a line, or with one of its cells."""
    return {"loc": ["body", "csv", *place], "msg": msg, "type": type}


def line_of(error: FieldError) -> list[Any]:
    """The line on which it is; empty for what concerns all of them."""
    return error["loc"][2:3]


class ImportedOut(Out):
    """How many rows were imported."""

    created: int = Field(description="New rows.")
    updated: int = Field(description="Rows that were there and now have other values.")
    unchanged: int = Field(description="Rows that were there with the same values.")


@dataclass
class Imported(Generic[M]):
    """What became of the rows, as models."""

    created: list[M] = field(default_factory=list)
    updated: list[M] = field(default_factory=list)
    unchanged: list[M] = field(default_factory=list)

    def told(self) -> ImportedOut:
        return ImportedOut(created=len(self.created), updated=len(self.updated), unchanged=len(self.unchanged))


def checked(
    rows: Iterable[tuple[M | None, Mapping[str, str], Callable[[ValidationError], Iterable[FieldError]]]],
    new: type[D],
    patch: type[D],
    errors: list[FieldError],
) -> list[tuple[M | None, D]]:
    """What rows of a file say, checked: each as the model it changes, or None where it is new, with its data.

    `rows`: the model, the cells, and what names the places of their faults. Raises Invalid with all of them, and with
    `errors`.
    """
    found: list[tuple[M | None, D]] = []
    for model, cells, faults in rows:
        try:
            found.append((model, (new if model is None else patch).model_validate(cells, strict=False)))
        except ValidationError as error:
            errors += faults(error)
    if errors:
        raise Invalid(sorted(errors, key=line_of))
    return found


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows of a long sheet, which below its header are a sheet of their own."""

    header: Record
    rows: list[Record]
    #: The line below the header.
    first: int

    @property
    def text(self) -> str:
        return "".join(row.text for row in (self.header, *self.rows))

    @property
    def line(self) -> int:
        """The line of the long sheet on which it begins."""
        return self.rows[0].line if self.rows else self.first

    def line_in_sheet(self, line: int) -> int:
        return line if line < self.first else line - self.first + self.line

    def column(self, name: str) -> Iterator[tuple[int, str]]:
        """The line and value of each cell in a column."""
        columns = [cell.strip() for cell in self.header.cells]
        place = columns.index(name) if name in columns else len(columns)
        return ((row.line, value_of(row.cells[place]).strip()) for row in self.rows if place < len(row.cells))


def chunks(lines: Iterable[str]) -> Iterator[Chunk]:
    """A sheet of any length, by and by; one without rows is a chunk too."""
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


def _kept(lines: Iterable[str], taken: list[str]) -> Iterator[str]:
    for line in lines:
        taken.append(line)
        yield line


def lines_of(text: str) -> Iterable[str]:
    """The lines of a text, whichever way they end."""
    return io.StringIO(text, newline="")
