"""Nobody's jobs hold up another's: queues share a process's threads, and in a queue users take turns."""

import json
import signal

import pytest
from django.db import OperationalError

from mesh.models import Outbox
from mesh.outbox import messages, overdue
from mesh.tests import processes
from mesh.tests.database import sql
from mesh.tests.processes import eventually
from mesh.worker import claims, tasks
from mesh.worker.turns import Turns
from notes.models import Note
from shop.models import Order

QUEUES = processes.QUEUES.split(",")
HOSTILE = ("el el 1st 1st " * 1_430)[:20_000]
UNFAIR = ("config.tests.all_apps.unfair_worker",)


@pytest.fixture
def turns(monkeypatch):
    """Those of a process with eight threads."""
    made = Turns(8, QUEUES)
    monkeypatch.setattr(tasks, "turns", made)
    monkeypatch.setattr(claims, "turns", made)
    return made


def waiting(person, count, queue="notes", operation="summarize_note", due="clock_timestamp()"):
    """Jobs that find nothing to do."""
    sql(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, actor_id, request_id, status, attempt, error,"
        f" due_at) SELECT %s, '{{\"id\": 987654321, \"revision\": 1}}', %s, 60, %s, '', 'waiting', 0, '', {due}"
        " FROM generate_series(1, %s)",
        operation,
        queue,
        person and person.id,
        count,
    )


def owners(turns, count, queue="notes"):
    """Whose jobs are claimed one after another, each done before the next."""
    found = []
    for _ in range(count):
        for row in turns.claim(queue, 0.0):
            found.append(row[3])
            turns.done(queue, row[3])
    return found


def test_users_take_turns_whatever_waits(alice, bob, charlie, turns):
    waiting(alice, 60)
    waiting(bob, 2)
    waiting(None, 1)
    waiting(charlie, 1)
    waiting(bob, 5, queue="mail", operation="send_mail")
    assert owners(turns, 7) == [None, alice.id, bob.id, charlie.id, alice.id, bob.id, alice.id]
    waiting(bob, 1)
    assert owners(turns, 3) == [bob.id, alice.id, alice.id]
    assert owners(turns, 60) == [alice.id] * 55


def test_of_a_user_the_job_that_is_due_longest_is_next(alice, turns):
    waiting(alice, 1, due="clock_timestamp() - interval '1 minute'")
    waiting(alice, 1, due="clock_timestamp() - interval '1 hour'")
    early = Outbox.objects.latest("id").pk
    assert turns.claim("notes", 0.0)[0][0] == early


def test_what_is_not_due_is_passed_over_and_a_lost_run_comes_first(alice, bob, charlie, turns):
    waiting(alice, 3, due="clock_timestamp() + interval '1 hour'")
    waiting(bob, 1)
    waiting(charlie, 1, due="clock_timestamp() - interval '1 minute'")
    assert owners(turns, 1) == [bob.id]
    sql("UPDATE mesh_outbox SET lease_until = clock_timestamp() - interval '1 second' WHERE status = 'running'")
    assert turns.claim("notes", 30.0)[0][3] == charlie.id
    assert owners(turns, 3) == [bob.id]


def test_of_the_threads_of_a_queue_one_user_never_has_all(alice, bob, turns):
    waiting(alice, 9)
    assert [len(turns.claim("notes", 0.0)) for _ in range(4)] == [1, 1, 1, 0]
    waiting(bob, 1)
    assert [row[3] for row in turns.claim("notes", 0.0)] == [bob.id]
    turns.done("notes", alice.id)
    assert [row[3] for row in turns.claim("notes", 0.0)] == [alice.id]


def test_a_queue_has_half_of_the_threads_and_every_other_finds_one():
    turns = Turns(8, QUEUES)
    assert [turns.begin("notes") for _ in range(6)] == [True] * 4 + [False] * 2
    assert [turns.begin("mail") for _ in range(2)] == [True, False]
    assert [turns.begin(queue) for queue in ("stock", "documents", "default")] == [True] * 3
    assert not turns.end("notes")  # somebody asked
    turns.look("notes")
    assert turns.end("notes")
    assert turns.begin("stock")


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_few_threads_are_one_for_each_queue(threads):
    turns = Turns(threads, QUEUES)
    assert [(turns.begin(queue), turns.begin(queue)) for queue in QUEUES] == [(True, False)] * 5


def test_of_four_threads_two_may_have_notes_and_the_others_do_not():
    turns = Turns(4, QUEUES)
    assert [turns.begin(queue) for queue in ("notes", "notes", "notes")] == [True, True, False]
    assert [turns.begin(queue) for queue in ("mail", "mail", "stock", "stock")] == [True, False, True, False]


def test_a_queue_is_served_until_nothing_is_left_and_gives_its_thread_back(alice, bob, turns):
    waiting(alice, 3)
    waiting(bob, 1)
    waiting(bob, 1, operation="gone")
    assert not tasks.serve("notes")
    assert sorted(Outbox.objects.values_list("operation", "status")) == [
        ("gone", "failed"),
        *[("summarize_note", "done")] * 4,
    ]
    assert [turns.begin("notes") for _ in range(5)] == [True] * 4 + [False]
    waiting(alice, 1)
    tasks.serve("notes")
    assert Outbox.objects.filter(status="waiting").count() == 1
    turns.end("notes", at_once=True)
    tasks.serve("notes")
    assert not Outbox.objects.filter(status="waiting").exists()


def test_a_thread_makes_way_after_a_while_and_has_the_rest_done_later(alice, turns, monkeypatch):
    monkeypatch.setattr(tasks, "_TIME_SLICE", 0.0)
    waiting(alice, 2)
    assert (tasks.serve("notes"), tasks.serve("notes"), tasks.serve("notes")) == (True, True, False)
    assert list(Outbox.objects.values_list("status", flat=True)) == ["done", "done"]


def test_what_is_done_later_is_behind_what_was_sent_before(broker, turns):
    messages.send([messages.Sent(1, "notes", alone=True)])
    messages.go_on_later("notes")
    first, last = (json.loads(message) for message in reversed(broker.lrange("notes", 0, -1)))
    assert (first["headers"]["argsrepr"], last["headers"]["argsrepr"]) == ("[[1]]", "[[]]")


def test_a_claim_that_breaks_off_is_not_counted_as_a_run(alice, turns, monkeypatch):
    """The database goes away between a claim and the look at it: the user has no thread less for ever."""
    waiting(alice, 9)

    def gone(*row):
        raise OperationalError("the connection is lost")

    with monkeypatch.context() as patch:
        patch.setattr(claims, "_claim_of", gone)
        for _ in range(3):
            with pytest.raises(OperationalError):
                tasks.serve("notes")
    assert [row[3] for row in turns.claim("notes", 0.0)] == [alice.id]


def test_who_asks_while_the_last_look_finds_nothing_is_seen(alice, turns, monkeypatch):
    """All threads of a queue are taken, and the only one of them that could go on has just looked."""
    for _ in range(3):
        turns.begin("notes")
    real, late = turns.claim, []

    def claim(queue, waited):
        rows = real(queue, waited)
        if not rows and not late:
            waiting(alice, 1)
            late.append(tasks.serve("notes"))
        return rows

    monkeypatch.setattr(turns, "claim", claim)
    tasks.serve("notes")
    assert late == [False]
    assert list(Outbox.objects.values_list("status", flat=True)) == ["done"]


def test_the_queues_in_which_something_waits_or_runs(alice, turns):
    waiting(alice, 3)
    waiting(alice, 3, queue="mail", operation="send_mail")
    waiting(alice, 1, queue="stock", operation="send_mail")
    sql("UPDATE mesh_outbox SET status = 'running' WHERE queue = 'stock'")
    assert overdue.queues() == ["mail", "notes", "stock"]


def test_a_turn_costs_the_same_whatever_waits(alice, bob, charlie, turns):
    waiting(alice, 20_000)
    waiting(charlie, 20_000, due="clock_timestamp() + interval '1 hour'")
    waiting(bob, 1)
    for known in (False, True):
        if known:
            sql("ANALYZE mesh_outbox")
        for last in (-1, alice.id, bob.id):
            assert _rows_read(last) < 400  # of 40,000; how many exactly is for the planner to say


def _rows_read(last):
    from mesh.worker import turns

    values = [value for user in (last, -1) for value in ["notes", user, "notes", "notes", 0.0, 0.0, []]]
    (found,) = sql(f"EXPLAIN (ANALYZE, FORMAT JSON) {turns._CLAIM}", "notes", 0.0, *values)
    plans = found[0] if isinstance(found[0], list) else json.loads(found[0])
    return sum(_read(plan["Plan"]) for plan in plans)


def _read(node):
    own = node["Actual Rows"] + node.get("Rows Removed by Filter", 0) + node.get("Rows Removed by Index Recheck", 0)
    return own * node["Actual Loops"] + sum(map(_read, node.get("Plans", [])))


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("program", "fair"), [(UNFAIR, False), (("celery", "-A", "config.celery"), True)])
def test_sixty_hostile_notes_hold_up_nobody(alice, bob, broker, program, fair):
    """With the order by age the setup loses."""
    for _ in range(60):
        alice.mesh.call_tool("add_note", {"raw_text": HOSTILE})
    product = alice.api.post("/products", {"sku": "A", "name": "Cup", "price_cents": 100, "stock": 1}).json["id"]
    note = bob.mesh.call_tool("add_note", {"raw_text": "Maria will send the offer by Friday."}).row_id
    order = bob.api.post("/orders", {"items": [{"product_id": product, "quantity": 1}]}).json["id"]
    eventually(lambda: broker.llen("notes") == 61 and broker.llen("stock") == 1)
    with processes.worker(program):
        eventually(lambda: Order.objects.get(pk=order).status == "RESERVED")
        before_order = Note.objects.filter(author=alice.user, status="done").count()
        eventually(lambda: Note.objects.get(pk=note).status == "done", 120)
        before_note = Note.objects.filter(author=alice.user, status="done").count()
    if fair:
        assert (before_order < 10, before_note < 10) == (True, True)
    else:
        assert before_note >= 50


@pytest.mark.django_db(transaction=True)
def test_a_worker_that_is_asked_to_stop_leaves_the_rest_to_the_next(alice, broker):
    for _ in range(40):
        alice.mesh.call_tool("add_note", {"raw_text": HOSTILE})
    with processes.worker() as first:
        eventually(lambda: Note.objects.filter(status="done").exists())
        first.send_signal(signal.SIGTERM)
        assert first.wait(30) == 0
    done = Note.objects.filter(status="done").count()
    assert 0 < done < 40
    assert Outbox.objects.filter(status="waiting").count() == 40 - done
    with processes.worker(), processes.relay():
        eventually(lambda: Note.objects.filter(status="done").count() == 40, 120)
    assert set(Outbox.objects.values_list("attempt", flat=True)) == {1}
