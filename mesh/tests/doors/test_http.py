"""How requests are answered over HTTP: mounts, methods, unknown things, errors, headers, credentials."""

import re
from typing import Any

import pytest

from meetings.models import Meeting
from meetings.services import MeetingService
from mesh.declarations.registry import registry
from mesh.testing import Api
from mesh.tests.database import everything

MOUNTS = ("", "/api/v1", "/api/v2")
MEETING = {"title": "Plan", "scheduled_time": "2030-01-01T10:00:00Z"}
PROBLEM = {"type", "title", "status", "detail", "code"}


@pytest.mark.parametrize("mount", MOUNTS)
@pytest.mark.parametrize("slash", ["", "/"])
def test_every_mount_answers_with_and_without_a_slash_at_the_end(alice, mount, slash):
    api = Api(alice.api.token, mount)
    made = api.post(f"/meetings{slash}", MEETING)
    assert (made.status, made.headers["Location"]) == (201, f"{mount}/meetings/{made.json['id']}")
    assert api.get(f"/meetings/{made.json['id']}{slash}").json == made.json
    assert api.get(f"/meetings{slash}").json["results"] == [made.json]
    assert api.patch(f"/meetings/{made.json['id']}{slash}", {"title": "New"}).json["title"] == "New"
    assert api.delete(f"/meetings/{made.json['id']}{slash}").status == 204


@pytest.mark.parametrize("path", ["/meeting", "/meetings/1/2", "/meetings/1/respond/2", "/users/me/me", "/"])
@pytest.mark.parametrize("mount", MOUNTS)
def test_a_path_that_is_none_is_a_404_problem(alice, mount, path):
    answered = Api(alice.api.token, mount).get(path)
    assert (answered.status, answered.json["code"], answered.json["status"]) == (404, "not_found", 404)
    assert answered.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize("id", ["0", "-1", "abc", "1.5", "9223372036854775808", "1" * 400, "%00", "%ff", "1%0d%0aX: 1"])
def test_an_id_that_no_row_can_have_is_a_404(alice, id):
    for path in ("/meetings", "/notes", "/tasks", "/things", "/users"):
        answered = alice.api.get(f"{path}/{id}")
        assert (answered.status, answered.json["code"]) == (404, "not_found")
        assert "X" not in answered.headers


def test_head_is_get_without_its_body(alice):
    alice.api.post("/meetings", MEETING)
    for path in ("/meetings", "/users/me", "/meetings/1234567"):
        got, head = alice.api.get(path), alice.api.request("HEAD", path)
        assert (head.status, head.text) == (got.status, "")
        assert head.headers["Content-Type"] == got.headers["Content-Type"]
        assert int(head.headers["Content-Length"]) == len(got.text.encode())


def test_options_and_a_405_name_the_methods_of_a_path(alice):
    before = everything()
    for path, allowed in (
        ("/meetings", {"GET", "HEAD", "POST", "OPTIONS"}),
        ("/meetings/1", {"GET", "HEAD", "PATCH", "PUT", "DELETE", "OPTIONS"}),
        ("/auth/login", {"POST", "OPTIONS"}),
        ("/users/me", {"GET", "HEAD", "PATCH", "OPTIONS"}),
    ):
        options = alice.api.request("OPTIONS", path)
        assert (options.status, options.text) == (204, "")
        assert set(options.headers["Allow"].split(", ")) == allowed
        for method in {"GET", "POST", "PATCH", "PUT", "DELETE", "TRACE", "PROPFIND"} - allowed:
            refused = alice.api.request(method, path, {})
            assert (refused.status, refused.json["code"]) == (405, "method_not_allowed"), method
            assert set(refused.headers["Allow"].split(", ")) == allowed
            assert refused.headers["Content-Type"] == "application/problem+json"
    assert everything() == before


def test_all_that_is_wrong_with_a_request_is_said_at_once(alice):
    body = {"title": "", "duration_minutes": 4, "attendee_emails": ["x", "a@example.com", 3], "colour": "red"}
    refused = alice.api.post("/meetings?limit=3&a=1", body)
    assert refused.status == 422
    assert refused.json.keys() == PROBLEM | {"errors"}
    assert sorted(".".join(map(str, error["loc"])) for error in refused.json["errors"]) == [
        "body.attendee_emails.0", "body.attendee_emails.2", "body.colour", "body.duration_minutes",
        "body.scheduled_time", "body.title", "query.a", "query.limit",
    ]  # fmt: skip
    assert all(error.keys() == {"loc", "msg", "type"} and error["msg"] for error in refused.json["errors"])
    assert Meeting.objects.count() == 0


def test_a_secret_that_was_sent_wrongly_is_not_sent_back():
    refused = Api().post("/auth/signup", {"email": "no", "password": ["hunter2hunter2"], "hunter3": "hunter4"})
    assert refused.status == 422
    assert "hunter2" not in refused.text
    assert "hunter4" not in refused.text


@pytest.mark.parametrize(
    ("path", "loc"),
    [
        ("/meetings?colour=red", ["query", "colour"]),
        ("/meetings?limit=1&limit=2", ["query", "limit"]),
        ("/meetings/?from_=2030-01-01", ["query", "from_"]),
        ("/users/me?x", ["query", "x"]),
        ("/tasks?status=odd", ["query", "status"]),
        ("/tasks?meeting_id=0", ["query", "meeting_id"]),
        ("/tasks?overdue=perhaps", ["query", "overdue"]),
        ("/notes?search=%00", ["query", "search"]),
        ("/notes?search=" + "x" * 201, ["query", "search"]),
        ("/meetings?from=yesterday", ["query", "from"]),
        ("/meetings?from=1735689600", ["query", "from"]),
        ("/tools?format=yaml", ["query", "format"]),
    ],
)
def test_a_query_string_that_does_not_hold_is_refused_by_its_name(alice, path, loc):
    refused = alice.api.get(path)
    assert (refused.status, [error["loc"] for error in refused.json["errors"]]) == (422, [loc])


def test_times_from_and_to_are_both_included(alice):
    for hour in (9, 10, 11):
        alice.api.post("/meetings", {"title": str(hour), "scheduled_time": f"2030-01-01T{hour:02}:00:00Z"})
    found = alice.api.get("/meetings?from=2030-01-01T10:00:00Z&to=2030-01-01T11:00:00%2B01:00").json
    assert [row["title"] for row in found["results"]] == ["10"]
    naive = alice.api.get("/meetings?from=2030-01-01T10:00&to=2030-01-01T11:00:00").json
    assert [row["title"] for row in naive["results"]] == ["11", "10"]


@pytest.mark.parametrize("path", ["/notes?search=%ff", "/notes?search=%ed%a0%80", "/notes?" + "&".join("a" * 200)])
def test_a_query_string_that_cannot_be_read_is_a_400(alice, path):
    refused = alice.api.get(path)
    assert (refused.status, refused.json["code"]) == (400, "malformed")


def test_a_request_id_is_given_back_and_a_new_one_made(alice):
    sent = alice.api.get("/meetings", X_Request_ID="order-7:a.b_c")
    assert sent.headers["X-Request-ID"] == "order-7:a.b_c"
    made = [alice.api.get(path).headers["X-Request-ID"] for path in ("/meetings", "/meetings/1", "/nothing")]
    assert len(set(made)) == 3
    assert all(re.fullmatch(r"[0-9a-f]{32}", request_id) for request_id in made)


@pytest.mark.parametrize("hostile", ["a\r\nSet-Cookie: x=1", "a b", "x" * 129, "\u00e9", "<script>", "a\x00", "a\n"])
def test_a_hostile_request_id_is_replaced(alice, hostile):
    answered = alice.api.get("/meetings", X_Request_ID=hostile)
    assert re.fullmatch(r"[0-9a-f]{32}", answered.headers["X-Request-ID"])
    assert "Set-Cookie" not in answered.headers


@pytest.mark.parametrize("header", ["User_Agent", "Accept", "Accept_Language", "Prefer", "Origin", "Referer"])
def test_hostile_headers_are_no_error_and_are_not_sent_back(alice, header):
    for value in ("a\r\nX-Evil: 1", "\x00", "\u00ff" * 5000, "'; DROP TABLE x; --", "{{7*7}}"):
        answered = alice.api.post("/things", {"title": "A"}, **{header: value})
        assert answered.status == 201
        assert "X-Evil" not in answered.headers
        assert value not in str(answered.headers)


@pytest.mark.parametrize(
    "credential",
    [
        {"Authorization": "Bearer nonsense"},
        {"Authorization": "Basic YTpi"},
        {"Authorization": "Bearer"},
        {"Authorization": "bearer \u00e9\x00"},
        {"X_API_Key": "nonsense"},
        {"X_API_Key": "nonsense", "Authorization": "Bearer nonsense"},
    ],
)
def test_a_bad_credential_is_a_401_everywhere_also_where_none_is_needed(db, credential):
    before = everything()
    for method, path in {
        (route.method, re.sub(r"{\w+}", "1", route.path))
        for operation in registry.operations.values()
        for route in operation.declaration.routes
    }:
        refused = Api(**credential).request(method, path, {})
        assert (refused.status, refused.json["code"]) == (401, "unauthenticated"), (method, path)
        assert refused.headers["WWW-Authenticate"] == 'Bearer realm="meshwork"'
    assert everything() == before


def test_a_wrong_role_is_a_403_before_anything_is_looked_up(alice):
    for id, body in ((alice.id, {"name": "A"}), (123456, {"name": "A"}), (alice.id, {"nonsense": 1})):
        assert alice.api.patch(f"/users/{id}", body).json["code"] == "forbidden"


def test_a_bug_is_a_500_without_any_text_of_it(alice, monkeypatch):
    def broken(service: Any, **values: Any) -> Any:
        raise ValueError("secret text of the exception")

    monkeypatch.setattr(MeetingService, "list_meetings", broken)
    answered = alice.api.get("/meetings", X_Request_ID="see-me")
    assert (answered.status, answered.json["code"]) == (500, "internal")
    assert answered.json.keys() == PROBLEM
    assert "see-me" in answered.json["detail"]
    assert "secret" not in answered.text
    assert "ValueError" not in answered.text
    tool = alice.api.post("/tools/list_meetings", {})
    assert (tool.status, "secret" in tool.text) == (500, False)


@pytest.mark.parametrize("origin", ["https://app.example.com"])
def test_an_allowed_origin_may_call_and_another_may_not(alice, settings, origin):
    settings.CORS_ALLOWED_ORIGINS = [origin]
    preflight = {"Access_Control_Request_Method": "PATCH", "Access_Control_Request_Headers": "idempotency-key"}
    asked = Api().request("OPTIONS", "/meetings", Origin=origin, **preflight)
    assert (asked.status, asked.headers["Access-Control-Allow-Origin"]) == (200, origin)
    assert "PATCH" in asked.headers["Access-Control-Allow-Methods"]
    assert "idempotency-key" in asked.headers["Access-Control-Allow-Headers"]
    for answered in (alice.api.get("/meetings", Origin=origin), alice.api.get("/meetings/1", Origin=origin)):
        assert answered.headers["Access-Control-Allow-Origin"] == origin
        assert "RateLimit" in answered.headers["Access-Control-Expose-Headers"]
        assert "WWW-Authenticate" not in answered.headers
    for other in ("https://evil.example.com", "http://localhost:3000", "null"):
        assert "Access-Control-Allow-Origin" not in alice.api.get("/meetings", Origin=other).headers


def test_answers_are_json_and_not_stored_on_the_way(alice):
    for path in ("/meetings", "/users/me", "/meetings/1"):
        answered = alice.api.get(path)
        assert answered.headers["Cache-Control"] == "no-store"
        assert answered.headers["Content-Type"] in ("application/json", "application/problem+json")
        assert answered.headers["X-Content-Type-Options"] == "nosniff"


def test_a_hostile_host_is_a_400(alice, settings):
    settings.ALLOWED_HOSTS = ["api.example.com"]
    for _ in range(2):
        alice.api.post("/things", {"title": "A"}, Host="api.example.com")
    assert alice.api.get("/things?limit=1", Host="api.example.com").status == 200
    for path in ("/things?limit=1", "/things", "/nothing"):
        refused = alice.api.get(path, Host="evil.example.com")
        assert (refused.status, refused.headers.get("Link")) == (400, None), path
