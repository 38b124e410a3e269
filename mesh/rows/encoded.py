"""Answers that are JSON already, but still instances of their schema, decoded when a field is accessed.

A read goes from Postgres to JSON without an instance for each row, and most answers are only sent. So `self.one(…)`
returns an instance without fields. The host sends its JSON as it is. The first access to a field decodes it, and from
then on it is a plain instance of the schema.
"""

from copy import copy, deepcopy
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar, TypeVar, cast

from pydantic import BaseModel, TypeAdapter

Schema = TypeVar("Schema", bound=BaseModel)

#: The real `__dict__` of an instance, which holds its fields; the class `Undecoded` shadows it with a property.
_fields: Any = BaseModel.__dict__["__dict__"]


@dataclass(frozen=True, slots=True)
class Encoded:
    """An answer as JSON, and what the doors need to know about it."""

    body: bytes
    row_id: int | str | None = None
    next_cursor: str | None = None
    replayed: bool = False


def undecoded(schema: type[Schema], encoded: Encoded) -> Schema:
    """An instance of `schema` that holds the JSON of its fields. Access to a field raises what decoding raises."""
    instance: Schema = object.__new__(_undecoded_class(schema))
    _fields.__set__(instance, {"": encoded})
    return instance


def encoded_of(answer: Any) -> Encoded | None:
    """The JSON of an instance that has not been decoded; else None."""
    return cast(Encoded, _fields.__get__(answer)[""]) if getattr(type(answer), "is_undecoded", False) else None


@cache
def _undecoded_class(schema: type[Schema]) -> type[Schema]:
    class Undecoded(schema):  # type: ignore[misc, valid-type]
        is_undecoded: ClassVar[bool] = True

        def __getattr__(self, name: str) -> Any:
            _decode(self, schema)
            return getattr(self, name)

        @property
        def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
            """Where pydantic reads an instance's fields."""
            _decode(self, schema)
            return cast(dict[str, Any], _fields.__get__(self))

        def __eq__(self, other: object) -> bool:
            _decode(self, schema)
            return self == other

        __hash__ = None  # type: ignore[assignment]

        def __copy__(self) -> Any:
            _decode(self, schema)
            return copy(self)

        def __deepcopy__(self, memo: dict[int, Any] | None = None) -> Any:
            _decode(self, schema)
            return deepcopy(self, memo)

    Undecoded.__name__ = Undecoded.__qualname__ = schema.__name__
    return Undecoded


def _decode(instance: Any, schema: type[BaseModel]) -> None:
    """Turns it into a plain instance of its schema."""
    decoded = TypeAdapter(schema).validate_json(_fields.__get__(instance)[""].body)
    object.__setattr__(instance, "__pydantic_fields_set__", decoded.model_fields_set)
    object.__setattr__(instance, "__pydantic_extra__", decoded.model_extra)
    object.__setattr__(instance, "__pydantic_private__", None)
    _fields.__set__(instance, decoded.__dict__)
    object.__setattr__(instance, "__class__", schema)
