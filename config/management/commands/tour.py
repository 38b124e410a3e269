"""`tour`: a narrated walk through a running Meshwork, each step with its request and its answer; safe to repeat."""

import json
import secrets
import time
import urllib.error
import urllib.request
from argparse import ArgumentParser
from collections.abc import Callable, Mapping
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError

_LONGEST = 60.0  # seconds that work in the background may take
_SHOWN, _WIDEST = 12, 100  # lines of an answer, and characters of a line
_NONE: Mapping[str, str] = {}
_PASSWORD = "correct horse battery staple"  # noqa: S105  (of users made for this walk)
_NOTE = "Maria will send the offer by Friday. Bob will book the hall. We meet again next week."


class Command(BaseCommand):
    help = "Walks through a running Meshwork: people, a note, the shop, an event; and who sees nothing of it."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--url", default=settings.SITE_URL, help="where it answers; by default here")
        parser.add_argument("--pause", action="store_true", help="wait for Enter before each step")

    def handle(self, *args: Any, **options: Any) -> None:
        self.url, self.pause = options["url"].rstrip("/"), options["pause"]
        self.token = ""
        try:
            self._send("GET", "/health")
        except OSError:
            raise CommandError(f"Nothing answers at {self.url}. Start it with ./run, or say --url.") from None
        alice, bob = (f"{name}.{secrets.token_hex(4)}@tour.example" for name in ("alice", "bob"))
        self._sign_up(alice, "Alice")
        self._summarize_a_note()
        self._sell_something()
        self._fill_an_event()
        self._try_before_doing()
        self._see_nothing(bob)
        self._say("That is the walk. The same operations are tools for AI agents (GET /tools), and commands:")
        self._say("./run manage mesh. They are all at /docs; /admin/ is for ADMINs.")

    def _sign_up(self, email: str, name: str) -> None:
        self._chapter(f"{name} signs up, and signs in")
        account = {"email": email, "password": _PASSWORD}
        self._ask("POST", "/auth/signup", {**account, "name": name})
        self.token = self._ask("POST", "/auth/login", account)["access_token"]

    def _summarize_a_note(self) -> None:
        self._chapter("She takes a note; a worker summarizes it, and finds what is to do")
        note = self._ask("POST", "/notes", {"raw_text": _NOTE})["id"]
        self._until(f"/notes/{note}", lambda found: found["status"] == "done")
        self._say("What was found becomes tasks once she accepts it, each of them once:")
        self._ask("POST", f"/notes/{note}/accept", {})
        self._ask("GET", "/tasks?status=todo")

    def _sell_something(self) -> None:
        self._chapter("She sells something: an order holds all of its stock, or none")
        product = {"sku": f"TOUR-{secrets.token_hex(3)}", "name": "T-shirt", "price_cents": 1999, "stock": 5}
        shirt = self._ask("POST", "/products", product)["id"]
        first = self._order(shirt, 2, "RESERVED")
        self._ask("POST", f"/orders/{first}/pay")
        self._say("Another one is cancelled, and its stock can be ordered again at once:")
        second = self._order(shirt, 3, "RESERVED")
        self._ask("POST", f"/orders/{second}/cancel")
        self._say("One for more than there is fails, and takes nothing:")
        self._order(shirt, 4, "FAILED")
        self._say("stock + reserved + sold = received, always:")
        self._ask("GET", f"/products/{shirt}")

    def _order(self, product: int, quantity: int, end: str) -> int:
        order = self._ask("POST", "/orders", {"items": [{"product_id": product, "quantity": quantity}]})["id"]
        self._until(f"/orders/{order}", lambda found: found["status"] == end)
        return int(order)

    def _fill_an_event(self) -> None:
        self._chapter("She fills an event with one seat: who comes second waits, and moves up")
        times = {"start_date": "2035-03-01T10:00:00Z", "end_date": "2035-03-01T16:00:00Z"}
        event = self._ask("POST", "/events", {"name": "Open day", "capacity": 1, **times})["id"]
        eve = self._ask("POST", f"/events/{event}/attendees", {"name": "Eve", "email": "eve@tour.example"})["id"]
        finn = {"name": "Finn", "email": "finn@tour.example"}
        self._ask("POST", f"/events/{event}/attendees", finn)
        self._ask("POST", f"/events/{event}/attendees", {**finn, "waitlist": True})
        self._say("Eve cannot come: her seat goes to Finn, who is told by mail.")
        self._ask("DELETE", f"/events/{event}/attendees/{eve}")
        self._ask("GET", f"/events/{event}/attendees")

    def _try_before_doing(self) -> None:
        self._chapter("She tries something before she does it, and does it once though she sends it twice")
        task = {"title": "Book a room"}
        self._ask("POST", "/tasks", task, headers={"Prefer": "dry-run"})
        once = {"Idempotency-Key": secrets.token_hex(8)}
        for _ in range(2):
            self._ask("POST", "/tasks", task, headers=once)

    def _see_nothing(self, email: str) -> None:
        tasks = self._ask("GET", "/tasks?limit=1", told=False)["results"]
        self._sign_up(email, "Bob")
        self._say("He sees nothing of hers, in no list and under no id:")
        self._ask("GET", "/tasks")
        self._ask("GET", f"/tasks/{tasks[0]['id']}")
        self._ask("GET", "/orders")

    def _until(self, path: str, is_it: Callable[[Any], bool]) -> None:
        """Asks until it is so, and tells the last answer."""
        deadline = time.monotonic() + _LONGEST
        while not is_it(self._ask("GET", path, told=False)):
            if time.monotonic() > deadline:
                raise CommandError(f"{path} is not done after {_LONGEST:.0f} seconds. Does a worker run?")
            time.sleep(0.1)
        self._ask("GET", path)

    def _ask(
        self, method: str, path: str, body: Any = None, *, told: bool = True, headers: Mapping[str, str] = _NONE
    ) -> Any:
        """Sends a request and tells it with its answer, also a refusal; where the walk cannot go on it ends."""
        status, answer = self._send(method, path, body, headers)
        if told:
            said = "".join(f"  {name}: {value}" for name, value in headers.items())
            self.stdout.write(self.style.HTTP_INFO(f"\n  {method} {path}{said}"))
            if body is not None:
                self.stdout.write(f"  {json.dumps(body, ensure_ascii=False)}")
            self._show(status, answer)
        if status >= 500 or (status == 403 and path == "/auth/signup"):
            raise CommandError(answer["detail"])
        return answer

    def _show(self, status: int, answer: Any) -> None:
        style = self.style.SUCCESS if status < 400 else self.style.WARNING
        self.stdout.write(style(f"  {status}"))
        lines = json.dumps(answer, indent=2, ensure_ascii=False).splitlines() if answer is not None else []
        for line in [*lines[:_SHOWN], *(["  …"] if len(lines) > _SHOWN else [])]:
            self.stdout.write(f"  {line if len(line) <= _WIDEST else line[: _WIDEST - 1] + '…'}")

    def _send(self, method: str, path: str, body: Any = None, headers: Mapping[str, str] = _NONE) -> tuple[int, Any]:
        request = urllib.request.Request(self.url + path, method=method)  # noqa: S310  (the user's own server)
        for name, value in headers.items():
            request.add_header(name, value)
        if self.token:
            request.add_header("Authorization", f"Bearer {self.token}")
        if body is not None:
            request.data = json.dumps(body).encode()
            request.add_header("Content-Type", "application/json")
        try:
            with urllib.request.urlopen(request, timeout=30) as response:  # noqa: S310
                raw, status = response.read(), response.status
        except urllib.error.HTTPError as refused:
            raw, status = refused.read(), refused.code
        return status, json.loads(raw) if raw else None

    def _chapter(self, title: str) -> None:
        if self.pause:
            input("\n[Enter]")
        self.stdout.write("\n" + self.style.MIGRATE_HEADING(f"━━ {title}"))

    def _say(self, words: str) -> None:
        self.stdout.write(f"\n{words}")
