"""Which operation is behind a path: fixed before open, mounts, slashes, methods."""

from typing import Any

import pytest

from mesh.declarations.decorators import Route
from mesh.doors.rest.router import Resource, Router
from mesh.tests.declarations.library import operation

READS = ("list_books", "get_book", "get_cover", "export_books")
COMMANDS = ("add_book", "change_book", "remove_book", "import_books")


@pytest.fixture(scope="module")
def router() -> Router:
    return Router({name: operation(name) for name in READS + COMMANDS})


def behind(router: Router, path: str) -> tuple[str, dict[str, str], str] | None:
    """The path of the resource, its parameters, the mount."""
    found = router.match(path)
    return None if found is None else (found[0].path, found[1], found[2])


@pytest.mark.parametrize("mount", ["", "/api/v1", "/api/v2"])
@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(
    ("path", "resource", "parameters"),
    [
        ("/books", "/books", {}),
        ("/books/7", "/books/{id}", {"id": "7"}),
        ("/books/export", "/books/export", {}),
        ("/books/import", "/books/import", {}),
        ("/books/7/cover", "/books/{ref}/cover", {"ref": "7"}),
        ("/books/export/cover", "/books/{ref}/cover", {"ref": "export"}),
        ("/books/é", "/books/{id}", {"id": "é"}),
        ("/books/a b", "/books/{id}", {"id": "a b"}),
    ],
)
def test_a_path_leads_to_its_resource_under_every_mount_with_or_without_a_slash(
    router, mount, slash, path, resource, parameters
):
    assert behind(router, f"{mount}{path}{slash}") == (resource, parameters, mount)


@pytest.mark.parametrize(
    "path",
    [
        "", "/", "/book", "/books/7/8", "/books/7/cover/x", "/BOOKS", "/api/v1", "/api/v1/", "/api/v3/books",
        "/api/books", "/v1/books", "/api/v1/api/v1/books", "/admin/books",
    ],
)  # fmt: skip
def test_a_path_of_nobodys_leads_nowhere(router, path):
    assert behind(router, path) is None


def test_slashes_around_a_path_do_not_matter_and_those_inside_do(router):
    assert behind(router, "//books//") == ("/books", {}, "")
    assert behind(router, "/books//7") is None


def test_each_method_of_a_path_has_its_operation(router):
    resource, _, _ = router.match("/books/7")
    assert {method: found.name for method, (found, _) in resource.methods.items()} == {
        "GET": "get_book", "PATCH": "change_book", "PUT": "change_book", "DELETE": "remove_book",
    }  # fmt: skip
    assert [route.method for _, route in resource.methods.values()] == list(resource.methods)


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/books", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/books/7", {"GET", "HEAD", "PATCH", "PUT", "DELETE", "OPTIONS"}),
        ("/books/import", {"POST", "OPTIONS"}),
    ],
)
def test_a_path_allows_its_methods_with_head_and_options(router, path, allowed):
    found = router.match(path)[0].allowed
    assert (set(found), len(found)) == (allowed, len(allowed))


def test_of_two_open_paths_the_one_with_fewer_parameters_is_meant():
    class Declared:
        def __init__(self, *paths: str) -> None:
            self.routes = [Route("GET", path) for path in paths]

    def offering(name: str, *paths: str) -> Any:
        return type("Offered", (), {"name": name, "declaration": Declared(*paths)})()

    for names in (("two", "one"), ("one", "two")):  # in whichever order they were declared
        operations = {
            "two": offering("two", "/shelves/{id}/{part}"),
            "one": offering("one", "/shelves/{id}/books"),
        }
        router = Router({name: operations[name] for name in names})
        assert behind(router, "/shelves/7/books") == ("/shelves/{id}/books", {"id": "7"}, "")
        assert behind(router, "/shelves/7/top") == ("/shelves/{id}/{part}", {"id": "7", "part": "top"}, "")


def test_a_resource_matches_paths_of_its_own_length_alone():
    resource = Resource("/a/{x}/b", ("a", "{x}", "b"))
    assert resource.match(["a", "7", "b"]) == {"x": "7"}
    assert resource.match(["a", "7", "c"]) is None
    with pytest.raises(ValueError, match="zip"):
        resource.match(["a", "7"])
