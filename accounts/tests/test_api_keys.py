"""GET, POST /api-keys, GET, DELETE /api-keys/{id}, and asking with a key."""

import logging
import threading
import time
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import DatabaseError, IntegrityError, connection, connections, transaction
from django.test import Client
from django.utils import timezone

from accounts import credentials
from accounts.api_keys import MOST_KEYS, ApiKeyService
from accounts.models import ApiKey
from accounts.schemas import ApiKeyIn
from accounts.tests.assertions import TIME, Like, at_once, faults, ids, nothing_changes, refused
from accounts.tests.browser import text_of
from meetings.models import Meeting
from mesh.declarations.registry import registry
from mesh.models import AuditEntry, IdempotencyKey, Mail, Outbox
from mesh.testing import Api
from tasks.models import Project, Task

KEY = Like(r"mw_[0-9a-f]{8}_[A-Za-z0-9_-]{43}")
INVALID = "This API key is not valid: it may have been deleted, or have expired."
UNKNOWN = f"mw_00000000_{'x' * 43}"


def body(**fields):
    return {"name": "Robot", "scopes": ["*"], **fields}


def issue(person, *scopes, **fields):
    """A key of the person's: its row, and who asks with it."""
    row, key = ApiKey.objects.issue(user=person.user, name="Robot", scopes=list(scopes) or ["*"], **fields)
    return row, Api(X_API_Key=key)


def ago(**lasts):
    return timezone.now() - timedelta(**lasts)


# The resource.


def test_a_new_key_is_shown_once_and_only_its_hash_is_kept(alice):
    made = alice.api.post("/api-keys", body(scopes=["orders:read", "meetings:*"], expires_at="2099-01-01T00:00:00Z"))
    assert made.status == 201, made
    key = made.json.pop("key")
    assert key == KEY
    row = ApiKey.objects.get()
    assert made.headers["Location"] == f"/api/v1/api-keys/{row.pk}"
    assert made.headers["Cache-Control"] == "no-store"
    assert made.json == {
        "id": row.pk,
        "name": "Robot",
        "prefix": key[:11],
        "scopes": ["orders:read", "meetings:*"],
        "approval": "never",
        "expires_at": "2099-01-01T00:00:00Z",
        "last_used_at": None,
        "created_at": TIME,
    }
    assert row.key_hash == ApiKey.hash_of(key)
    assert key not in str(ApiKey.objects.values().get())
    assert alice.api.get(made.headers["Location"].removeprefix("/api/v1")).json == made.json
    assert alice.api.get("/api-keys").json["results"] == [made.json]
    assert Api(X_API_Key=key).get("/orders").status == 200


def test_every_key_is_another(alice):
    keys = [alice.api.post("/api-keys", body()).json["key"] for _ in range(5)]
    assert len(set(keys)) == len({key[:11] for key in keys}) == 5
    listed = alice.api.get("/api-keys?limit=2")
    assert [row["prefix"] for row in listed.json["results"]] == [keys[4][:11], keys[3][:11]]
    assert (listed.json["count"], "Link" in listed.headers) == (5, True)


def test_what_is_left_out_has_a_default_and_doubles_are_dropped(alice):
    made = alice.api.post("/api-keys", {"name": " Robot ", "scopes": ["read", "orders:*", "read", " orders:* "]}).json
    assert (made["name"], made["scopes"]) == ("Robot", ["read", "orders:*"])
    assert (made["approval"], made["expires_at"]) == ("never", None)


def test_every_service_that_a_key_may_use_has_its_scopes(alice):
    services = registry.open_to_keys()
    assert {"orders", "meetings", "tasks", "notes", "users", "events", "products", "contacts"} <= set(services)
    assert not {"auth", "api_keys", "tools", "mails"} & set(services)
    for service in services:
        scopes = [f"{service}:*", f"{service}:read", f"{service}:write"]
        assert alice.api.post("/api-keys", body(scopes=scopes)).json["scopes"] == scopes


@pytest.mark.parametrize(
    "scope",
    ["admin", "orders", "orders:", ":read", ":*", "orders:delete", "Orders:read", "READ", "**", "*:read", "*:*",
     "nothing:read", "tools:*", "auth:*", "api_keys:*", "mails:*", "orders:read:write", "orders:read,write", "read:*"],
)  # fmt: skip
def test_a_scope_that_there_is_not_is_named_and_what_there_is_is_told(alice, scope):
    with nothing_changes():
        found = faults(alice.api.post("/api-keys", body(scopes=["read", scope, "orders:read"])))
    assert found.keys() == {("body", "scopes", 1)}
    told = found["body", "scopes", 1]
    assert told.startswith("There is no such scope. There are `*`, `read` and `write`, and")
    assert "orders, " in told
    assert "meetings, " in told


@pytest.mark.parametrize(
    ("sent", "where"),
    [
        ({"name": ""}, ("name",)),
        ({"name": "x" * 101}, ("name",)),
        ({"name": None}, ("name",)),
        ({"name": "a\0b"}, ("name",)),
        ({"scopes": []}, ("scopes",)),
        ({"scopes": None}, ("scopes",)),
        ({"scopes": "*"}, ("scopes",)),
        ({"scopes": ["*"] * 51}, ("scopes",)),
        ({"scopes": [""]}, ("scopes", 0)),
        ({"scopes": [1]}, ("scopes", 0)),
        ({"scopes": ["x" * 101]}, ("scopes", 0)),
        ({"expires_at": "2020-01-01T00:00:00Z"}, ("expires_at",)),
        ({"expires_at": "soon"}, ("expires_at",)),
        ({"expires_at": 1}, ("expires_at",)),
        ({"approval": "risky"}, ("approval",)),
        ({"approval": "always"}, ("approval",)),
        ({"approval": "sometimes"}, ("approval",)),
        ({"key": UNKNOWN}, ("key",)),
        ({"user_id": 1}, ("user_id",)),
    ],
)
def test_what_is_wrong_is_named(alice, sent, where):
    with nothing_changes():
        assert faults(alice.api.post("/api-keys", body(**sent))).keys() == {("body", *where)}


def test_all_that_is_wrong_is_named_at_once(alice):
    answer = alice.api.post(
        "/api-keys", {"scopes": ["x", "*", "y"], "expires_at": "2020-01-01T00:00:00Z", "approval": "always"}
    )
    assert faults(answer).keys() == {
        ("body", "name"), ("body", "scopes", 0), ("body", "scopes", 2), ("body", "expires_at"), ("body", "approval")
    }  # fmt: skip


def test_an_approval_that_nobody_would_be_asked_for_is_refused_in_words(alice):
    for approval in ("risky", "always"):
        told = faults(alice.api.post("/api-keys", body(approval=approval)))["body", "approval"]
        assert told == (
            "Nobody can be asked for approval yet, so such a key would do everything without it. Only `never` is taken."
        )
    assert alice.api.post("/api-keys", body(approval="never")).status == 201


def test_a_user_has_a_hundred_keys_at_the_most(alice, bob):
    for _ in range(MOST_KEYS - 1):
        issue(alice)
    assert alice.api.post("/api-keys", body()).status == 201
    with nothing_changes():
        problem = refused(alice.api.post("/api-keys", body()), 409, "api_keys.too_many")
    assert problem["detail"] == "You have 100 API keys, the most there may be. Delete one that is not used."
    assert bob.api.post("/api-keys", body()).status == 201
    assert alice.api.delete(f"/api-keys/{ApiKey.objects.filter(user=alice.user).first().pk}").status == 204
    assert alice.api.post("/api-keys", body()).status == 201


@pytest.mark.django_db(transaction=True)
def test_of_two_who_make_the_last_key_at_once_one_does(alice):
    for _ in range(MOST_KEYS - 1):
        issue(alice)
    made = threading.Event()

    def first():
        with transaction.atomic():
            ApiKeyService(alice.actor).create_api_key(data=ApiKeyIn(**body()))
            made.set()
            time.sleep(0.5)
        connections.close_all()

    other = threading.Thread(target=first)
    other.start()
    assert made.wait(10)
    refused(alice.api.post("/api-keys", body()), 409, "api_keys.too_many")
    other.join()
    assert ApiKey.objects.count() == MOST_KEYS


def test_a_request_that_is_repeated_gets_the_same_key_and_it_is_stored_encrypted(alice):
    first, second = (alice.api.post("/api-keys", body(), Idempotency_Key="k") for _ in range(2))
    assert (second.status, second.headers["Idempotent-Replay"]) == (201, "true")
    assert second.json == first.json
    assert second.headers["Location"] == first.headers["Location"]
    assert ApiKey.objects.count() == 1
    stored = bytes(IdempotencyKey.objects.get().body)
    assert first.json["key"].encode() not in stored
    assert first.json["prefix"].encode() not in stored


def test_a_dry_run_makes_no_key(alice):
    with nothing_changes():
        answer = alice.api.post("/api-keys", body(), Prefer="dry-run")
    refused(answer, 422, "mesh.no_dry_run")
    assert "mw_" not in answer.text


def test_nobody_sees_or_deletes_anothers(alice, bob, charlie, ada, anonymous):
    row, _ = issue(alice)
    for other in (bob, charlie):
        assert ids(other.api.get("/api-keys")) == []
        with nothing_changes():
            refused(other.api.get(f"/api-keys/{row.pk}"), 404)
            refused(other.api.delete(f"/api-keys/{row.pk}"), 404)
    with nothing_changes():
        for method, path in (("GET", ""), ("POST", ""), ("GET", f"/{row.pk}"), ("DELETE", f"/{row.pk}")):
            refused(anonymous.request(method, f"/api-keys{path}"), 401)
    mine, _ = issue(ada)
    assert ids(ada.api.get("/api-keys")) == [mine.pk]
    refused(ada.api.get(f"/api-keys/{row.pk}"), 404)


@pytest.mark.parametrize("id", ["0", "-1", "x", "999999", "9" * 30, "1%00"])
def test_an_id_of_no_key_is_a_404(alice, id):
    with nothing_changes():
        refused(alice.api.get(f"/api-keys/{id}"), 404)
        refused(alice.api.delete(f"/api-keys/{id}"), 404)


def test_the_database_holds_it_too(alice):
    good = {"user": alice.user, "name": "A", "prefix": "mw_00000000", "key_hash": "0" * 64, "scopes": ["*"]}
    wrong = [{"name": ""}, {"key_hash": UNKNOWN}, {"key_hash": "G" * 64}, {"scopes": []}, {"scopes": ["*"] * 51},
             {"approval": "maybe"}]  # fmt: skip
    for fields in wrong:
        with pytest.raises(IntegrityError), transaction.atomic():
            ApiKey.objects.create(**{**good, **fields})
    ApiKey.objects.create(**good)
    with pytest.raises(IntegrityError), transaction.atomic():
        ApiKey.objects.create(**good)


def test_what_is_about_keys_is_no_tool(alice):
    assert "api_key" not in alice.api.get("/tools").text
    row, _ = issue(alice)
    with nothing_changes():
        assert alice.api.post("/tools/delete_api_key", {"arguments": {"id": row.pk}}).status == 404
        assert alice.api.post("/tools/create_api_key", {"arguments": body()}).status == 404


# Asking with a key.


@pytest.mark.parametrize("mount", ["/api/v1", "/api/v2", ""])
def test_a_key_asks_as_its_user_at_every_mount_and_for_tools(alice, bob, mount):
    mine = Task.objects.create(creator=alice.user, title="Mine")
    Task.objects.create(creator=bob.user, title="His")
    key = alice.api.post("/api-keys", body()).json["key"]
    by_key = Api(X_API_Key=key, mount=mount)
    assert by_key.get("/users/me").json == alice.api.get("/users/me").json
    assert ids(by_key.get("/tasks/")) == [mine.pk]
    assert by_key.post("/tools/list_tasks").json["result"]["results"][0]["id"] == mine.pk
    assert by_key.post("/projects", {"title": "A"}).status == 201
    assert Project.objects.get().owner == alice.user


@pytest.mark.parametrize(
    "key",
    [UNKNOWN, "x", "mw_", "mw_00000000", "*", "%", "' OR true --", "\u00e4", "\ud800", "x" * 10_000, f"{UNKNOWN}\n",
     "Bearer x", "0" * 64],
)  # fmt: skip
def test_a_bad_key_is_refused_everywhere_also_where_none_is_needed(alice, key):
    issue(alice)
    bad = Api(X_API_Key=key)
    with nothing_changes():
        for method, path in (
            ("GET", "/users/me"), ("GET", "/events"), ("GET", "/products"), ("POST", "/projects"), ("GET", "/tools"),
            ("POST", "/tools/get_me"), ("POST", "/auth/login"), ("GET", "/api-keys"), ("DELETE", "/api-keys/1"),
        ):  # fmt: skip
            answer = bad.request(method, path, {} if method == "POST" else None)
            assert refused(answer, 401, "unauthenticated")["detail"] == INVALID
            assert answer.headers["WWW-Authenticate"] == 'Bearer realm="meshwork"'


def test_neither_the_hash_nor_a_part_of_a_key_opens_anything(alice):
    row, by_key = issue(alice)
    key = by_key.headers["X_API_Key"]
    for sent in (row.key_hash, row.prefix, key[:-1], key + "x", key.upper(), f"{key} ", key.replace("mw_", "")):
        refused(Api(X_API_Key=sent).get("/users/me"), 401)
    refused(Api(key).get("/users/me"), 401)
    refused(Api(X_API_Key=alice.api.token).get("/users/me"), 401)
    assert by_key.get("/users/me").status == 200


def test_a_key_and_a_token_at_once_are_refused(alice):
    _, by_key = issue(alice)
    both = Api(alice.api.token, **by_key.headers)
    with nothing_changes():
        for path in ("/users/me", "/events"):
            answer = both.get(path)
            problem = refused(answer, 401)
            assert problem["detail"] == "Send one credential: either `Authorization` or `X-API-Key`."
            assert "WWW-Authenticate" in answer.headers
        refused(Api("bad", **by_key.headers).get("/users/me"), 401)


def test_a_deleted_key_is_dead_from_the_next_request_on(alice):
    row, by_key = issue(alice)
    _, other = issue(alice)
    assert by_key.get("/meetings").status == by_key.get("/meetings").status == 200  # cached by now
    answer = alice.api.delete(f"/api-keys/{row.pk}")
    assert (answer.status, answer.text) == (204, "")
    assert refused(by_key.get("/meetings"), 401)["detail"] == INVALID
    refused(by_key.post("/projects", {"title": "A"}), 401)
    assert other.get("/meetings").status == 200
    with nothing_changes():
        refused(alice.api.delete(f"/api-keys/{row.pk}"), 404)


@pytest.mark.django_db(transaction=True)
def test_of_two_who_delete_a_key_at_once_one_does(alice):
    row, _ = issue(alice)
    answers = at_once(*[lambda: alice.api.delete(f"/api-keys/{row.pk}")] * 3)
    assert sorted(answer.status for answer in answers) == [204, 404, 404]


@pytest.mark.django_db(transaction=True)
def test_many_requests_with_one_key_at_once_all_get_their_answer(alice):
    row, by_key = issue(alice)
    asked = [lambda: by_key.get("/users/me"), lambda: by_key.post("/projects", {"title": "A"})] * 4
    assert sorted(answer.status for answer in at_once(*asked)) == [200] * 4 + [201] * 4
    row.refresh_from_db()
    assert row.last_used_at is not None


def test_an_expired_key_is_dead(alice):
    row, by_key = issue(alice, expires_at=timezone.now() + timedelta(hours=1))
    assert by_key.get("/users/me").status == 200
    ApiKey.objects.filter(pk=row.pk).update(expires_at=ago(seconds=1))
    assert refused(by_key.get("/users/me"), 401)["detail"] == INVALID
    assert ids(alice.api.get("/api-keys")) == [row.pk]


def test_a_deactivated_users_keys_rest_from_the_next_request_on(alice, ada):
    _, by_key = issue(alice)
    assert by_key.get("/meetings").status == 200
    ada.api.patch(f"/users/{alice.id}", {"is_active": False})
    assert refused(by_key.get("/meetings"), 401)["detail"] == INVALID
    ada.api.patch(f"/users/{alice.id}", {"is_active": True})
    assert by_key.get("/meetings").status == 200


def test_a_demoted_admins_key_is_an_agents_from_the_next_request_on(alice, ada, person):
    other = person("other", "ADMIN")
    _, by_key = issue(other)
    meeting = Meeting.objects.create(organizer=alice.user, title="Hers", scheduled_time=timezone.now())
    assert by_key.get(f"/meetings/{meeting.pk}").status == 200
    assert by_key.get("/jobs").status == 200
    ada.api.patch(f"/users/{other.id}", {"role": "AGENT"})
    refused(by_key.get(f"/meetings/{meeting.pk}"), 404)
    refused(by_key.get("/jobs"), 403)


def test_a_key_never_exceeds_its_user(alice, bob, charlie):
    _, by_key = issue(charlie, last_used_at=timezone.now())
    task = Task.objects.create(creator=alice.user, assignee=bob.user, title="Hers")
    _, bobs = issue(bob, last_used_at=timezone.now())
    with nothing_changes():
        refused(by_key.get(f"/tasks/{task.pk}"), 404)
        refused(by_key.patch(f"/users/{alice.id}", {"role": "ADMIN"}), 403)
        refused(by_key.get("/jobs"), 403)
        refused(bobs.delete(f"/tasks/{task.pk}"), 403)
    assert ids(by_key.get("/tasks")) == []


def test_an_admins_key_changes_users_by_its_scope(ada, alice):
    _, by_key = issue(ada, "users:write")
    assert by_key.patch(f"/users/{alice.id}", {"name": "Alicia"}).json["name"] == "Alicia"
    refused(by_key.get(f"/users/{alice.id}"), 403)


IN_PERSON = {
    "log_out", "list_sessions", "end_session", "change_password", "make_calendar_key",
    "list_api_keys", "get_api_key", "create_api_key", "delete_api_key",
}  # fmt: skip


def test_what_is_about_credentials_no_key_may_do_whatever_its_scopes(alice, ada):
    for someone in (alice, ada):
        row, by_key = issue(someone, "*", "read", "write", last_used_at=timezone.now())
        session = someone.user.sessions.get().pk
        with nothing_changes():
            for method, path, sent in (
                ("POST", "/auth/logout", None),
                ("GET", "/auth/sessions", None),
                ("DELETE", f"/auth/sessions/{session}", None),
                ("POST", "/auth/password", {"current_password": someone.password, "new_password": "another horse"}),
                ("POST", "/calendar/key", None),
                ("GET", "/api-keys", None),
                ("GET", f"/api-keys/{row.pk}", None),
                ("POST", "/api-keys", body()),
                ("DELETE", f"/api-keys/{row.pk}", None),
            ):
                problem = refused(by_key.request(method, path, sent), 403, "forbidden")
                assert problem["detail"] == "Sign in to do this; an API key may not."
        assert by_key.get("/users/me").status == 200


def test_that_is_all_that_no_key_may_do():
    found = {name for name, op in registry.operations.items() if op.declaration.allow.__name__ == "in_person"}
    assert found == IN_PERSON
    assert not any(registry.operations[name].declaration.tool for name in IN_PERSON)


def test_who_signs_in_with_a_key_at_hand_signs_in(alice, settings):
    """What anyone may do about their own account asks for no scope: it does not matter who asks."""
    settings.SIGNUP_OPEN = True
    _, by_key = issue(alice, "orders:read")
    tokens = by_key.post("/auth/login", {"username": "alice@example.com", "password": alice.password})
    assert tokens.status == 200
    assert by_key.post("/auth/refresh", {"refresh_token": tokens.json["refresh_token"]}).status == 200
    assert by_key.post("/auth/signup", {"email": "new@example.com", "password": alice.password}).status == 201
    assert by_key.post("/auth/password/reset", {"email": "alice@example.com"}).status == 202
    sent = {"token": "forged", "new_password": "another horse another battery"}
    assert by_key.post("/auth/password/reset/confirm", sent).status == 422
    refused(by_key.post("/auth/login", {"username": "alice@example.com", "password": "wrong"}), 401)


# When a key was used last.


def test_the_last_use_is_written_once_a_minute(alice):
    row, by_key = issue(alice)

    def last_used():
        row.refresh_from_db()
        return row.last_used_at

    by_key.get("/users/me")
    assert abs(last_used() - timezone.now()) < timedelta(seconds=30)
    for seconds, written in ((50, False), (61, True), (86_400, True)):
        before = ago(seconds=seconds)
        ApiKey.objects.filter(pk=row.pk).update(last_used_at=before)
        by_key.get("/users/me")
        assert (last_used() != before) is written, seconds
    assert alice.api.get(f"/api-keys/{row.pk}").json["last_used_at"] == TIME


def test_of_two_that_find_the_last_use_long_ago_one_writes(alice):
    before = ago(seconds=5)
    row, _ = issue(alice, last_used_at=before)
    credentials._record_use(row.pk)
    row.refresh_from_db()
    assert row.last_used_at == before


def test_a_refused_request_is_a_use_too_but_not_of_a_dead_key(alice):
    row, by_key = issue(alice, "orders:read")
    refused(by_key.get("/tasks"), 403)
    row.refresh_from_db()
    assert row.last_used_at is not None
    ApiKey.objects.filter(pk=row.pk).update(expires_at=ago(seconds=1), last_used_at=None)
    refused(by_key.get("/orders"), 401)
    row.refresh_from_db()
    assert row.last_used_at is None


@pytest.mark.django_db(transaction=True)
def test_a_read_does_not_wait_for_who_holds_the_keys_row(alice):
    row, by_key = issue(alice)
    held, done = threading.Event(), threading.Event()

    def hold():
        with transaction.atomic():
            ApiKey.objects.select_for_update().get(pk=row.pk)
            held.set()
            done.wait(60)
        connections.close_all()

    holder = threading.Thread(target=hold)
    holder.start()
    assert held.wait(10)
    assert by_key.get("/users/me").status == 200
    assert holder.is_alive()  # and holds it still
    done.set()
    holder.join()
    row.refresh_from_db()
    assert row.last_used_at is None
    by_key.get("/users/me")
    row.refresh_from_db()
    assert row.last_used_at is not None


def test_a_use_that_cannot_be_written_is_no_failure(alice, monkeypatch, caplog):
    row, by_key = issue(alice)
    monkeypatch.setattr("accounts.credentials._TOUCH_KEY", "UPDATE accounts_apikey SET nothing = 1 WHERE id = %s")
    assert by_key.get("/users/me").json["id"] == alice.id
    assert by_key.post("/projects", {"title": "A"}).status == 201
    told = [record.msg for record in caplog.records if record.name == "accounts.credentials"]
    assert [(line["event"], line["api_key_id"]) for line in told] == [("key_use_not_noted", row.pk)] * 2
    assert by_key.headers["X_API_Key"] not in caplog.text


def test_a_cached_read_asks_for_the_key_and_the_versions_in_one_statement(alice, monkeypatch):
    meeting = Meeting.objects.create(organizer=alice.user, title="Plan", scheduled_time=timezone.now())
    _, by_key = issue(alice, last_used_at=timezone.now())
    path = f"/meetings/{meeting.pk}"
    assert "X-Cache" not in by_key.get(path).headers
    asked = []

    def fetch(sql, params=()):
        asked.append(sql)
        return original(sql, params)

    original = credentials.fetch
    monkeypatch.setattr("accounts.credentials.fetch", fetch)
    monkeypatch.setattr("mesh.rows.versions.fetch", fetch)
    monkeypatch.setattr("mesh.rows.reads.fetch", fetch)
    assert by_key.get(path).headers["X-Cache"] == "hit"
    assert len(asked) == 1
    alice.api.patch(path, {"title": "Changed"})
    answer = by_key.get(path)
    assert ("X-Cache" in answer.headers, answer.json["title"]) == (False, "Changed")


# Per user, not per key.


def test_limits_and_idempotency_are_the_users(alice, settings):
    _, first = issue(alice)
    _, second = issue(alice, "projects:write", "tasks:read")
    made = first.post("/projects", {"title": "A"}, Idempotency_Key="k")
    again = second.post("/projects", {"title": "A"}, Idempotency_Key="k")
    assert (again.json, again.headers["Idempotent-Replay"]) == (made.json, "true")
    assert refused(second.post("/projects", {"title": "B"}, Idempotency_Key="k"), 422)["code"] == "idempotency.mismatch"
    settings.MESH = {**settings.MESH, "RATE_LIMIT_READ": "3/min"}
    asked = [first.get("/tasks"), second.get("/tasks"), alice.api.get("/tasks"), first.get("/tasks")]
    assert [answer.status for answer in asked] == [200, 200, 200, 429]


def test_guesses_are_counted_by_address(db, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_READ": "2/min"}
    guesses = [Api(X_API_Key=f"mw_0000000{n}_{'x' * 43}").get("/users/me").status for n in range(4)]
    assert guesses == [401, 401, 429, 429]


def test_a_jobs_part_of_a_command_runs_as_the_user(alice):
    _, by_key = issue(alice, "notes:write")
    assert by_key.post("/notes", {"raw_text": "Maria will send the offer."}).status == 201
    assert Outbox.objects.get(operation="summarize_note").actor == alice.user


# What is written down.


def test_the_trail_says_which_key(alice):
    row, by_key = issue(alice)
    made = by_key.post("/projects", {"title": "A"}).json["id"]
    by_key.post("/tools/create_project", {"arguments": {"title": "B"}})
    by_key.delete("/projects/12345")
    alice.api.delete(f"/projects/{made}")
    alice.api.delete(f"/api-keys/{row.pk}")
    assert list(AuditEntry.objects.order_by("pk").values_list("operation", "actor_id", "key", "door", "outcome")) == [
        ("create_project", alice.id, row.pk, "rest", "ok"),
        ("create_project", alice.id, row.pk, "tool", "ok"),
        ("delete_project", alice.id, row.pk, "rest", "not_found"),
        ("delete_project", alice.id, None, "rest", "ok"),
        ("delete_api_key", alice.id, None, "rest", "ok"),
    ]


def test_log_lines_name_the_key_by_its_id(alice, caplog):
    caplog.set_level(logging.INFO)
    row, by_key = issue(alice)
    by_key.get("/users/me")
    alice.api.get("/users/me")
    lines = [record.msg for record in caplog.records if record.name == "mesh.requests"]
    assert [(line["user_id"], line.get("api_key_id")) for line in lines] == [(alice.id, row.pk), (alice.id, None)]


def test_no_key_reaches_a_log_an_error_a_trail_or_a_table(alice, caplog, monkeypatch):
    caplog.set_level(logging.DEBUG)
    made = alice.api.post("/api-keys", body(), Idempotency_Key="k")
    alice.api.post("/api-keys", body(), Idempotency_Key="k")
    key = made.json["key"]
    by_key, bad = Api(X_API_Key=key), Api(X_API_Key=f"{key[:-4]}AAAA")
    answers = [
        by_key.get("/users/me"),
        by_key.post("/projects", {"title": "A"}),
        by_key.post("/projects", {"title": "A"}, Prefer="dry-run"),
        by_key.post("/projects", {"title": ""}),
        by_key.get("/api-keys"),
        by_key.get("/nothing"),
        bad.get("/users/me"),
        bad.post("/projects", {"title": "A"}),
        Api(alice.api.token, X_API_Key=key).get("/users/me"),
        alice.api.get("/api-keys"),
    ]

    def broken(*values):
        raise RuntimeError("a bug")

    monkeypatch.setattr("accounts.services.UserService.get_me", broken)
    answers.append(by_key.get("/users/me"))
    monkeypatch.setattr("accounts.credentials._ACTOR_OF_KEY", "SELECT nothing{versions} WHERE %s = ''")
    with transaction.atomic():
        answers.append(by_key.get("/users/me"))
        transaction.set_rollback(True)
    assert [answer.status for answer in answers[-2:]] == [500, 500]
    logged = " ".join(f"{record.getMessage()} {record.args!r} {record.exc_text}" for record in caplog.records)
    with connection.cursor() as cursor:
        cursor.execute("SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()")
        tables = [name for (name,) in cursor.fetchall()]
        rows = []
        for table in tables:
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [row for (row,) in cursor.fetchall()]
    assert len(rows) > 10
    secret = key[12:-4]
    assert [text for text in (logged, caplog.text, *rows, *(answer.text for answer in answers)) if secret in text] == []
    assert secret in made.text


# The admin.


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


def test_an_admin_ends_anyones_key_by_the_operation(ada, alice, site):
    row, by_key = issue(alice, "orders:read", last_used_at=timezone.now())
    page = site.get("/admin/accounts/apikey/")
    shown = text_of(page)
    for word in (alice.user.name, "Robot", row.prefix, "orders:read"):
        assert word in shown, word
    assert site.get("/admin/accounts/apikey/add/").status_code == 403
    one = site.get(f"/admin/accounts/apikey/{row.pk}/change/")
    for answer in (page, one):
        assert row.key_hash not in answer.content.decode()
        assert by_key.headers["X_API_Key"] not in answer.content.decode()
    assert site.post(f"/admin/accounts/apikey/{row.pk}/delete/", {"post": "yes"}).status_code == 302
    refused(by_key.get("/orders"), 401)
    assert not ApiKey.objects.exists()
    assert list(AuditEntry.objects.values_list("operation", "actor_id", "key", "door", "outcome")) == [
        ("delete_api_key", ada.id, None, "admin", "ok")
    ]
    assert row.key_hash not in str(list(LogEntry.objects.values()))


def test_an_admin_ends_many_keys_at_once(alice, bob, site):
    for someone in (alice, alice, bob):
        issue(someone)
    chosen = [str(row.pk) for row in ApiKey.objects.filter(user=alice.user)]
    sent = {"action": "delete_selected", "_selected_action": chosen, "post": "yes"}
    site.post("/admin/accounts/apikey/", sent, follow=True)
    assert [row.user for row in ApiKey.objects.all()] == [bob.user]
    assert set(AuditEntry.objects.values_list("operation", "outcome")) == {("delete_api_key", "ok")}


def test_an_admin_may_end_anyones_key_over_rest_too_but_not_by_key(ada, alice):
    row, _ = issue(alice)
    _, by_key = issue(ada, last_used_at=timezone.now())
    with nothing_changes():
        refused(by_key.delete(f"/api-keys/{row.pk}"), 403)
    assert ada.api.delete(f"/api-keys/{row.pk}").status == 204


def test_the_trail_in_the_admin_shows_the_key(alice, site):
    row, by_key = issue(alice)
    ApiKey.objects.filter(pk=row.pk).update(id=7_654_321)
    by_key.post("/projects", {"title": "A"})
    assert "7654321" in text_of(site.get("/admin/mesh/auditentry/")).replace(",", "")


def test_a_failing_look_up_lets_nobody_in(alice, monkeypatch):
    _, by_key = issue(alice)

    def away(sql, params=()):
        raise DatabaseError("away")

    monkeypatch.setattr("accounts.credentials.fetch", away)
    assert by_key.get("/users/me").status == 500
    assert by_key.get("/events").status == 500


def test_whose_key_it_is_is_told_by_mail_and_the_key_is_not_in_it(alice):
    made = alice.api.post("/api-keys", body(name="Robot", scopes=["orders:read", "read"])).json
    mail = Mail.objects.get(kind="api_key")
    assert (mail.recipient, mail.subject) == ("alice@example.com", "A new API key: Robot")
    assert f"begins with {made['prefix']}." in mail.text
    assert "orders:read, read." in mail.text
    assert made["key"] not in mail.text + mail.html
    assert mail.unsubscribe_url == ""
