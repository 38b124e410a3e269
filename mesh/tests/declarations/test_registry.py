"""The registry: every service and operation by name, and those of which API keys may have scopes."""

from mesh import Service, anyone, command, in_person, query
from mesh.declarations.registry import Registry, registry
from mesh.tests.declarations.library import Library
from mesh.tests.example.services import ThingService


def test_a_service_is_registered_with_its_operations_in_their_order():
    made = Registry()
    made.add(Library)
    assert made.services == {"library": Library}
    assert list(made.operations) == list(Library.declarations())
    assert made.of_service(Library) == made.operations
    assert made.of_service(ThingService) == {}
    assert made.duplicates == []


def test_a_second_service_or_operation_of_a_name_is_noted():
    made = Registry()
    made.add(Library)
    made.add(Library)
    assert made.duplicates == ["library", *Library.declarations()]


def test_a_service_without_a_name_is_a_base_class_and_not_registered(throwaway):
    class Base(Service):
        @query()
        def look(self) -> None:
            """Look."""

    class Named(Base):
        name = "named"

    assert "look" not in registry.operations
    assert registry.services["named"] is Named


def test_keys_may_have_scopes_of_what_they_may_call(throwaway):
    class Open(Service):
        name = "open"

        @query("GET /open")
        def look_in(self) -> None:
            """Look."""

    class Personal(Service):
        name = "personal"

        @command("POST /personal", allow=in_person)
        def sign(self) -> None:
            """Sign."""

    class Keyless(Service):
        name = "keyless"

        @command("POST /keyless", allow=anyone, any_key=True)
        def enter(self) -> None:
            """Enter."""

    class Inner(Service):
        name = "inner"

        @query()
        def look_inside(self) -> None:
            """Look."""

    open_to_keys = registry.open_to_keys()
    assert "open" in open_to_keys
    assert not {"personal", "keyless", "inner"} & set(open_to_keys)
    assert open_to_keys == sorted(open_to_keys)


def test_the_example_is_registered_whole():
    names = [name for name, operation in registry.operations.items() if operation.service is ThingService]
    assert names == [
        "list_things", "get_thing", "make_thing", "rename_thing", "share_thing", "delete_thing", "count_letters",
    ]  # fmt: skip
