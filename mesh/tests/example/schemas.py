"""What goes in and out of things."""

from datetime import datetime
from typing import Annotated

from mesh import Id, In, Out, Search, text


class OwnerOut(Out):
    id: int
    name: str


class ShareOut(Out):
    user: OwnerOut


class ThingOut(Out):
    id: int
    title: str
    notes: str
    letters: int | None
    owner: OwnerOut
    shares: list[ShareOut]
    created_at: datetime


class ThingIn(In):
    title: Annotated[str, text(1, 100)]
    notes: Annotated[str, text(0, 200)] = ""


class ThingPatch(ThingIn, partial=True): ...


class ThingFilters(In):
    search: Search = None


class ShareIn(In):
    user_id: Id
