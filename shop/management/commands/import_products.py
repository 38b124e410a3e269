"""`import_products`: products from a CSV file of any size."""

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
            with _opened(options["file"]) as file:
                done = self._look_through(mesh, file)
                if not options["dry_run"]:
                    done = self._write(mesh, file)
        except (MeshError, OSError) as error:
            raise CommandError(str(error)) from None
        told = ", ".join(f"{what} {done[what]}" for what in ("created", "updated", "unchanged"))
        self.stdout.write(f"would be {told}" if options["dry_run"] else told)

    def _look_through(self, mesh: Mesh, file: TextIO) -> Counter[str]:
        """What would become of the file. Raises CommandError where anything in it is wrong."""
        done: Counter[str] = Counter()
        faults = 0
        unreadable: list[FieldError] = []
        with closing(_Seen()) as seen:
            for chunk in chunks(_lines(file, unreadable)):
                errors = [*unreadable, *seen.repeated(chunk)]
                unreadable.clear()
                try:
                    done += _import(mesh, chunk, dry_run=True)
                except Invalid as refusal:
                    errors += [error for error in refusal.errors if error["type"] != "repeated"]
                    faults += max(0, refusal.more - 1)  # one of the errors stands for them
                self._tell(errors)
                faults += len(errors)
                if any(line_of(error) == [1] for error in errors):
                    break  # without the header nothing else can be understood
        if faults:
            raise CommandError(f"Nothing was imported: {faults} {'error' if faults == 1 else 'errors'}.")
        return done

    def _write(self, mesh: Mesh, file: TextIO) -> Counter[str]:
        done: Counter[str] = Counter()
        for chunk in chunks(_lines(file, [])):
            try:
                done += _import(mesh, chunk, dry_run=False)
            except MeshError as refusal:
                self._tell(refusal.errors if isinstance(refusal, Invalid) else [])
                raise CommandError(
                    f"{refusal} What stands before line {chunk.line} is imported, the rest is not; "
                    "importing the whole file again does no harm."
                ) from None
        return done

    def _tell(self, errors: list[FieldError]) -> None:
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


class _Seen:
    """The SKUs of a file so far, in a temporary file, since there may be more of them than fit into memory."""

    def __init__(self) -> None:
        self.rows = sqlite3.connect("")
        self.rows.execute("CREATE TABLE seen (sku TEXT PRIMARY KEY, line INTEGER) WITHOUT ROWID")

    def repeated(self, chunk: Chunk) -> Iterator[FieldError]:
        """The SKUs of the chunk that were there before, in it or in another one."""
        for line, sku in chunk.column("sku"):
            found = self.rows.execute("SELECT line FROM seen WHERE sku = ?", [sku]).fetchone()
            if found is None:
                self.rows.execute("INSERT INTO seen VALUES (?, ?)", [sku, line])
            elif sku:
                yield repeated(line, found[0])

    def close(self) -> None:
        self.rows.close()


@contextmanager
def _opened(name: str) -> Iterator[TextIO]:
    """The file, to be read more than once; what cannot be decoded is marked in its text."""
    text: Any = {"encoding": "utf-8", "errors": "surrogateescape", "newline": ""}
    if name == "-":
        with tempfile.TemporaryFile() as copy:
            copyfileobj(sys.stdin.buffer, copy)
            yield io.TextIOWrapper(copy, **text)
    else:
        with open(name, **text) as file:
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
