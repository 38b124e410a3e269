"""Quotas: so many rows of a kind a user, and no more."""

import subprocess
from contextlib import suppress
from threading import Barrier, BrokenBarrierError

import pytest
from prometheus_client import REGISTRY

from accounts.models import Contact, User
from accounts.tests.assertions import at_once, nothing_changes, refused
from config.tests.test_deployment import setting
from events.models import Event
from mesh import In, Service, command
from mesh.checks import check_operations
from mesh.declarations.registry import registry
from mesh.execution import quotas
from mesh.stores.postgres import fetch
from mesh.testing import Api
from notes.models import ActionItem, Note
from shop.models import Product
from tasks.models import Project, Task

DETAIL = (
    "One user may have 3 {} here, and there is no room for {}. Delete what is not needed, or ask who runs this server "
    "for a higher ROWS_PER_USER."
)
TIMES = {"start_date": "2030-01-01", "end_date": "2030-01-02"}
WHEN = {"scheduled_time": "2030-01-01T10:00:00Z"}


@pytest.fixture(autouse=True)
def _forget(monkeypatch):
    monkeypatch.setattr(quotas, "_allowances", quotas._Allowances())


def set_to(settings, rows):
    settings.MESH = {**settings.MESH, "ROWS_PER_USER": rows}


@pytest.fixture
def three(settings):
    set_to(settings, 3)


def refusals(kind):
    return REGISTRY.get_sample_value("meshwork_row_quota_refusals_total", {"kind": kind}) or 0


def contact(n):
    return {"name": "Maria", "email": f"maria{n}@example.com", "company": "Azollon"}


def of_a_kind(path, data=None, **numbered):
    """Makes the `n`th row of a kind; `numbered` fields must differ."""
    return lambda person, n: person.api.post(
        path, (data or {}) | {name: text.format(n) for name, text in numbered.items()}
    )


def call(person, n):
    known = Contact.objects.filter(owner=person.user).first() or Contact.objects.create(owner=person.user, **contact(0))
    return person.api.post("/calls", {"contact_id": known.pk, "title": "Call", "scheduled_for": "2030-01-01T10:00:00Z"})


def registration(person, n):
    if not Event.objects.exists():
        person.api.post("/events", {"name": "Open day", **TIMES})
    event = Event.objects.get()
    return person.api.post(f"/events/{event.pk}/attendees", {"name": "Eve", "email": f"eve{n}@example.com"})


def order(person, n):
    product = Product.objects.first() or Product.objects.create(owner=person.user, sku="S", name="Shirt", price_cents=1)
    return person.api.post("/orders", {"items": [{"product_id": product.pk, "quantity": 1}]})


KINDS = {
    "contact": of_a_kind("/contacts", {"name": "M", "company": "A"}, email="m{}@example.com"),
    "user": of_a_kind("/users", {"name": "Bob"}, email="b{}@example.com"),
    "meeting": of_a_kind("/meetings", {"title": "Plan", **WHEN}),
    "call": call,
    "note": of_a_kind("/notes", {"raw_text": "Maria called."}),
    "project": of_a_kind("/projects", {"title": "Web"}),
    "task": of_a_kind("/tasks", {"title": "Do"}),
    "event": of_a_kind("/events", {"name": "Open day", **TIMES}),
    "category": of_a_kind("/categories", name="Talks {}"),
    "registration": registration,
    "product": of_a_kind("/products", {"name": "Shirt", "price_cents": 1}, sku="S{}"),
    "order": order,
}


def test_every_command_that_makes_a_row_is_tried_here():
    creating = {op.declaration.creates for op in registry.operations.values()} - {None}
    assert {model._meta.model_name for model in creating} - {"thing"} == KINDS.keys()


@pytest.mark.parametrize("kind", KINDS)
def test_of_each_kind_there_are_so_many_and_others_have_their_own(three, alice, charlie, kind):
    before = refusals(kind)
    for n in range(3):
        assert KINDS[kind](alice, n).status == 201
    with nothing_changes():
        problem = refused(KINDS[kind](alice, 3), 409, "mesh.row_quota")
    plural = {"category": "categories"}.get(kind, f"{kind}s")
    assert (problem["kind"], problem["quota"]) == (kind, 3)
    assert problem["detail"].startswith(f"One user may have 3 {plural}"), problem
    assert refusals(kind) == before + 1
    assert KINDS[kind](charlie, 4).status == 201


def test_what_is_deleted_makes_room(three, alice):
    ids = [alice.api.post("/tasks", {"title": "Do"}).json["id"] for _ in range(3)]
    refused(alice.api.post("/tasks", {"title": "Do"}), 409)
    assert alice.api.delete(f"/tasks/{ids[0]}").status == 204
    assert alice.api.post("/tasks", {"title": "Do"}).status == 201
    assert refused(alice.api.post("/tasks", {"title": "Do"}), 409)["detail"] == DETAIL.format("tasks", "another one")


def test_it_holds_through_every_door(three, alice):
    for _ in range(3):
        alice.api.post("/tasks", {"title": "Do"})
    key = alice.api.post("/api-keys", {"name": "Agent", "scopes": ["*"]}).json["key"]
    assert Api(X_API_Key=key).get("/tasks").json["count"] == 3
    with nothing_changes():
        refused(alice.api.post("/tools/create_task", {"arguments": {"title": "Do"}}), 409, "mesh.row_quota")
        refused(Api(X_API_Key=key).post("/tasks", {"title": "Do"}), 409, "mesh.row_quota")
        refused(alice.api.post("/tasks", {"title": "Do"}, Prefer="dry-run"), 409, "mesh.row_quota")
        said = Api(mount="/task-api", X_API_Key=key).post("/tasks", {"title": "Do"})
    assert (said.status, said.json) == (409, {"success": False, "message": DETAIL.format("tasks", "another one")})


def test_a_replay_needs_no_room(three, alice):
    first = alice.api.post("/tasks", {"title": "Do"}, Idempotency_Key="once")
    for _ in range(2):
        alice.api.post("/tasks", {"title": "Do"})
    again = alice.api.post("/tasks", {"title": "Do"}, Idempotency_Key="once")
    assert (again.status, again.json, Task.objects.count()) == (201, first.json, 3)


@pytest.mark.parametrize(
    ("path", "columns", "line", "model"),
    [
        ("/contacts/import", "name,email,company", "M,m{}@example.com,A", Contact),
        ("/products/import", "sku,name,price_cents", "S{},Shirt,1", Product),
    ],
)
def test_a_sheet_needs_room_for_all_that_it_creates(three, alice, path, columns, line, model):
    def send(*numbers):
        sheet = "\n".join([columns, *map(line.format, numbers)]).encode()
        return alice.api.post(path, sheet, Content_Type="text/csv")

    assert send(1, 2).json["created"] == 2
    with nothing_changes():
        said = refused(send(3, 4), 409, "mesh.row_quota")["detail"]
    assert said == DETAIL.format(model._meta.verbose_name_plural, "2 more")
    assert send(1, 2, 3).json["created"] == 1
    assert send(1, 2, 3).json == {"created": 0, "updated": 0, "unchanged": 3}


def test_cards_need_room_for_all_of_them(three, alice):
    cards = "".join(f"BEGIN:VCARD\nFN:M\nEMAIL:m{n}@example.com\nEND:VCARD\n" for n in range(4)).encode()
    with nothing_changes():
        refused(alice.api.post("/contacts/cards", cards, Content_Type="text/vcard"), 409, "mesh.row_quota")


def test_items_that_become_tasks_need_room_for_all_of_them(three, alice):
    note = Note.objects.create(author=alice.user, raw_text="Much", summary="Much", status="done")
    items = [ActionItem.objects.create(note=note, title="Do", quote="Do").pk for _ in range(4)]
    with nothing_changes():
        said = refused(alice.api.post(f"/notes/{note.pk}/accept"), 409, "mesh.row_quota")["detail"]
    assert said == DETAIL.format("tasks", "4 more")
    assert alice.api.post(f"/notes/{note.pk}/accept", {"action_item_ids": items[:3]}).status == 200
    assert alice.api.post(f"/notes/{note.pk}/accept", {"action_item_ids": items[:3]}).status == 200  # once is enough


def test_off_is_without_end(settings, alice):
    set_to(settings, None)
    assert [alice.api.post("/tasks", {"title": "Do"}).status for _ in range(5)] == [201] * 5


def counts(monkeypatch):
    """How often rows are counted."""
    seen = []
    count = quotas._count
    monkeypatch.setattr(quotas, "_count", lambda *given: seen.append(given[0]) or count(*given))
    return seen


def test_far_from_the_quota_rows_are_counted_rarely(settings, monkeypatch, alice):
    set_to(settings, 100)
    seen = counts(monkeypatch)
    for n in range(10):
        assert alice.api.post("/tasks", {"title": f"{n}"}).status == 201
    assert seen == [Task]  # of 99 that are left it allows 9
    assert alice.api.post("/tasks", {"title": "11"}).status == 201
    assert seen == [Task, Task]


def test_the_quota_is_met_to_the_row_however_far_it_was(settings, monkeypatch, alice):
    set_to(settings, 40)
    statuses = [alice.api.post("/projects", {"title": "P"}).status for _ in range(42)]
    assert statuses == [201] * 40 + [409] * 2


def test_allowances_are_forgotten_and_counted_again(settings, monkeypatch, alice, bob):
    set_to(settings, 100)
    monkeypatch.setattr(quotas, "_MOST_KEPT", 1)
    seen = counts(monkeypatch)
    for person in (alice, bob, alice):
        assert person.api.post("/tasks", {"title": "Do"}).status == 201
    assert len(seen) == 3


@pytest.mark.django_db(transaction=True)
@pytest.mark.parametrize(("locked", "made"), [(True, 3), (False, 8)])
def test_many_at_once_do_not_pass_it_together(three, monkeypatch, alice, locked, made):
    """All have counted before one of them writes, where no lock keeps them apart."""
    gate, count = Barrier(8), quotas._count

    def count_together(*given):
        found = count(*given)
        with suppress(BrokenBarrierError):
            gate.wait(2)
        return found

    monkeypatch.setattr(quotas, "_count", count_together)
    if not locked:
        monkeypatch.setattr(quotas, "fetch", lambda *statement: [])
    answers = at_once(*[lambda: alice.api.post("/tasks", {"title": "Do"})] * 8)
    assert sorted(answer.status for answer in answers) == [201] * made + [409] * (8 - made)
    assert Task.objects.count() == made


@pytest.mark.parametrize("model", sorted({Task, Project, Product, Contact, Event, User, Note}, key=str))
def test_rows_are_counted_from_an_index(alice, model):
    rows = model._base_manager.filter(**{model.owner_field: alice.id}).order_by().values(model.owner_field)[:100]
    fetch("SET LOCAL enable_seqscan = off")
    fetch("SET LOCAL enable_bitmapscan = off")
    assert "Index Only Scan" in rows.explain(), rows.explain()


def test_a_command_that_makes_a_row_must_say_which(throwaway):
    class ThingIn(In):
        """A thing."""

    class ThingService(Service):
        """Things."""

        name = "gadgets"

        @command("POST /gadgets", location="/gadgets/{id}")
        def create_thing(self, *, data: ThingIn) -> int:
            """Create."""

        @command("POST /gadgets/both", location="/gadgets/{id}", creates=Task, unlimited="it is both")
        def create_both(self, *, data: ThingIn) -> int:
            """Create."""

        @command("POST /gadgets/sessions", location="/gadgets/{id}", creates=ActionItem)
        def create_ownerless(self, *, data: ThingIn) -> int:
            """Create."""

    found = [(error.id, error.msg) for error in check_operations(None)]
    said = "answers with a new row, so it must say what it creates, or why that is unlimited."
    assert found == [
        ("mesh.E020", f"ThingService.create_thing {said}"),
        ("mesh.E020", f"ThingService.create_both {said}"),
        ("mesh.E021", "ThingService.create_ownerless creates ActionItem, which has no owner_field."),
    ]


@pytest.mark.server
def test_the_setting_is_a_number_or_off(capfd):
    for said, found in (("", "100000"), ("5", "5"), ("off", "None")):
        assert setting("MESH['ROWS_PER_USER']", ROWS_PER_USER=said) == found
    for wrong in ("0", "-1", "many", "1e6"):
        with pytest.raises(subprocess.CalledProcessError):
            setting("MESH['ROWS_PER_USER']", ROWS_PER_USER=wrong)
        assert (
            f"ROWS_PER_USER is '{wrong}': give a number such as 100000, or off for no limit" in capfd.readouterr().err
        )
