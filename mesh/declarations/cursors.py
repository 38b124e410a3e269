"""Cursors: a place in a list, opaque to callers."""

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from mesh.declarations.fields import MAX_BIGINT

P = TypeVar("P")


def sealed(place: str) -> str:
    """A cursor: a place in a list, which is ASCII, opaque to callers."""
    return base64.urlsafe_b64encode(place.encode("ascii")).decode().rstrip("=")


def unsealed(cursor: str, read: Callable[[str], P], write: Callable[[P], str]) -> P:
    """What `read` makes of the place in a cursor. Raises ValueError, also where `write` would make another cursor."""
    with suppress(ValueError):  # a binascii.Error and a UnicodeError are such, too
        place = read(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
        if write(place) == cursor:
            return place
    raise ValueError("Take the cursor from `next` of the page before.")


class Cursor:
    """The place in a keyset list: the id after which the next page begins."""

    @staticmethod
    def encode(row_id: int) -> str:
        return sealed(f"id:{row_id}")

    @staticmethod
    def decode(cursor: str) -> int:
        return unsealed(cursor, _id_in, Cursor.encode)


def _id_in(place: str) -> int:
    row_id = int(place.removeprefix("id:"))
    if not 0 < row_id <= MAX_BIGINT:
        raise ValueError("There is no such id.")
    return row_id
