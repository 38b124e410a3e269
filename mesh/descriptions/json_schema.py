"""JSON Schemas of an operation's arguments and answers, as tools and the OpenAPI document show them."""

import copy
import re
from functools import cache
from typing import Any

from pydantic import AliasChoices, BaseModel, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaMode

from mesh.declarations.operations import Operation, Parameter

Schema = dict[str, Any]


class _Generator(GenerateJsonSchema):
    """Leaves out the titles that pydantic generates for properties, which only repeat their names."""

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False


@cache
def _schema_of(annotation: Any, mode: JsonSchemaMode, by_reference: str) -> Schema:
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)
    schema: Schema = adapter.json_schema(mode=mode, ref_template=by_reference, schema_generator=_Generator)
    return schema


def component_name(name: str) -> str:
    """A schema's name in the OpenAPI document: `MeetingPage` for `Page[MeetingOut]`, `Meeting` for `MeetingOut`."""
    match = re.fullmatch(r"Page[_\[](\w+?)(?:Out)?[_\]]", name)
    return f"{match[1]}Page" if match else name.removesuffix("Out")


def with_components(annotation: Any, mode: JsonSchemaMode, components: dict[str, Schema]) -> Schema:
    """The schema of a type; its models are moved into `components` and replaced by references."""
    schema = copy.deepcopy(_schema_of(annotation, mode, "{model}"))
    definitions = schema.pop("$defs", {})
    title = schema.get("title")
    if title and schema.get("type") == "object":
        definitions[title] = schema
        schema = {"$ref": title}
    for definition in definitions.values():
        _point_to_components(definition)
    for name, definition in definitions.items():
        named = component_name(name)
        definition = {**definition, "title": named} if "title" in definition else definition
        if components.setdefault(named, definition) != definition:
            raise TypeError(f"two different schemas are called {named}: rename one of them")
    _point_to_components(schema)
    return schema


def _point_to_components(schema: Any) -> None:
    if isinstance(schema, dict):
        if isinstance(schema.get("$ref"), str) and not schema["$ref"].startswith("#"):
            schema["$ref"] = f"#/components/schemas/{component_name(schema['$ref'])}"
        for value in schema.values():
            _point_to_components(value)
    elif isinstance(schema, list):
        for item in schema:
            _point_to_components(item)


def inlined(annotation: Any, mode: JsonSchemaMode = "validation") -> Schema:
    """The schema without references, for APIs that take none, and without the titles of its models and enums."""
    schema = copy.deepcopy(_schema_of(annotation, mode, "#/$defs/{model}"))
    definitions = schema.pop("$defs", {})
    found: Schema = _inline(schema, definitions)
    return found


def _inline(schema: Any, definitions: dict[str, Schema]) -> Any:
    if isinstance(schema, list):
        return [_inline(item, definitions) for item in schema]
    if not isinstance(schema, dict):
        return schema
    if "$ref" in schema:
        target = _inline(definitions[schema["$ref"].removeprefix("#/$defs/")], definitions)
        if "enum" in target:  # the field says what it is for
            target.pop("description", None)
        return target | {key: value for key, value in schema.items() if key != "$ref"}
    kept = {key: value for key, value in schema.items() if key != "title" or not isinstance(value, str)}
    return {key: _inline(value, definitions) for key, value in kept.items()}


def parameter_schema(parameter: Parameter) -> Schema:
    """The schema of one scalar parameter."""
    schema = inlined(parameter.annotation)
    if not parameter.required and parameter.default is not None:
        schema["default"] = TypeAdapter(parameter.annotation).dump_python(parameter.default, mode="json")
    return schema


def _other_names(model: type[BaseModel]) -> list[list[str]]:
    """The names of each field that has several."""
    aliases = (info.validation_alias for info in model.model_fields.values())
    return [list(map(str, alias.choices)) for alias in aliases if isinstance(alias, AliasChoices)]


def _required_by_some_name(model: Schema) -> list[str]:
    return [choice["anyOf"][0]["required"][0] for choice in model.get("allOf", [])]


def arguments_schema(operation: Operation) -> Schema:
    """One flat object of all arguments, as tools take them; `dry_run` for commands that have one."""
    properties: dict[str, Schema] = {}
    required: list[str] = []
    for parameter in operation.parameters:
        if parameter.model is None:
            properties[parameter.name] = parameter_schema(parameter)
            if parameter.required:
                required.append(parameter.name)
        else:
            model = inlined(parameter.model)
            others = {name for names in _other_names(parameter.model) for name in names[1:]}
            properties |= {name: schema for name, schema in model["properties"].items() if name not in others}
            required += [*model.get("required", []), *_required_by_some_name(model)]
    if operation.has_dry_run:
        properties["dry_run"] = {
            "type": "boolean",
            "default": False,
            "description": "If true, report what would happen, and change nothing.",
        }
    schema: Schema = {"type": "object", "properties": properties, "additionalProperties": False}
    return {**schema, "required": required} if required else schema
