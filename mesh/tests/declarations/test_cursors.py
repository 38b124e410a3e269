"""Cursors: a place in a list comes back from its cursor alone, and no text that is none is taken for one."""

import base64
import random

import pytest

from mesh.declarations.cursors import Cursor, sealed, unsealed
from mesh.declarations.fields import MAX_BIGINT


@pytest.mark.parametrize("id", [1, 7, 63, 64, 10**9, MAX_BIGINT])
def test_an_id_comes_back_from_its_cursor(id):
    cursor = Cursor.encode(id)
    assert Cursor.decode(cursor) == id
    assert cursor.isascii()
    assert not {"=", "+", "/"} & set(cursor)
    assert len(cursor) <= 64


def test_a_thousand_random_ids_come_back_and_no_two_have_one_cursor():
    ids = random.Random(7).sample(range(1, MAX_BIGINT), 1000)
    cursors = [Cursor.encode(id) for id in ids]
    assert [Cursor.decode(cursor) for cursor in cursors] == ids
    assert len(set(cursors)) == 1000


@pytest.mark.parametrize(
    "place",
    ["id:0", "id:-1", "id:01", "id: 1", "id:1 ", "id:", "1", "ID:1", "id:1_0", "id:x", "", "id:9223372036854775808"],
)
def test_a_place_that_no_page_ends_at_is_refused(place):
    with pytest.raises(ValueError, match="Take the cursor from `next`"):
        Cursor.decode(sealed(place))


@pytest.mark.parametrize("cursor", ["", "x", "id:1", "aWQ6MQ==", "aWQ6MQ=", "aWQ6MR", "aWQ6MQ\n", "é", "\ud800", "%%%"])
def test_a_text_that_is_no_cursor_is_refused(cursor):
    """Also one that decodes to a place, but is not how the place is written."""
    assert Cursor.encode(1) == "aWQ6MQ"
    with pytest.raises(ValueError, match="Take the cursor from `next`"):
        Cursor.decode(cursor)


def test_a_cursor_that_is_not_ascii_inside_is_refused():
    cursor = base64.urlsafe_b64encode("id:١".encode()).decode().rstrip("=")
    with pytest.raises(ValueError, match="Take the cursor"):
        Cursor.decode(cursor)


def test_other_lists_seal_other_places():
    def read(place: str) -> tuple[str, int]:
        name, _, number = place.partition(" ")
        return name, int(number)

    def write(place: tuple[str, int]) -> str:
        return sealed(f"{place[0]} {place[1]}")

    assert unsealed(write(("a", 3)), read, write) == ("a", 3)
    for other in ("a 03", "a", "a 3 ", "a 3 4"):
        with pytest.raises(ValueError, match="Take the cursor"):
            unsealed(sealed(other), read, write)
