"""`lintmigrations`: checks that the running version can continue while and after a migration is applied."""

import subprocess
import sys
from argparse import ArgumentParser
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from django.apps import apps
from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.loader import MigrationLoader


class Command(BaseCommand):
    help = "Refuses migrations that lock a table for long, or drop or rename what the running version uses (squawk)."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--accepted", type=Path, help="a file of those that may pass: app.name and why, on a line")

    def handle(self, *args: Any, **options: Any) -> None:
        accepted = _accepted(options["accepted"]) if options["accepted"] else set()
        with TemporaryDirectory() as folder:
            files = []
            for app, name in sorted(MigrationLoader(connection).disk_migrations):
                if Path(apps.get_app_config(app).path).parent == settings.BASE_DIR and f"{app}.{name}" not in accepted:
                    sql = StringIO()
                    call_command("sqlmigrate", app, name, no_color=True, stdout=sql)
                    path = Path(folder, f"{app}.{name}.sql")
                    path.write_text(sql.getvalue())
                    files.append(path.name)
            command = [str(Path(sys.executable).with_name("squawk")), f"--config={settings.BASE_DIR / '.squawk.toml'}"]
            command += ["--reporter=gcc", *files]
            try:
                result = subprocess.run(command, cwd=folder, capture_output=True, text=True)  # noqa: S603
            except FileNotFoundError:
                raise CommandError("squawk is not installed: `./run test --version` installs it.") from None
        if result.returncode:
            raise CommandError(f"{result.stdout}{result.stderr}docs/deploy.md tells how to write them (Migrations).")
        self.stdout.write(f"{len(files)} migrations can be applied while the version before them runs.")


def _accepted(path: Path) -> set[str]:
    return {line.split()[0] for line in path.read_text().splitlines() if line and not line.startswith("#")}
