"""Budgets of what requests cost: the server's time and the bytes of answers, per user and address."""

import time

import pytest

from mesh import query
from mesh.calling import limits
from mesh.execution.service import Service
from mesh.testing import Api
from mesh.tests.live import at_once
from tasks.models import Project


@pytest.fixture
def budget(settings):
    def set_budgets(**budgets: str) -> None:
        changed = {f"RATE_LIMIT_{name.upper()}": text for name, text in budgets.items()}
        settings.MESH = {**settings.MESH, **changed}

    return set_budgets


@pytest.fixture(autouse=True)
def _nothing_spent(monkeypatch):
    monkeypatch.setattr(limits, "_ledger", limits._Ledger())


def test_who_had_more_bytes_than_allowed_is_told_which_budget_and_how_long(alice, bob, budget):
    Project.objects.create(owner=alice.user, title="A", description="a" * 900)
    budget(bytes="3kB/min", read="100/min")
    answers = [alice.api.get("/projects") for _ in range(6)]
    first = next(number for number, answer in enumerate(answers) if answer.status == 429)
    assert sum(len(answer.text) for answer in answers[:first]) > 3000  # what is over is known with the next request
    assert sum(len(answer.text) for answer in answers[: first - 1]) <= 3000
    assert [answer.status for answer in answers[first:]] == [429] * (6 - first)
    refused = answers[-1]
    wait = int(refused.headers["Retry-After"])
    assert 1 <= wait <= 60
    assert refused.json["detail"] == f"At most 3000 bytes of answers in 60 seconds. Wait {wait} seconds."
    assert refused.json["code"] == "rate_limited"
    assert alice.api.post("/projects", {"title": "B"}).status == 429
    assert Project.objects.count() == 1
    assert bob.api.get("/projects").status == 200


def test_who_took_more_time_than_allowed_is_refused(alice, budget, throwaway):
    class Slow(Service):
        name = "slow"

        @query("GET /slow")
        def be_slow(self) -> int:
            """Be slow."""
            time.sleep(0.6)
            return 1

    throwaway()
    budget(seconds="1/min")
    answers = [alice.api.get("/slow") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[-1].json["detail"].startswith("At most 1 seconds of the server's time in 60 seconds. Wait ")


def test_nobody_is_counted_by_address(anonymous, budget, db):
    budget(bytes="100/min")
    assert [anonymous.get("/users/me").status for _ in range(3)] == [401, 429, 429]


def test_an_export_counts_with_all_its_parts(alice, budget):
    made = {"name": "Bo", "email": "bo@example.com", "company": "Co", "notes": "n" * 400}
    assert alice.api.post("/contacts", made).status == 201
    budget(bytes="400/min")
    assert [alice.api.get("/contacts/export").status for _ in range(2)] == [200, 429]


def test_the_task_api_counts_too(alice, budget):
    key = alice.api.post("/api-keys", {"name": "Task API", "scopes": ["*"]}).json["key"]
    alice.api.post("/tasks", {"title": "t" * 100})
    budget(bytes="100/min")
    dialect = Api(mount="", X_API_Key=key)
    assert [dialect.get("/task-api/tasks").status for _ in range(2)] == [200, 429]
    assert alice.api.get("/projects").status == 429


@pytest.mark.django_db(transaction=True)
def test_what_was_spent_at_once_is_counted_once(alice, live, budget):
    budget(bytes="1GB/min")
    answers = at_once(12, lambda n: live("GET", "/projects", alice.api.token))
    assert {status for status, _, _ in answers} == {200}
    spent = 12 * len('{"count":0,"next":null,"results":[]}')
    assert limits._ledger._spent[f"user:{alice.id}"][1] == spent  # too little to tell Redis of it
    budget(bytes=f"{spent - 1}/min")
    assert alice.api.get("/projects").status == 429


def test_of_very_many_people_those_who_asked_first_are_forgotten():
    ledger = limits._Ledger()
    for number in range(limits._MOST_TALLIED + 3):
        ledger.add(f"address:{number}", 1, 2)
        ledger.refuse(f"address:{number}", limits.Usage(limits.Limit(1, 60), 2, 60))
    time_, size = limits._parsed_budgets("1/min", "1/min")
    assert ledger.take("address:2", (time_, size)) == ledger.over("address:2") == []
    assert ledger.take("address:3", (time_, size)) == [(time_, 1), (size, 2)]
    assert ledger.take("address:3", (time_, size)) == []
    assert len(ledger.over("address:3")) == 1


def test_another_process_learns_of_it_with_what_is_spent_there(alice, budget, monkeypatch):
    Project.objects.create(owner=alice.user, title="A", description="a" * 900)
    budget(bytes="3kB/min")
    while alice.api.get("/projects").status == 200:
        pass
    monkeypatch.setattr(limits, "_ledger", limits._Ledger())
    assert [alice.api.get("/projects").status for _ in range(2)] == [200, 429]


def test_a_budget_is_there_again_when_its_window_ends(alice, budget):
    budget(bytes="40/s")
    assert [alice.api.get("/projects").status for _ in range(3)] == [200, 200, 429]
    time.sleep(1.1)
    assert alice.api.get("/projects").status == 200


def test_sizes_are_read():
    assert limits.Limit.parse("200MB/min") == limits.Limit(200_000_000, 60)
    assert limits.Limit.parse("3kB/s") == limits.Limit(3000, 1)
