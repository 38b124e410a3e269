"""`attack`: hostile clients against a running Meshwork on this machine, and what a neighbour of theirs waits."""

import asyncio
import os
from argparse import ArgumentParser
from collections.abc import Sequence
from typing import Any
from urllib.parse import urlsplit

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

from config.attack.campaign import LONGEST_WAIT, Report, campaign
from config.attack.clients import Closed, NotHere, Target, ask
from config.attack.kinds import KINDS
from config.attack.neighbour import PACE


class Command(BaseCommand):
    help = (
        "Attacks a Meshwork that runs on this machine, one kind of hostile client after another, and prints how long a"
        " well-behaved neighbour waits meanwhile. Exits with 1 where one waited more than a second, or where a promised"
        " refusal did not come. It makes users of its own, and leaves them and their rows behind: not for a database"
        " that somebody works with."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        here = f"http://127.0.0.1:{os.environ.get('PORT') or 8000}"
        names = [kind.name for kind in KINDS]
        parser.add_argument("--url", default=here, help="where it answers, on this machine; by default %(default)s")
        parser.add_argument("--seconds", type=float, default=10, help="for each kind, 1 to 120; by default %(default)s")
        parser.add_argument("--only", nargs="+", choices=names, default=names, help="these kinds alone")

    def handle(self, *args: Any, **options: Any) -> None:
        seconds = options["seconds"]
        if not 1 <= seconds <= 120:
            raise CommandError("--seconds: from 1 to 120.")
        if settings.EMAIL_URL and not _is_here(settings.EMAIL_URL):
            raise CommandError("EMAIL_URL leads to a mail server, which would get thousands of mails: unset it first.")
        try:
            target = Target.of(options["url"])
        except NotHere as error:
            raise CommandError(str(error)) from None
        faults = asyncio.run(self._attack(target, [kind for kind in KINDS if kind.name in options["only"]], seconds))
        for fault in faults:
            self.stdout.write(self.style.ERROR(fault))
        self.stdout.write("The users of this attack, and their rows, are still there.")
        if faults:
            raise CommandError(f"The neighbour may wait {LONGEST_WAIT:.0f} s at most, and promises hold: see above.")
        self.stdout.write(self.style.SUCCESS(f"Nobody else waited more than {LONGEST_WAIT:.0f} s."))

    async def _attack(self, target: Target, kinds: Sequence[Any], seconds: float) -> list[str]:
        if not (await ask(target, "GET", "/health")).status:
            raise CommandError(f"Nothing answers at {target.host}. Start it with ./run, or say --url.")
        self.stdout.write(
            f"Against {target.host}, for {seconds:g} s each. In seconds: worst (median) of the neighbour.\n\n"
        )
        self.stdout.write(_line("", "requests", "answers", "sent", "received", list(PACE)))
        faults: list[str] = []
        try:
            async for report in campaign(target, kinds, seconds):
                self.stdout.write(_row(report))
                self.stdout.flush()
                faults += report.faults
        except Closed as error:
            raise CommandError(f"{error} Is SIGNUP_OPEN=on there?") from None
        self.stdout.write("")
        return faults


def _row(report: Report) -> str:
    tally = report.tally
    statuses = [(str(status or "none"), number) for status, number in sorted(tally.statuses.items())]
    cut = tally.requests - tally.statuses.total()
    answers = " ".join(f"{status}×{number}" for status, number in [*statuses, *([("cut", cut)] if cut else [])])
    waits = [f"{found.worst:.2f} ({found.median:.2f})" for found in report.waits.values()]
    told = {None: "", True: f"  {report.promise}: yes", False: f"  {report.promise}: NO"}[report.kept]
    return _line(report.name, str(tally.requests), answers, _size(tally.sent), _size(tally.received), waits) + told


def _line(name: str, requests: str, answers: str, sent: str, received: str, waits: Sequence[str]) -> str:
    return f"{name:14}{requests:>9}  {answers:32}{sent:>9}{received:>10}" + "".join(f"{wait:>14}" for wait in waits)


def _size(number: int) -> str:
    return f"{number / 1_000_000:.1f} MB" if number >= 100_000 else f"{number / 1000:.1f} kB"


def _is_here(url: str) -> bool:
    return urlsplit(url).hostname in ("localhost", "127.0.0.1", "::1")
