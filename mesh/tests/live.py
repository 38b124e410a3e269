"""The live server of a test, asked over HTTP, by many at once where it is told to."""

import http.client
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import Any


class Live:
    """Calls the live server over a real socket: `(status, headers, body)`."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port

    def __call__(
        self, method: str, path: str, token: str = "", data: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], Any]:
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        if token:
            sent["Authorization"] = f"Bearer {token}"
        if data is not None:
            sent.setdefault("Content-Type", "application/json")
        with closing(http.client.HTTPConnection(self.host, self.port, timeout=20)) as conn:
            conn.request(method, path, None if data is None else json.dumps(data), sent)
            response = conn.getresponse()
            body = response.read()
            return response.status, dict(response.getheaders()), json.loads(body) if body else None


def at_once(times: int, call: Callable[[int], Any]) -> list[Any]:
    """The results of `call(0)`, `call(1)`, … made by as many threads."""
    with ThreadPoolExecutor(times) as pool:
        return list(pool.map(call, range(times)))
