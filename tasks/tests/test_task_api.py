"""/task-api: the Task API's own dialect, for clients that change only their base URL."""

import json
import subprocess
from ipaddress import ip_network
from uuid import uuid4

import pytest

from accounts.models import Contact, User
from accounts.tests.assertions import TIME, UUID7, Like, at_once, nothing_changes
from meetings.models import Call
from mesh.testing import Api
from tasks.models import Task
from tasks.task_api import AGENT_EMAIL

KEY = "demo-secret-key-change-in-production"
MARIA = {"name": "María García", "email": "maria@test-azollon.com", "company": "Test Azollon"}
INVALID_KEY = {"success": False, "message": "Invalid API key"}


@pytest.fixture
def client(db, settings):
    settings.TASK_API_KEY = KEY
    return Api(mount="/task-api", Host="localhost", X_API_Key=KEY)


@pytest.fixture
def maria(client):
    return client.post("/users", MARIA).json


def key_of(person):
    made = person.api.post("/api-keys", {"name": "Task API", "scopes": ["*"]})
    assert made.status == 201, made
    return Api(mount="/task-api", X_API_Key=made.json["key"])


def wrong(answer):
    """The places of what is wrong."""
    assert (answer.status, answer.json.keys()) == (422, {"detail"}), answer
    assert all(error.keys() == {"loc", "msg", "type"} for error in answer.json["detail"])
    return [tuple(error["loc"]) for error in answer.json["detail"]]


def absent(answer, message):
    assert (answer.status, answer.json) == (404, {"success": False, "message": message})


def test_a_user_is_a_contact_with_a_uuid(client, maria):
    assert maria == MARIA | {
        "id": UUID7, "user_type": "client", "notes": None, "created_at": TIME, "updated_at": TIME
    }  # fmt: skip
    assert client.get(f"/users/{maria['id']}").json == maria
    assert client.get("/users").json == client.get("/users/").json == [maria]
    contact = Contact.objects.get()
    assert (str(contact.uuid), contact.owner.name, contact.owner.role) == (maria["id"], "Task API", "AGENT")


def test_a_call_and_a_task_name_their_user(client, maria):
    data = {"user_id": maria["id"], "title": "Onboarding", "scheduled_for": "2025-10-25T10:00:00Z"}
    call = client.post("/calls", {**data, "duration_minutes": 45, "notes": "First"})
    assert call.status == 201
    assert call.json == data | {
        "id": UUID7, "duration_minutes": 45, "notes": "First", "status": "scheduled", "created_at": TIME,
        "updated_at": TIME,
    }  # fmt: skip
    task = client.post("/tasks", {"title": "Prepare", "user_id": maria["id"], "due_date": "2025-10-26T12:00:00"})
    assert task.status == 201
    assert task.json == {
        "id": UUID7, "title": "Prepare", "description": None, "user_id": maria["id"], "status": "todo",
        "due_date": "2025-10-26T12:00:00Z", "created_at": TIME, "updated_at": TIME,
    }  # fmt: skip
    alone = client.post("/tasks", {"title": "Alone", "user_id": None, "description": None})
    assert (alone.status, alone.json["user_id"]) == (201, None)
    for kind, made in (("calls", call), ("tasks", task)):
        assert client.get(f"/{kind}/{made.json['id']}").json == made.json
        assert [row["id"] for row in client.get(f"/{kind}?user_id={maria['id']}").json] == [made.json["id"]]
        assert client.get(f"/{kind}?user_id={uuid4()}").json == client.get(f"/{kind}?user_id=x").json == []
    assert [row["title"] for row in client.get("/tasks").json] == ["Alone", "Prepare"]


@pytest.mark.parametrize(
    ("kind", "first", "second"), [("calls", "scheduled", "completed"), ("tasks", "todo", "in_progress")]
)
def test_a_status_is_set_by_the_query(client, maria, kind, first, second):
    data = {"user_id": maria["id"], "title": "A", "scheduled_for": "2025-10-25T10:00:00Z"}
    made = client.post(f"/{kind}", data).json
    answer = client.patch(f"/{kind}/{made['id']}/status?new_status={second}")
    assert (answer.status, answer.json) == (200, {**made, "status": second, "updated_at": TIME})
    assert [row["id"] for row in client.get(f"/{kind}?status_filter={second}").json] == [made["id"]]
    assert client.get(f"/{kind}?status_filter={first}").json == []
    assert wrong(client.patch(f"/{kind}/{made['id']}/status?new_status=open")) == [("query", "new_status")]
    assert wrong(client.patch(f"/{kind}/{made['id']}/status")) == [("query", "new_status")]
    assert wrong(client.get(f"/{kind}?status_filter=open")) == [("query", "status_filter")]


@pytest.mark.parametrize("key", [None, "", "wrong", KEY + "x", "\xff"])
@pytest.mark.parametrize("path", ["/users", "/calls", "/tasks", "/users/abc-123"])
def test_without_a_valid_key_all_is_forbidden(client, key, path):
    stranger = Api(mount="/task-api", **({} if key is None else {"X_API_Key": key}))
    for answer in (stranger.get(path), stranger.post("/users", MARIA)):
        assert (answer.status, answer.json) == (403, INVALID_KEY)
    assert not Contact.objects.exists()


def test_a_token_is_no_key(alice):
    assert Api(alice.api.token, mount="/task-api").get("/users").json == INVALID_KEY


def test_without_a_key_in_the_environment_the_documented_one_is_none(client, settings):
    settings.TASK_API_KEY = ""
    assert client.get("/users").json == INVALID_KEY


@pytest.mark.parametrize(
    ("address", "host", "status"),
    [
        ("127.0.0.1", "localhost:8000", 200),
        ("127.0.0.9", "127.0.0.1:8000", 200),
        ("::1", "[::1]:8000", 200),
        ("::ffff:127.0.0.1", "desk.localhost", 200),
        ("192.0.2.7", "localhost:8000", 403),
        ("", "localhost", 403),
        ("127.0.0.1", "testserver", 403),  # as a page asks whose own name was made to lead here
        ("127.0.0.1", "localhost.example.com", 403),
        ("127.0.0.1", "127.0.0.1.example.com", 403),
    ],
)
def test_the_documented_key_works_on_this_machine_alone(client, settings, maria, address, host, status):
    client.client.defaults["REMOTE_ADDR"] = address
    assert client.get("/users", Host=host).status == status
    assert client.post("/users", MARIA, Host=host).status == (201 if status == 200 else 403)
    assert Contact.objects.count() == (2 if status == 200 else 1)
    settings.TASK_API_KEY = "one of our own"
    assert client.get("/users", Host=host, X_API_Key="one of our own").status == 200


def test_the_documented_key_is_not_for_those_behind_a_proxy(client, settings):
    settings.TRUSTED_PROXIES = [ip_network("127.0.0.1")]
    assert client.get("/users", X_Forwarded_For="192.0.2.7").json == INVALID_KEY
    assert client.get("/users", X_Forwarded_For="127.0.0.1").status == 200


def test_any_users_key_works_and_shows_their_rows_alone(alice, bob, client, maria):
    alices, bobs = key_of(alice), key_of(bob)
    made = alices.post("/users", MARIA)
    assert made.status == 201
    assert alices.get("/users").json == [made.json]
    assert alice.api.get(f"/contacts/{made.json['id']}").json["name"] == "María García"
    assert bobs.get("/users").json == []
    for id in (made.json["id"], maria["id"], str(uuid4())):
        absent(bobs.get(f"/users/{id}"), f"User {id} not found")
        absent(bobs.post("/tasks", {"title": "A", "user_id": id}), f"User {id} not found")
    when = {"title": "A", "scheduled_for": "2030-01-01T10:00:00Z"}
    call = alices.post("/calls", {**when, "user_id": made.json["id"]}).json["id"]
    absent(bobs.get(f"/calls/{call}"), f"Call {call} not found")
    absent(bobs.patch(f"/calls/{call}/status?new_status=completed"), f"Call {call} not found")
    assert bobs.get(f"/calls?user_id={made.json['id']}").json == []


def test_a_key_does_no_more_than_its_scopes(alice):
    made = alice.api.post("/api-keys", {"name": "Reader", "scopes": ["contacts:read"]}).json["key"]
    reader = Api(mount="/task-api", X_API_Key=made)
    assert reader.get("/users").json == []
    for answer in (reader.post("/users", MARIA), reader.get("/tasks"), reader.get(f"/tasks/{uuid4()}")):
        assert (answer.status, answer.json.keys()) == (403, {"success", "message"})
    assert not Contact.objects.exists()


@pytest.mark.parametrize("id", ["abc-123", "00000000-0000-7000-8000-000000000000", "1", "%00"])
def test_what_is_not_there_is_named(client, id):
    shown = id.replace("%00", "\x00")
    for kind, noun in (("users", "User"), ("calls", "Call"), ("tasks", "Task")):
        absent(client.get(f"/{kind}/{id}"), f"{noun} {shown} not found")
    absent(client.patch(f"/tasks/{id}/status?new_status=done"), f"Task {shown} not found")
    if id != "%00":
        absent(client.post("/tasks", {"title": "A", "user_id": id}), f"User {id} not found")
        body = {"title": "A", "user_id": id, "scheduled_for": "2030-01-01T10:00:00Z"}
        absent(client.post("/calls", body), f"User {id} not found")


@pytest.mark.parametrize(
    ("kind", "field", "value"),
    [
        ("users", "name", ""), ("users", "name", "x" * 101), ("users", "email", "maria"), ("users", "company", ""),
        ("users", "user_type", "friend"), ("users", "notes", "x" * 501), ("users", "name", None),
        ("calls", "title", "x" * 201), ("calls", "duration_minutes", 14), ("calls", "duration_minutes", 241),
        ("calls", "scheduled_for", "soon"), ("calls", "notes", "x" * 501),
        ("tasks", "title", ""), ("tasks", "description", "x" * 1001), ("tasks", "due_date", "soon"),
    ],
)  # fmt: skip
def test_what_is_out_of_bounds_is_a_422(client, maria, kind, field, value):
    data = {"user_id": maria["id"], "title": "A", "scheduled_for": "2030-01-01T10:00:00Z"}
    with nothing_changes():
        answer = client.post(f"/{kind}", {**(MARIA if kind == "users" else data), field: value})
        assert wrong(answer) == [("body", field)]


def test_all_that_is_missing_is_named_at_once(client):
    assert wrong(client.post("/users", {})) == [("body", "name"), ("body", "email"), ("body", "company")]
    assert wrong(client.post("/calls", {"title": ""})) == [
        ("body", "user_id"), ("body", "title"), ("body", "scheduled_for")
    ]  # fmt: skip
    assert wrong(client.post("/users", [])) == [("body",)]


@pytest.mark.parametrize("body", [b"{", b"\xff", b'{"a": ' * 40 + b"1" + b"}" * 40])
def test_malformed_json_is_a_422(client, body):
    assert wrong(client.request("POST", "/users", body)) == [("body",)]


def test_unknown_fields_and_parameters_are_ignored(client):
    assert client.post("/users?colour=red", {**MARIA, "colour": "red"}).status == 201
    assert len(client.get("/users?colour=red").json) == 1


@pytest.mark.parametrize("query", ["&".join(f"a{n}=1" for n in range(1001)), "colour=%FF"])
def test_a_query_that_cannot_be_read_is_a_422(client, maria, query):
    assert wrong(client.get(f"/users?{query}")) == [("query",)]
    task = client.post("/tasks", {"title": "A"}).json["id"]
    assert wrong(client.patch(f"/tasks/{task}/status?new_status=done&{query}")) == [("query",)]
    assert wrong(client.get("/tasks?user_id=x&user_id=y")) == [("query", "user_id")]


def test_the_same_e_mail_may_come_twice(client, maria):
    again = client.post("/users", {**MARIA, "email": "MARIA@test-azollon.com"})
    assert (again.status, Contact.objects.count()) == (201, 2)


@pytest.mark.django_db(transaction=True)
def test_the_same_e_mail_may_come_many_times_at_once(client):
    answers = at_once(*[lambda: client.post("/users", MARIA)] * 8)
    assert [answer.status for answer in answers] == [201] * 8
    assert Contact.objects.filter(is_duplicate=False).count() == 1


def test_other_refusals_have_the_same_shape(client, settings):
    answer = client.request("DELETE", "/users")
    assert (answer.status, answer.json) == (405, {"success": False, "message": "Method Not Allowed"})
    assert answer.headers["Allow"] == "GET, POST"
    assert (client.get("/nothing").status, client.get("/users/1/status").json["success"]) == (404, False)
    large = client.request("POST", "/users", b" " * (1024 * 1024 + 1))
    assert (large.status, large.json.keys()) == (413, {"success", "message"})
    settings.MESH = settings.MESH | {"RATE_LIMIT_READ": "2/min"}
    answers = [client.get("/users") for _ in range(3)]
    assert [answer.status for answer in answers] == [200, 200, 429]
    assert answers[2].json.keys() == {"success", "message"}
    assert int(answers[2].headers["Retry-After"]) > 0


def test_a_key_for_repeating_makes_one_row(client):
    answers = [client.post("/users", MARIA, Idempotency_Key="once") for _ in range(2)]
    assert answers[0].json == answers[1].json
    other = client.post("/users", {**MARIA, "name": "Other"}, Idempotency_Key="once")
    assert other.status == 422
    assert Contact.objects.count() == 1


def test_a_list_holds_the_newest_thousand(client, maria):
    agent = User.objects.get(name="Task API")
    Task.objects.bulk_create([Task(creator=agent, title=f"{n}") for n in range(1005)])
    titles = [row["title"] for row in client.get("/tasks").json]
    assert (len(titles), titles[0], titles[-1]) == (1000, "1004", "5")


def test_nobody_can_be_its_agent_before_it_comes(client, ada, settings):
    settings.EMAIL_FROM = "Meshwork <office@example.com>"
    for api, path in ((Api(), "/auth/signup"), (ada.api, "/users")):
        account = {"email": AGENT_EMAIL, "name": "Mallory", "password": "correct horse battery staple"}
        assert api.post(path, account if path == "/auth/signup" else {"email": AGENT_EMAIL, "name": "M"}).status == 422
    assert ada.api.post("/users", {"email": "task-api@example.com", "name": "Mallory"}).status == 201
    client.post("/users", MARIA)
    assert Contact.objects.get().owner.email == AGENT_EMAIL


def test_its_agent_is_an_agent_whatever_was_made_of_it(client, maria, alice):
    User.objects.filter(email=AGENT_EMAIL).update(role="ADMIN")
    theirs = alice.api.post("/contacts", MARIA | {"email": "theirs@example.com"}).json
    absent(client.get(f"/users/{theirs['uuid']}"), f"User {theirs['uuid']} not found")
    assert client.get("/users").json == [maria]


def test_a_dry_run_says_what_would_happen(client, maria):
    answer = client.post("/tasks", {"title": "Book a room"}, Prefer="dry-run")
    assert (answer.status, answer.headers["Preference-Applied"], answer.json["dry_run"]) == (200, "dry-run", True)
    assert not Task.objects.exists()
    task = client.post("/tasks", {"title": "Book a room"}).json
    client.patch(f"/tasks/{task['id']}/status?new_status=done", Prefer="dry-run")
    assert client.get(f"/tasks/{task['id']}").json == task


def test_a_request_that_comes_again_is_told_from_the_first(client):
    first, again = (client.post("/tasks", {"title": "Book a room"}, Idempotency_Key="monday") for _ in range(2))
    assert (first.status, again.status, again.json) == (201, 201, first.json)
    assert [answer.headers.get("Idempotent-Replay") for answer in (first, again)] == [None, "true"]
    assert Task.objects.count() == 1


def test_a_replay_shows_no_more_than_a_read_would(client, alice, bob):
    task = alice.api.post("/tasks", {"title": "Draft the offer", "assignee_id": bob.id}).json
    bobs = key_of(bob)
    path = f"/tasks/{task['uuid']}/status?new_status=in_progress"
    first = bobs.patch(path, Idempotency_Key="monday")
    assert (first.status, first.json["title"]) == (200, "Draft the offer")
    alice.api.patch(f"/tasks/{task['id']}", {"title": "Dismiss bob", "assignee_id": None})
    again = bobs.patch(path, Idempotency_Key="monday")
    absent(again, f"Task {task['uuid']} not found")
    assert again.json == bobs.get(f"/tasks/{task['uuid']}").json
    assert Task.objects.get().status == "in_progress"


def test_a_replay_to_an_admin_of_then_shows_what_an_agent_sees(client, ada, alice):
    theirs = alice.api.post("/tasks", {"title": "Draft the offer"}).json
    adas, path = key_of(ada), f"/tasks/{theirs['uuid']}/status?new_status=done"
    assert adas.patch(path, Idempotency_Key="monday").status == 200
    User.objects.filter(pk=ada.id).update(role="AGENT")
    alice.api.patch(f"/tasks/{theirs['id']}", {"title": "Only mine"})
    absent(adas.patch(path, Idempotency_Key="monday"), f"Task {theirs['uuid']} not found")


def test_a_replay_of_what_was_deleted_meanwhile_is_a_404(client, maria):
    again = {"Idempotency_Key": "monday"}
    made = client.post("/tasks", {"title": "Book a room"}, **again).json
    User.objects.get(email=AGENT_EMAIL).created_tasks.all().delete()
    absent(client.post("/tasks", {"title": "Book a room"}, **again), f"Task {made['id']} not found")


def test_it_says_how_many_requests_are_left(client, maria, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_READ": "5/min"}
    assert [client.get("/users").headers["RateLimit"][:10] for _ in range(2)] == ['"read";r=4', '"read";r=3']


def test_a_key_that_may_only_write_sets_a_status(client, alice):
    made = alice.api.post("/api-keys", {"name": "Writer", "scopes": ["tasks:write"]}).json
    writer = Api(mount="/task-api", X_API_Key=made["key"])
    task = writer.post("/tasks", {"title": "Book a room"}).json
    assert writer.patch(f"/tasks/{task['id']}/status?new_status=done").json["status"] == "done"


def test_its_agent_may_be_locked_out(client, maria):
    User.objects.filter(name="Task API").update(is_active=False)
    assert client.get("/users").json == INVALID_KEY


def test_health_needs_no_key(client):
    answer = Api(mount="/task-api").get("/health")
    assert (answer.status, answer.json) == (
        200,
        {"status": "healthy", "version": Like(r"\d+\.\d+\.\d+"), "timestamp": TIME},
    )


FLOW = r"""
# 1. Health check
curl http://localhost:8000/health

# 2. Create a user
USER_RESPONSE=$(curl -s -X POST http://localhost:8000/users \
  -H "X-API-Key: demo-secret-key-change-in-production" \
  -H "Content-Type: application/json" \
  -d '{
    "name": "Test User",
    "email": "test@example.com",
    "company": "Test Company"
  }')

# Extract user ID (requires jq)
USER_ID=$(echo $USER_RESPONSE | jq -r '.id')
echo "Created user: $USER_ID"

# 3. Schedule a call for this user
CALL_RESPONSE=$(curl -s -X POST http://localhost:8000/calls \
  -H "X-API-Key: demo-secret-key-change-in-production" \
  -H "Content-Type: application/json" \
  -d "{
    \"user_id\": \"$USER_ID\",
    \"title\": \"Test Call\",
    \"scheduled_for\": \"2025-10-25T10:00:00Z\",
    \"duration_minutes\": 30
  }")

CALL_ID=$(echo $CALL_RESPONSE | jq -r '.id')
echo "Created call: $CALL_ID"

# 4. Create a task
TASK_RESPONSE=$(curl -s -X POST http://localhost:8000/tasks \
  -H "X-API-Key: demo-secret-key-change-in-production" \
  -H "Content-Type: application/json" \
  -d "{
    \"title\": \"Follow up with Test User\",
    \"user_id\": \"$USER_ID\"
  }")

TASK_ID=$(echo $TASK_RESPONSE | jq -r '.id')
echo "Created task: $TASK_ID"

# 5. List everything
echo "\n=== All Users ==="
curl -s http://localhost:8000/users \
  -H "X-API-Key: demo-secret-key-change-in-production" | jq

echo "\n=== All Calls ==="
curl -s http://localhost:8000/calls \
  -H "X-API-Key: demo-secret-key-change-in-production" | jq

echo "\n=== All Tasks ==="
curl -s http://localhost:8000/tasks \
  -H "X-API-Key: demo-secret-key-change-in-production" | jq

# 6. Update statuses
curl -s -X PATCH "http://localhost:8000/calls/$CALL_ID/status?new_status=completed" \
  -H "X-API-Key: demo-secret-key-change-in-production" | jq

curl -s -X PATCH "http://localhost:8000/tasks/$TASK_ID/status?new_status=done" \
  -H "X-API-Key: demo-secret-key-change-in-production" | jq

echo "\n✅ Complete testing flow executed!"
"""

#: What the flow needs of jq, which a machine need not have: `jq -r '.id'`, and `jq` alone.
_JQ = """jq() { python3 -c '
import json, sys
found = json.load(sys.stdin)
print(found["id"] if len(sys.argv) > 1 else json.dumps(found))
' "$@"; }
"""


@pytest.mark.django_db(transaction=True)
def test_its_documented_flow_runs_as_printed(live_server, settings):
    settings.TASK_API_KEY = KEY
    script = "set -e\n" + _JQ + FLOW.replace("http://localhost:8000", f"{live_server.url}/task-api")
    done = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert "Complete testing flow executed!" in done.stdout
    (contact,), (call,), (task,) = Contact.objects.all(), Call.objects.all(), Task.objects.all()
    assert (contact.name, call.status, task.status) == ("Test User", "completed", "done")
    assert (call.contact_id, task.contact_id) == (contact.pk, contact.pk)
    shown = [json.loads(line) for line in done.stdout.splitlines() if line.startswith(("[{", '{"id"'))]
    assert [row["id"] for row in shown[0]] == [str(contact.uuid)]
    assert (shown[-2]["status"], shown[-1]["status"]) == ("completed", "done")
