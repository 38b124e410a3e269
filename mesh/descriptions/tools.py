"""Operations as tools for LLMs: those that an actor may use, in the formats of LLM APIs."""

from typing import Literal, get_args

from mesh.declarations.actors import Actor
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.descriptions.json_schema import Schema, arguments_schema
from mesh.errors import Forbidden, Unauthenticated

Format = Literal["mcp", "openai", "anthropic"]
FORMATS: tuple[Format, ...] = get_args(Format)


def tools_for(actor: Actor, format: str = "mcp") -> list[Schema]:
    """The tools that the actor may use, in a stable order. Raises ValueError for an unknown format."""
    if format not in _SHAPES:
        raise ValueError(f"format is one of {', '.join(_SHAPES)}, not {format!r}")
    offered = (op for _, op in sorted(registry.operations.items()) if op.declaration.tool)
    return [_SHAPES[format](operation) for operation in offered if _allowed(operation, actor)]


def _allowed(operation: Operation, actor: Actor) -> bool:
    try:
        operation.permit(actor)
    except (Forbidden, Unauthenticated):
        return False
    return True


def _mcp(operation: Operation) -> Schema:
    return {
        "name": operation.name,
        "title": operation.name.replace("_", " ").capitalize(),
        "description": operation.description,
        "inputSchema": arguments_schema(operation),
        "annotations": {
            "readOnlyHint": not operation.is_command,
            "destructiveHint": any(route.method == "DELETE" for route in operation.declaration.routes),
            "openWorldHint": False,
        },
    }


def _openai(operation: Operation) -> Schema:
    function = {
        "name": operation.name,
        "description": operation.description,
        "parameters": arguments_schema(operation),
    }
    return {"type": "function", "function": function}


def _anthropic(operation: Operation) -> Schema:
    return {
        "name": operation.name,
        "description": operation.description,
        "input_schema": arguments_schema(operation),
    }


_SHAPES = {"mcp": _mcp, "openai": _openai, "anthropic": _anthropic}
