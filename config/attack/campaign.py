"""One kind of hostile client after another, beside a neighbour; what each waited, and whether that is good enough."""

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass

from config.attack.clients import Target
from config.attack.kinds import Kind, Stage, Tally
from config.attack.neighbour import PEOPLE, Neighbour, Waits

LONGEST_WAIT = 1.0  # seconds that the neighbour may wait
NOBODY = "(nobody)"


@dataclass(frozen=True)
class Report:
    """What came of one kind: `kept` says whether its promise was; None where it has none, or too little was sent."""

    name: str
    tally: Tally
    waits: Mapping[str, Waits]
    promise: str = ""
    kept: bool | None = None
    calmed: bool = True

    @property
    def faults(self) -> list[str]:
        """What is not as it should be, in sentences; none where all is well."""
        found = []
        for operation, waits in self.waits.items():
            if waits.worst > LONGEST_WAIT:
                why = " The machine is too busy to tell." if self.name == NOBODY else ""
                found.append(f"{self.name}: the neighbour's {operation} took {waits.worst:.1f} s.{why}")
            if waits.failed:
                answers = ", ".join(str(status or "no answer") for status in sorted(set(waits.failed)))
                how_many = f"{len(waits.failed)} of {len(waits.seconds)}"
                found.append(f"{self.name}: the neighbour's {operation} failed {how_many} times ({answers}).")
            if not waits.seconds:
                found.append(f"{self.name}: the neighbour's {operation} was not measured.")
        if self.promise and self.kept is False:
            found.append(f"{self.name}: it is promised that {self.promise}; that was not so.")
        if not self.calmed:
            found.append(f"{self.name}: the server was still busy two minutes after it.")
        return found


async def campaign(target: Target, kinds: Sequence[type[Kind]], seconds: float) -> AsyncIterator[Report]:
    """A report for nobody attacking, then one for each kind, as it ends. Raises Closed where users cannot be made."""
    stage = Stage(target)
    neighbour = Neighbour(target, [await stage.person() for _ in range(PEOPLE)])
    await neighbour.settle_in()
    try:
        await neighbour.calm()
        yield Report(NOBODY, Tally(), await _watched(neighbour, None, seconds))
        for kind in kinds:
            attack = kind(stage)
            await attack.prepare()
            await neighbour.calm()
            waits = await _watched(neighbour, attack, seconds)
            await attack.look_back()
            calmed = await neighbour.calm()
            yield Report(kind.name, attack.tally, waits, kind.promise, attack.kept() if kind.promise else None, calmed)
    finally:
        await stage.clear()
        await neighbour.leave()


async def _watched(neighbour: Neighbour, attack: Kind | None, seconds: float) -> dict[str, Waits]:
    over = asyncio.Event()
    watching = asyncio.create_task(neighbour.watch(over))
    attackers = [asyncio.create_task(_attacks(attack)) for _ in range(attack.connections)] if attack else []
    await asyncio.sleep(seconds)
    over.set()
    waits = await watching
    for attacker in attackers:
        attacker.cancel()
    await asyncio.gather(*attackers, return_exceptions=True)
    return waits


async def _attacks(attack: Kind) -> None:
    while (number := next(attack.numbers)) < attack.most:
        attack.tally.requests += 1
        with suppress(OSError):
            await attack.request(number)
