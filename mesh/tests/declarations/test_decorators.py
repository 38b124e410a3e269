"""@query, @command and @job: what they write down, and the routes that they take."""

import pytest

from mesh.declarations.decorators import Declaration, JobOptions, Route, command, job, query
from mesh.declarations.permissions import admins, nobody, signed_in
from mesh.tests.declarations.library import Library


def method(self, *, id: int) -> None:
    """Do."""


def declared(decorator) -> Declaration:
    def fresh(self) -> None:
        """Do."""

    assert decorator(fresh) is fresh, "the function itself is returned"
    return fresh.__operation__


@pytest.mark.parametrize(
    ("text", "method", "segments", "names"),
    [
        ("GET /books", "GET", ("books",), ()),
        ("POST /books/{id}", "POST", ("books", "{id}"), ("id",)),
        ("DELETE /books/{id}/pages/{page_id}", "DELETE", ("books", "{id}", "pages", "{page_id}"), ("id", "page_id")),
        ("PUT /", "PUT", (), ()),
        ("PATCH /a-b_c.d", "PATCH", ("a-b_c.d",), ()),
    ],
)
def test_a_route_is_a_method_and_a_path(text, method, segments, names):
    route = Route.parse(text)
    assert (route.method, route.segments, route.names) == (method, segments, names)
    assert f"{route.method} {route.path}" == text


@pytest.mark.parametrize(
    "text",
    ["", "books", "GET", "GET books", "get /books", "HEAD /books", "OPTIONS /books", "GET  /b", "GET /b c", "GET /b "],
)
def test_a_route_of_another_form_is_a_type_error(text):
    with pytest.raises(TypeError, match="a route reads"):
        query(text)


def test_a_query_is_for_who_is_signed_in_not_cached_and_a_tool():
    found = declared(query("GET /books"))
    assert (found.kind, found.routes, found.allow) == ("query", (Route("GET", "/books"),), signed_in)
    assert (found.ttl, found.cache_tags, found.tool, found.any_key) == (0, ("user:{actor}",), True, False)
    assert (found.media, found.filename, found.job) == ("", "", None)


def test_a_query_without_a_route_is_no_tool():
    assert declared(query()).tool is False
    assert declared(query(tool=True)).tool is False
    assert declared(query("GET /books", tool=False)).tool is False


def test_a_command_may_have_several_routes_and_options():
    found = declared(
        command(
            "PUT /books/{id}", "PATCH /books/{id}", allow=admins, secret=True, form=True, account="name", status=202
        )
    )
    assert [route.method for route in found.routes] == ["PUT", "PATCH"]
    assert (found.kind, found.allow, found.secret, found.form) == ("command", admins, True, True)
    assert (found.account, found.status, found.tool, found.location, found.takes) == ("name", 202, True, "", "")
    assert (found.ttl, found.cache_tags) == (0, ())


def test_a_job_is_called_by_nobody_and_has_no_route():
    found = declared(job(queue="mail"))
    assert (found.kind, found.routes, found.allow, found.tool) == ("job", (), nobody, False)
    assert found.job == JobOptions("mail", attempts=5, lease=30, every=0, gave_up="", mails_only=False)
    assert declared(job(queue="q", attempts=2, lease=7, every=60, gave_up="failed")).job == JobOptions(
        "q", 2, 7, 60, "failed", False
    )


def test_a_service_lists_its_declarations_in_the_order_of_its_methods():
    names = list(Library.declarations())
    assert names[:3] == ["list_books", "get_book", "get_cover"]
    assert names[-1] == "print_book"
    assert len(names) == 15
