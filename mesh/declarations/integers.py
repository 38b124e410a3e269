"""Integers of JSON: `true` and `"7"` are none. Of a text, such as a query string's, `7` is one.

As JSON Schema has it, `7.0` is the same number as `7`.
"""

from collections.abc import Callable
from typing import Any, cast

from pydantic_core import CoreSchema, core_schema

#: What a core schema holds beside other core schemas; the keys of a JSON object are texts.
_OTHER = {"metadata", "default", "serialization", "keys_schema"}


class JsonIntegers:
    """`Annotated[T, JsonIntegers()]`: every integer in T is one of JSON.

    Who validates texts says so: `validate_python(…, strict=False)`.
    """

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        return cast(CoreSchema, with_json_integers(handler(source)))


def with_json_integers(schema: Any) -> Any:
    """The core schema of a type, with every integer in it one of JSON."""
    if isinstance(schema, (list, tuple)):
        return type(schema)(map(with_json_integers, schema))
    if not isinstance(schema, dict) or _is_done(schema):
        return schema
    if schema.get("type") == "int":
        integer = core_schema.no_info_before_validator_function(_without_fraction, {**schema, "strict": True})
        return core_schema.lax_or_strict_schema(lax_schema=schema, strict_schema=integer, strict=True)
    if schema.get("type") == "model-fields":  # whose names are anyone's
        return {**schema, "fields": {name: with_json_integers(field) for name, field in schema["fields"].items()}}
    return {key: part if key in _OTHER else with_json_integers(part) for key, part in schema.items()}


def _is_done(schema: dict[str, Any]) -> bool:
    return schema.get("type") == "lax-or-strict"


def _without_fraction(value: Any) -> Any:
    return int(value) if isinstance(value, float) and value.is_integer() else value
