"""P5: the same user, Idempotency-Key and body have one effect, and its answer is replayed, through every door."""

import io
import json

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Session
from conftest import PASSWORD, Person
from mesh.errors import InProgress
from mesh.execution.idempotency import IdempotencyMismatch
from mesh.models import IdempotencyKey
from mesh.testing import Api
from mesh.tests.database import everything, sql
from mesh.tests.example.models import Thing
from mesh.tests.live import at_once
from tasks.models import Task

KEY = "one-and-the-same-key"


def with_fresh_token(person: Person) -> Api:
    answered = Api().post("/auth/login", {"username": person.user.email, "password": PASSWORD})
    assert answered.json["access_token"] != person.api.token
    return Api(answered.json["access_token"])


def command_line(*words: str, **options: str | bool) -> str:
    out = io.StringIO()
    call_command("mesh", *words, stdout=out, **options)
    return out.getvalue()


def test_the_second_request_has_the_first_ones_answer_and_no_effect(alice):
    first = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    before = everything()
    second = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert (first.status, second.status) == (201, 201)
    assert second.json == first.json
    assert second.headers["Location"] == first.headers["Location"] == f"/api/v1/things/{first.json['id']}"
    assert "Idempotent-Replay" not in first.headers
    assert second.headers["Idempotent-Replay"] == "true"
    assert everything() == before
    assert Thing.objects.count() == 1


def test_without_a_key_there_are_two_effects(alice):
    made = [alice.api.post("/things", {"title": "Website"}).json["id"] for _ in range(2)]
    assert made[0] != made[1]
    assert IdempotencyKey.objects.count() == 0


def test_a_fresh_token_replays_too(alice):
    first = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    second = with_fresh_token(alice).post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert (second.json, second.headers["Idempotent-Replay"]) == (first.json, "true")


def test_every_mount_and_the_order_of_fields_replay_the_same(alice):
    first = alice.api.post("/things", {"title": "A", "notes": "B"}, Idempotency_Key=KEY)
    for mount in ("", "/api/v2"):
        again = Api(alice.api.token, mount).post("/things/", b'{"notes":"B", "title":"A"}', Idempotency_Key=KEY)
        assert (again.json, again.headers["Idempotent-Replay"]) == (first.json, "true")
    assert Thing.objects.count() == 1


def test_a_command_without_an_answer_replays_its_204(alice):
    thing = Thing.objects.create(owner=alice.user, title="Website")
    answers = [alice.api.delete(f"/things/{thing.pk}", Idempotency_Key=KEY) for _ in range(2)]
    assert [answer.status for answer in answers] == [204, 204]
    assert answers[1].headers["Idempotent-Replay"] == "true"
    assert alice.api.delete(f"/things/{thing.pk}").status == 404


def test_another_body_under_the_key_is_refused_and_changes_nothing(alice):
    alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    before = everything()
    for path, body in (("/things", {"title": "Other"}), ("/tasks", {"title": "Website"})):
        refused = alice.api.post(path, body, Idempotency_Key=KEY)
        assert refused.status == 422
        assert refused.json["code"] == "idempotency.mismatch"
        assert refused.json["errors"][0]["loc"] == ["header", "Idempotency-Key"]
    assert everything() == before


def test_a_refusal_leaves_its_key_free(alice):
    for body in ({"title": ""}, {"title": "T", "project_id": 12345}):
        assert alice.api.post("/tasks", body, Idempotency_Key=KEY).status == 422
    assert IdempotencyKey.objects.count() == 0
    made = alice.api.post("/tasks", {"title": "Now it holds"}, Idempotency_Key=KEY)
    assert (made.status, Task.objects.count()) == (201, 1)


def test_a_dry_run_stores_nothing_and_replays_nothing(alice):
    tried = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY, Prefer="dry-run")
    assert (tried.status, tried.json["dry_run"], IdempotencyKey.objects.count()) == (200, True, 0)
    first = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    again = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY, Prefer="dry-run")
    assert (first.status, again.json["dry_run"], Thing.objects.count()) == (201, True, 1)
    assert "Idempotent-Replay" not in again.headers


def test_two_users_may_use_the_same_key(alice, bob):
    hers = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    his = bob.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert (his.status, his.json["owner"]["id"]) == (201, bob.id)
    assert his.json["id"] != hers.json["id"]
    assert "Idempotent-Replay" not in his.headers


def test_a_key_used_over_a_tool_is_replayed_over_rest_and_on_the_command_line(alice):
    call = {"arguments": {"title": "Website"}, "idempotency_key": KEY}
    made = alice.api.post("/tools/make_thing", call).json["result"]
    over_rest = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert (over_rest.status, over_rest.json) == (201, made)
    assert over_rest.headers["Idempotent-Replay"] == "true"
    assert over_rest.headers["Location"] == f"/api/v1/things/{made['id']}"
    printed = command_line("make_thing", "title=Website", email=alice.user.email, key=KEY)
    assert json.loads(printed) == made
    assert alice.mesh.call_tool("make_thing", {"title": "Website"}, idempotency_key=KEY).replayed
    assert Thing.objects.count() == 1


def test_a_key_used_over_rest_is_replayed_by_a_tool(alice):
    made = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY).json
    call = {"arguments": {"title": "Website"}, "idempotency_key": KEY}
    again = alice.api.post("/tools/make_thing", call)
    assert (again.json["result"], Thing.objects.count()) == (made, 1)
    assert again.headers["Idempotent-Replay"] == "true"
    other = alice.api.post("/tools/make_thing", call | {"arguments": {"title": "Other"}})
    assert (other.status, other.json["code"]) == (422, "idempotency.mismatch")


def test_the_header_counts_for_a_tool_as_well(alice):
    calls = [alice.api.post("/tools/make_thing", {"arguments": {"title": "T"}}, Idempotency_Key=KEY) for _ in "12"]
    assert [call.status for call in calls] == [200, 200]
    assert Thing.objects.count() == 1


def test_a_key_used_on_the_command_line_is_replayed_over_rest(alice):
    made = json.loads(command_line("make_thing", "title=Website", email=alice.user.email, key=KEY))
    again = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert (again.json, again.headers["Idempotent-Replay"], Thing.objects.count()) == (made, "true", 1)
    with pytest.raises(CommandError, match="This key was used for another request"):
        command_line("make_thing", "title=Other", email=alice.user.email, key=KEY)


def test_a_path_and_a_query_string_are_part_of_the_request(alice):
    tasks = [Task.objects.create(creator=alice.user, title=str(number)) for number in range(2)]
    done = alice.api.patch(f"/tasks/{tasks[0].pk}/status?new_status=done", Idempotency_Key=KEY)
    by_body = alice.api.patch(f"/tasks/{tasks[0].pk}/status", {"status": "Done"}, Idempotency_Key=KEY)
    other = alice.api.patch(f"/tasks/{tasks[1].pk}/status?new_status=done", Idempotency_Key=KEY)
    assert (by_body.json, by_body.headers["Idempotent-Replay"]) == (done.json, "true")
    assert (done.status, other.status) == (200, 422)
    assert [task.status for task in Task.objects.order_by("pk")] == ["done", "todo"]


def test_a_secret_answer_is_stored_encrypted_and_replayed(alice):
    body = {"username": alice.user.email, "password": PASSWORD}
    first = Api().post("/auth/login", body, Idempotency_Key=KEY)
    sessions = Session.objects.count()
    stored = bytes(IdempotencyKey.objects.get(key=KEY).body)
    for part in (first.json["access_token"], first.json["refresh_token"], "access_token", "bearer"):
        assert part.encode() not in stored
    again = Api().post("/auth/login", body, Idempotency_Key=KEY)
    assert (again.status, again.json, again.headers["Idempotent-Replay"]) == (200, first.json, "true")
    assert Session.objects.count() == sessions
    wrong = Api().post("/auth/login", body | {"password": "not hers at all"}, Idempotency_Key=KEY)
    assert (wrong.status, wrong.json["code"]) == (422, "idempotency.mismatch")
    assert "access_token" not in wrong.text


def test_an_answer_that_is_no_secret_is_stored_as_it_is(alice):
    made = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert json.loads(bytes(IdempotencyKey.objects.get(key=KEY).body)) == made.json


@pytest.mark.parametrize(("age", "replayed"), [("23 hours 59 minutes", True), ("24 hours 1 minute", False)])
def test_a_key_is_kept_for_a_day(alice, age, replayed):
    first = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    sql("UPDATE mesh_idempotencykey SET created_at = now() - %s::interval", age)
    again = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=KEY)
    assert ("Idempotent-Replay" in again.headers) is replayed
    assert (again.json["id"] == first.json["id"]) is replayed
    assert IdempotencyKey.objects.count() == 1


@pytest.mark.parametrize("key", ["x" * 256, "caf\u00e9", "a\r\nX-Evil: 1", "a\x00b", "\t"])
def test_a_key_that_is_none_is_refused_and_changes_nothing(alice, key):
    refused = alice.api.post("/things", {"title": "Website"}, Idempotency_Key=key)
    assert (refused.status, refused.json["errors"][0]["loc"]) == (422, ["header", "Idempotency-Key"])
    assert Thing.objects.count() == 0


def test_a_key_that_is_too_long_is_refused_at_the_other_doors_too(alice):
    tool = alice.api.post("/tools/make_thing", {"arguments": {"title": "A"}, "idempotency_key": "x" * 256})
    assert (tool.status, tool.json["errors"][0]["loc"]) == (422, ["body", "idempotency_key"])
    with pytest.raises(CommandError, match="255"):
        command_line("make_thing", "title=A", email=alice.user.email, key="x" * 256)


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_have_one_effect(alice, live):
    def ask(_: int) -> tuple[int, dict[str, str], dict]:
        return live("POST", "/things", alice.api.token, {"title": "Website"}, Idempotency_Key=KEY)

    for _ in range(3):
        Thing.objects.all().delete()
        IdempotencyKey.objects.all().delete()
        answers = at_once(10, ask)
        assert Thing.objects.count() == 1
        made = [(headers, body) for status, headers, body in answers if status == 201]
        busy = [(headers, body) for status, headers, body in answers if status == 409]
        assert len(made) + len(busy) == 10
        assert {body["id"] for _, body in made} == {Thing.objects.get().pk}
        assert sum("Idempotent-Replay" not in headers for headers, _ in made) == 1
        assert {(headers["Retry-After"], body["code"]) for headers, body in busy} <= {("1", "idempotency.in_progress")}


@pytest.mark.django_db(transaction=True)
def test_ten_at_once_without_the_key_have_ten_effects(alice, live):
    answers = at_once(10, lambda _: live("POST", "/things", alice.api.token, {"title": "Website"}))
    assert ([status for status, _, _ in answers], Thing.objects.count()) == ([201] * 10, 10)


def test_its_refusals_are_of_the_classes_that_other_doors_catch(alice):
    alice.mesh.call_tool("make_thing", {"title": "A"}, idempotency_key=KEY)
    with pytest.raises(IdempotencyMismatch):
        alice.mesh.call_tool("make_thing", {"title": "B"}, idempotency_key=KEY)
    assert (InProgress.status, InProgress.retry_after) == (409, 1)
