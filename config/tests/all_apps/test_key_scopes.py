"""An API key's rights are its user's as far as its scopes hold them: for every operation, through every door.

Made from the registry, as the matrix of tenancy is: a new operation is in it by itself.
"""

import re
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

from accounts.models import ApiKey
from config.tests.all_apps.matrix import CASES, OPERATIONS, ROUTES, World, make_world, send
from conftest import make_person
from mesh import Mesh, Service, admins, anyone, command, in_person, query
from mesh.declarations.actors import Actor
from mesh.declarations.registry import registry
from mesh.errors import Forbidden
from mesh.testing import Api
from mesh.tests.database import everything
from shop.services import OrderService
from tasks.models import Project
from tasks.schemas import ProjectIn
from tasks.services import ProjectService

#: What needs no scope, for it does nothing with the key's rights, or asks again.
ANY_KEY = {
    "sign_up", "log_in", "refresh_token", "request_password_reset", "confirm_password_reset", "list_tools", "call_tool"
}  # fmt: skip
SCOPED = [
    (name, position)
    for name, position in ROUTES
    if name not in ANY_KEY and OPERATIONS[name].declaration.allow is not in_person
]
each_scoped = pytest.mark.parametrize(("name", "position"), SCOPED, ids=[f"{name}-{n}" for name, n in SCOPED])
COMMANDS = sorted({name for name, _ in SCOPED if OPERATIONS[name].is_command})
TOOLS = sorted(name for name, operation in registry.operations.items() if operation.declaration.tool)
#: What shows rows of other services too, as far as the key may read those.
ALSO = {
    "prepare_call": ("contacts:read", "meetings:read", "notes:read", "tasks:read", "orders:read"),
    "get_timeline": ("calls:read", "meetings:read", "notes:read", "tasks:read", "orders:read"),
}
#: What is another one each time that a command runs.
_MADE = re.compile(r'"([a-z_]*id|[a-z_]*uuid|[a-z_]+_at|registration_date|next|key|message_id)": ?("[^"]*"|[0-9]+)')


@pytest.fixture
def world(db) -> World:
    made = make_world()
    made.people["ada"] = make_person("ada", "ADMIN")
    return made


def key_of(person: Any, *scopes: str) -> Api:
    _, key = ApiKey.objects.issue(user=person.user, name="Key", scopes=list(scopes), last_used_at=timezone.now())
    return Api(X_API_Key=key)


def needed(name: str) -> str:
    operation = OPERATIONS[name]
    return f"{operation.service_name}:{'write' if operation.is_command else 'read'}"


def all_but(scope: str) -> list[str]:
    """Every scope of a service that does not hold this one."""
    service, _, access = scope.partition(":")
    others = [f"{other}:*" for other in registry.open_to_keys() if other != service]
    return [*others, f"{service}:{'read' if access == 'write' else 'write'}"]


def lacks(answer: Any, scope: str) -> bool:
    said = (answer.status, answer.json["code"], answer.json["detail"])
    return said == (403, "forbidden", f"This API key lacks the scope `{scope}`.")


def of_alice(world: World, name: str) -> list[dict[str, Any]]:
    own = {"refresh_token": "x", "charlies_task": world.ids["task"], "charlies_contact": world.ids["contact"]}
    return [case.arguments(world.ids | world.public | own) for case in CASES[name]]


def who_may(world: World, name: str) -> Any:
    return world.people["ada" if OPERATIONS[name].declaration.allow is admins else "alice"]


def undone(ask: Any) -> Any:
    """The answer to what is then as if it had not been asked."""
    with transaction.atomic():
        answer = ask()
        transaction.set_rollback(True)
    return answer


def test_what_needs_no_scope_is_known_by_name():
    assert {name for name, operation in OPERATIONS.items() if operation.declaration.any_key} == ANY_KEY


def test_the_scope_is_the_services_and_says_whether_something_changes():
    scopes = {name: operation.key_scope for name, operation in OPERATIONS.items()}
    assert (scopes["list_orders"], scopes["place_order"]) == ("orders:read", "orders:write")
    assert (scopes["get_me"], scopes["update_me"]) == ("users:read", "users:write")
    assert {scopes[name] for name in ("find_user_ids", "reserve_stock", "call_tool", "unsubscribe")} == {""}
    assert {name for name, _ in SCOPED} == {name for name, scope in scopes.items() if scope} - {
        name for name, operation in OPERATIONS.items() if operation.declaration.allow is in_person
    }


@each_scoped
def test_without_its_scope_it_is_refused_and_with_it_as_with_the_token(world, name, position):
    who, scope = who_may(world, name), needed(name)
    without = key_of(who, *all_but(scope))
    service, access = scope.split(":")
    others = [key_of(who, held, *ALSO.get(name, ())) for held in (scope, f"{service}:*")]
    others += [key_of(who, access), key_of(who, "*")]
    before = everything()
    for arguments in of_alice(world, name):
        assert lacks(send(without, name, position, arguments), scope)
    assert lacks(send(without, name, position, {}), scope)
    assert everything() == before
    for arguments in of_alice(world, name):
        token = undone(lambda: send(who.api, name, position, arguments))  # noqa: B023
        assert token.status not in (401, 500)
        for with_scope in others:
            answer = undone(lambda: send(with_scope, name, position, arguments))  # noqa: B023
            assert answer.status == token.status, answer
            made = _MADE if access == "write" else re.compile("(?!)")
            assert made.sub("", answer.text) == made.sub("", token.text)
            assert answer.headers.keys() - {"X-Cache"} == token.headers.keys() - {"X-Cache"}


def test_most_of_that_is_granted_so_that_it_could_be_refused(world):
    """Else the test above would compare refusals."""
    granted = set()
    for name, position in SCOPED:
        for arguments in of_alice(world, name):
            if undone(lambda: send(who_may(world, name).api, name, position, arguments)).status < 300:  # noqa: B023
                granted.add(name)
    assert len(granted) > 0.6 * len({name for name, _ in SCOPED}), sorted({name for name, _ in SCOPED} - granted)


@pytest.mark.parametrize("name", COMMANDS)
def test_a_key_that_reads_changes_nothing_through_any_door(world, name):
    reader, scope = key_of(who_may(world, name), "read"), needed(name)
    operation = OPERATIONS[name]
    before = everything()
    for arguments in of_alice(world, name):
        for position in range(len(operation.declaration.routes)):
            assert lacks(send(reader, name, position, arguments), scope)
            route = operation.declaration.routes[position]
            path = re.sub("{.*?}", "1", route.path)
            assert lacks(reader.request(route.method, path, {}, Prefer="dry-run"), scope)
            assert lacks(reader.request(route.method, path, {}, Idempotency_Key="k"), scope)
        if operation.declaration.tool:
            for more in ({}, {"dry_run": True}, {"idempotency_key": "k"}):
                assert lacks(reader.post(f"/tools/{name}", {"arguments": arguments, **more}), scope)
            assert lacks(reader.post(f"/tools/{name}", {"arguments": {**arguments, "dry_run": True}}), scope)
    assert everything() == before


@pytest.mark.parametrize("scope", ["*", "read", "write", "orders:*", "orders:read", "tasks:write"])
def test_the_tools_of_a_key_are_those_that_it_may_call(world, scope):
    alice = world.people["alice"]
    by_key = key_of(alice, scope)
    offered = {tool["name"] for tool in alice.api.get("/tools").json} & CASES.keys()
    mine = {tool["name"] for tool in by_key.get("/tools").json} & CASES.keys()
    service, _, access = scope.rpartition(":")
    assert mine == {
        name
        for name in offered
        if (not service or registry.operations[name].service_name == service)
        and (access == "*" or needed(name).endswith(f":{access}"))
    }
    assert mine
    before = everything()
    for name in sorted(offered - mine):
        assert lacks(by_key.post(f"/tools/{name}", {"arguments": {}}), needed(name))
    assert everything() == before
    for name in sorted(mine):
        assert undone(lambda: by_key.post(f"/tools/{name}", {"arguments": {"none": 1}})).status == 422  # noqa: B023


def test_any_key_may_ask_for_tools_but_does_with_them_what_it_may(alice):
    by_key = key_of(alice, "orders:read")
    assert {tool["name"] for tool in by_key.get("/tools").json} >= {"list_orders", "get_order"}
    assert by_key.post("/tools/list_orders").json["result"]["count"] == 0
    assert lacks(by_key.post("/tools/place_order", {"arguments": {"items": []}}), "orders:write")
    assert lacks(by_key.post("/tools/create_task", {"arguments": {"title": "A"}}), "tasks:write")
    assert by_key.post("/tools/nothing").status == 404


# Inner calls.


def desk() -> type[Service]:
    class Desk(Service):
        """Asks others."""

        name = "desk"

        @query("GET /desk/orders")
        def orders_at_hand(self) -> int | None:
            """Read the orders of another service."""
            return self.of(OrderService).list_orders().count

        @query("GET /desk/deep")
        def deep(self) -> int | None:
            """Read them through a read that is called inside the mesh alone."""
            return self.of(Desk).inner_orders()

        @query(tool=False)
        def inner_orders(self) -> int | None:
            """Read the orders, called inside the mesh alone."""
            return self.of(OrderService).list_orders().count

        @query("GET /desk/writes")
        def write_elsewhere(self) -> int:
            """Have another service write."""
            return self.of(ProjectService).create_project(data=ProjectIn(title="Sneaky")).id

        @query("GET /desk/parts", ttl=60)
        def parts(self) -> list[str]:
            """Show what may be seen."""
            return [name for name in ("orders", "tasks") if self.actor.may(f"{name}:read")]

        @query("GET /desk/shared", ttl=60, cache_tags=("desk",), allow=anyone)
        def shared(self) -> list[str]:
            """Show what may be seen, cached for all alike."""
            return [name for name in ("orders", "tasks") if self.actor.may(f"{name}:read")]

        @command("POST /desk")
        def stamp(self) -> int:
            """Count the people one knows, by reads inside the mesh alone."""
            self.changed()
            return len(self.mesh.users.find_user_ids(ids=[self.actor.id]))

    return Desk


def test_inner_calls_to_operations_with_routes_need_their_scope(alice, throwaway):
    desk()
    throwaway()
    for path in ("/desk/orders", "/desk/deep"):
        assert alice.api.get(path).json == 0
        assert lacks(key_of(alice, "desk:*").get(path), "orders:read")
        assert lacks(key_of(alice, "desk:read", "orders:write").get(path), "orders:read")
        assert lacks(key_of(alice, "orders:read").get(path), "desk:read")
        for scopes in (("desk:read", "orders:read"), ("read",), ("*",), ("desk:*", "orders:*")):
            assert key_of(alice, *scopes).get(path).json == 0


def test_a_read_cannot_be_made_to_write(alice, throwaway):
    desk()
    throwaway()
    for scopes in (("read",), ("desk:*",), ("desk:*", "projects:read")):
        assert lacks(key_of(alice, *scopes).get("/desk/writes"), "projects:write")
    assert Project.objects.count() == 0
    assert key_of(alice, "desk:read", "projects:write").get("/desk/writes").status == 200
    assert Project.objects.get().title == "Sneaky"


def test_inner_calls_to_operations_without_routes_need_none(alice, bob, throwaway):
    desk()
    throwaway()
    assert key_of(alice, "desk:write").post("/desk").json == 1
    by_key = key_of(alice, "meetings:write")
    invited = {"title": "Plan", "scheduled_time": "2030-01-01T10:00:00Z", "attendee_ids": [bob.id]}
    made = by_key.post("/meetings", invited)
    assert (made.status, made.json["attendees"][0]["id"]) == (201, bob.id)
    mails_only = by_key.post("/meetings", invited, Prefer="dry-run").json
    assert mails_only["mails"] == alice.api.post("/meetings", invited, Prefer="dry-run").json["mails"]
    assert [mail["to"] for mail in mails_only["mails"]] == [bob.user.email]


def test_a_dry_run_lists_the_jobs_as_the_user_who_they_run_as(alice, monkeypatch):
    seen = []

    def mail_invitations(self, *, id):
        seen.append((self.actor.id, self.actor.key_id, self.actor.scopes))

    monkeypatch.setattr("meetings.services.MeetingService.mail_invitations", mail_invitations)
    invited = {"title": "Plan", "scheduled_time": "2030-01-01T10:00:00Z", "attendee_emails": ["x@example.com"]}
    key_of(alice, "meetings:write").post("/meetings", invited, Prefer="dry-run")
    assert seen == [(alice.id, None, None)]


# The cache.


def test_what_a_token_left_in_the_cache_is_not_for_a_key_without_the_scope(alice):
    path = "/meetings"
    assert [alice.api.get(path).headers.get("X-Cache") for _ in range(2)] == [None, "hit"]
    for scopes in (("tasks:*",), ("meetings:write",), ("write",)):
        assert lacks(key_of(alice, *scopes).get(path), "meetings:read")
        assert lacks(key_of(alice, *scopes).post("/tools/list_meetings"), "meetings:read")
    assert key_of(alice, "*").get(path).headers["X-Cache"] == "hit"
    narrow = key_of(alice, "meetings:read")
    assert [narrow.get(path).headers.get("X-Cache") for _ in range(2)] == [None, "hit"]
    alice.api.post("/meetings", {"title": "New", "scheduled_time": "2030-01-01T10:00:00Z"})
    assert [narrow.get(path).json["count"], key_of(alice, "*").get(path).json["count"]] == [1, 1]


@pytest.mark.parametrize("path", ["/desk/parts", "/desk/shared"])
@pytest.mark.parametrize("order", [1, -1])
def test_what_is_cached_for_one_set_of_scopes_is_not_shown_to_another(alice, throwaway, path, order):
    desk()
    throwaway()
    expected = [
        (alice.api, ["orders", "tasks"]),
        (key_of(alice, "*"), ["orders", "tasks"]),
        (key_of(alice, "read"), ["orders", "tasks"]),
        (key_of(alice, "desk:read"), []),
        (key_of(alice, "desk:read", "orders:read"), ["orders"]),
        (key_of(alice, "desk:*", "tasks:*"), ["tasks"]),
    ]
    for _ in range(2):
        for api, parts in expected[::order]:
            assert api.get(path).json == parts


def test_what_is_public_needs_the_scope_of_a_key_that_is_shown(alice):
    """A key says who asks, and some see more of what is public; without a credential it is open."""
    assert Api().get("/products").status == Api().get("/events").status == 200
    assert lacks(key_of(alice, "orders:read").get("/products"), "products:read")
    assert lacks(key_of(alice, "orders:read").get("/events"), "events:read")
    assert key_of(alice, "products:read").get("/products").status == 200


# In Python.


@pytest.mark.parametrize(
    ("scopes", "may", "may_not"),
    [
        (None, ["orders:read", "orders:write"], []),
        (["*"], ["orders:read", "orders:write"], []),
        (["read"], ["orders:read"], ["orders:write"]),
        (["write"], ["orders:write"], ["orders:read"]),
        (["orders:*"], ["orders:read", "orders:write"], ["tasks:read", "tasks:write"]),
        (["orders:read"], ["orders:read"], ["orders:write", "tasks:read"]),
        (["orders:write", "tasks:read"], ["orders:write", "tasks:read"], ["orders:read", "tasks:write"]),
        ([], [], ["orders:read", "orders:write"]),
    ],
)
def test_an_actor_may_what_the_scopes_hold(scopes, may, may_not):
    actor = Actor(1, "ADMIN", key_id=1 if scopes is not None else None, scopes=(scopes and tuple(scopes)) or scopes)
    assert [scope for scope in may if not actor.may(scope)] == []
    assert [scope for scope in may_not if actor.may(scope)] == []


def test_a_refusal_comes_before_anything_is_looked_up(alice, monkeypatch):
    by_key = key_of(alice, "orders:read")

    def looked(*values: Any) -> Any:
        raise AssertionError("it was looked up")

    for place in (
        "mesh.execution.host.run",
        "mesh.rows.reads.fetch",
        "mesh.execution.flush.fetch",
        "mesh.rows.versions.fetch",
        "mesh.doors.rest.exchange.body_of",
    ):
        monkeypatch.setattr(place, looked)
    assert lacks(by_key.get("/tasks/1"), "tasks:read")
    assert lacks(by_key.post("/tasks", {"title": ""}), "tasks:write")
    assert lacks(by_key.request("POST", "/tasks", b"no json"), "tasks:write")
    assert by_key.get("/orders").status == 500


def test_the_scope_of_an_actor_in_python_holds_too(alice):
    by_key = Mesh(Actor(alice.id, "AGENT", alice.user.email, key_id=1, scopes=("tasks:read",)))
    with pytest.raises(Forbidden, match="lacks the scope `projects:write`"):
        by_key.call_tool("create_project", {"title": "A"})
    with pytest.raises(Forbidden, match="lacks the scope `projects:read`"):
        by_key.projects.list_projects(search=None)
    assert {tool["name"] for tool in by_key.get_tools()} >= {"list_tasks", "get_task"}
    assert "list_projects" not in {tool["name"] for tool in by_key.get_tools()}
    assert Project.objects.count() == 0
