"""Many at once, each with a connection of their own: nobody sits on another's seat, waits in vain or is told twice.

Each race is lost too, with what guards it taken off, so the setup is known to bite.
"""

import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
from django.db import OperationalError, transaction

from accounts.tests.assertions import at_once
from events.models import Attendee, Category, Event, Registration
from events.tests.conftest import BEGINS, ENDS, counts
from events.tests.races import (
    Gate,
    Storm,
    all_at_once,
    attend,
    deadlocks,
    outcome,
    outcomes,
    run_thrice,
    take_locks_off,
    taking,
    wait_until_waiting,
    what_is_wrong,
    without_constraints,
)
from events.tests.races import everyone_connected as everyone_connected
from mesh.execution import flush
from mesh.models import Mail
from mesh.testing import Api
from mesh.tests.database import sql
from mesh.tests.jobs import run_jobs
from mesh.tests.mail_server import listening

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.usefixtures("everyone_connected")]

OVER_FULL, IN_VAIN = "events_event_not_over_full", "events_event_nobody_waits_in_vain"


# The last seats.


def test_of_fifty_at_once_one_gets_the_last_seat(alice, bob, event):
    party = event(capacity=3)
    attend(party, bob, 2)
    answers = all_at_once(*[taking(party, f"g{n}") for n in range(50)], by=bob)
    assert outcomes(answers) == {(201, "registered"): 1, (409, "events.full"): 49}
    assert counts(alice.api, party) == (3, 0, 0)


def test_without_the_lock_all_fifty_get_the_last_seat(alice, bob, event, monkeypatch):
    party = event(capacity=3)
    attend(party, bob, 2)
    with without_constraints(OVER_FULL):
        take_locks_off(monkeypatch, Gate(50))
        answers = all_at_once(*[taking(party, f"g{n}") for n in range(50)], by=bob)
        assert outcomes(answers) == {(201, "registered"): 50}
        assert counts(alice.api, party) == (52, -49, 0)
        assert what_is_wrong(party) == ["over-full"]


def test_without_the_lock_the_constraint_keeps_it_from_being_over_full(alice, bob, event, monkeypatch):
    party = event(capacity=3)
    attend(party, bob, 2)
    take_locks_off(monkeypatch, Gate(2))
    first, second = all_at_once(taking(party, "g1"), taking(party, "g2"), by=bob)
    assert sorted([first.status, second.status]) == [201, 500]
    assert counts(alice.api, party) == (3, 0, 0)


def test_of_fifty_at_once_for_ten_seats_ten_get_one_and_forty_wait_in_order(alice, bob, event):
    party = event(capacity=10)
    answers = all_at_once(*[taking(party, f"g{n}", waitlist=True) for n in range(50)], by=bob)
    assert outcomes(answers) == {(201, "registered"): 10, (201, "waiting"): 40}
    assert counts(alice.api, party) == (10, 0, 40)
    told = {answer.json["id"]: (answer.json["status"], answer.json["position"]) for answer in answers}
    in_order = Registration.objects.filter(event=party).order_by("pk").values_list("attendee", flat=True)
    right = [("registered", None)] * 10 + [("waiting", place) for place in range(1, 41)]
    assert [told[guest] for guest in in_order] == right
    listed = alice.api.get(f"/events/{party}/attendees?limit=100").json["results"]
    assert [(row["status"], row["position"]) for row in reversed(listed)] == right


def test_without_the_lock_nobody_waits_for_ten_seats(alice, bob, event, monkeypatch):
    party = event(capacity=10)
    with without_constraints(OVER_FULL):
        take_locks_off(monkeypatch, Gate(50))
        answers = all_at_once(*[taking(party, f"g{n}", waitlist=True) for n in range(50)], by=bob)
        assert outcomes(answers) == {(201, "registered"): 50}
        assert counts(alice.api, party) == (50, -40, 0)


# The same person.

SAME = ["m\u00fcller@example.com", "mu\u0308ller@example.com", "M\u00dcLLER@example.com", "MU\u0308LLER@EXAMPLE.COM"]


def twenty_register_the_same(person, event):
    people = [person(f"registrar{n}") for n in range(20)]
    calls = [
        partial(p.api.post, f"/events/{event}/attendees", {"name": "Eve", "email": SAME[n % 4]})
        for n, p in enumerate(people)
    ]
    return outcomes(at_once(*calls))


def test_an_address_typed_in_four_ways_by_twenty_at_once_is_registered_once(alice, person, event):
    party = event()
    assert twenty_register_the_same(person, party) == {(201, "registered"): 1, (409, "events.already_registered"): 19}
    assert counts(alice.api, party) == (1, None, 0)
    assert Attendee.objects.count() == 1


def test_without_the_unique_index_it_is_registered_twenty_times(alice, person, event):
    party = event()
    with without_constraints("events_registration_once"):
        assert twenty_register_the_same(person, party) == {(201, "registered"): 20}
        assert counts(alice.api, party) == (20, None, 0)
        assert Registration.objects.values("email_key").distinct().count() == 1


# The waiting list.


def five_leave_ten_come_and_ten_more_seats(alice, bob, party):
    """At the same time, with 5 of 5 seats taken and 30 waiting: the keys of those, and what was answered."""
    taken, waiting = attend(party, bob, 5), attend(party, bob, 30, "waiting")
    guests = Registration.objects.filter(pk__in=taken).values_list("attendee", flat=True)
    answers = all_at_once(
        *[lambda api, guest=guest: api.delete(f"/events/{party}/attendees/{guest}") for guest in guests],
        lambda api: api.patch(f"/events/{party}", {"capacity": 15}),
        *[taking(party, f"new{n}", waitlist=True) for n in range(10)],
        by=alice,
    )
    return waiting, answers


def test_those_who_wait_longest_move_up_and_are_told_once(alice, bob, event, settings):
    party, before = event(capacity=5), deadlocks()
    with listening() as sink:
        run_jobs()
        settings.EMAIL_URL = sink.url
        waiting, answers = five_leave_ten_come_and_ten_more_seats(alice, bob, party)
        assert outcomes(answers) == {(204, ""): 5, (200, "active"): 1, (201, "waiting"): 10}
        assert what_is_wrong(party) == []
        assert counts(alice.api, party) == (15, 0, 25)
        rows = Registration.objects.filter(event=party).order_by("pk")
        assert list(rows.filter(status="registered").values_list("pk", flat=True)) == waiting[:15]
        assert list(rows.filter(status="waiting").values_list("pk", flat=True)[:15]) == waiting[15:]
        run_thrice()
        assert run_jobs() == 0
    told = Counter(mail.key.rpartition(":")[2] for mail in Mail.objects.filter(key__startswith="registration:"))
    assert told == {"moved_up": 15, "waiting": 10, "withdrawn": 5}
    assert sorted(Mail.objects.filter(key__endswith=":moved_up").values_list("key", flat=True)) == sorted(
        f"registration:{key}:moved_up" for key in waiting[:15]
    )
    got = Counter(to for to in sink.recipients if to.startswith("waiting"))
    assert got == {f"waiting{n}-{party}@example.com": 1 for n in range(15)}
    assert len({message["Message-ID"] for message in sink.came}) == len(sink.came)
    assert deadlocks() == before


def test_without_the_lock_seats_and_counters_do_not_agree(alice, bob, event, monkeypatch):
    party = event(capacity=5)
    with without_constraints(OVER_FULL, IN_VAIN):
        take_locks_off(monkeypatch, Gate(16))
        _, answers = five_leave_ten_come_and_ten_more_seats(alice, bob, party)
        assert outcomes(answers)[204, ""] == 5
        assert what_is_wrong(party) != []


# Counters in every read.


def test_counters_are_right_in_every_read_while_twenty_register_change_and_remove(alice, bob, event):
    events, before = [event(capacity=5), event(capacity=8)], deadlocks()
    storm = Storm([alice, bob], events)
    storm.rage(4)
    assert storm.wrong_reads == []
    assert storm.reads > 100
    assert {status for _, status, _ in storm.outcomes} == {200, 201, 204, 403, 404, 409}, storm.outcomes
    assert {name for name, status, _ in storm.outcomes if status == 403} == {"change"}  # alice's, of bob's guests
    for done in (("register", 201), ("change", 200), ("remove", 204)):
        assert sum(n for (name, status, _), n in storm.outcomes.items() if (name, status) == done) > 10
    for party in events:
        assert what_is_wrong(party) == []
        counts(alice.api, party)
    assert deadlocks() == before


def test_without_the_lock_reads_and_counters_are_wrong(alice, bob, event, monkeypatch):
    events = [event(capacity=5), event(capacity=8)]
    with without_constraints(OVER_FULL, IN_VAIN, "events_event_counts"):
        take_locks_off(monkeypatch)
        storm = Storm([alice, bob], events)
        for _ in range(6):
            if not storm.wrong_reads:
                storm.rage(1.5)
        assert storm.wrong_reads != []
        assert [what_is_wrong(party) for party in events] != [[], []]


def test_a_deadlock_would_be_seen(alice, event):
    events, before, both = (event(), event()), deadlocks(), threading.Barrier(2)

    def lock(first, second):
        try:
            with transaction.atomic():
                sql("SELECT 1 FROM events_event WHERE id = %s FOR UPDATE", first)
                both.wait(5)
                sql("SELECT 1 FROM events_event WHERE id = %s FOR UPDATE", second)
        except OperationalError:
            return "deadlock"
        return "locked"

    assert sorted(at_once(partial(lock, *events), partial(lock, *events[::-1]))) == ["deadlock", "locked"]
    assert deadlocks() == before + 1


# An event that goes meanwhile.


@pytest.mark.parametrize(
    ("method", "path", "data"),
    [
        ("PATCH", "", {"name": "Closed day", "capacity": 5}),
        ("POST", "/cancel", None),
        ("DELETE", "", None),
        ("POST", "/attendees", {"name": "Eve", "email": "eve@example.com"}),
    ],
)
def test_who_waits_for_an_event_that_is_deleted_meanwhile_changes_nothing(alice, bob, event, method, path, data):
    party = event(capacity=2)
    attend(party, bob, 2), attend(party, bob, 1, "waiting")
    calls = [
        partial(Api(alice.api.token).delete, f"/events/{party}"),
        partial(Api(alice.api.token).request, method, f"/events/{party}{path}", data),
    ]
    with ThreadPoolExecutor(2) as pool, transaction.atomic():
        sql("SELECT 1 FROM events_event WHERE id = %s FOR NO KEY UPDATE", party)
        answers = []
        for number, call in enumerate(calls, 1):
            answers.append(pool.submit(at_once, call))
            wait_until_waiting(number)
    assert [outcome(answer.result()[0]) for answer in answers] == [(204, ""), (404, "not_found")]
    found = Event.objects.get(pk=party)
    assert (found.name, found.capacity, found.attendee_count, found.waiting_count) == ("Open day", 2, 2, 1)


# An e-mail that somebody has at a deleted event alone.


@pytest.fixture
def unseen(alice, bob, event):
    """Registers eve, and gil for an event that is then deleted: their keys, and an event for gil to come to."""

    def make(number=0):
        gone, made = event(), event()
        gil = taking(gone, f"gil{number}")(bob.api).json["id"]
        eve = taking(made, f"eve{number}")(bob.api).json["id"]
        alice.api.delete(f"/events/{gone}")
        return eve, gil, made

    return make


def test_who_is_registered_again_meanwhile_keeps_their_e_mail(bob, unseen):
    eve, gil, party = unseen()
    change = partial(Api(bob.api.token).patch, f"/attendees/{eve}", {"email": "gil0@example.com"})
    with ThreadPoolExecutor(1) as pool, transaction.atomic():
        person = {"registrar_id": bob.id, "name": "Gil", "email": "gil0@example.com", "phone": None}
        Registration.objects.add(Event.objects.get(pk=party), status="registered", **person)
        answers = pool.submit(at_once, change)
        wait_until_waiting(1)
    assert outcomes(answers.result()) == {(409, "attendees.email_taken"): 1}
    assert set(Registration.objects.filter(event=party).values_list("attendee", flat=True)) == {eve, gil}


def claimed_and_registered(bob, eve, guest, party):
    claim = {"email": f"{guest}@example.com"}
    changed, registered = all_at_once(lambda api: api.patch(f"/attendees/{eve}", claim), taking(party, guest), by=bob)
    return *outcome(changed), registered.status, registered.json["id"]


def test_an_e_mail_that_is_claimed_and_registered_at_once_is_one_persons(bob, event, unseen):
    for number in range(20):
        eve, gil, _ = unseen(number)
        ends = {(200, "", 201, eve), (409, "attendees.email_taken", 201, gil)}
        assert claimed_and_registered(bob, eve, f"gil{number}", event()) in ends


# Fewer seats.


RIGHT_ENDS = {
    False: {(200, "active", 409, "events.full"), (409, "events.capacity_taken", 201, "registered")},
    True: {(200, "active", 201, "waiting"), (409, "events.capacity_taken", 201, "registered")},
}


def lowered_and_taken(alice, bob, party, **fields):
    """One of two seats is taken; at the same time there shall be only one, and somebody takes the other."""
    attend(party, bob, 1)
    lower, take = all_at_once(
        lambda api: api.patch(f"/events/{party}", {"capacity": 1}), taking(party, "guest", **fields), by=alice
    )
    return outcome(lower) + outcome(take)


def test_of_fewer_seats_and_one_more_guest_at_once_one_comes_first(alice, bob, event):
    for number in range(50):
        party, waitlist = event(capacity=2), number % 2 == 0
        assert lowered_and_taken(alice, bob, party, waitlist=waitlist) in RIGHT_ENDS[waitlist]
        assert what_is_wrong(party) == []


def test_without_the_lock_both_come_first(alice, bob, event, monkeypatch):
    party = event(capacity=2)
    with without_constraints(OVER_FULL):
        take_locks_off(monkeypatch, Gate(2))
        assert lowered_and_taken(alice, bob, party) == (200, "active", 201, "registered")
        assert "over-full" in what_is_wrong(party)


# A category that goes, and an event that comes into it.


def deleted_and_used(alice, category):
    data = {"name": "Party", "start_date": BEGINS, "end_date": ENDS, "category_id": category}
    delete, create = all_at_once(
        lambda api: api.delete(f"/categories/{category}"), lambda api: api.post("/events", data), by=alice
    )
    return outcome(delete) + outcome(create)


def category(alice, number=0):
    return alice.api.post("/categories", {"name": f"Parties {number}"}).json["id"]


def homeless():
    return Event.objects.exclude(category=None).exclude(category__in=Category.objects.all()).count()


def test_no_event_is_in_a_category_that_was_deleted_at_once(alice):
    for number in range(30):
        assert deleted_and_used(alice, category(alice, number)) in {
            (204, "", 422, "invalid"),
            (409, "categories.in_use", 201, "active"),
        }
    assert homeless() == 0


@pytest.fixture
def both_before_they_end(monkeypatch):
    """No lock; both commands have changed their rows and made their answers before one of them ends."""
    gate, flush_alone = Gate(2), flush.flush

    def flush_together(*work):
        gate()
        flush_alone(*work)

    take_locks_off(monkeypatch)
    monkeypatch.setattr("mesh.execution.transaction.flush", flush_together)


def test_without_locks_the_foreign_key_refuses_one(alice, request):
    parties = category(alice)
    request.getfixturevalue("both_before_they_end")
    delete, create = deleted_and_used(alice, parties)[::2]
    assert sorted([delete, create]) in [[201, 409], [204, 409]]
    assert homeless() == 0


def test_without_the_foreign_key_too_an_event_is_left_without_its_category(alice, request):
    parties = category(alice)
    with without_constraints("events_event_category_id%_fk_%"):
        request.getfixturevalue("both_before_they_end")
        assert deleted_and_used(alice, parties)[::2] == (204, 201)
        assert homeless() == 1
