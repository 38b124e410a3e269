"""Writing a response: statuses and headers of success, of refusals, of files."""

import json
from typing import Any

import pytest
from django.core.signals import request_finished
from django.db import close_old_connections
from django.test import RequestFactory

from mesh import errors
from mesh.declarations.invocation import Answer
from mesh.doors.http.responses import Reply, problem, streamed, success
from mesh.tests.declarations.library import operation


def answered(name: str, answer: Answer, path: str = "/api/v1/books", mount: str = "/api/v1", **meta: Any) -> Any:
    return success(RequestFactory().get(path, **meta), operation(name), answer, mount)


def test_a_read_is_json_that_nobody_on_the_way_stores():
    reply = answered("get_book", Answer(b'{"id":1}'))
    assert (reply.status_code, reply.content, reply.reason_phrase) == (200, b'{"id":1}', "OK")
    assert dict(reply) == {"Cache-Control": "no-store", "Content-Type": "application/json"}


def test_what_was_made_has_a_location_under_the_mount_that_was_asked():
    for mount in ("", "/api/v1", "/api/v2"):
        reply = answered("add_book", Answer(b"{}", row_id=7), mount=mount)
        assert (reply.status_code, reply["Location"]) == (201, f"{mount}/books/7")
    assert "Location" not in answered("add_book", Answer(b"{}"))
    assert "Location" not in answered("change_book", Answer(b"{}", row_id=7))


def test_nothing_to_say_is_a_204_without_a_type():
    reply = answered("remove_book", Answer(b""))
    assert (reply.status_code, reply.content, dict(reply)) == (204, b"", {"Cache-Control": "no-store"})


def test_a_dry_run_is_a_200_without_a_location():
    reply = answered("add_book", Answer(b"{}", row_id=7, dry_run=True))
    assert (reply.status_code, reply["Preference-Applied"], "Location" in reply) == (200, "dry-run", False)


def test_a_replay_and_a_hit_say_so():
    reply = answered("add_book", Answer(b"{}", replayed=True, cache="hit"))
    assert (reply["Idempotent-Replay"], reply["X-Cache"]) == ("true", "hit")
    plain = answered("add_book", Answer(b"{}"))
    assert not {"Idempotent-Replay", "X-Cache"} & plain.keys()


@pytest.mark.parametrize(
    ("path", "link"),
    [
        ("/api/v1/books", "http://testserver/api/v1/books?cursor=C"),
        ("/api/v1/books?limit=2", "http://testserver/api/v1/books?limit=2&cursor=C"),
        ("/api/v1/books?cursor=B&limit=2", "http://testserver/api/v1/books?cursor=C&limit=2"),
        ("/books?search=a%20b%26c", "http://testserver/books?search=a+b%26c&cursor=C"),
        ("/b%C3%BCcher?search=%C3%A9", "http://testserver/b%C3%BCcher?search=%C3%A9&cursor=C"),
    ],
)
def test_a_page_links_to_the_next_one_with_the_same_question(path, link):
    reply = answered("list_books", Answer(b"{}", next_cursor="C"), path)
    assert reply["Link"] == f'<{link}>; rel="next"'
    assert "Link" not in answered("list_books", Answer(b"{}"), path)


def test_an_https_link_where_it_was_asked_so():
    request = RequestFactory().get("/books", secure=True)
    assert success(request, operation("list_books"), Answer(b"{}", next_cursor="C"), "")["Link"] == (
        '<https://testserver/books?cursor=C>; rel="next"'
    )


def test_a_file_has_its_media_type_and_an_etag_that_clients_ask_with():
    first = answered("get_cover", Answer(json.dumps("<svg>é</svg>").encode()))
    assert (first.status_code, first.content) == (200, "<svg>é</svg>".encode())
    assert (first["Content-Type"], first["Cache-Control"]) == ("image/svg+xml", "private, no-cache")
    assert "Content-Security-Policy" not in first
    again = answered("get_cover", Answer(json.dumps("<svg>é</svg>").encode()), HTTP_IF_NONE_MATCH=first["ETag"])
    assert (again.status_code, again.content, again["ETag"]) == (304, b"", first["ETag"])
    other = answered("get_cover", Answer(b'"<svg/>"'), HTTP_IF_NONE_MATCH=first["ETag"])
    assert (other.status_code, other["ETag"] == first["ETag"]) == (200, False)


def test_a_stream_is_saved_under_its_name():
    response = streamed(operation("export_books"), Answer(b"", stream=(part for part in ("a\n", "b\n"))))
    assert (response.status_code, response.getvalue()) == (200, b"a\nb\n")
    assert response["Content-Type"] == "text/csv"
    assert response["Content-Disposition"] == 'attachment; filename="books.csv"'
    assert response["Cache-Control"] == "no-store"


@pytest.fixture
def connections_stay():
    """The end of a response closes connections, which here may be those of another test."""
    request_finished.disconnect(close_old_connections)
    yield
    request_finished.connect(close_old_connections)


def test_a_stream_is_ended_with_its_response(connections_stay):
    ended = []

    def parts():
        try:
            yield "a"
            yield "b"
        finally:
            ended.append(True)

    stream = parts()
    response = answered("export_books", Answer(b"", stream=stream))
    assert next(iter(response.streaming_content)) == b"a"
    response.close()
    assert ended == [True]


REFUSALS = {
    errors.Malformed("x"): {},
    errors.Invalid.field(["body"], "x"): {},
    errors.Unauthenticated("x"): {"WWW-Authenticate": 'Bearer realm="meshwork"'},
    errors.Forbidden("x"): {},
    errors.RateLimited("x", retry_after=7): {"Retry-After": "7"},
    errors.Unavailable("x"): {"Retry-After": "2"},
    errors.InProgress("x"): {"Retry-After": "1"},
}


@pytest.mark.parametrize("refusal", REFUSALS, ids=lambda refusal: type(refusal).__name__)
def test_a_refusal_is_a_problem_with_the_headers_of_its_status(refusal):
    response = problem(refusal)
    assert (response.status_code, json.loads(response.content)) == (refusal.status, refusal.problem())
    assert {name: response[name] for name in response.headers} == {
        "Content-Type": "application/problem+json",
        "Cache-Control": "no-store",
        **REFUSALS[refusal],
    }


def test_a_refusal_may_have_more_headers():
    assert problem(errors.MethodNotAllowed("x"), {"Allow": "GET"})["Allow"] == "GET"


def test_a_reply_is_djangos_where_django_wants_one():
    response = Reply(b"{}", 201, {"Location": "/books/7", "Content-Type": "application/json"}).for_django()
    assert (response.status_code, response.content, response["Location"]) == (201, b"{}", "/books/7")
    assert response["Content-Type"] == "application/json"
