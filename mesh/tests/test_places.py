"""Few expensive requests run at once, of each person fewer still; what is given back is there for the next."""

import threading
import time
from collections.abc import Iterator

import pytest

from mesh import command, query
from mesh.calling import concurrency
from mesh.calling.client import Mesh
from mesh.declarations.fields import Search
from mesh.declarations.registry import registry
from mesh.execution.service import Service
from mesh.tests.live import at_once
from tasks.models import Project


@pytest.fixture(autouse=True)
def few(settings, monkeypatch):
    settings.MESH = {**settings.MESH, "EXPENSIVE_REQUESTS": 3, "EXPENSIVE_REQUESTS_EACH": 2}
    monkeypatch.setattr(concurrency, "_WAIT", 0.2)
    monkeypatch.setattr(concurrency, "_places", concurrency.Places())


@pytest.fixture
def held(throwaway):
    """Operations of which each waits until it is let go."""
    go, began = threading.Event(), threading.Semaphore(0)

    class Held(Service):
        name = "held"

        @query("GET /held")
        def look_for(self, *, search: Search = None) -> int:
            """Look for something."""
            if search:
                began.release()
                assert go.wait(10)
            return 1

        @query("GET /held/lines", tool=False, media="text/csv")
        def export_lines(self) -> Iterator[str]:
            """Export something."""
            yield from ("a\n", "b\n")

        @command("POST /held", expensive=True)
        def do_much(self) -> int:
            """Do much."""
            self.changed()
            return self.of(Held).look_for()

    throwaway()
    yield Asked(go, began)
    go.set()


class Asked:
    def __init__(self, go, began):
        self.go, self.began, self.answers, self.threads = go, began, [], []

    def ask(self, live, token, path="/api/v1/held?search=a"):
        thread = threading.Thread(target=lambda: self.answers.append(live("GET", path, token)))
        thread.start()
        self.threads.append(thread)
        assert self.began.acquire(timeout=10)

    def let_go(self):
        self.go.set()
        for thread in self.threads:
            thread.join()
        return [status for status, _, _ in self.answers]


BUSY = "The server has as many searches, exports, imports and the like as it takes. Try again."


@pytest.mark.django_db(transaction=True)
def test_a_person_has_two_at_once_and_all_have_three(alice, bob, charlie, live, held):
    for person in (alice, alice):
        held.ask(live, person.api.token)
    status, headers, problem = live("GET", "/api/v1/held?search=a", alice.api.token)
    assert (status, headers["Retry-After"], problem["code"]) == (503, "1", "busy")
    assert problem["detail"] == "You may have 2 searches, exports, imports and the like at once. Try again."
    held.ask(live, bob.api.token)
    for path in ("/held?search=a", "/held/lines"):
        status, _, problem = live("GET", f"/api/v1{path}", charlie.api.token)
        assert (status, problem["detail"]) == (503, BUSY)
    assert live("POST", "/api/v1/held", charlie.api.token)[0] == 503
    assert live("POST", "/api/v1/tools/look_for", charlie.api.token, {"arguments": {"search": "a"}})[0] == 503
    login = {"username": "charlie@example.com", "password": "no"}
    assert live("POST", "/api/v1/auth/login", "", login)[0] == 503
    imported = {"csv": "sku,name,price_cents\nA,A,1\n"}
    assert live("POST", "/api/v1/products/import", charlie.api.token, imported)[0] == 503
    assert live("GET", "/api/v1/held", charlie.api.token)[0] == 200  # what is not expensive goes on
    assert live("POST", "/api/v1/projects", charlie.api.token, {"title": "A"})[0] == 201
    assert held.let_go() == [200] * 3
    assert live("POST", "/api/v1/held", charlie.api.token)[0] == 200
    assert concurrency._places._taken == {}
    assert Project.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_who_has_all_of_theirs_waits_a_moment_for_one(alice, live, held, monkeypatch):
    monkeypatch.setattr(concurrency, "_WAIT", 10)
    for _ in range(2):
        held.ask(live, alice.api.token)
    threading.Timer(0.2, held.go.set).start()
    assert live("GET", "/api/v1/held?search=a", alice.api.token)[0] == 200
    assert held.let_go() == [200, 200]


def test_who_waits_takes_no_place_that_others_need(monkeypatch):
    monkeypatch.setattr(concurrency, "_WAIT", 10)
    found = concurrency.Places()
    give_back = [found.take("alice") for _ in range(2)]
    waiting = threading.Thread(target=lambda: give_back.append(found.take("alice")))
    waiting.start()
    while not found._waiting:
        pass
    with pytest.raises(concurrency.Busy):  # two run, one waits: that is three
        found.take("bob")
    give_back.pop(0)()
    waiting.join()
    for back in give_back:
        back()
    assert (found._taken, found._waiting) == ({}, 0)


def test_one_that_calls_another_has_one_place(alice, held, settings):
    settings.MESH = {**settings.MESH, "EXPENSIVE_REQUESTS": 1, "EXPENSIVE_REQUESTS_EACH": 1}
    with concurrency.expensive(f"user:{alice.id}"), concurrency.expensive(f"user:{alice.id}"):
        pass
    assert concurrency._places._taken == {}


@pytest.mark.parametrize("how", ["read", "closed", "unread", "head"])
def test_an_export_has_its_place_until_it_ends_however_it_does(alice, held, how):
    if how == "head":
        assert alice.api.request("HEAD", "/held/lines").status == 200
    else:
        parts = Mesh(alice.actor, door="rest").call(registry.operations["export_lines"], {}, {}).stream
        assert concurrency._places._taken == {f"user:{alice.id}": 1}
        if how == "read":
            assert "".join(parts) == "a\nb\n"
        elif how == "closed":
            next(parts)
        parts.close()
    assert concurrency._places._taken == {}


def test_a_refused_export_takes_no_place(alice, held):
    for _ in range(3):
        assert alice.api.get("/held/lines?no=1").status == 422
    assert concurrency._places._taken == {}


def test_all_at_once_never_take_more_than_there_are(monkeypatch):
    monkeypatch.setattr(concurrency, "_WAIT", 0.01)
    most, lock = [0], threading.Lock()

    def ask(number):
        try:
            give_back = concurrency._places.take(f"user:{number % 5}")
        except concurrency.Busy:
            return 0
        with lock:
            most[0] = max(most[0], concurrency._places._taken.total())
        time.sleep(0.001)
        give_back()
        return 1

    done = at_once(32, lambda number: sum(ask(number) for _ in range(20)))
    assert most[0] == 3
    assert sum(done) > 0
    assert concurrency._places._taken == {}


@pytest.fixture
def impatient(monkeypatch):
    monkeypatch.setattr(concurrency, "_BODY_WAIT", 0.01)


def test_at_most_half_of_the_threads_wait_for_bodies(settings, impatient):
    settings.WEB_THREADS = 4
    with concurrency.body("a"), concurrency.body("b"), pytest.raises(concurrency.Busy), concurrency.body("c"):
        pass
    with concurrency.body("c"):
        pass


def test_who_sends_bodies_slowly_from_one_address_leaves_places_for_others(settings, impatient):
    settings.WEB_THREADS = 4
    with concurrency.body("a"), pytest.raises(concurrency.Busy), concurrency.body("a"):
        pass
    with concurrency.body("a"), concurrency.body("b"):
        pass
    settings.WEB_THREADS = 8
    with concurrency.body("a"), concurrency.body("a"), pytest.raises(concurrency.Busy), concurrency.body("a"):
        pass
    assert not concurrency._bodies_read
