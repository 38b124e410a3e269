"""Integers in JSON: `true` and `"7"` are not integers. In a text, such as a query string, `7` is one.

As in JSON Schema, `7.0` is the same number as `7`.
"""

from collections.abc import Callable
from typing import Any, cast

from pydantic_core import CoreSchema, core_schema

#: Entries of a core schema that hold no values of JSON; the keys of a JSON object are always texts.
_NOT_SCHEMAS = {"metadata", "default", "serialization", "keys_schema"}


class JsonIntegers:
    """`Annotated[T, JsonIntegers()]`: every integer in T must be a JSON integer.

    To validate texts instead, use `validate_python(…, strict=False)`.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return cast(CoreSchema, with_json_integers(handler(source)))


def with_json_integers(schema: Any) -> Any:
    """A core schema in which every integer must be a JSON integer."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(with_json_integers, schema))
    if not isinstance(schema, dict) or _is_done(schema):
        return schema
    if schema.get("type") == "int":
        integer = core_schema.no_info_before_validator_function(_without_fraction, {**schema, "strict": True})
        return core_schema.lax_or_strict_schema(lax_schema=schema, strict_schema=integer, strict=True)
    if schema.get("type") == "model-fields":  # field names are arbitrary, so do not treat them as schema keys
        return {**schema, "fields": {name: with_json_integers(field) for name, field in schema["fields"].items()}}
    return {key: part if key in _NOT_SCHEMAS else with_json_integers(part) for key, part in schema.items()}


def _is_done(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "lax-or-strict"


def _without_fraction(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
