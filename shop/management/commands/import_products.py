"""`import_products`: imports products from a CSV file of any size."""

import io
import json
import sqlite3
import sys
import tempfile
from argparse import ArgumentParser
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager
from functools import partial
from shutil import copyfileobj
from typing import Any, TextIO

from django.core.management.base import BaseCommand, CommandError

from mesh import Mesh
from mesh.declarations.identity import identity
from mesh.errors import FieldError, Invalid, MeshError
from mesh.formats.sheets import Chunk, chunks, fault, line_of
from shop.imports import repeated

_LONGEST_LINE = 2**20


class Command(BaseCommand):
    help = "Imports products from a CSV file of any size: all of it is looked at first, and an error writes nothing."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("file", help="the file, or - for standard input")
        parser.add_argument("--as", dest="email", required=True, help="the e-mail of the user whose products these are")
        parser.add_argument("--dry-run", action="store_true", help="show what would happen, change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            mesh = Mesh(identity().actor_by_email(options["email"]), door="cli")
            with _open(options["file"]) as file:
                counts = self._check(mesh, file)
                if not options["dry_run"]:
                    counts = self._write(mesh, file)
        except (MeshError, OSError) as error:
            raise CommandError(str(error)) from None
        summary = ", ".join(f"{name} {counts[name]}" for name in ("created", "updated", "unchanged"))
        self.stdout.write(f"would be {summary}" if options["dry_run"] else summary)

    def _check(self, mesh: Mesh, file: TextIO) -> Counter[str]:
        """Imports the whole file as a dry run, and returns its counts. Raises CommandError if anything is invalid."""
        counts: Counter[str] = Counter()
        error_count = 0
        unreadable: list[FieldError] = []
        with closing(_SeenSkus()) as seen:
            for chunk in chunks(_lines(file, unreadable)):
                errors = [*unreadable, *seen.repeated(chunk)]
                unreadable.clear()
                try:
                    counts += _import(mesh, chunk, dry_run=True)
                except Invalid as refusal:
                    errors += [error for error in refusal.errors if error["type"] != "repeated"]
                    error_count += max(0, refusal.more - 1)  # one of the errors says how many more there are
                self._write_errors(errors)
                error_count += len(errors)
                if any(line_of(error) == [1] for error in errors):
                    break  # nothing can be read without the header
        if error_count:
            raise CommandError(f"Nothing was imported: {error_count} {'error' if error_count == 1 else 'errors'}.")
        return counts

    def _write(self, mesh: Mesh, file: TextIO) -> Counter[str]:
        counts: Counter[str] = Counter()
        for chunk in chunks(_lines(file, [])):
            try:
                counts += _import(mesh, chunk, dry_run=False)
            except MeshError as refusal:
                self._write_errors(refusal.errors if isinstance(refusal, Invalid) else [])
                raise CommandError(
                    f"{refusal} What stands before line {chunk.line} is imported, the rest is not; "
                    "importing the whole file again does no harm."
                ) from None
        return counts

    def _write_errors(self, errors: list[FieldError]) -> None:
        for error in sorted(errors, key=line_of):
            place = ", ".join(map(str, error["loc"][2:]))
            self.stderr.write(f"line {place}: {error['msg']}" if place else error["msg"])


def _import(mesh: Mesh, chunk: Chunk, *, dry_run: bool) -> Counter[str]:
    try:
        answer = json.loads(mesh.call_tool("import_products", {"csv": chunk.text}, dry_run=dry_run).body)
    except Invalid as refusal:
        for error in refusal.errors:
            error["loc"][2:3] = [chunk.line_in_sheet(line) for line in error["loc"][2:3] if isinstance(line, int)]
        raise
    return Counter(answer["result"] if dry_run else answer)


class _SeenSkus:
    """The SKUs read so far, in a temporary database file, since they may not fit into memory."""

    def __init__(self) -> None:
        self.rows = sqlite3.connect("")
        self.rows.execute("CREATE TABLE seen (sku TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def repeated(self, chunk: Chunk) -> Iterator[FieldError]:
        """Errors for the SKUs of the chunk that occurred before, in it or in an earlier chunk."""
        for line, sku in chunk.column("sku"):
            first = self.rows.execute("SELECT line FROM seen WHERE sku = ?", [sku]).fetchone()
            if first is None:
                self.rows.execute("INSERT INTO seen VALUES (?, ?)", [sku, line])
            elif sku:
                yield repeated(line, first[0])

    def close(self) -> None:
        self.rows.close()


@contextmanager
def _open(name: str) -> Iterator[TextIO]:
    """Opens the file so that it can be read twice; bytes that cannot be decoded become surrogates."""
    text_mode: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    if name == "-":
        with tempfile.TemporaryFile() as copy:
            copyfileobj(sys.stdin.buffer, copy)
            yield io.TextIOWrapper(copy, **text_mode)
    else:
        with open(name, **text_mode) as file:
            yield file


def _lines(file: TextIO, unreadable: list[FieldError]) -> Iterator[str]:
    file.seek(0)
    for number, line in enumerate(iter(partial(file.readline, _LONGEST_LINE), ""), 1):
        try:
            line.encode()
        except UnicodeEncodeError:
            unreadable.append(fault("It is not valid UTF-8.", number))
            line = line.encode(errors="replace").decode()
        if "\0" in line:
            unreadable.append(fault("It holds the NUL character.", number))
            line = line.replace("\0", "\ufffd")
        yield line
