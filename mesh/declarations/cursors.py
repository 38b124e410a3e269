"""Cursors: positions in a list, opaque to clients."""

import base64
from collections.abc import Callable
from contextlib import suppress
from typing import TypeVar

from mesh.declarations.fields import MAX_BIGINT

P = TypeVar("P")


def sealed(place: str) -> str:
    """The cursor for a position in a list, given as ASCII text."""
    return base64.urlsafe_b64encode(place.encode("ascii")).decode().rstrip("=")


def unsealed(cursor: str, read: Callable[[str], P], write: Callable[[P], str]) -> P:
    """The position in a cursor, parsed by `read`. Raises ValueError, also if `write` would make a different cursor."""
    with suppress(ValueError):  # binascii.Error and UnicodeError are ValueErrors
        place = read(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)).decode("ascii"))
        if write(place) == cursor:
            return place
    raise ValueError("Take the cursor from `next` of the page before.")


class Cursor:
    """The cursor of a keyset list: the id after which the next page begins."""

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
