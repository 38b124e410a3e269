"""The well-behaved neighbour: reads, writes, orders and signs in at a person's pace, and notes how long each took."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import cycle
from statistics import median
from typing import Any

from config.attack.clients import PASSWORD, PATIENCE, Answer, Closed, Person, Target, ask

#: Seconds between two of a kind, within the limits of requests for the six people that it is.
PACE = {"list": 0.25, "detail": 0.25, "task": 1.0, "order": 1.0, "health": 0.25, "login": 1.5}
PEOPLE = 6
CALM = 1.0  # seconds within which everything is done where nobody attacks
LONGEST_CALMING = 120.0


@dataclass
class Waits:
    """How long each of one operation took, in seconds, and the answers that were none: their statuses."""

    seconds: list[float] = field(default_factory=list)
    failed: list[int] = field(default_factory=list)

    @property
    def worst(self) -> float:
        return max(self.seconds, default=0.0)

    @property
    def median(self) -> float:
        return median(self.seconds) if self.seconds else 0.0


class Neighbour:
    """Six users in turn, since one may sign in ten times a minute only."""

    def __init__(self, target: Target, people: Sequence[Person]) -> None:
        self.target, self.people = target, people

    async def settle_in(self) -> None:
        """Makes what they look at: a task each, and a product with enough stock. Raises Closed."""
        self._tasks = {}
        for person in self.people:
            self._tasks[person.email] = await self._made(person, "/api/v1/tasks", {"title": "Prepare the slides"})
        owner = self.people[0]
        product = {"sku": f"ATTACK-{owner.email.split('.')[1]}", "name": "Neighbour", "price_cents": 1, "stock": 10**6}
        self._product = await self._made(owner, "/api/v1/products", product)

    async def leave(self) -> None:
        await self._ask(self.people[0], "DELETE", f"/api/v1/products/{self._product}")

    async def watch(self, over: asyncio.Event) -> dict[str, Waits]:
        """What they waited for each operation, until it is `over` and the last of each is answered."""
        found = {operation: Waits() for operation in PACE}

        async def keep_on(operation: str, pace: float) -> None:
            for person in cycle(self.people):
                seconds, status = await self._timed(operation, person)
                found[operation].seconds.append(seconds)
                if status not in (200, 201):
                    found[operation].failed.append(status)
                with suppress(TimeoutError):
                    await asyncio.wait_for(over.wait(), max(0.01, pace - seconds))
                if over.is_set():
                    return

        await asyncio.gather(*(keep_on(operation, pace) for operation, pace in PACE.items()))
        return found

    async def calm(self) -> bool:
        """Waits until nothing of an attack is left; False where that takes more than two minutes."""
        deadline = time.monotonic() + LONGEST_CALMING
        while time.monotonic() < deadline:
            taken = [await self._timed(operation, self.people[0]) for operation in ("health", "list", "task", "order")]
            if all(seconds < CALM and status in (200, 201) for seconds, status in taken):
                return True
            await asyncio.sleep(1)
        return False

    async def _timed(self, operation: str, person: Person) -> tuple[float, int]:
        """Seconds, and the status of the answer that was not one of success, if any."""
        acts: dict[str, Callable[[Person], Awaitable[Answer]]] = {
            "list": lambda person: self._ask(person, "GET", "/api/v1/tasks"),
            "detail": lambda person: self._ask(person, "GET", f"/api/v1/tasks/{self._tasks[person.email]}"),
            "task": lambda person: self._ask(person, "POST", "/api/v1/tasks", {"title": "Call Maria"}),
            "order": self._order,
            "health": lambda person: ask(self.target, "GET", "/health", source=person.source),
            "login": self._sign_in,
        }
        started = time.perf_counter()
        answer = await acts[operation](person)
        return time.perf_counter() - started, answer.status

    async def _order(self, person: Person) -> Answer:
        """Places an order and looks at it until it is RESERVED."""
        items = [{"product_id": self._product, "quantity": 1}]
        started = time.perf_counter()
        answer = placed = await self._ask(person, "POST", "/api/v1/orders", {"items": items})
        pause = 0.02
        while answer.status in (200, 201) and answer.json["status"] != "RESERVED":
            if time.perf_counter() - started > PATIENCE:
                return Answer(0, b"", 0, 0, PATIENCE)
            await asyncio.sleep(pause)
            pause = min(0.3, pause * 1.5)
            answer = await self._ask(person, "GET", f"/api/v1/orders/{placed.json['id']}")
        return answer

    async def _sign_in(self, person: Person) -> Answer:
        return await ask(
            self.target,
            "POST",
            "/api/v1/auth/login",
            {"username": person.email, "password": PASSWORD},
            source=person.source,
        )

    async def _made(self, person: Person, path: str, data: Any) -> int:
        """The id of a new row. Raises Closed."""
        answer = await self._ask(person, "POST", path, data)
        if answer.status != 201:
            raise Closed(f"POST {path} answers {answer.status}: {answer.body[:300].decode(errors='replace')}")
        return int(answer.json["id"])

    async def _ask(self, person: Person, method: str, path: str, data: Any = None) -> Answer:
        return await ask(self.target, method, path, data, source=person.source, token=person.token)
