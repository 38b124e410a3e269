"""Where an answer is cached: the same key only where the same answer is right."""

import itertools
from typing import Any

from mesh.calling.cache import key_of
from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.tests.declarations.library import operation

ALICE = Actor(7, "AGENT")
BOB = Actor(8, "AGENT")


def key(actor: Actor = ALICE, versions: Any = None, name: str = "list_books", arguments: Any = None) -> str:
    return key_of(operation(name), actor, {"user:7": 3} if versions is None else versions, arguments or {})


def test_the_same_question_has_the_same_key():
    assert key() == key()
    assert key(arguments={"limit": 3, "search": "a"}) == key(arguments={"search": "a", "limit": 3})
    assert key().startswith("meshwork:list_books:7:AGENT:3:")


def test_any_difference_that_matters_makes_another_key():
    keys = [
        key(),
        key(BOB),
        key(Actor(7, "ADMIN")),
        key(versions={"user:7": 4}),
        key(versions={"user:7": 3, "books": 1}),
        key(name="get_cover"),
        key(arguments={"limit": 3}),
        key(arguments={"limit": 30}),
        key(arguments={"search": "3"}),
        key(arguments={"search": "limit"}),
        key(arguments={"search": None}),
    ]
    assert all(one != other for one, other in itertools.combinations(keys, 2))


def test_a_keys_scopes_are_part_of_it_unless_they_hold_everything():
    def through(*scopes: str) -> str:
        return key(Actor(7, "AGENT", key_id=3, scopes=scopes))

    assert through("*") == through("read", "*") == key()
    assert through("read") != key()
    assert through("read") != through("books:read")
    assert through("read") == key(Actor(7, "AGENT", key_id=4, scopes=("read",)))


def test_what_is_the_same_for_all_is_cached_once_for_all():
    versions = {"books": 3, "book:7": 1}
    keys = {key(actor, versions, "get_book", {"id": 7}) for actor in (ALICE, BOB, ANONYMOUS, Actor(1, "ADMIN"))}
    assert len(keys) == 1
    assert keys.pop().startswith("meshwork:get_book:all:3.1:")


def test_versions_are_told_apart_by_their_places():
    assert key(versions={"a": 1, "b": 11}, name="get_book") != key(versions={"a": 11, "b": 1}, name="get_book")
