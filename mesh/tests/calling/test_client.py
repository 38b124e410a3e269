"""The mesh as Python sees it: services by name, arguments by keyword, and how a call travels."""

from typing import Any

import pytest
from django.core.exceptions import ImproperlyConfigured

from mesh import ANONYMOUS, Actor, Mesh, PageParams
from mesh.calling import transports
from mesh.declarations.invocation import Answer, Invocation
from mesh.errors import Forbidden, Invalid, NotFound, Unauthenticated
from mesh.tests.example.schemas import ThingFilters, ThingIn, ThingPatch
from mesh.tests.example.services import ThingService

ALICE = Actor(7, "AGENT")
THING = (
    b'{"id":3,"title":"A","notes":"","letters":null,"owner":{"id":7,"name":"Alice"},"shares":[],'
    b'"created_at":"2030-01-01T00:00:00Z"}'
)


class Recording:
    """A transport that answers the same to all, and keeps what it was sent."""

    def __init__(self, body: bytes = THING) -> None:
        self.body, self.invocations = body, list[Invocation]()

    def send(self, invocation: Invocation) -> Answer:
        self.invocations.append(invocation)
        return Answer(self.body)


@pytest.fixture
def transport(settings, monkeypatch):
    """The way to the service `things`."""
    made = Recording()
    monkeypatch.setattr(transports, "_schemes", {**transports._schemes, "test": lambda: made})
    transports._transports.cache_clear()
    settings.MESH = {**settings.MESH, "ROUTES": "things=test://", "CACHE": False}
    yield made
    transports._transports.cache_clear()


def test_a_call_in_python_is_an_envelope_with_its_values_and_the_same_as_plain_data(transport):
    Mesh(ALICE, request_id="r").of(ThingService).rename_thing(id=3, data=ThingPatch(title="A"))
    (call,) = transport.invocations
    assert (call.operation, call.actor, call.door, call.request_id) == ("rename_thing", ALICE, "python", "r")
    assert (call.values, call.arguments) == ({"id": 3, "data": ThingPatch(title="A")}, {"id": 3, "title": "A"})
    assert (call.idempotency_key, call.dry_run, call.client.address) == ("", False, "")


def test_what_is_left_out_has_its_default(transport):
    transport.body = b'{"count":0,"next":null,"results":[]}'
    page = Mesh(ALICE).things.list_things()
    assert (page.count, page.next, page.results) == (0, None, [])
    assert transport.invocations[0].values == {"filters": ThingFilters(), "page": PageParams()}
    assert transport.invocations[0].arguments == {}
    Mesh(ALICE).things.list_things(page=PageParams(limit=3))
    assert transport.invocations[1].arguments == {"limit": 3}


def test_an_answer_is_decoded_to_the_declared_type(transport):
    thing = Mesh(ALICE).of(ThingService).get_thing(id=3)
    assert (thing.title, thing.owner.name, thing.shares) == ("A", "Alice", [])


def test_a_tool_is_called_with_flat_arguments(transport):
    answer = Mesh(ALICE, door="tool").call_tool("rename_thing", {"id": 3, "title": " A "}, idempotency_key="k")
    assert answer.body == THING
    (call,) = transport.invocations
    assert (call.arguments, call.idempotency_key, call.dry_run) == ({"id": 3, "title": "A"}, "k", False)


@pytest.mark.parametrize(("argument", "option"), [(True, False), (False, True), (True, True)])
def test_a_dry_run_is_an_argument_of_a_tool_or_an_option(transport, argument, option):
    Mesh(ALICE).call_tool("make_thing", {"title": "A", "dry_run": argument}, dry_run=option)
    assert [(call.dry_run, call.arguments) for call in transport.invocations] == [(True, {"title": "A"})]


def test_all_that_is_wrong_with_a_tools_arguments_is_told_with_a_dry_run_that_is_none(transport):
    with pytest.raises(Invalid) as refused:
        Mesh(ALICE).call_tool("make_thing", {"title": "", "dry_run": "yes", "colour": 1})
    assert sorted(error["loc"] for error in refused.value.errors) == [["colour"], ["dry_run"], ["title"]]
    with pytest.raises(Invalid) as refused:
        Mesh(ALICE).call_tool("list_things", {"dry_run": True})
    assert [error["loc"] for error in refused.value.errors] == [["dry_run"]], "a read has none"
    assert transport.invocations == []


@pytest.mark.parametrize("name", ["nothing", "count_letters", "call_tool", "__init__", "things", ""])
def test_what_is_no_tool_is_not_found(transport, name):
    with pytest.raises(NotFound, match=r"There is no tool "):
        Mesh(ALICE).call_tool(name, {})


@pytest.mark.parametrize("key", ["x" * 256, "é", "a\nb", "\x00", "\x7f"])
def test_a_key_that_is_none_is_refused_before_anything_is_sent(transport, key):
    with pytest.raises(Invalid) as refused:
        Mesh(ALICE).call_tool("make_thing", {"title": "A"}, idempotency_key=key)
    assert refused.value.errors[0]["loc"] == ["header", "Idempotency-Key"]
    assert transport.invocations == []


@pytest.mark.parametrize("key", ["k", "x" * 255, " ", "~", "a b"])
def test_a_key_of_printable_ascii_travels(transport, key):
    Mesh(ALICE).call_tool("make_thing", {"title": "A"}, idempotency_key=key)
    assert transport.invocations[0].idempotency_key == key


def test_who_may_not_call_is_refused_before_their_arguments_are_looked_at(transport):
    with pytest.raises(Unauthenticated):
        Mesh(ANONYMOUS).call_tool("make_thing", {"nonsense": 1})
    with pytest.raises(Forbidden, match="lacks the scope `things:write`"):
        Mesh(Actor(7, "AGENT", key_id=1, scopes=("read",))).call_tool("make_thing", {"nonsense": 1})
    with pytest.raises(Unauthenticated):
        Mesh(ANONYMOUS).things.get_thing(id=3)
    assert transport.invocations == []


def test_a_wrong_name_or_argument_is_told_at_once(transport):
    mesh: Any = Mesh(ALICE)
    with pytest.raises(AttributeError, match=r"there is no service 'nothing'; there are .*things"):
        _ = mesh.nothing
    with pytest.raises(AttributeError, match=r"'nothing' is no operation; there are count_letters, delete_thing, "):
        _ = mesh.things.nothing
    with pytest.raises(TypeError, match=r"get_thing\(\) got unexpected arguments: colour, size"):
        mesh.things.get_thing(id=1, size=2, colour=3)
    with pytest.raises(TypeError, match=r"rename_thing\(\) needs id"):
        mesh.things.rename_thing(data=ThingPatch())
    with pytest.raises(TypeError):
        mesh.things.get_thing(1)
    assert transport.invocations == []


def test_two_services_of_one_mesh_share_its_actor(transport):
    mesh = Mesh(ALICE)
    mesh.things.make_thing(data=ThingIn(title="A"))
    mesh.of(ThingService).get_thing(id=3)
    assert {call.actor for call in transport.invocations} == {ALICE}


def test_a_service_without_a_route_is_in_this_process(settings):
    settings.MESH = {**settings.MESH, "ROUTES": ""}
    local = transports.transport_of("things")
    assert type(local).__name__ == "LocalTransport"
    assert transports.transport_of("tasks") is local


def test_routes_name_the_transport_of_each_service(settings, monkeypatch):
    here, there = Recording(), Recording()
    monkeypatch.setattr(transports, "_schemes", {})
    transports.register("local", lambda: here)
    transports.register("far", lambda: there)
    transports._transports.cache_clear()
    settings.MESH = {**settings.MESH, "ROUTES": "orders=far://shop:50051, events=local://,"}
    assert [transports.transport_of(name) for name in ("orders", "events", "tasks")] == [there, here, here]
    transports._transports.cache_clear()


@pytest.mark.parametrize("routes", ["orders=grpc://shop", "orders", "orders=", "=://"])
def test_a_route_over_an_unknown_transport_is_refused(settings, routes):
    settings.MESH = {**settings.MESH, "ROUTES": routes}
    with pytest.raises(ImproperlyConfigured, match=r"MESH_ROUTES: .* needs one of local://"):
        transports.transport_of("orders")
