"""Bodies of every kind: what is no JSON, too deep, too large, of another type; texts and numbers out of bounds."""

import io
import json
from typing import Any

import pytest
from django.test import Client

from accounts.models import User
from conftest import PASSWORD
from mesh.doors.http.requests import parse_json
from mesh.errors import Malformed
from mesh.testing import Answered, Api
from mesh.tests.growth_of_calls import exponent
from notes.models import Note
from tasks.models import Task

DEEP = b'{"title":' + b"[" * 100_000 + b"]" * 100_000 + b"}"


def nested(depth: int) -> bytes:
    """A JSON object of this depth, itself counted."""
    return b'{"title":' + b"[" * (depth - 1) + b"]" * (depth - 1) + b"}"


@pytest.mark.parametrize(
    "body",
    [
        b"{", b"title=A", b"{'title': 'A'}", b'{"title": NaN}', b'{"title": "A"} {}', b"\xef\xbb\xbf{}", b"\x00",
        b'{"title": "\xff"}', b'{"title": "\xed\xa0\x80"}', '{"title": "A"}'.encode("utf-16"), nested(33), DEEP,
        b'{"title":' * 100_000, b'{"title": "a\nb"}',
    ],
)  # fmt: skip
def test_what_is_no_json_or_too_deep_is_a_400(alice, body):
    refused = alice.api.post("/tasks", body)
    assert (refused.status, refused.json["code"]) == (400, "malformed")
    assert Task.objects.count() == 0


def test_time_grows_no_faster_than_the_depth():
    def parse(depth):
        with pytest.raises(Malformed):
            parse_json(b'{"title":' * depth)

    assert exponent(parse, 500_000, 2_000_000) < 1.8


def test_depth_32_is_read(alice):
    refused = alice.api.post("/tasks", nested(32))
    assert (refused.status, refused.json["errors"][0]["loc"]) == (422, ["body", "title"])


@pytest.mark.parametrize("body", [b"[]", b'"title"', b"1", b"true"])
def test_json_that_is_no_object_is_a_422(alice, body):
    refused = alice.api.post("/tasks", body)
    assert (refused.status, refused.json["errors"][0]["loc"]) == (422, ["body"])


@pytest.mark.parametrize(
    ("body", "loc"),
    [
        (b'{"title": "a\\u0000b"}', ["body", "title"]),
        (b'{"title": "A", "project_id": 1000000000000000000000000000000}', ["body", "project_id"]),
        (b'{"title": "A", "project_id": 9223372036854775808}', ["body", "project_id"]),
        (b'{"title": "A", "project_id": -1}', ["body", "project_id"]),
        (b'{"title": "A", "project_id": 1.5}', ["body", "project_id"]),
        (b'{"title": "A", "project_id": true}', ["body", "project_id"]),
        (b'{"title": "A", "due_date": 1735689600}', ["body", "due_date"]),
        (b'{"title": "A", "due_date": "0001-01-01T00:00:00+14:00"}', ["body", "due_date"]),
        (b'{"title": "A", "due_date": "2030-13-01"}', ["body", "due_date"]),
        (b'{"title": "A", "due_date": ""}', ["body", "due_date"]),
        (b'{"title": "   "}', ["body", "title"]),
        (b'{"title": null}', ["body", "title"]),
        (b'{"title": {"a": 1}}', ["body", "title"]),
        (json.dumps({"title": "x" * 201}).encode(), ["body", "title"]),
        (json.dumps({"title": "A", "description": "x" * 1001}).encode(), ["body", "description"]),
        (b'{"title": "A", "status": "odd"}', ["body", "status"]),
        (b'{"title": "A", "a\\u0000b": 1}', ["body", "a\x00b"]),
        (b"{}", ["body", "title"]),
        (b"", ["body", "title"]),
    ],
)
def test_a_value_that_does_not_fit_is_a_422_on_its_field(alice, body, loc):
    refused = alice.api.post("/tasks", body)
    assert (refused.status, [error["loc"] for error in refused.json.get("errors", [])]) == (422, [loc])
    assert Task.objects.count() == 0


@pytest.mark.parametrize("body", [b'{"title": "\\ud800"}', b'{"\\udfff": 1, "title": "A"}', b'{"title": "\\ud800a"}'])
def test_lone_surrogates_are_refused(alice, body):
    refused = alice.api.post("/tasks", body)
    assert refused.status in (400, 422)
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert Task.objects.count() == 0


@pytest.mark.parametrize("number", [b"1e400", b"-1e400", b"1" * 5000])
def test_numbers_that_no_machine_holds_are_refused_quickly(alice, number):
    refused = alice.api.post("/tasks", b'{"title": "A", "project_id": ' + number + b"}")
    assert refused.status in (400, 422)
    assert Task.objects.count() == 0


def test_texts_in_any_script_come_back_as_they_were(alice):
    title = "\u00c4\u4e2d\U0001f600\u202e\u200b'\";--<b>"
    assert alice.api.post("/tasks", {"title": title}).json["title"] == title
    text = "  line\r\n\ttab " + "x" * 1000
    assert alice.api.post("/notes", {"raw_text": text}).json["raw_text"] == text


def test_the_longest_note_fits_and_one_more_character_does_not(alice):
    assert alice.api.post("/notes", {"raw_text": "\u4e2d" * 100_000}).status == 201
    refused = alice.api.post("/notes", {"raw_text": "x" * 100_001})
    assert (refused.status, Note.objects.count()) == (422, 1)


@pytest.mark.parametrize("size", [1024 * 1024 + 1, 30_000_000])
def test_a_body_that_is_too_large_is_a_413_and_none_of_it_is_read(alice, size):
    stream = Endless()
    extra = {"HTTP_AUTHORIZATION": f"Bearer {alice.api.token}", "wsgi.input": stream, "CONTENT_LENGTH": str(size)}
    refused = Answered(Client().generic("POST", "/notes", b"", "application/json", **extra))
    assert (refused.status, refused.json["code"]) == (413, "too_large")
    assert stream.taken == 0
    assert Note.objects.count() == 0


def test_a_body_of_exactly_one_mebibyte_is_read(alice):
    body = b'{"raw_text": "A"}'
    assert alice.api.post("/notes", body + b" " * (1024 * 1024 - len(body))).status == 201


class Endless(io.RawIOBase):
    """A chunked body without an end, as a server hands it on; it says how much of it was read."""

    def __init__(self) -> None:
        self.taken = 0

    def read(self, size: int = -1) -> bytes:
        assert size >= 0, "the whole of an endless body was asked for"
        self.taken += size
        return b" " * size


def chunked(api: Api, stream: Any) -> Answered:
    extra: dict[str, Any] = {"HTTP_AUTHORIZATION": f"Bearer {api.token}", "HTTP_TRANSFER_ENCODING": "chunked"}
    extra |= {"wsgi.input": stream, "CONTENT_LENGTH": ""}
    return Answered(Client().generic("POST", "/notes", b"", "application/json", **extra))


def test_a_chunked_body_is_read_and_one_without_an_end_is_a_413(alice):
    assert chunked(alice.api, io.BytesIO(b'{"raw_text": "A"}')).json["raw_text"] == "A"
    stream = Endless()
    assert chunked(alice.api, stream).status == 413
    assert stream.taken <= 1024 * 1024 + 1


@pytest.mark.parametrize("length", ["abc", "-5", "1e3", "99999999999999999999"])
def test_a_content_length_that_is_none_is_refused(alice, length):
    extra = {"HTTP_AUTHORIZATION": f"Bearer {alice.api.token}", "CONTENT_LENGTH": length}
    answered = Answered(Client().generic("POST", "/notes", b'{"raw_text": "A"}', "application/json", **extra))
    assert answered.status in (400, 413, 422)
    assert Note.objects.count() == 0


@pytest.mark.parametrize("content_type", ["text/plain", "application/xml", "multipart/form-data; boundary=x", "json"])
def test_another_content_type_is_a_415(alice, content_type):
    refused = alice.api.request("POST", "/tasks", b'{"title": "A"}', Content_Type=content_type)
    assert (refused.status, refused.json["code"]) == (415, "unsupported_media_type")
    assert Task.objects.count() == 0


def test_a_form_is_taken_where_it_is_said_and_only_there(alice):
    form = "application/x-www-form-urlencoded"
    body = f"grant_type=password&username=alice%40example.com&password={PASSWORD.replace(' ', '+')}&scope=".encode()
    for path in ("/auth/login", "/auth/login/access-token"):
        assert Api().request("POST", path, body, Content_Type=form).json["token_type"] == "bearer"
    assert Api().request("POST", "/auth/login", b"username=%ff&password=a", Content_Type=form).status == 400
    assert Api().request("POST", "/auth/login", b"username=a", Content_Type=form).status == 422
    assert alice.api.request("POST", "/tasks", b"title=A", Content_Type=form).status == 415


def test_a_body_may_have_any_json_content_type_or_none(alice):
    for content_type in ("application/json; charset=utf-8", "application/merge-patch+json", "APPLICATION/JSON", ""):
        assert alice.api.request("POST", "/tasks", b'{"title": "A"}', Content_Type=content_type).status == 201


def test_a_name_sent_in_two_places_must_be_the_same(alice):
    task = Task.objects.create(creator=alice.user, title="A")
    path = f"/tasks/{task.pk}/status"
    refused = alice.api.patch(f"{path}?new_status=done", {"status": "todo"})
    assert (refused.status, Task.objects.get().status) == (422, "todo")
    assert alice.api.patch(f"{path}?new_status=done", {"status": "Done"}).json["status"] == "done"
    missing = alice.api.patch(path)
    assert (missing.status, missing.json["errors"][0]["loc"]) == (422, ["body", "status"])


def test_a_get_with_a_body_is_answered_as_without(alice):
    assert alice.api.request("GET", "/users/me", b"{").json["id"] == alice.id
    assert User.objects.count() == 1
