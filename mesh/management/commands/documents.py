"""`documents verify | rebuild | restore`: the mirror of rows in object storage, as a whole."""

import time
from argparse import ArgumentParser
from collections import Counter
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from mesh.declarations.identity import identity
from mesh.documents import bulk
from mesh.errors import MeshError

_PAUSE = 5.0  # seconds between two progress messages


class Command(BaseCommand):
    help = "Compares all documents with the database, stores them anew, or makes rows of them in an empty database."

    def add_arguments(self, parser: ArgumentParser) -> None:
        actions = parser.add_subparsers(dest="action", required=True)
        actions.add_parser("verify", help="print what is missing, stale or extra; exit with 1 then; change nothing")
        actions.add_parser("rebuild", help="store every document anew, and remove what has no row; safe to repeat")
        restore = actions.add_parser("restore", help="make the rows of all documents again; safe to repeat")
        restore.add_argument("--as", dest="email", required=True, help="the e-mail of the user whose they will be")

    def handle(self, *args: Any, **options: Any) -> None:
        self._spoken = time.monotonic()
        try:
            match options["action"]:
                case "verify":
                    self._verify()
                case "rebuild":
                    self._rebuild()
                case "restore":
                    self._restore(options["email"])
        except OSError as error:
            raise CommandError(f"The storage: {error}") from None

    def _verify(self) -> None:
        counts, size = Counter[str](), bulk.size()
        for looked, compared in enumerate(bulk.compare(), 1):
            counts[compared.finding] += 1
            if compared.finding not in ("", "waiting"):
                self.stdout.write(f"{compared.finding} {compared.name}")
            self._progress(f"{looked} of about {size}")
        summary = f"{counts['']} documents agree, {counts['waiting']} wait to be stored"
        if wrong := [f"{counts[finding]} {finding}" for finding in ("missing", "stale", "extra") if counts[finding]]:
            raise CommandError(f"{', '.join(wrong)}; {summary}.")
        self.stdout.write(summary)

    def _rebuild(self) -> None:
        size = bulk.size()
        try:
            for done in bulk.rebuild():
                self._progress(f"{done} of about {size}")
        except bulk.NotStored as error:
            raise CommandError(f"{error}. What is left is stored as soon as the storage takes it.") from None
        self.stdout.write(f"{bulk.size()} documents are stored")

    def _restore(self, email: str) -> None:
        counts = Counter[str]()
        try:
            for restored in bulk.restore(identity().actor_by_email(email).id):
                counts["broken" if restored.error else "made" if restored.made else "there"] += 1
                if restored.error:
                    self.stderr.write(f"{restored.name}: {restored.error}")
                self._progress(f"{counts['made']} rows made")
        except (MeshError, bulk.NotEmpty) as error:
            raise CommandError(str(error)) from None
        summary = f"{counts['made']} rows made, {counts['there']} were there already"
        if counts["broken"]:
            raise CommandError(f"{counts['broken']} documents are broken; {summary}.")
        self.stdout.write(summary)

    def _progress(self, text: str) -> None:
        if time.monotonic() - self._spoken > _PAUSE:
            self.stderr.write(text)
            self._spoken = time.monotonic()
