"""`Prefer: dry-run`: says what would happen, and nothing does."""

from typing import Annotated

import pytest
from pydantic import Field

from accounts.models import User
from config.tests.all_apps.matrix import CASES, ROUTES, make_world, send
from mesh import Id, Service, command, job
from mesh.declarations.registry import registry
from mesh.execution.dry_run import MAX_PREVIEWED_JOBS
from mesh.models import AuditEntry, IdempotencyKey, Mail, Outbox
from mesh.testing import Api
from mesh.tests.database import everything
from mesh.tests.example.models import Thing
from shop.models import Product
from tasks.models import Task

COMMANDS = [(name, n) for name, n in ROUTES if registry.operations[name].is_command]


def test_a_dry_run_answers_what_would_be_and_changes_nothing(alice):
    before = everything()
    tried = alice.api.post("/things", {"title": "Website"}, Prefer="dry-run")
    assert (tried.status, tried.headers["Preference-Applied"]) == (200, "dry-run")
    assert tried.json.keys() == {"dry_run", "result", "jobs", "mails"}
    result = tried.json["result"]
    assert (tried.json["dry_run"], result["title"], result["owner"]["id"]) == (True, "Website", alice.id)
    assert tried.json["jobs"] == [{"operation": "count_letters", "arguments": {"id": result["id"]}}]
    assert (tried.json["mails"], Outbox.objects.count()) == ([], 0)
    assert "Location" not in tried.headers
    assert everything() == before
    assert AuditEntry.objects.count() == 0
    assert alice.api.get(f"/things/{tried.json['result']['id']}").status == 404


def test_a_change_and_a_deletion_are_only_tried(alice):
    thing = Thing.objects.create(owner=alice.user, title="Before")
    tried = alice.api.patch(f"/things/{thing.pk}", {"title": "After"}, Prefer="respond-async, dry-run")
    assert (tried.status, tried.json["result"]["title"]) == (200, "After")
    gone = alice.api.delete(f"/things/{thing.pk}", Prefer="dry-run")
    assert (gone.status, gone.json["dry_run"], gone.json["result"]) == (200, True, None)
    assert alice.api.get(f"/things/{thing.pk}").json["title"] == "Before"


def test_a_mail_is_listed_and_not_written(alice, bob):
    thing = Thing.objects.create(owner=alice.user, title="Plan")
    tried = alice.api.post(f"/things/{thing.pk}/share", {"user_id": bob.id}, Prefer="dry-run").json
    assert tried["mails"] == [{"to": "bob@example.com", "subject": "Plan is shared with you"}]
    assert [job["operation"] for job in tried["jobs"]] == ["send_mail"]
    assert [share["user"]["id"] for share in tried["result"]["shares"]] == [bob.id]
    assert (Mail.objects.count(), Outbox.objects.count(), bob.api.get("/things").json["count"]) == (0, 0, 0)


def test_a_dry_run_is_refused_as_the_real_one_would_be(alice, charlie):
    thing = Thing.objects.create(owner=alice.user, title="Before")
    assert charlie.api.delete(f"/things/{thing.pk}", Prefer="dry-run").status == 404
    assert alice.api.patch(f"/things/{thing.pk}", {"title": ""}, Prefer="dry-run").status == 422
    assert alice.api.patch(f"/users/{alice.id}", {"role": "ADMIN"}, Prefer="dry-run").status == 403
    assert Api().post("/things", {"title": "A"}, Prefer="dry-run").status == 401
    taken = {"email": "a@example.com", "name": "A", "company": "A"}
    assert alice.api.post("/contacts", taken).status == 201
    again = alice.api.post("/contacts", taken, Prefer="dry-run")
    assert (again.status, again.json["code"]) == (409, "contacts.duplicate")


@pytest.mark.parametrize(("name", "position"), COMMANDS, ids=[f"{name}-{n}" for name, n in COMMANDS])
def test_no_command_at_all_changes_a_thing_in_a_dry_run(db, name, position):
    world = make_world()
    alice = world.people["alice"]
    own = {name: world.ids[name.removeprefix("charlies_")] for name in ("charlies_task", "charlies_contact")}
    own["refresh_token"] = alice.refresh_token
    has_none = not registry.operations[name].has_dry_run
    arguments = CASES[name][0].arguments(world.ids | world.public | own)
    if name == "assign_task":
        arguments["user_id"] = alice.id
    if name == "remove_project_member":
        member = world.people["bob"].user
        Task.objects.create(creator=alice.user, assignee=member, project_id=arguments["id"], title="A")
        arguments["user_id"] = member.pk
    if name == "place_order":  # not the archived one
        arguments["items"][0]["product_id"] = Product.objects.create(
            owner=alice.user, sku="A", name="A", price_cents=1
        ).pk
    before, users = everything(), list(User.objects.order_by("pk").values())
    alice.api.headers = {"Prefer": "dry-run", "Idempotency_Key": "tried"}
    tried = send(alice.api, name, position, arguments)
    allowed = ((422, 1),) if has_none else ((200, 0), (403, 1), (403, 0))
    assert (tried.status, AuditEntry.objects.count()) in allowed, tried
    assert everything() == before
    assert list(User.objects.order_by("pk").values()) == users
    assert IdempotencyKey.objects.count() == 0
    if tried.status == 200:
        assert tried.json["dry_run"] is True


def test_a_tool_tries_in_both_ways_of_saying_it(alice):
    for call in (
        {"arguments": {"title": "A"}, "dry_run": True},
        {"arguments": {"title": "A", "dry_run": True}},
    ):
        tried = alice.api.post("/tools/make_thing", call)
        assert (tried.status, tried.json["result"]["dry_run"]) == (200, True)
        assert tried.json["result"]["result"]["title"] == "A"
    assert alice.mesh.call_tool("make_thing", {"title": "A"}, dry_run=True).dry_run
    assert Thing.objects.count() == 0


def test_the_header_counts_for_a_tool_as_well(alice):
    tried = alice.api.post("/tools/make_thing", {"arguments": {"title": "A"}}, Prefer="dry-run")
    assert (tried.status, Thing.objects.count()) == (200, 0)


@pytest.mark.parametrize("nonsense", ["perhaps", 7, [], {"a": 1}, None])
def test_a_tool_refuses_a_dry_run_that_is_neither_true_nor_false(alice, nonsense):
    refused = alice.api.post("/tools/make_thing", {"arguments": {"title": "A", "dry_run": nonsense}})
    assert refused.status == 422
    assert [error["loc"][-1] for error in refused.json["errors"]] == ["dry_run"]
    assert Thing.objects.count() == 0


def test_a_tool_told_false_is_run(alice):
    assert alice.api.post("/tools/make_thing", {"arguments": {"title": "A", "dry_run": False}}).status == 200
    assert Thing.objects.count() == 1


@pytest.fixture
def announcing(throwaway):
    """A command whose mails a job writes, one in each run."""

    class Announcer(Service):
        """Tells of things."""

        name = "announcer"

        @command("POST /announcements")
        def announce(self, *, parts: Annotated[int, Field(ge=1, le=100)]) -> None:
            """Tell so many."""
            self.defer(self.tell, number=1, parts=parts)
            self.defer(self.count_them)
            self.changed()

        @job(queue="mail", mails_only=True)
        def tell(self, *, number: Id, parts: Id) -> None:
            """Tell one, and then the next."""
            to = f"guest{number}@example.com"
            self.mail(to=to, kind="task_assigned", template="shared", context={"title": "Plan"}, key="k")
            if number < parts:
                self.defer(self.tell, number=number + 1, parts=parts)
            self.changed()

        @job(queue="mail")
        def count_them(self) -> None:
            """Not mails_only."""
            raise AssertionError

    throwaway()


def test_the_mails_of_all_parts_of_a_job_are_listed_and_the_parts_are_not(alice, announcing):
    tried = alice.api.post("/announcements?parts=4", Prefer="dry-run").json
    assert [mail["to"] for mail in tried["mails"]] == [f"guest{number}@example.com" for number in range(1, 5)]
    assert [job["operation"] for job in tried["jobs"]] == ["tell", "count_them", *["send_mail"] * 4]


def test_of_too_many_parts_the_next_one_is_listed_as_a_job(alice, announcing):
    tried = alice.api.post("/announcements?parts=100", Prefer="dry-run").json
    told = [f"guest{number}@example.com" for number in range(1, MAX_PREVIEWED_JOBS + 1)]
    assert [mail["to"] for mail in tried["mails"]] == told
    assert [job for job in tried["jobs"] if job["operation"] != "send_mail"] == [
        {"operation": "tell", "arguments": {"number": 1, "parts": 100}},
        {"operation": "count_them", "arguments": {}},
        {"operation": "tell", "arguments": {"number": MAX_PREVIEWED_JOBS + 1, "parts": 100}},
    ]


def test_a_query_is_answered_as_ever(alice):
    assert alice.api.get("/things", Prefer="dry-run").json == {"count": 0, "next": None, "results": []}
    for header in ("dry-runs", "return=minimal", ""):
        assert alice.api.post("/things", {"title": "A"}, Prefer=header).status == 201
