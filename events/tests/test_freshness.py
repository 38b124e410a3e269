"""P9 for events: no read is older than the last write that was acknowledged before it began, for anyone."""

import threading
from collections import Counter
from functools import partial

import pytest

import mesh.calling.cache
from accounts.tests.assertions import at_once
from events.services import EventService
from events.tests.conftest import BEGINS, ENDS, register
from events.tests.races import everyone_connected as everyone_connected
from mesh.testing import Api
from mesh.tests.conftest import _redis_is_here as _redis_is_here
from mesh.tests.conftest import live as live
from mesh.tests.processes import eventually

ROUNDS, READERS = 300, 4

EVENT = {"name": "0", "start_date": BEGINS, "end_date": ENDS}


class History:
    """What was true after each write; what an answer shows is looked up in it."""

    def __init__(self, state):
        self.states = [state]
        self.acknowledged = 0  # writes
        self.stale = Counter()
        self.never_true = []

    def write(self, state):
        """This comes to be true with the write that begins now."""
        self.states.append(state)

    def read(self, name, shown, least):
        """Notes an answer; `least`: the writes that were acknowledged before it was asked for."""
        found = [n for n, state in enumerate(self.states) if {**state, **shown} == state]
        if not found:
            self.never_true.append((name, shown))
        elif found[-1] < least:
            self.stale[name] += 1


def as_list(body):
    (found,) = [event for event in body["results"] if event["category"]]
    return {"events": body["count"], **as_detail(found)}


def as_detail(event):
    return {"name": event["name"], "attendees": event["attendee_count"], "category": event["category"]["name"]}


def as_count(body):
    return {"events": body["count"]}


class Race:
    """Alice changes an event, its category and whether there is another one; others read meanwhile, some unknown."""

    def __init__(self, live, alice, readers):
        self.live, self.alice, self.readers = live, alice, readers
        self.category = self.post("/categories", {"name": "0"})["id"]
        self.event = self.post("/events", {**EVENT, "category_id": self.category})["id"]
        self.history = History({"name": "0", "attendees": 0, "category": "0", "events": 1})
        self.reads, self.hits = Counter(), Counter()
        self._over = threading.Event()
        self._other = self._guest = 0

    def post(self, path, data):
        return self.write("POST", path, data)

    def write(self, method, path, data=None):
        status, _, body = self.live(method, path, self.alice.api.token, data)
        assert status in (200, 201, 204), body
        return body

    def write_and_read(self, rounds):
        readers = [partial(self._read, n, token) for n, token in enumerate(self.readers)]
        at_once(partial(self._write, rounds), *readers)

    def _write(self, rounds):
        steps = [self._rename, self._attend, self._rename_category, self._add_or_delete]
        try:
            for number in range(1, rounds + 1):
                steps[number % 4](str(number))
                self.history.acknowledged = number
        finally:
            self._over.set()

    def _becomes(self, **changes):
        self.history.write({**self.history.states[-1], **changes})

    def _rename(self, number):
        self._becomes(name=number)
        self.write("PATCH", f"/events/{self.event}", {"name": number})

    def _attend(self, number):
        path = f"/events/{self.event}/attendees"
        self._becomes(attendees=0 if self._guest else 1)
        if self._guest:
            self.write("DELETE", f"{path}/{self._guest}")
            self._guest = 0
        else:
            self._guest = self.post(path, {"name": "Eve", "email": f"eve{number}@example.com"})["id"]

    def _rename_category(self, number):
        self._becomes(category=number)
        self.write("PATCH", f"/categories/{self.category}", {"name": number})

    def _add_or_delete(self, number):
        self._becomes(events=1 if self._other else 2)
        if self._other:
            self.write("DELETE", f"/events/{self._other}")
            self._other = 0
        else:
            self._other = self.post("/events", EVENT)["id"]

    def _read(self, number, token):
        paths = [("/events", as_list), (f"/events/{self.event}", as_detail), ("/events/count", as_count)]
        while not self._over.is_set():
            path, shown = paths[number % 3]
            number += 1
            least = self.history.acknowledged
            status, headers, body = self.live("GET", path, token)
            assert status == 200
            self.reads[path] += 1
            self.hits[path] += "X-Cache" in headers
            self.history.read(path, shown(body), least)


@pytest.mark.django_db(transaction=True)
def test_writes_of_four_kinds_against_readers_leave_no_stale_read(alice, bob, charlie, live, everyone_connected):
    tokens = [bob.api.token, "", charlie.api.token, ""]
    run = Race(live, alice, (tokens * READERS)[:READERS])
    run.write_and_read(ROUNDS)
    assert run.history.stale == {}
    assert run.history.never_true == []
    assert len(run.reads) == 3
    assert min(run.reads.values()) > 100
    assert min(run.hits.values()) > 20


@pytest.mark.django_db(transaction=True)
def test_with_the_versions_left_out_of_the_key_stale_reads_are_seen(alice, bob, live, everyone_connected, monkeypatch):
    key_of = mesh.calling.cache.key_of
    monkeypatch.setattr(
        "mesh.calling.client.key_of", lambda op, actor, versions, arguments: key_of(op, actor, {}, arguments)
    )
    run = Race(live, alice, [bob.api.token, ""])
    run.write_and_read(40)
    assert run.history.stale.keys() == run.reads.keys()
    assert min(run.history.stale.values()) > 5


# One after the other.

KINDS = ["/events", "/events/count", "/events/calendar.ics", "/events/{id}", "/events/{id}/ics"]


@pytest.fixture
def cached(anonymous):
    """Asks for something twice: the answer, which has come from the cache."""

    def ask(path):
        first = anonymous.get(path)
        assert is_hit(anonymous, path)
        second = anonymous.get(path)
        assert (second.status, second.text) == (200, first.text)
        return second

    return ask


def is_hit(api, path):
    """Whether this is answered from the cache now; a text does not tell so itself."""
    before = mesh.calling.cache.lookups()
    answer = api.get(path)
    (change,) = mesh.calling.cache.lookups() - before
    assert "json" not in answer.headers["Content-Type"] or (change[1] == "hit") == ("X-Cache" in answer.headers)
    return change[1] == "hit"


def test_one_event_stays_cached_while_another_is_changed(alice, bob, event, anonymous, cached):
    one, other = event(), event()
    details = [f"/events/{one}", f"/events/{one}/ics"]
    for path in [*details, "/events"]:
        cached(path)
    guest = register(bob, other, "eve").json["id"]
    alice.api.patch(f"/events/{other}", {"name": "Closed day", "capacity": 1})
    bob.api.delete(f"/events/{other}/attendees/{guest}")
    alice.api.post(f"/events/{other}/cancel")
    alice.api.delete(f"/events/{other}")
    event()
    assert [is_hit(anonymous, path) for path in [*details, "/events"]] == [True, True, False]
    alice.api.patch(f"/events/{one}", {"name": "Closed day"})
    assert [is_hit(anonymous, path) for path in details] == [False, False]


def test_a_new_name_of_a_category_shows_at_once_in_all_its_events(alice, event, anonymous, cached):
    category = alice.api.post("/categories", {"name": "Parties"}).json["id"]
    events = [event(category_id=category), event(category_id=category)]
    paths = ["/events", *[f"/events/{one}" for one in events], "/categories", f"/categories/{category}"]
    for path in paths:
        assert '"Parties"' in cached(path).text
    assert "CATEGORIES:Parties" in cached(f"/events/{events[0]}/ics").text
    alice.api.patch(f"/categories/{category}", {"name": "Feasts"})
    assert [is_hit(anonymous, f"/events/{one}") for one in events] == [False, False]
    for path in paths:
        assert '"Parties"' not in (answer := anonymous.get(path)).text
        assert '"Feasts"' in answer.text
    assert "CATEGORIES:Feasts" in anonymous.get(f"/events/{events[0]}/ics").text
    assert "X-WR-CALNAME:Feasts" in anonymous.get(f"/events/calendar.ics?category_id={category}").text


@pytest.mark.parametrize("reader", ["anonymous", "bob", "ada"])
def test_what_an_admin_changes_shows_at_once_to_everyone(ada, event, reader, request):
    one, found = event(), request.getfixturevalue(reader)
    api = found if isinstance(found, Api) else found.api
    paths = ["/events", f"/events/{one}"]
    assert [is_hit(api, path) for path in paths * 2] == [False, False, True, True]
    assert ada.api.patch(f"/events/{one}", {"name": "By the ADMIN"}).status == 200
    assert register(ada, one, "eve").status == 201
    shown = [api.get(path).json for path in paths]
    assert [(e["name"], e["attendee_count"]) for e in (shown[0]["results"][0], shown[1])] == [("By the ADMIN", 1)] * 2


def test_a_deleted_event_is_gone_at_once_from_all_that_is_cached(alice, ada, event, anonymous, cached):
    gone, kept = event(name="Gone"), event(name="Kept")
    paths = [kind.format(id=gone) for kind in KINDS]
    before = [cached(path) for path in paths]
    assert [before[0].json["count"], before[1].json["count"]] == [2, 2]
    assert before[2].text.count("BEGIN:VEVENT") == 2
    assert alice.api.delete(f"/events/{gone}").status == 204
    for api in (anonymous, alice.api, ada.api):
        listed, count, feed, detail, file = (api.get(path) for path in paths)
        assert [row["id"] for row in listed.json["results"]] == [kept]
        assert (listed.json["count"], count.json["count"], feed.text.count("BEGIN:VEVENT")) == (1, 1, 1)
        assert "Gone" not in feed.text
        assert (detail.status, file.status) == (404, 404)


def test_what_is_written_by_a_dry_run_or_refused_is_not_seen(alice, bob, event, anonymous, cached):
    one = event()
    for path in ("/events", f"/events/{one}"):
        cached(path)
    assert alice.api.patch(f"/events/{one}", {"name": "Dry"}, Prefer="dry-run").status == 200
    assert bob.api.patch(f"/events/{one}", {"name": "Refused"}).status == 403
    assert [is_hit(anonymous, path) for path in ("/events", f"/events/{one}")] == [True, True]


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("locked", "times"), [(True, 1), (False, 9)])
def test_misses_of_the_list_at_the_same_time_compute_once_and_without_a_lock_each(
    alice, bob, event, live, monkeypatch, everyone_connected, locked, times
):
    event()
    compute, attempt, computed, locking = EventService.list_events, mesh.calling.cache.attempt, [], []

    def noted(*commands):
        answers = attempt(*commands)
        if "NX" not in commands[0]:
            return answers
        locking.append(1)
        return answers if locked else ["OK"]

    def slow(service, **values):
        computed.append(1)
        eventually(lambda: len(locking) == 9)
        return compute(service, **values)

    monkeypatch.setattr(mesh.calling.cache, "attempt", noted)
    monkeypatch.setattr(EventService, "list_events", slow)
    answers = at_once(*[partial(live, "GET", "/events", token) for token in [alice.api.token, bob.api.token, ""] * 3])
    assert [(status, body["count"]) for status, _, body in answers] == [(200, 1)] * 9
    assert len(computed) == times
