"""Operations about credentials have no dry run: it would try a password or use a token, and leave no trace."""

import json
import re
from collections.abc import Iterator
from hashlib import blake2b
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django_redis import get_redis_connection

from accounts.tests.assertions import nothing_changes
from config.tests.all_apps.matrix import CASES, ROUTES, make_world, send
from mesh import Service, command
from mesh.declarations.registry import registry
from mesh.descriptions.json_schema import arguments_schema
from mesh.models import AuditEntry
from mesh.testing import Api
from shop.models import Product

#: What issues or consumes a credential. An operation that comes to be one of them belongs here.
GUARDED = {
    "sign_up", "log_in", "log_out", "refresh_token", "end_session", "change_password", "request_password_reset",
    "confirm_password_reset", "create_api_key", "delete_api_key", "make_calendar_key", "invite_user", "unsubscribe",
}  # fmt: skip
COMMANDS = [(name, n) for name, n in ROUTES if registry.operations[name].is_command]
ROUTED = [(name, n) for name, n in COMMANDS if name in GUARDED]
ABOUT = re.compile("token|key|session|password|login|log_in|signup|sign_up|invit|secret|auth|credential|unsubscribe")
NONE = {"msg": "This operation has no dry run. Leave it out to do it.", "type": "no_dry_run"}


@pytest.fixture
def world(db):
    return make_world()


def of_alice(world: Any, name: str) -> dict[str, Any]:
    alice = world.people["alice"]
    own = {name: world.ids[name.removeprefix("charlies_")] for name in ("charlies_task", "charlies_contact")}
    arguments = CASES[name][0].arguments(world.ids | world.public | own | {"refresh_token": alice.refresh_token})
    if name == "assign_task":
        arguments["user_id"] = alice.id
    if name == "log_in":
        arguments["username"] = alice.user.email
    if name == "place_order":  # not the archived one
        product = Product.objects.create(owner=alice.user, sku="A", name="A", price_cents=1)
        arguments["items"][0]["product_id"] = product.pk
    return arguments


def counts() -> dict[str, int]:
    redis = get_redis_connection("default")
    counters = {name: value for key in redis.keys("meshwork:limits:*") for name, value in redis.hgetall(key).items()}
    return {name.decode(): int(value.split()[1]) for name, value in counters.items() if name != b"turn"}


def texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
        yield from re.split(r"[\s=&?]+", value)
    elif isinstance(value, (dict, list)):
        for item in value.values() if isinstance(value, dict) else value:
            yield from texts(item)


def opens(text: str) -> list[str]:
    """For what a text is a credential."""
    doors = {
        "token": lambda: Api(text).get("/users/me").status,
        "key": lambda: Api(X_API_Key=text).get("/projects").status,
        "refresh": lambda: Api().post("/auth/refresh", {"refresh_token": text}).status,
        "calendar": lambda: Api().get(f"/calendar.ics?key={text}").status,
        "link": lambda: (
            Api().post("/auth/password/reset/confirm", {"token": text, "new_password": "a new long one"}).status
        ),
    }
    return [door for door, status in doors.items() if status() < 300]


def test_operations_say_whether_they_have_a_dry_run():
    commands = {name: op for name, op in registry.operations.items() if op.is_command}
    assert {name for name, operation in commands.items() if not operation.has_dry_run} == GUARDED
    by_nature = {name for name, op in commands.items() if op.declaration.secret or op.declaration.account is not None}
    assert by_nature < GUARDED


def test_nothing_that_sounds_like_a_credential_was_forgotten():
    sounding = {
        name
        for name, op in registry.operations.items()
        if op.is_command and ABOUT.search(" ".join([name, *(route.path for route in op.declaration.routes)]))
    }
    assert sounding - GUARDED == set()


@pytest.mark.parametrize(("name", "position"), COMMANDS, ids=[f"{name}-{n}" for name, n in COMMANDS])
def test_no_dry_run_yields_a_usable_credential(world, settings, name, position):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "off", "RATE_LIMIT_READ": "off"}
    arguments = of_alice(world, name)
    for api in (world.people["alice"].api, Api()):
        tried = send(api, name, position, arguments, Prefer="dry-run")
        assert (tried.status == 200) is (tried.headers.get("Preference-Applied") == "dry-run")
        found = {text: opens(text) for text in texts(tried.json) if len(text) > 20 and text.isascii()}
        assert {text: doors for text, doors in found.items() if doors} == {}


@pytest.mark.parametrize(("name", "position"), ROUTED, ids=[f"{name}-{n}" for name, n in ROUTED])
def test_it_is_refused_counted_and_audited(world, settings, name, position):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_WRITE": "100/min", "RATE_LIMIT_LOGIN": "100/min"}
    alice, account = world.people["alice"], registry.operations[name].declaration.account
    arguments = of_alice(world, name)
    alice.api.headers = {"Idempotency_Key": "tried"}
    with nothing_changes():
        refused = send(alice.api, name, position, arguments, Prefer="dry-run")
    assert (refused.status, refused.json["code"]) == (422, "mesh.no_dry_run"), refused
    assert refused.json["errors"] == [{"loc": ["header", "Prefer"], **NONE}]
    [entry] = AuditEntry.objects.all()
    assert (entry.operation, entry.door, entry.outcome) == (name, "rest", "mesh.no_dry_run")
    assert (entry.actor_id, entry.address) == (alice.id, "127.0.0.1")
    counted = {f"WRITE:user:{alice.id}"}
    if account is not None:
        counter = registry.operations[name].declaration.counter
        counted.add(f"{counter}:address:127.0.0.1")
        if account:
            digest = blake2b(arguments[account].lower().encode(), digest_size=16).hexdigest()
            counted.add(f"{counter}:account:{digest}")
    assert counts() == dict.fromkeys(counted, 1)


@pytest.mark.parametrize("password", ["right", "wrong"])
def test_a_dry_run_of_a_login_does_not_try_the_password(alice, anonymous, password):
    sent = {"username": alice.user.email, "password": alice.password if password == "right" else "wrong"}
    refused = anonymous.post("/auth/login", sent, Prefer="dry-run")
    assert refused.json["errors"] == [{"loc": ["header", "Prefer"], **NONE}]


def test_it_is_refused_as_a_tool_in_all_ways_of_saying_it_and_run_when_told_false(alice):
    person = {"email": "new@example.com", "name": "New"}
    ways = [
        ({"arguments": person, "dry_run": True}, {}),
        ({"arguments": {**person, "dry_run": True}}, {}),
        ({"arguments": person}, {"Prefer": "dry-run"}),
    ]
    for sent, headers in ways:
        with nothing_changes():
            refused = alice.api.post("/tools/invite_user", sent, **headers)
        assert (refused.status, refused.json["errors"]) == (422, [{"loc": ["dry_run"], **NONE}])
    assert set(AuditEntry.objects.values_list("operation", "door", "outcome")) == {
        ("invite_user", "tool", "mesh.no_dry_run")
    }
    assert AuditEntry.objects.count() == len(ways)
    assert alice.api.post("/tools/invite_user", {"arguments": {**person, "dry_run": False}}).status == 200


def test_neither_tools_nor_the_document_nor_the_command_line_offer_it(alice):
    for name, operation in registry.operations.items():
        offered = "dry_run" in arguments_schema(operation)["properties"]
        assert offered is ((operation.is_command and name not in GUARDED) or name == "call_tool"), name
    person = ("email=new@example.com", "name=New", "--as", "alice@example.com")
    with nothing_changes(), pytest.raises(CommandError, match="dry_run: This operation has no dry run"):
        call_command("mesh", "invite_user", *person, "--dry-run", stdout=StringIO())
    rows = StringIO()
    call_command("mesh", "--json", stdout=rows)
    assert {row["operation"] for row in json.loads(rows.getvalue()) if row["dry_run"]} == {
        name for name, operation in registry.operations.items() if operation.is_command
    } - GUARDED


def test_a_declaration_says_otherwise_where_it_means_it(alice, throwaway):
    class Vault(Service):
        """Keeps things."""

        name = "vault"

        @command("POST /vault", secret=True, dry_run=True)
        def look(self) -> int:
            """Look at nothing that opens anything."""
            self.changed()
            return 7

        @command("DELETE /vault", dry_run=False)
        def burn(self) -> None:
            """Burn it."""
            self.changed()

    throwaway()
    assert alice.api.post("/vault", Prefer="dry-run").json["result"] == 7
    assert alice.api.delete("/vault", Prefer="dry-run").json["code"] == "mesh.no_dry_run"
    assert alice.api.delete("/vault").status == 204
