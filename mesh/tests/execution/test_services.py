"""Declaring an operation: the decorator only records; commands say what they changed; writes do not cross."""

from typing import Annotated

import pytest

from accounts.schemas import PersonOut, UserPatch
from accounts.services import UserService
from mesh import ANONYMOUS, Also, In, Mesh, Page, Service, command, query, text
from mesh.declarations.schemas import PageParams
from mesh.errors import Forbidden, Invalid, NotFound, Unauthenticated
from mesh.models import Version
from mesh.testing import Api
from mesh.tests.example.models import Thing
from mesh.tests.example.schemas import OwnerOut, ShareIn, ShareOut, ThingFilters, ThingIn, ThingOut
from mesh.tests.example.services import ThingService


def test_the_decorator_returns_the_function_unchanged():
    def method(self, *, id: int) -> None:
        """Do."""

    assert query("GET /things/{id}")(method) is method
    assert command("POST /things/{id}")(method) is method
    assert method(None, id=1) is None


def test_an_operation_is_a_plain_method_in_python(alice):
    made = ThingService(alice.actor).make_thing(data=ThingIn(title="Plain"))
    assert Thing.objects.get().title == "Plain"
    assert made is not None


def test_a_command_that_does_not_say_what_it_changed_is_a_bug_and_is_undone(alice, throwaway):
    class Forgetful(Service):
        """Forgets."""

        name = "forgetful"

        @command("POST /forgetful")
        def forget(self) -> None:
            """Forget to say what changed."""
            Thing.objects.create(owner_id=self.actor.id, title="Forgotten")

        @command("POST /mindful")
        def remember(self) -> None:
            """Say that nothing did."""
            self.changed()

    throwaway()
    with pytest.raises(RuntimeError, match="forget must say what it changed"):
        alice.mesh.forgetful.forget()
    refused = alice.api.post("/forgetful")
    assert (refused.status, refused.json["code"]) == (500, "internal")
    assert Thing.objects.count() == 0
    assert alice.api.post("/mindful").status == 204


def test_a_command_inside_a_command_is_refused_and_undone(alice, throwaway):
    class Crossing(Service):
        """Crosses."""

        name = "crossing"

        @command("POST /crossing")
        def cross(self) -> None:
            """Write in two services."""
            Thing.objects.create(owner_id=self.actor.id, title="First")
            self.changed()
            self.of(ThingService).make_thing(data=ThingIn(title="Second"))

        @query("GET /crossing")
        def read_and_write(self) -> None:
            """Write while reading."""
            self.of(ThingService).make_thing(data=ThingIn(title="Third"))

    throwaway()
    with pytest.raises(RuntimeError, match="cross called the command make_thing"):
        alice.mesh.crossing.cross()
    assert Thing.objects.count() == 0
    assert alice.api.post("/crossing").status == 500
    assert alice.mesh.of(ThingService).make_thing(data=ThingIn(title="After all")).title == "After all"


def test_calls_through_of_decode_to_the_types_that_are_declared(alice, bob):
    things = alice.mesh.of(ThingService)
    made = things.make_thing(data=ThingIn(title="Plan"))
    assert isinstance(made, ThingOut)
    assert (made.owner, made.shares, made.letters) == (OwnerOut(id=alice.id, name="Alice"), [], None)
    shared = things.share_thing(id=made.id, data=ShareIn(user_id=bob.id))
    assert shared.shares == [ShareOut(user=OwnerOut(id=bob.id, name="Bob"))]
    page = things.list_things(filters=ThingFilters(), page=PageParams(limit=1))
    assert isinstance(page, Page)
    assert (page.count, page.next, page.results) == (1, None, [shared])
    assert things.list_things() == things.list_things() == page.model_copy()
    assert bob.mesh.things.get_thing(id=made.id) == shared
    assert things.delete_thing(id=made.id) is None
    assert alice.mesh.of(UserService).find_people(emails=["BOB@example.com"]) == [
        PersonOut(id=bob.id, name="Bob", email="bob@example.com")
    ]


def test_calls_in_python_have_the_rights_of_the_actor(alice, charlie, anonymous):
    made = alice.mesh.of(ThingService).make_thing(data=ThingIn(title="A"))
    assert isinstance(made, ThingOut)
    with pytest.raises(NotFound):
        charlie.mesh.things.get_thing(id=made.id)
    with pytest.raises(Forbidden):
        alice.mesh.users.update_user(id=alice.id, data=UserPatch(name="Other"))
    with pytest.raises(Unauthenticated):
        Mesh(ANONYMOUS).things.get_thing(id=made.id)


def test_a_wrong_name_or_argument_in_python_is_said_at_once(alice):
    with pytest.raises(AttributeError, match="there is no service 'nothing'"):
        _ = alice.mesh.nothing
    with pytest.raises(AttributeError, match="'nothing' is no operation"):
        _ = alice.mesh.things.nothing
    with pytest.raises(TypeError, match="unexpected arguments: colour"):
        alice.mesh.things.get_thing(id=1, colour=2)
    with pytest.raises(TypeError, match="needs id"):
        alice.mesh.things.get_thing()


def test_what_is_not_cached_raises_no_version_and_what_is_does_for_its_people(alice, bob, monkeypatch):
    monkeypatch.setattr(Thing, "versioned", False)
    made = alice.api.post("/things", {"title": "A"}).json["id"]
    assert Version.objects.count() == 0
    monkeypatch.undo()
    alice.api.post(f"/things/{made}/share", {"user_id": bob.id})
    assert dict(Version.objects.values_list("scope", "number")) == {alice.actor.cache_tag: 1, bob.actor.cache_tag: 1}
    alice.api.patch(f"/things/{made}", {"title": ""})
    assert dict(Version.objects.values_list("scope", "number")) == {alice.actor.cache_tag: 1, bob.actor.cache_tag: 1}


class Colour(In):
    """A colour."""

    red: Annotated[str, text(1, 9)]


def test_a_service_declared_anywhere_answers_at_every_door(alice, throwaway):
    class Colours(Service):
        """Colours."""

        name = "colours"

        @query("GET /colours/{id}")
        def get_colour(self, *, id: int, shade: Annotated[Annotated[str, text(1, 9)], Also("tint")] = "light") -> str:
            """Show a colour."""
            return f"{shade} {id} of {self.actor.name}"

        @command("POST /colours/{id}/mix", "PUT /colours/{id}")
        def mix_colour(self, *, id: int, data: Colour) -> str:
            """Mix a colour."""
            self.changed()
            return f"{id} {data.red}"

    throwaway()
    assert alice.api.get("/colours/3?tint=dark").json == "dark 3 of Alice"
    assert alice.api.post("/tools/get_colour", {"arguments": {"id": 3}}).json["result"] == "light 3 of Alice"
    assert alice.mesh.colours.get_colour(id=3, shade="pale") == "pale 3 of Alice"
    for call in (alice.api.put("/colours/7", {"red": "all"}), alice.api.post("/colours/7/mix", {"red": "all"})):
        assert (call.status, call.json) == (200, "7 all")
    assert alice.api.get("/colours/3?tint=dark&shade=pale").status == 422
    assert Api().get("/colours/3").status == 401
    with pytest.raises(Invalid):
        alice.mesh.call_tool("mix_colour", {"id": 7})


def test_nothing_of_a_throwaway_service_is_left(alice):
    assert alice.api.get("/colours/3").status == 404
    assert alice.api.post("/tools/mix_colour", {"arguments": {}}).status == 404
    with pytest.raises(AttributeError):
        _ = alice.mesh.colours
