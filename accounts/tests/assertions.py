"""What the tests of every app say often."""

import re
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Barrier
from typing import Any

from django.apps import apps
from django.db import connections

from mesh.testing import Answered


class Like:
    """Equals every text that its pattern matches whole."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern

    def __eq__(self, other: object) -> bool:
        return isinstance(other, str) and re.fullmatch(self.pattern, other) is not None

    def __hash__(self) -> int:
        return hash(self.pattern)

    def __repr__(self) -> str:
        return f"<like {self.pattern}>"


TIME = Like(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?Z")
UUID7 = Like(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")


def refused(answer: Answered, status: int, code: str = "") -> dict[str, Any]:
    """The problem that a refusal is answered with."""
    assert answer.status == status, answer
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem: dict[str, Any] = answer.json
    assert problem["status"] == status
    assert {"type", "title", "detail", "code"} <= problem.keys()
    if code:
        assert problem["code"] == code, answer
    return problem


def faults(answer: Answered) -> dict[tuple[str | int, ...], str]:
    """The messages of a 422 by their places, without the word that there are more of them."""
    errors = refused(answer, 422)["errors"]
    return {tuple(error["loc"]): error["msg"] for error in errors if error["type"] != "more_errors"}


def ids(answer: Answered) -> list[int]:
    """The ids of a list, in its order; its count must agree."""
    assert answer.status == 200, answer
    found = [row["id"] for row in answer.json["results"]]
    if answer.json["next"] is None and answer.json["count"] is not None:
        assert answer.json["count"] == len(found)
    return found


def all_rows() -> dict[str, list[dict[str, Any]]]:
    """Every row of every app, and what the mesh keeps of commands that succeeded."""
    ours = ("accounts", "meetings", "tasks", "notes", "events", "shop")
    models = [m for m in apps.get_models() if m._meta.app_label in ours]
    models += [apps.get_model("mesh", "Version"), apps.get_model("mesh", "IdempotencyKey")]
    return {m._meta.label: list(m._base_manager.order_by("pk").values()) for m in models}


@contextmanager
def nothing_changes() -> Iterator[None]:
    """What is done inside leaves every row as it was."""
    before = all_rows()
    yield
    assert all_rows() == before


def at_once(*calls: Callable[[], Answered]) -> list[Answered]:
    """The answers of calls that begin together, each in a thread of its own."""
    barrier = Barrier(len(calls))

    def run(call: Callable[[], Answered]) -> Answered:
        try:
            barrier.wait(10)
            return call()
        finally:
            connections.close_all()

    with ThreadPoolExecutor(len(calls)) as pool:
        return [future.result() for future in [pool.submit(run, call) for call in calls]]
