"""What goes in and out of things."""

from datetime import datetime
from typing import Annotated

from pydantic import Field

from mesh import Id, In, Out, Search, text

ThingId = Annotated[Id, Field(description="The thing's id, from list_things.")]


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
    title: Annotated[str, text(1, 100)] = Field(description="What it is called.")
    notes: Annotated[str, text(0, 200)] = Field("", description="More about it.")


class ThingPatch(ThingIn, partial=True): ...


class ThingFilters(In):
    search: Search = None


class ShareIn(In):
    user_id: Id = Field(description="Who is to see it, too: a user's id, from list_users.")
