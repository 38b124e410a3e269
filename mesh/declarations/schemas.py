"""Base classes for inputs and answers. Every text has a length, every integer a maximum, every list a size."""

from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, ClassVar, Generic, Self, TypeVar

from django.db.models.expressions import Combinable
from pydantic import (
    AfterValidator,
    AliasChoices,
    BaseModel,
    ConfigDict,
    Field,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
)
from pydantic.fields import FieldInfo
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from mesh.declarations.cursors import Cursor
from mesh.declarations.fields import text
from mesh.declarations.integers import with_json_integers


class In(BaseModel):
    """What a caller sends. Unknown fields are refused.

    `class MeetingPatch(MeetingIn, partial=True)` has the same fields, none of them required: only fields that were
    sent change. A text is accepted as an integer only if it is validated with `strict=False`.
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
    def __get_pydantic_core_schema__(cls, source: Any, handler: GetCoreSchemaHandler) -> CoreSchema:
        schema: CoreSchema = with_json_integers(handler(source))
        return schema

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        schema = handler.resolve_ref_schema(handler(core))
        for prop in schema.get("properties", {}).values():
            if (
                cls.partial or prop.get("default", ...) is None
            ):  # no default to show: a field that is not sent stays as it is
                prop.pop("default", None)
        for info in cls.model_fields.values():
            if isinstance(info.validation_alias, AliasChoices):
                _add_names(schema, [str(choice) for choice in info.validation_alias.choices])
        return schema

    def sent(self) -> dict[str, Any]:
        """The fields that were sent, by name."""
        return {name: getattr(self, name) for name in self.model_fields_set}


def _add_names(schema: JsonSchemaValue, names: list[str]) -> None:
    """Documents the alternative names of a field; one of them is enough."""
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
    """The source of an Out field that is not the column of the same name: a lookup or an expression."""

    source: str | Combinable


def column_of(name: str, info: FieldInfo) -> str | Combinable:
    return next((item.source for item in info.metadata if isinstance(item, Column)), name)


def _check_cursor(value: str) -> str:
    Cursor.decode(value)
    return value


class PageParams(In):
    """Which page of a list, and how long it is."""

    limit: int = Field(50, ge=1, le=200, description="The most items to return in one page.")
    cursor: Annotated[str, text(1, 64), AfterValidator(_check_cursor)] | None = Field(
        None, description="The value of `next` in the page before; omit it for the first page."
    )

    @property
    def after(self) -> int | None:
        return None if self.cursor is None else Cursor.decode(self.cursor)


T = TypeVar("T")


class Page(BaseModel, Generic[T]):
    """A page of a list, newest first."""

    # Repeated here, because `Page[T]` does not inherit the docstring as its description.
    model_config = ConfigDict(extra="forbid", json_schema_extra={"description": "A page of a list, newest first."})

    count: int | None = Field(
        description="The number of items on all pages, exact up to 10,000; only on the first page, else null."
    )
    more: bool = Field(False, description="True if there are more than `count` items; otherwise it is left out.")
    next: str | None = Field(description="Send it as `cursor` to get the next page; null on the last page.")
    results: list[T] = Field(description="The items of this page.")


@cache
def page_of(schema: type[T]) -> type[Page[T]]:
    """`Page[schema]`, for a schema that is only known at run time."""
    return Page[schema]  # type: ignore[valid-type]
