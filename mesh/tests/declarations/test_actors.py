"""Who asks, what their API key lets them, and whom each rule lets in."""

import pytest

from mesh.declarations.actors import ANONYMOUS, SYSTEM, Actor
from mesh.declarations.permissions import admins, anyone, in_person, nobody, signed_in
from mesh.errors import Forbidden, MeshError, Unauthenticated

ALICE = Actor(7, "AGENT", "alice@example.com", "Alice")
ADA = Actor(1, "ADMIN")
KEY = Actor(7, "AGENT", key_id=3, scopes=("*",))


def test_nobody_is_anonymous_and_the_system_is_an_admin_that_is_no_user():
    assert (ANONYMOUS.is_anonymous, ANONYMOUS.is_admin, ANONYMOUS.id) == (True, False, 0)
    assert (SYSTEM.is_anonymous, SYSTEM.is_admin, SYSTEM.id) == (False, True, 0)
    assert (ALICE.is_anonymous, ALICE.is_admin, ALICE.cache_tag) == (False, False, "user:7")
    assert ADA.is_admin


@pytest.mark.parametrize(
    ("scopes", "allowed"),
    [
        (None, {"orders:read", "orders:write", "tasks:read", "tasks:write"}),
        (("*",), {"orders:read", "orders:write", "tasks:read", "tasks:write"}),
        (("read",), {"orders:read", "tasks:read"}),
        (("write",), {"orders:write", "tasks:write"}),
        (("read", "write"), {"orders:read", "orders:write", "tasks:read", "tasks:write"}),
        (("orders:*",), {"orders:read", "orders:write"}),
        (("orders:read",), {"orders:read"}),
        (("orders:write", "tasks:read"), {"orders:write", "tasks:read"}),
        (("orders",), set()),
        (("order:read", "orders:rea", "*:read", ""), set()),
        ((), set()),
    ],
)
def test_a_key_may_what_its_scopes_hold_and_no_more(scopes, allowed):
    actor = Actor(7, "AGENT", key_id=3, scopes=scopes)
    every = {"orders:read", "orders:write", "tasks:read", "tasks:write"}
    assert {scope for scope in every if actor.may(scope)} == allowed


@pytest.mark.parametrize(
    ("rule", "refused"),
    [
        (anyone, {}),
        (signed_in, {ANONYMOUS: Unauthenticated}),
        (in_person, {ANONYMOUS: Unauthenticated, KEY: Forbidden}),
        (admins, {ANONYMOUS: Unauthenticated, ALICE: Forbidden, KEY: Forbidden}),
        (nobody, {ANONYMOUS: Forbidden, ALICE: Forbidden, KEY: Forbidden, ADA: Forbidden, SYSTEM: Forbidden}),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_each_rule_refuses_these_and_lets_in_all_others(rule, refused):
    found = {}
    for actor in (ANONYMOUS, ALICE, KEY, ADA, SYSTEM):
        try:
            rule(actor)
        except MeshError as refusal:
            found[actor] = type(refusal)
    assert found == refused


def test_a_refusal_says_what_to_do():
    with pytest.raises(Unauthenticated, match="Authorization: Bearer"):
        signed_in(ANONYMOUS)
    with pytest.raises(Forbidden, match="an API key may not"):
        in_person(KEY)
    with pytest.raises(Forbidden, match="Only an ADMIN"):
        admins(ALICE)


def test_an_actor_cannot_be_changed():
    with pytest.raises(AttributeError):
        ALICE.role = "ADMIN"  # type: ignore[misc]
