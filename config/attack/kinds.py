"""The hostile clients, one class each. Their connections and requests are bounded, and few enough for a laptop."""

import asyncio
import json
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from itertools import count
from typing import Any
from urllib.parse import quote_plus

from config.attack.clients import (
    PASSWORD,
    Addresses,
    Answer,
    Closed,
    Person,
    Target,
    ask,
    connection,
    numbered,
    request_of,
)

MOST_CONNECTIONS = 40
EVENTS, DESCRIPTION = 50, "d e a i o n r t s " * 270
TEN_YEARS = {"start_date": "2035-03-01T10:00:00Z", "end_date": "2035-03-01T16:00:00Z"}


@dataclass
class Tally:
    """What the hostile clients sent and got; of requests that were still unanswered at the end, only their number."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    sent: int = 0
    received: int = 0
    largest: int = 0

    def add(self, answer: Answer) -> None:
        self.statuses[answer.status] += 1
        self.sent += answer.sent
        self.received += answer.received
        self.largest = max(self.largest, answer.received)


class Stage:
    """Where the attacks take place: the server, and users made for them."""

    def __init__(self, target: Target) -> None:
        self.target, self.addresses = target, Addresses(target)
        self._emails = numbered("user")
        self._events: list[int] = []
        self._host: Person | None = None

    async def person(self) -> Person:
        """Somebody who has just signed up, and signed in. Raises Closed."""
        email, source = next(self._emails), self.addresses.another()
        account = {"email": email, "password": PASSWORD}
        made = await ask(self.target, "POST", "/api/v1/auth/signup", account, source=source)
        signed_in = await ask(
            self.target, "POST", "/api/v1/auth/login", {"username": email, "password": PASSWORD}, source=source
        )
        if (made.status, signed_in.status) != (201, 200):
            said = made.body.decode(errors="replace") if made.status != 201 else signed_in.body.decode(errors="replace")
            raise Closed(f"Users cannot be made there ({made.status}, {signed_in.status}): {said[:300]}")
        return Person(email, source, signed_in.json["access_token"])

    async def public_events(self) -> None:
        """Events with long texts, which everyone can search; made once."""
        if self._events:
            return
        self._host = await self.person()
        for number in range(EVENTS):
            event = {"name": f"Attack {number}", "description": DESCRIPTION, **TEN_YEARS}
            made = await self.ask(self._host, "POST", "/api/v1/events", event)
            if made.status == 201:
                self._events.append(made.json["id"])

    async def contacts(self, person: Person, files: int) -> None:
        """Two thousand contacts a file, with notes as long as they may be."""
        for _ in range(files):
            await self.ask(person, "POST", "/api/v1/contacts/import", sheet(1900, DESCRIPTION[:480]), "text/csv")

    async def clear(self) -> None:
        """Deletes what everyone would see of it."""
        for event in self._events:
            assert self._host is not None
            await self.ask(self._host, "DELETE", f"/api/v1/events/{event}")

    async def ask(self, person: Person, method: str, path: str, data: Any = None, media: str = "") -> Answer:
        return await ask(self.target, method, path, data, source=person.source, token=person.token, media=media)


def sheet(rows: int, notes: str) -> bytes:
    """A CSV file of contacts that nobody has yet."""
    emails = numbered("c")
    lines = [f"Name,{next(emails)},Company,{notes}" for _ in range(rows)]
    return "\n".join(["name,email,company,notes", *lines]).encode()


class Kind:
    """A kind of hostile client. `request` is called again and again, on `connections` at once, `most` times at most."""

    name = ""
    connections = 8
    most = 400
    #: A refusal that has to come, in words; empty where only the neighbour's waits count.
    promise = ""

    def __init__(self, stage: Stage) -> None:
        self.stage, self.tally, self.numbers = stage, Tally(), count()
        self.source = stage.addresses.another()

    async def prepare(self) -> None:
        """What has to be there before. Raises Closed."""

    async def request(self, number: int) -> None:
        """Sends the request of that number, and adds its answer to the tally."""
        raise NotImplementedError

    async def look_back(self) -> None:
        """Looks at what came of it, and clears away what it can."""

    def kept(self) -> bool | None:
        """Whether the promised refusal came; None where not enough was sent to tell."""
        return (
            None if self.tally.requests < self.most and not self.tally.statuses[429] else self.tally.statuses[429] > 0
        )

    async def ask(
        self, method: str, path: str, data: Any = None, media: str = "", person: Person | None = None
    ) -> Answer:
        if person is None:
            answer = await ask(self.stage.target, method, path, data, source=self.source, media=media)
        else:
            answer = await self.stage.ask(person, method, path, data, media)
        self.tally.add(answer)
        return answer


class Searches(Kind):
    """Hundreds of words that every row has, and the eight that most rows have, in long texts."""

    name = "searches"
    connections = 16

    async def prepare(self) -> None:
        await self.stage.public_events()
        self.searcher = await self.stage.person()
        await self.stage.contacts(self.searcher, 2)

    async def request(self, number: int) -> None:
        words = " ".join("d" * 100) if number % 2 else "e a i o n r t s"
        query = f"search={quote_plus(words)}"
        if number % 4 < 2:
            await self.ask("GET", f"/api/v1/events/count?{query}&start_after=2020-01-01T00:00:00.{number:06d}Z")
        else:
            await self.ask("GET", f"/api/v1/contacts?{query}", person=self.searcher)


class Refusals(Kind):
    """Nearly a megabyte of fields that are not known, each with an error of its own."""

    name = "refusals"
    connections, most = 4, 40
    promise = "answers are smaller than requests, and 429 comes"
    body = json.dumps({f"a{number}": 1 for number in range(75_000)}).encode()

    async def request(self, number: int) -> None:
        await self.ask("POST", "/api/v1/auth/login", self.body)

    def kept(self) -> bool | None:
        return False if self.tally.largest > len(self.body) else super().kept()


class Resets(Kind):
    """Mails for another password, to somebody who did not ask, from many addresses."""

    name = "resets"
    connections, most = 4, 60
    promise = "the victim can sign in"

    async def prepare(self) -> None:
        self.victim = await self.stage.person()
        self.sources = [self.stage.addresses.another() for _ in range(6)]

    async def request(self, number: int) -> None:
        source, email = self.sources[number % len(self.sources)], {"email": self.victim.email}
        self.tally.add(await ask(self.stage.target, "POST", "/api/v1/auth/password/reset", email, source=source))

    async def look_back(self) -> None:
        account = {"username": self.victim.email, "password": PASSWORD}
        signed_in = await ask(self.stage.target, "POST", "/api/v1/auth/login", account, source=self.victim.source)
        self.signed_in = signed_in.status == 200

    def kept(self) -> bool | None:
        return self.signed_in


class SlowReaders(Kind):
    """Readers of the largest answers, 350 bytes a second."""

    name = "slow readers"
    connections, most = 24, 24

    async def prepare(self) -> None:
        self.reader = await self.stage.person()
        await self.stage.contacts(self.reader, 5)
        for _ in range(50):
            await self.stage.ask(self.reader, "POST", "/api/v1/notes", {"raw_text": "-" * 100_000})

    async def request(self, number: int) -> None:
        path = "/api/v1/notes?limit=200" if number % 2 else "/api/v1/contacts/export"
        asked = request_of(
            self.stage.target, "GET", path, Authorization=f"Bearer {self.reader.token}", Accept_Encoding="identity"
        )
        loop, received, first = asyncio.get_running_loop(), 0, b""
        try:
            async with connection(self.stage.target, self.reader.source, receives=4096) as made:
                await loop.sock_sendall(made, asked)
                while part := await loop.sock_recv(made, 35):
                    received += len(part)
                    first = first or part
                    await asyncio.sleep(0.1)
        finally:
            status = int(first.split(b" ", 2)[1]) if first.startswith(b"HTTP/") else 0
            self.tally.add(Answer(status, b"", len(asked), received, 0.0))


class HalfRequests(Kind):
    """Heads and bodies that begin, and go on by a byte a second."""

    name = "half requests"
    connections, most = 40, 40

    async def request(self, number: int) -> None:
        head = request_of(self.stage.target, "POST", "/api/v1/auth/login", b"{" * 1000, Content_Type="application/json")
        begun = head[:-990] if number % 2 else head[:40]
        loop, sent, received = asyncio.get_running_loop(), len(begun), b""
        try:
            async with connection(self.stage.target, self.source) as made:
                await loop.sock_sendall(made, begun)
                while not received:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(1):
                            received = await loop.sock_recv(made, 65536)
                            break
                    await loop.sock_sendall(made, head[sent : sent + 1])
                    sent += 1
        finally:
            status = int(received.split(b" ", 2)[1]) if received.startswith(b"HTTP/") else 0
            self.tally.add(Answer(status, b"", sent, len(received), 0.0))


class Cache(Kind):
    """Anonymous lists that nobody asks for twice, as large as they come."""

    name = "cache"
    connections, most = 4, 300

    async def prepare(self) -> None:
        await self.stage.public_events()

    async def request(self, number: int) -> None:
        await self.ask("GET", f"/api/v1/events?limit=1000&start_after=2020-01-01T00:00:00.{number:06d}Z")


class Guesses(Kind):
    """Passwords of one account, after the cache was filled: its counter must still be there."""

    name = "guesses"
    connections, most = 4, 60
    promise = "429 comes"

    async def prepare(self) -> None:
        self.victim = await self.stage.person()

    async def request(self, number: int) -> None:
        await self.ask("POST", "/api/v1/auth/login", {"username": self.victim.email, "password": f"guess {number}"})


class Invitations(Kind):
    """Meetings with two hundred strangers each, of somebody who has just signed up."""

    name = "invitations"
    connections, most = 2, 20
    promise = "429 comes"

    async def prepare(self) -> None:
        self.host, self.strangers = await self.stage.person(), numbered("stranger")

    async def request(self, number: int) -> None:
        emails = [next(self.strangers) for _ in range(200)]
        meeting = {"title": "Win", "scheduled_time": TEN_YEARS["start_date"], "attendee_emails": emails}
        await self.ask("POST", "/api/v1/meetings", meeting, person=self.host)


class Cards(Kind):
    """vCards whose lists have hundreds of thousands of empty parts."""

    name = "vCards"
    connections, most = 4, 16
    head = "BEGIN:VCARD\r\nVERSION:3.0\r\nFN:A\r\nEMAIL:a@attack.example\r\nCATEGORIES:"
    body = f"{head}{',' * 900_000}\r\nEND:VCARD\r\n".encode()

    async def prepare(self) -> None:
        self.sender = await self.stage.person()

    async def request(self, number: int) -> None:
        await self.ask("POST", "/api/v1/contacts/cards", self.body, "text/vcard", self.sender)


class Rows(Kind):
    """Rows without end: sheets of contacts, thousands at a time."""

    name = "rows"
    connections, most = 2, 6

    async def prepare(self) -> None:
        self.sender = await self.stage.person()

    async def request(self, number: int) -> None:
        await self.ask("POST", "/api/v1/contacts/import", sheet(5000, "x" * 80), "text/csv", self.sender)


class Notes(Kind):
    """Sixty notes that say nothing but dates and names, a hundred kilobytes each: work for whoever looks for tasks."""

    name = "notes"
    connections, most = 4, 60

    async def prepare(self) -> None:
        self.author = await self.stage.person()
        self.made: list[int] = []

    async def request(self, number: int) -> None:
        note = {"raw_text": f"{number} " + "el el 1st 1st " * 7100}
        answer = await self.ask("POST", "/api/v1/notes", note, person=self.author)
        if answer.status == 201:
            self.made.append(int(answer.body.split(b'"id":', 1)[1].split(b",", 1)[0]))

    async def look_back(self) -> None:
        for note in self.made:  # and the work that waits for them
            await self.stage.ask(self.author, "DELETE", f"/api/v1/notes/{note}")


KINDS: tuple[type[Kind], ...] = (
    Searches, Refusals, Resets, SlowReaders, HalfRequests, Cache, Guesses, Invitations, Cards, Rows, Notes,
)  # fmt: skip
