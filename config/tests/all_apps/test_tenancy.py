"""P8: no answer holds another person's row, and someone else's id looks exactly like one that does not exist.

The matrix is made from the registry: an operation without an entry in CASES fails.
"""

import base64
import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import jwt
import pytest
from django.conf import settings
from django.utils import timezone

from accounts.models import ApiKey, Contact, Session
from config.tests.all_apps.matrix import CASES, OPERATIONS, ROUTES, SECRET, Case, World, make_world, send
from meetings.models import MeetingQuerySet
from mesh.declarations.permissions import anyone, in_person
from mesh.errors import MeshError
from mesh.rows.visibility import _visible
from mesh.testing import Api
from mesh.tests.database import everything
from tasks.models import Task


@pytest.fixture
def world(db) -> World:
    return make_world()


def _charlies(world: World) -> dict[str, Any]:
    """What charlie's own requests name: rows of his own."""
    charlie = world.people["charlie"]
    task = Task.objects.create(creator=charlie.user, title="Mine")
    contact = Contact.objects.create(owner=charlie.user, name="Mine", email="own@example.com", company="Mine")
    return {"charlies_task": task.pk, "charlies_contact": contact.pk, "refresh_token": charlie.refresh_token}


def _rows_of_alice(world: World) -> dict[str, list[Any]]:
    kept = {str(value) for value in world.ids.values()}
    return {label: [row for row in rows if str(row.get("id")) in kept] for label, rows in everything().items()}


each_route = pytest.mark.parametrize(("name", "position"), ROUTES, ids=[f"{name}-{n}" for name, n in ROUTES])
each_operation = pytest.mark.parametrize("name", sorted(OPERATIONS))


def test_every_operation_has_its_row_in_the_table():
    assert sorted(OPERATIONS.keys() - CASES.keys()) == []
    assert sorted(CASES.keys() - OPERATIONS.keys()) == []
    assert all(CASES.values())


def test_the_rows_are_there_for_alice_so_that_they_could_leak(world):
    alice = world.people["alice"].api
    for kind in ("meeting", "project", "task", "note"):
        answered = alice.get(f"/{kind}s/{world.ids[kind]}")
        assert answered.status == 200
        assert set(world.leaks(answered.text)) >= {SECRET, str(world.ids[kind])}
        assert alice.get(f"/{kind}s").json["count"] == 1


def _check(case: Case, status: int, found: Any, text: str, world: World) -> None:
    assert world.leaks(text) == []
    if case.expect in ("own", "empty"):
        assert status in (200, 201, 202, 204), text
    else:
        assert status == case.expect, text
    if case.expect == "empty":
        assert found in ({"count": 0, "next": None, "results": []}, [])
    if case.expect == 422:
        named = [".".join(map(str, error["loc"])) for error in found["errors"]]
        assert named == [f"body.{name}" for name in case.fields]


@each_route
def test_charlie_gets_nothing_of_alices_over_rest(world, name, position):
    _charlie_gets_nothing(world, name, position, world.people["charlie"].api)


@each_route
def test_charlies_api_key_gets_nothing_of_alices_either(world, name, position):
    """The same with a key that may do everything; what is about credentials it may not."""
    charlie = world.people["charlie"]
    _, key = ApiKey.objects.issue(user=charlie.user, name="All", scopes=["*"], last_used_at=timezone.now())
    if OPERATIONS[name].declaration.allow is not in_person:
        _charlie_gets_nothing(world, name, position, Api(X_API_Key=key))
        return
    before = everything()
    for case in CASES[name]:
        answered = send(Api(X_API_Key=key), name, position, case.arguments(world.ids))
        assert (answered.status, answered.json["detail"]) == (403, "Sign in to do this; an API key may not.")
    assert everything() == before


def _charlie_gets_nothing(world: World, name: str, position: int, charlie: Api) -> None:
    his = _charlies(world)
    for case in CASES[name]:
        before = _rows_of_alice(world)
        everyone = everything()
        answered = send(charlie, name, position, case.arguments(world.ids | world.public | his))
        _check(case, answered.status, answered.json, answered.text, world)
        assert world.leaks(json.dumps(dict(answered.headers))) == []
        assert _rows_of_alice(world) == before
        if case.expect != "own":
            assert everything() == everyone
            absent = send(charlie, name, position, case.arguments(world.missing | world.public | his))
            assert (absent.status, absent.json) == (answered.status, answered.json)
            assert absent.headers.keys() - {"X-Cache"} == answered.headers.keys() - {"X-Cache"}


@each_operation
def test_charlie_gets_nothing_of_alices_from_a_tool(world, name):
    charlie, his = world.people["charlie"], _charlies(world)
    for case in CASES[name]:
        before = _rows_of_alice(world)
        arguments = case.arguments(world.ids | world.public | his)
        answered = charlie.api.post(f"/tools/{name}", {"arguments": arguments})
        if not OPERATIONS[name].declaration.tool:
            assert answered.status == 404
            with pytest.raises(MeshError, match="There is no tool"):
                charlie.mesh.call_tool(name, arguments)
            continue
        found = answered.json["result"] if answered.status == 200 else answered.json
        _check(case, answered.status, found, answered.text, world)
        if case.expect in (403, 404, 422):
            with pytest.raises(MeshError) as refused:
                charlie.mesh.call_tool(name, arguments)
            assert refused.value.problem() == answered.json
            missing = charlie.api.post(
                f"/tools/{name}", {"arguments": case.arguments(world.missing | world.public | his)}
            )
            assert (missing.status, missing.json) == (answered.status, answered.json)
        elif case.expect == "empty":
            assert json.loads(charlie.mesh.call_tool(name, arguments).body) == found
        assert _rows_of_alice(world) == before


@each_route
def test_who_is_not_signed_in_gets_nothing(world, name, position):
    before = everything()
    if OPERATIONS[name].declaration.allow is anyone:
        assert world.leaks(send(Api(), name, position, {}).text) == []
    else:
        for case in CASES[name]:
            answered = send(
                Api(),
                name,
                position,
                case.arguments(world.ids | world.public | {"charlies_task": 1, "charlies_contact": 1}),
            )
            assert (answered.status, answered.json["code"]) == (401, "unauthenticated")
            assert answered.headers["WWW-Authenticate"] == 'Bearer realm="meshwork"'
            assert world.leaks(answered.text) == []
            tool = Api().post(
                f"/tools/{name}",
                {"arguments": case.arguments(world.ids | world.public | {"charlies_task": 1, "charlies_contact": 1})},
            )
            assert tool.status == 401
    assert everything() == before


def _unsigned(claims: dict[str, Any]) -> str:
    parts = ({"alg": "none", "typ": "JWT"}, claims)
    return ".".join(base64.urlsafe_b64encode(json.dumps(p).encode()).decode().rstrip("=") for p in parts) + "."


def _tampered(token: str, claims: dict[str, Any]) -> str:
    header, _, signature = token.split(".")
    return ".".join((header, _unsigned(claims).split(".")[1], signature))


def _signed(claims: dict[str, Any], key: str = "") -> str:
    return jwt.encode(claims, key or settings.SECRET_KEY, "HS256")


FORGERIES: dict[str, Callable[[World, str, dict[str, Any], dict[str, Any]], str]] = {
    "signed with another key": lambda world, token, his, hers: _signed(hers, "another key of more than 32 characters"),
    "not signed": lambda world, token, his, hers: _unsigned(hers),
    "her user id under his signature": lambda world, token, his, hers: _tampered(token, hers),
    "expired": lambda world, token, his, hers: _signed(hers | {"exp": int(time.time()) - 1}),
    "her user id, his session": lambda world, token, his, hers: _signed(his | {"user_id": hers["user_id"]}),
    "a refresh token": lambda world, token, his, hers: world.people["alice"].refresh_token,
    "no session": lambda world, token, his, hers: _signed({k: v for k, v in hers.items() if k != "session_id"}),
    "an ended session": lambda world, token, his, hers: _signed(hers | {"session_id": hers["session_id"] + 1}),
    "no token at all": lambda world, token, his, hers: "alice",
    "letters of other alphabets": lambda world, token, his, hers: "\u00e4.\u00f6.\u00fc",
}


def _claims(token: str) -> dict[str, Any]:
    return jwt.decode(token, options={"verify_signature": False})


@each_route
def test_a_forged_token_is_refused_also_where_none_is_needed(world, name, position):
    hers, his = world.people["alice"].api.token, world.people["charlie"].api.token
    Session.objects.create(
        pk=_claims(hers)["session_id"] + 1,
        user=world.people["alice"].user,
        expires_at=timezone.now() + timedelta(days=1),
        ended_at=timezone.now(),
    )
    before = everything()
    for forgery, make in FORGERIES.items():
        forged = Api(make(world, his, _claims(his), _claims(hers)))
        case = CASES[name][0]
        own = {"charlies_task": 1, "charlies_contact": 1, "refresh_token": "x"}
        answered = send(forged, name, position, case.arguments(world.ids | world.public | own))
        assert answered.status == 401, forgery
        assert answered.headers["WWW-Authenticate"] == 'Bearer realm="meshwork"'
        assert world.leaks(answered.text) == []
    assert everything() == before


def test_the_forger_would_get_in_with_the_right_key(world):
    alice = world.people["alice"]
    assert Api(_signed(_claims(alice.api.token))).get("/users/me").json["id"] == alice.id


def test_an_open_list_would_be_noticed(world, monkeypatch):
    monkeypatch.setattr(MeetingQuerySet, "visible_to", lambda rows, actor: rows)
    _visible.cache_clear()
    answered = world.people["charlie"].api.get("/meetings")
    _visible.cache_clear()
    assert SECRET in world.leaks(answered.text)
    with pytest.raises(AssertionError):
        _check(Case("empty"), answered.status, answered.json, answered.text, world)
