"""HTTP as the attack speaks it: one request a connection, each from an address of its own choosing."""

import asyncio
import json
import random
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import urlsplit

PATIENCE = 10.0  # seconds that an answer may take before it counts as none
KEPT = 65536  # bytes of an answer that are looked at
PASSWORD = "correct horse battery staple"  # noqa: S105  (of users made for this)


class NotHere(ValueError):
    """The target is not a server on this machine; the message says what would be."""


class Closed(Exception):
    """What an attack needs cannot be made; the message says why."""


@dataclass(frozen=True)
class Target:
    """A server on this machine."""

    address: str
    port: int
    host: str

    @classmethod
    def of(cls, url: str) -> "Target":
        """Raises NotHere for anything but `http://` and a name of which every address is a loopback address."""
        parts = urlsplit(url)
        try:
            port, name = parts.port or 80, parts.hostname or ""
            found = (
                {str(info[4][0]) for info in socket.getaddrinfo(name, port, type=socket.SOCK_STREAM)} if name else set()
            )
        except (ValueError, OSError):
            found = set()
        if parts.scheme != "http" or not found or not all(ip_address(address).is_loopback for address in found):
            raise NotHere(f"{url} is not a server on this machine: give a URL such as http://127.0.0.1:8000.")
        return cls(min(found), port, parts.netloc)  # 127.0.0.1 before ::1


class Addresses:
    """Loopback addresses to come from, so that limits by address hold each client, as they would on the Internet.

    Only Linux has them without being set up; elsewhere everyone shares one.
    """

    def __init__(self, target: Target) -> None:
        self._numbers = iter(range(1, 1 << 16))
        self._net = random.randrange(1, 250)  # noqa: S311  (another run's are not counted with this one's)
        self._many = sys.platform == "linux" and ":" not in target.address

    def another(self) -> str:
        number = next(self._numbers)
        return f"127.{self._net}.{number // 250}.{number % 250 + 1}" if self._many else ""


@dataclass(frozen=True)
class Answer:
    """What came back: `status` 0 where nothing did in time; `body` is its beginning."""

    status: int
    body: bytes
    sent: int
    received: int
    seconds: float

    @property
    def json(self) -> Any:
        """Raises ValueError."""
        return json.loads(self.body)


@dataclass(frozen=True)
class Person:
    """A user made for this, at an address of their own."""

    email: str
    source: str
    token: str = field(repr=False)


@asynccontextmanager
async def connection(target: Target, source: str, receives: int = 0) -> Any:
    """A connected socket; `receives`: bytes that may wait on our side. What fails is an OSError."""
    family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
    with socket.socket(family) as made:
        made.setblocking(False)
        if receives:
            made.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receives)
        if source:
            made.bind((source, 0))
        await asyncio.get_running_loop().sock_connect(made, (target.address, target.port))
        yield made


def request_of(target: Target, method: str, path: str, body: bytes = b"", **headers: str) -> bytes:
    """A whole request that asks for the connection to be closed after it."""
    lines = [f"{method} {path} HTTP/1.1", f"Host: {target.host}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    if body:
        lines.append(f"Content-Length: {len(body)}")
    return "\r\n".join([*lines, "", ""]).encode() + body


async def ask(
    target: Target, method: str, path: str, data: Any = None, *, source: str = "", token: str = "", media: str = ""
) -> Answer:
    """Sends a request and reads its whole answer. `data` goes as JSON, or, where it is bytes, as they are."""
    body = b"" if data is None else data if isinstance(data, bytes) else json.dumps(data).encode()
    headers = {"Content_Type": media or "application/json"} if body else {}
    if token:
        headers["Authorization"] = f"Bearer {token}"
    request = request_of(target, method, path, body, **headers)
    kept, received, started = b"", 0, time.perf_counter()
    loop = asyncio.get_running_loop()
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(PATIENCE), connection(target, source) as made:
            with suppress(OSError):  # it may refuse before it has read everything
                await loop.sock_sendall(made, request)
            while part := await loop.sock_recv(made, 65536):
                received += len(part)
                kept += part[: KEPT - len(kept)]
    seconds = time.perf_counter() - started
    head, _, content = kept.partition(b"\r\n\r\n")
    first = head.split(b" ", 2)[1:2]
    return Answer(int(first[0]) if first else 0, content, len(request), received, seconds)


def numbered(prefix: str) -> Iterator[str]:
    """Names that nobody has: addresses below `.example` reach no one."""
    mark = f"{random.randrange(1 << 40):x}"  # noqa: S311
    number = 0
    while True:
        number += 1
        yield f"{prefix}.{mark}.{number}@attack.example"
