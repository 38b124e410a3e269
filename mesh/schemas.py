"""The vocabulary of inputs and answers: every text has a length, every integer a maximum, every list a size."""

import base64
import re
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar
from uuid import UUID

from django.db.models.expressions import Combinable
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    EmailStr,
    Field,
    GetJsonSchemaHandler,
    StringConstraints,
    WithJsonSchema,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mesh.search import MOST_WORDS, words_of

MAX_BIGINT = 2**63 - 1
P = TypeVar("P")


def _clean(text: str) -> str:
    if "\x00" in text:
        raise ValueError("Text must not contain the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Text must be valid Unicode (a lone surrogate was sent).") from None
    return text


#: What gets lost where a text is written into a file, such as a vCard: of nothing else, it would come back empty.
_NOTHING = re.compile(r"[\s\x00-\x1f\x7f]*")


def _says_something(text: str) -> str:
    if _NOTHING.fullmatch(text):
        raise ValueError("Text must not consist of blanks and control characters alone.")
    return text


def text(low: int, high: int, *, strip: bool = True) -> Any:
    """A text of `low` to `high` characters, by default without blanks around it: `Annotated[str, text(1, 200)]`."""
    return TextLimits(low, high, strip)


@dataclass(frozen=True)
class TextLimits:
    low: int
    high: int
    strip: bool

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        limits = StringConstraints(min_length=self.low, max_length=self.high, strip_whitespace=self.strip)
        checks = [AfterValidator(_clean)]
        if self.low and self.strip:
            checks.append(AfterValidator(_says_something))
        return handler(Annotated[source, limits, *checks])


def _no_number(value: Any) -> Any:
    if isinstance(value, (int, float)) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit()):
        raise ValueError("Give the time as RFC 3339, such as 2025-01-15T10:00:00Z.")
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("The time is out of range: years 1 to 9999, in UTC.") from None


Time = Annotated[
    datetime,
    BeforeValidator(_no_number),
    AfterValidator(_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-01-15T10:00:00Z"]}),
]


def _plain_integer(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch("[1-9][0-9]{0,18}", value)):
        raise ValueError("An id is a whole number, such as 7.")
    return value


Id = Annotated[int, Field(ge=1, le=MAX_BIGINT), BeforeValidator(_plain_integer)]
Ref = Annotated[Id | UUID, Field(description="The row's integer id, or its uuid.")]


def _few_words(value: str) -> str:
    if (wanted := len(words_of(value))) > MOST_WORDS:
        raise ValueError(f"At most {MOST_WORDS} words are looked for, and here are {wanted}. Send fewer.")
    return value


def words(high: int) -> Any:
    """A text of at most `high` characters, each word of which is looked for: `Annotated[str, words(200)]`."""
    return WordLimits(0, high, strip=True)


@dataclass(frozen=True)
class WordLimits(TextLimits):
    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        text_of = TextLimits(self.low, self.high, self.strip)
        return handler(Annotated[source, text_of, AfterValidator(_few_words)])


_SAID = f"Every word must occur, in any case; at most {MOST_WORDS} words."
Search = Annotated[Annotated[str, words(200)] | None, Field(description=_SAID)]


def _bare_address(value: Any) -> Any:
    if isinstance(value, str) and "<" in value:
        raise ValueError("Send the e-mail address alone, without a name.")
    return value.strip() if isinstance(value, str) else value


Email = Annotated[
    EmailStr,
    BeforeValidator(_bare_address),
    Field(max_length=254, examples=["alice@example.com"]),
]


class In(BaseModel):
    """What a caller sends. Unknown fields are refused.

    `class MeetingPatch(MeetingIn, partial=True)` has the same fields, none of them required: only what was
    sent changes.
    """

    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True)
    partial: ClassVar[bool] = False

    def __init_subclass__(cls, partial: bool = False, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)

    @classmethod
    def __pydantic_init_subclass__(cls, partial: bool = False, **kwargs: Any) -> None:
        cls.partial = partial
        if partial:
            for info in cls.model_fields.values():
                info.default, info.default_factory = None, None
            cls.model_rebuild(force=True)

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        for prop in schema.get("properties", {}).values():
            if cls.partial or prop.get("default", ...) is None:  # an absent field is unchanged, or just absent
                prop.pop("default", None)
        for info in cls.model_fields.values():
            if isinstance(info.validation_alias, AliasChoices):
                _add_names(schema, [str(choice) for choice in info.validation_alias.choices])
        return schema

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def _add_names(schema: JsonSchemaValue, names: list[str]) -> None:
    """Documents a field's other names, of which one is enough."""
    first, *others = names
    for other in others:
        schema["properties"][other] = {**schema["properties"][first], "description": f"The same as `{first}`."}
    if first in schema.get("required", []):
        schema["required"].remove(first)
        if not schema["required"]:
            del schema["required"]
        schema.setdefault("allOf", []).append({"anyOf": [{"required": [name]} for name in names]})


class Out(BaseModel):
    """What a caller gets. Fields are read from the row by name, or as `Column` says."""

    model_config = ConfigDict(from_attributes=True, extra="forbid", populate_by_name=True)

    @classmethod
    def of(cls, row: Any) -> Self:
        return cls.model_validate(row)


@dataclass(frozen=True)
class Column:
    """Where an Out field comes from, when not from the column of its name: a lookup or an expression."""

    source: str | Combinable


def column_of(name: str, info: FieldInfo) -> str | Combinable:
    return next((item.source for item in info.metadata if isinstance(item, Column)), name)


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


def _check_cursor(value: str) -> str:
    Cursor.decode(value)
    return value


class PageParams(In):
    """Which page of a list."""

    limit: int = Field(50, ge=1, le=200, description="How many rows a page holds.")
    cursor: Annotated[str, text(1, 64), AfterValidator(_check_cursor)] | None = Field(
        None, description="`next` of the page before; without it, the first page."
    )

    @property
    def after(self) -> int | None:
        return None if self.cursor is None else Cursor.decode(self.cursor)


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list, newest first."""

    model_config = ConfigDict(extra="forbid")

    count: int | None = Field(description="How many rows there are in all, on the first page; null after.")
    next: str | None = Field(description="The `cursor` of the next page; null on the last.")
    results: list[T]
