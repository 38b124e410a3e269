"""The parts of running a command that need no database: answers, dry runs, what a run did."""

import json
from typing import Any

import pytest
from pydantic import ValidationError

from mesh import ANONYMOUS, Actor, Attachment
from mesh.declarations.actors import Client
from mesh.declarations.invocation import Answer, Invocation
from mesh.declarations.registry import registry
from mesh.errors import Invalid, NotFound
from mesh.execution.audit import audit_statement
from mesh.execution.dry_run import dry_run_answer
from mesh.execution.flush import require_declared
from mesh.execution.invoke import encode_answer
from mesh.execution.service import Service, absent
from mesh.execution.unit_of_work import Work
from mesh.outbox.jobs import Job, insert_values
from mesh.rows.encoded import Encoded, undecoded
from mesh.tests.declarations.library import BookOut, operation
from mesh.tests.example.models import Thing
from mesh.tests.example.services import ThingService

ALICE = Actor(7, "AGENT")


def service(actor: Actor = ALICE) -> ThingService:
    return ThingService(actor)


def test_an_answer_is_encoded_with_the_id_of_its_row():
    answer = encode_answer(operation("get_book"), BookOut(id=3, title="é"))
    assert (json.loads(answer.body), answer.row_id, answer.next_cursor) == ({"id": 3, "title": "é"}, 3, None)
    assert encode_answer(operation("remove_book"), None) == Answer(b"")
    assert encode_answer(operation("find_book"), None) == Answer(b"null")
    assert encode_answer(operation("find_book"), 7).body == b"7"


def test_an_answer_that_is_json_already_goes_out_as_it_is():
    body = b'{"title":"A","id":3}'
    answer = encode_answer(operation("get_book"), undecoded(BookOut, Encoded(body, 3, "C", replayed=True)))
    assert answer == Answer(body, 3, "C", replayed=True)


def test_an_answer_is_held_against_what_was_declared(settings):
    wrong = undecoded(BookOut, Encoded(b'{"id":3}'))
    settings.MESH = {**settings.MESH, "CHECK_ANSWERS": True}
    with pytest.raises(ValidationError, match="title"):
        encode_answer(operation("get_book"), wrong)
    settings.MESH = {**settings.MESH, "CHECK_ANSWERS": False}
    assert encode_answer(operation("get_book"), wrong).body == b'{"id":3}'


@pytest.mark.parametrize(("body", "result"), [(b'{"id":1}', {"id": 1}), (b"", None), (b"null", None), (b"7", 7)])
def test_a_dry_run_tells_the_answer_the_jobs_and_the_mails(body, result):
    work = Work()
    work.jobs.append(Job(registry.operations["count_letters"], {"id": 3}))
    work.mails.append({"to": "bob@example.com", "subject": "é"})
    answer = dry_run_answer(Answer(body, row_id=3), work, None)
    assert json.loads(answer.body) == {
        "dry_run": True,
        "result": result,
        "jobs": [{"operation": "count_letters", "arguments": {"id": 3}}],
        "mails": [{"to": "bob@example.com", "subject": "é"}],
    }
    assert (answer.dry_run, answer.row_id) == (True, None)


def test_a_command_must_say_what_it_changed():
    call, work = Invocation("make_thing", ALICE, {}), Work()
    with pytest.raises(RuntimeError, match=r"make_thing must say what it changed: self\.changed\(row\), or"):
        require_declared(call, work)
    work.declared = True
    require_declared(call, work)


def test_what_changed_is_told_to_everyone_who_sees_it():
    made = service()
    made.changed(Thing(owner_id=7), Thing(owner_id=8))
    assert (made.work.declared, made.work.cache_tags) == (True, {"user:7", "user:8"})
    assert (made.work.documents, made.work.open_rows) == (False, [])
    nothing = service()
    nothing.changed()
    assert (nothing.work.declared, nothing.work.cache_tags) == (True, set())


def test_rows_that_no_cached_query_shows_raise_no_version(monkeypatch):
    monkeypatch.setattr(Thing, "versioned", False)
    made = service()
    made.changed(Thing(owner_id=7))
    assert (made.work.declared, made.work.cache_tags) == (True, set())


def test_a_row_whose_audience_is_open_is_looked_at_again(monkeypatch):
    monkeypatch.setattr(Thing, "audience_is_open", True)
    made, row = service(), Thing(owner_id=7)
    made.changed(row)
    assert made.work.open_rows == [row]


def test_a_job_is_bound_when_it_is_asked_for():
    made = service()
    made.defer(made.count_letters, id=3)
    (job,) = made.work.jobs
    assert (job.operation.name, job.arguments, job.options.queue, job.wakeup) == (
        "count_letters",
        {"id": 3},
        "default",
        "",
    )
    for wrong in ({}, {"id": 0}, {"id": 3, "more": 1}):
        with pytest.raises(Invalid):
            made.defer(made.count_letters, **wrong)
    assert len(made.work.jobs) == 1


def test_a_job_without_parameters_is_told_of_by_its_name():
    assert Job(registry.operations["prune"], {}).wakeup == "prune"


def test_jobs_are_inserted_as_columns():
    jobs = [Job(registry.operations["count_letters"], {"id": n}) for n in (1, 2)]
    assert insert_values(jobs, 7, "r") == [
        7, "r", ["count_letters"] * 2, ['{"id":1}', '{"id":2}'], ["default"] * 2, [30, 30],
    ]  # fmt: skip


def test_a_mail_is_kept_until_the_end():
    made = service()
    file = Attachment("a.txt", "x", "text/plain")
    made.mail(to="bob@example.com", kind="k", template="shared", context={"title": "A"}, key="k:1", attachments=[file])
    (letter,) = made.work.outgoing_mails
    assert (letter.to, letter.key, letter.context, letter.attachments) == (
        "bob@example.com",
        "k:1",
        {"title": "A"},
        [file],
    )
    with pytest.raises(ValueError, match="one plain address"):
        made.mail(to="bob", kind="k", template="shared", context={}, key="k:1")


def test_what_is_written_is_forgotten_and_what_comes_belongs_to_the_next_transaction():
    made = service()
    made.changed(Thing(owner_id=7))
    made.defer(made.count_letters, id=3)
    made.mail(to="bob@example.com", kind="k", template="shared", context={}, key="k:1")
    work = made.work
    work.reset()
    assert (work.cache_tags, work.jobs, work.outgoing_mails, work.open_rows, work.documents) == (
        set(),
        [],
        [],
        [],
        False,
    )
    assert work.declared


def find(**known: int | None) -> Any:
    return lambda ref: known.get(f"r{ref}")


def test_references_become_ids_and_all_that_lead_nowhere_are_named():
    made = service()
    known = {"book_id": (find(r1=10, r2=None), "No such book."), "shelf_id": (find(r1=20), "No such shelf.")}
    assert made.resolve_references({"book_id": 1, "title": "A"}, known) == {"book_id": 10, "title": "A"}
    assert made.resolve_references({"book_id": None}, known) == {"book_id": None}
    fields = {"book_id": 2, "shelf_id": 3}
    with pytest.raises(Invalid) as refused:
        made.resolve_references(fields, known)
    assert refused.value.errors == [
        {"loc": ["body", "book_id"], "msg": "No such book.", "type": "not_found"},
        {"loc": ["body", "shelf_id"], "msg": "No such shelf.", "type": "not_found"},
    ]
    assert fields == {"book_id": 2, "shelf_id": 3}


def test_what_is_absent_in_a_body_is_a_fault_of_its_field():
    with pytest.raises(Invalid) as refused, service().naming("items", "book_id"):
        raise absent(Thing)
    assert refused.value.errors == [
        {
            "loc": ["body", "items", "book_id"],
            "msg": "There is no such thing, or it is not yours to see.",
            "type": "not_found",
        }
    ]
    assert isinstance(absent(Thing), NotFound)


@pytest.mark.parametrize(
    ("actor", "outcome", "row_id", "values"),
    [
        (ALICE, "ok", 3, [7, None, "make_thing", "tool", "3", "ok", "r", "192.0.2.1"]),
        (
            Actor(7, "AGENT", key_id=4),
            "forbidden",
            None,
            [7, 4, "make_thing", "tool", "", "forbidden", "r", "192.0.2.1"],
        ),
        (ANONYMOUS, "ok", "x", [None, None, "make_thing", "tool", "x", "ok", "r", "192.0.2.1"]),
    ],
)
def test_an_audit_entry_says_who_what_and_what_became_of_it(actor, outcome, row_id, values):
    call = Invocation("make_thing", actor, {}, {"title": "secret"}, "tool", "r", Client("192.0.2.1"))
    sql, params = audit_statement(call, outcome, row_id)
    assert (params, sql.count("%s")) == (values, len(values))


def test_a_service_in_python_has_an_empty_invocation_and_a_mesh_of_its_actor():
    made = service()
    assert (made.invocation.operation, made.invocation.actor, made.mesh.actor, made.mesh.door) == (
        "",
        ALICE,
        ALICE,
        "python",
    )
    assert made.mesh_through("tool").door == "tool"
    assert isinstance(made, Service)
