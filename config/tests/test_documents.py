"""The source documents' example requests, as printed, with credentials added: sent by the real curl."""

import json
import re
import shlex
import subprocess

import pytest

from accounts.models import User
from accounts.tests.assertions import TIME
from conftest import PASSWORD, make_person
from mesh.tests.jobs import run_jobs

pytestmark = pytest.mark.django_db(transaction=True, reset_sequences=True)

BACKEND_INTERVIEW = r"""
### Create a user
```bash
curl -X POST http://localhost:8000/users/ \
  -H "Content-Type: application/json" \
  -d '{"name": "John Doe", "email": "john@example.com"}'
```

### Create a meeting
```bash
curl -X POST http://localhost:8000/meetings/ \
  -H "Content-Type: application/json" \
  -d '{
    "title": "Sprint Planning",
    "description": "Q1 Sprint Planning",
    "scheduled_time": "2024-01-15T10:00:00",
    "attendee_ids": [1, 2]
  }'
```

### Create a task for a meeting
```bash
curl -X POST http://localhost:8000/tasks/ \
  -H "Content-Type: application/json" \
  -d '{
    "title": "Implement feature X",
    "description": "Complete implementation",
    "due_meeting_id": 1
  }'
```

### Add a note to a meeting
```bash
curl -X POST http://localhost:8000/notes/ \
  -H "Content-Type: application/json" \
  -d '{
    "content": "This is a meeting note",
    "meeting_id": 1
  }'
```
"""

TASK_MANAGEMENT = r"""
```bash
# 1) Login (reuses P1 users and hashing)
curl -s -X POST http://localhost:8000/api/v2/auth/login/access-token \
  -H 'Content-Type: application/x-www-form-urlencoded' \
  -d 'username=admin@example.com&password=<your-password>'

# 2) Create a product
curl -s -X POST http://localhost:8000/api/v2/products \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -d '{"sku":"SKU-1001","name":"T-Shirt","price_cents":1999,"stock":10}'

# 3) List products
curl -s http://localhost:8000/api/v2/products

# 4) Create an order with 2 units of product 1
curl -s -X POST http://localhost:8000/api/v2/orders \
  -H "Authorization: Bearer $TOKEN" -H 'Content-Type: application/json' \
  -d '{"items":[{"product_id":1,"quantity":2}]}'

# 5) Check order status (worker may take a moment to process)
curl -s http://localhost:8000/api/v2/orders/1 -H "Authorization: Bearer $TOKEN"

# 6) Pay order
curl -s -X POST http://localhost:8000/api/v2/orders/1/pay -H "Authorization: Bearer $TOKEN"

# 7) Cancel order (tests compensation path)
curl -s -X POST http://localhost:8000/api/v2/orders/1/cancel -H "Authorization: Bearer $TOKEN"
```
"""


def commands(document):
    """The curl commands of a document, each as its arguments."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", document, re.DOTALL):
        words = shlex.split(block.replace("\\\n", " "), comments=True)
        starts = [n for n, word in enumerate(words) if word == "curl"]
        found += [words[start:stop] for start, stop in zip(starts, [*starts[1:], len(words)], strict=True)]
    return found


@pytest.fixture
def curl(live_server):
    """Runs a printed command against the live server: (status, Location, JSON)."""

    def run(command, *credentials, **values):
        """`values` stand for what the documents leave open: `password` for `<your-password>`, `token` for `$TOKEN`."""
        words = [
            word.replace("http://localhost:8000", live_server.url)
            .replace("<your-password>", values.get("password", ""))
            .replace("$TOKEN", values.get("token", ""))
            for word in command
        ]
        shown = [*words, "--silent", "--show-error", "--max-time", "20", "--dump-header", "-", *credentials]
        output = subprocess.run(shown, capture_output=True, text=True, check=True).stdout
        head, _, body = output.replace("\r\n", "\n").partition("\n\n")
        location = re.search(r"^location: (.*)$", head, re.IGNORECASE | re.MULTILINE)
        return int(head.split()[1]), location and location[1], json.loads(body) if body else None

    return run


def bearer(token):
    return "-H", f"Authorization: Bearer {token}"


def test_the_backend_interview_works_as_printed(curl):
    alice = make_person("alice")
    user, meeting, task, note = commands(BACKEND_INTERVIEW)
    me = bearer(alice.api.token)

    john = {"id": 2, "name": "John Doe", "email": "john@example.com"}
    status, location, made = curl(user, *me)
    assert (status, location) == (201, "/users/2")
    assert made == john | {"role": "AGENT", "is_active": True, "created_at": TIME, "updated_at": TIME}

    status, location, made = curl(meeting, *me)
    assert (status, location) == (201, "/meetings/1")
    person = {"id": 1, "name": "Alice", "email": "alice@example.com"}
    assert made == {
        "id": 1,
        "title": "Sprint Planning",
        "description": "Q1 Sprint Planning",
        "scheduled_time": "2024-01-15T10:00:00Z",
        "duration_minutes": 30,
        "location": None,
        "organizer": person,
        "attendees": [person | {"response": "pending"}, john | {"response": "pending"}],
        "created_at": TIME,
        "updated_at": TIME,
    }

    status, location, made = curl(task, *me)
    assert (status, location) == (201, "/tasks/1")
    shown = {name: made[name] for name in ("id", "title", "description", "status", "due_meeting_id", "creator_id")}
    assert shown == {
        "id": 1,
        "title": "Implement feature X",
        "description": "Complete implementation",
        "status": "todo",
        "due_meeting_id": 1,
        "creator_id": 1,
    }

    status, location, made = curl(note, *me)
    assert (status, location) == (201, "/notes/1")
    shown = {name: made[name] for name in ("id", "content", "raw_text", "meeting_id", "summary")}
    text = "This is a meeting note"
    assert shown == {"id": 1, "content": text, "raw_text": text, "meeting_id": 1, "summary": None}
    assert made["status"] in ("queued", "processing", "done")

    status, _, listed = curl(["curl", "http://localhost:8000/notes/?meeting_id=1"], *me)
    assert (status, [row["id"] for row in listed["results"]]) == (200, [1])


def test_the_events_interviews_tasks_answer_as_it_words_them(curl):
    """It prints no commands, but paths: `GET /events/count/`, `GET /events/` with its two parameters, categories."""
    me = bearer(make_person("alice").api.token)
    url = "http://localhost:8000"

    def send(path, **data):
        return curl(["curl", url + path, "-H", "Content-Type: application/json", "-d", json.dumps(data)], *me)

    assert send("/categories/", name="Talks", description="To hear")[:2] == (201, "/categories/1")
    times = {"start_date": "2025-01-15T10:00:00", "end_date": "2025-01-15T12:00:00"}
    status, location, made = send("/events/", name="Launch", category_id=1, capacity=1, **times)
    assert (status, location, made["category"]["name"]) == (201, "/events/1", "Talks")
    assert curl(["curl", f"{url}/events/count/"])[::2] == (200, {"count": 1})
    window = "start_after=2025-01-15T10:00:00&end_before=2025-01-15T12:00:00"
    assert curl(["curl", f"{url}/events/?{window}"])[2]["results"] == [made]
    status, location, attendee = send("/events/1/attendees/", name="Eve", email="eve@example.com", phone="555")
    assert (status, location, attendee["phone"]) == (201, "/attendees/1", "555")
    status, _, problem = send("/events/1/attendees/", name="Finn", email="finn@example.com")
    assert (status, problem["code"]) == (409, "events.full")


@pytest.mark.parametrize("number", range(4))
def test_the_backend_interview_without_credentials_is_refused(curl, number):
    status, _, problem = curl(commands(BACKEND_INTERVIEW)[number])
    assert (status, problem["code"]) == (401, "unauthenticated")
    assert not User.objects.exists()


def test_the_paths_of_the_backend_interview_answer(curl):
    """Its list of endpoints, for what the examples made."""
    alice = make_person("alice")
    me = bearer(alice.api.token)
    for command in commands(BACKEND_INTERVIEW):
        assert curl(command, *me)[0] == 201
    root = "http://localhost:8000"
    for path in ("users", "meetings", "notes", "tasks"):
        status, _, listed = curl(["curl", f"{root}/{path}/"], *me)
        assert (status, listed["results"][-1]["id"]) == (200, 1)
        assert curl(["curl", f"{root}/{path}/1"], *me)[0] == 200
    assert curl(["curl", f"{root}/tasks/?status=pending&meeting_id=1"], *me)[2]["count"] == 1
    json_header = ("-H", "Content-Type: application/json")
    status, _, changed = curl(["curl", "-X", "PUT", f"{root}/tasks/1", *json_header, "-d", '{"status": "done"}'], *me)
    assert (status, changed["status"], changed["title"]) == (200, "done", "Implement feature X")
    status, _, changed = curl(["curl", "-X", "PUT", f"{root}/meetings/1", *json_header, "-d", '{"title": "New"}'], *me)
    assert (status, changed["title"], changed["description"]) == (200, "New", "Q1 Sprint Planning")
    for path in ("tasks", "meetings"):
        assert curl(["curl", "-X", "DELETE", f"{root}/{path}/1"], *me)[0] == 204
        assert curl(["curl", f"{root}/{path}/1"], *me)[0] == 404
    assert curl(["curl", f"{root}/notes/1"], *me)[2]["meeting_id"] is None


def test_the_handouts_agent_signs_up_signs_in_and_queues_a_summary(curl):
    """Document 002 prints no requests; these are the ones that it names."""
    post = ["curl", "-X", "POST", "-H", "Content-Type: application/json"]
    account = json.dumps({"email": "agent@example.com", "password": PASSWORD})
    status, _, user = curl([*post, "http://localhost:8000/auth/signup", "-d", account])
    assert (status, user["role"]) == (201, "AGENT")
    status, _, tokens = curl([*post, "http://localhost:8000/auth/login", "-d", account])
    assert (status, tokens["token_type"]) == (200, "bearer")
    me = bearer(tokens["access_token"])
    sent = json.dumps({"raw_text": "Maria will send the offer by Friday."})
    status, _, note = curl([*post, "http://localhost:8000/notes", "-d", sent], *me)
    assert (status, note["status"]) == (201, "queued")
    status, _, shown = curl(["curl", f"http://localhost:8000/notes/{note['id']}"], *me)
    assert status == 200
    assert shown["status"] in ("queued", "processing", "done")

    other, ada = make_person("other"), make_person("ada", "ADMIN")
    assert curl(["curl", f"http://localhost:8000/notes/{note['id']}"], *bearer(other.api.token))[0] == 404
    assert curl(["curl", f"http://localhost:8000/notes/{note['id']}"], *bearer(ada.api.token))[0] == 200


def test_the_task_managements_login_works_as_printed(curl):
    admin = make_person("admin", "ADMIN")
    login = commands(TASK_MANAGEMENT)[0]
    status, _, tokens = curl(login, password=PASSWORD)
    assert status == 200
    assert tokens.keys() == {"access_token", "token_type", "refresh_token", "expires_in"}
    assert tokens["token_type"] == "bearer"
    me = bearer(tokens["access_token"])
    status, _, shown = curl(["curl", "http://localhost:8000/api/v2/users/me"], *me)
    assert (status, shown["id"], shown["role"]) == (200, admin.id, "ADMIN")


def test_the_microservices_shop_works_as_printed(curl):
    token = make_person("admin", "ADMIN").api.token
    create, listing, order, check, pay, cancel = commands(TASK_MANAGEMENT)[1:]
    status, location, product = curl(create, token=token)
    assert (status, location, product["stock"]) == (201, "/api/v2/products/1", 10)
    status, _, products = curl(listing)
    assert (status, [found["sku"] for found in products["results"]]) == (200, ["SKU-1001"])
    status, location, placed = curl(order, token=token)
    assert (status, location, placed["status"], placed["total_cents"]) == (201, "/api/v2/orders/1", "PENDING", 3998)
    run_jobs("reserve_stock")
    assert curl(check, token=token)[2]["status"] == "RESERVED"
    assert curl(pay, token=token)[2]["status"] == "PAID"
    status, _, problem = curl(cancel, token=token)
    assert (status, problem["code"]) == (409, "shop.wrong_status")
    curl(order, token=token)
    run_jobs("reserve_stock")
    second = [word.replace("/orders/1/", "/orders/2/") for word in cancel]
    assert curl(second, token=token)[2]["status"] == "CANCELLED"
    shown = curl(["curl", "http://localhost:8000/api/v2/products/1"], *bearer(token))[2]
    assert (shown["stock"], shown["reserved"], shown["sold"], shown["received"]) == (8, 0, 2, 10)
    adjust = ["curl", "-X", "PATCH", "http://localhost:8000/api/v2/products/1/stock?delta=+5"]
    assert curl(adjust, *bearer(token))[2]["stock"] == 13
    adjust[-1] = adjust[-1].replace("+5", "-14")
    assert curl(adjust, *bearer(token))[2]["code"] == "shop.stock_bounds"


def test_the_task_managements_login_refuses_a_wrong_password(curl):
    make_person("admin", "ADMIN")
    status, _, problem = curl(commands(TASK_MANAGEMENT)[0], password="wrong")
    assert (status, problem["detail"]) == (401, "The e-mail or the password is wrong.")


def test_a_user_made_by_an_admin_signs_in_with_the_form_of_v1(curl):
    """`POST /api/v1/users` as a superuser, then `POST /api/v1/auth/login/access-token` with form fields."""
    me = bearer(make_person("admin", "ADMIN").api.token)
    sent = json.dumps({"email": "new@example.com", "password": PASSWORD, "full_name": "New Person"})
    post = ["curl", "-X", "POST", "-H", "Content-Type: application/json"]
    status, location, made = curl([*post, "http://localhost:8000/api/v1/users", "-d", sent], *me)
    assert (status, location, made["name"]) == (201, f"/api/v1/users/{made['id']}", "New Person")
    login = ["curl", "-X", "POST", "http://localhost:8000/api/v1/auth/login/access-token"]
    form = ["--data-urlencode", "username=new@example.com", "--data-urlencode", f"password={PASSWORD}"]
    status, _, tokens = curl([*login, *form])
    assert status == 200
    status, _, shown = curl(["curl", "http://localhost:8000/api/v1/users/me"], *bearer(tokens["access_token"]))
    assert (status, shown) == (200, made)
