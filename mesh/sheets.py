"""CSV as spreadsheets write and read it, made and taken apart while it flows by.

A cell that a spreadsheet would take for a formula goes out behind a `'`, and comes in without it.
"""

import csv
import io
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import chain
from typing import Any

MEDIA = "text/csv; charset=utf-8"

PART = 1000  # rows that are read, or go out, at once
_MOST_IN_CHUNK = 500_000  # characters
_FORMULA = re.compile(r"'*[=+\-@\t\r\n]")  # a `'` that was there before gets one more, so that it comes back


def written(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> Iterator[str]:
    """A sheet of these rows below the names of their columns, in parts."""
    out = io.StringIO()
    writer = csv.writer(out)
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
    return f"'{value}" if isinstance(value, str) and _FORMULA.match(value) else value


def value_of(cell: str) -> str:
    """What a cell says."""
    return cell[1:] if cell.startswith("'") and _FORMULA.match(cell) else cell


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
