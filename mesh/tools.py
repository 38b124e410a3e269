"""Operations as tools for LLMs: what an actor may use, in the shapes that LLM APIs take, and calling one."""

from typing import Annotated, Any, Literal, cast, get_args

from pydantic import Field

from mesh.call import Actor
from mesh.declarations import query
from mesh.errors import Forbidden, Invalid, Unauthenticated
from mesh.json_schema import Schema, arguments_schema
from mesh.operations import Operation
from mesh.rows import Encoded
from mesh.schemas import In, Out, text
from mesh.service import Service, registry

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
        "title": operation.summary,
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


class ToolCallIn(In):
    """A tool's arguments, as one flat object."""

    arguments: dict[Annotated[str, text(1, 100)], Any] = Field(default={}, max_length=100)
    dry_run: bool = Field(False, description="Try it: answer what would happen, and change nothing.")
    idempotency_key: Annotated[str, text(0, 255)] = Field("", description="As the header `Idempotency-Key`.")


class ToolResultOut(Out):
    """What the tool answered."""

    result: Any


class ToolService(Service):
    """The operations, as tools for LLMs."""

    name = "tools"

    @query("GET /tools", tool=False, any_key=True)
    def list_tools(self, *, format: Format = "mcp") -> list[dict[str, Any]]:
        """List the tools that you may use, as an array that MCP, OpenAI's or Anthropic's API takes."""
        return tools_for(self.actor, format)

    @query("POST /tools/{name}", tool=False, any_key=True)
    def call_tool(self, *, name: Annotated[str, text(1, 100)], data: ToolCallIn) -> ToolResultOut:
        """Call one tool by its name, with exactly your rights."""
        key, header = data.idempotency_key, self.call.idempotency_key
        if key and header and key != header:
            raise Invalid.field(["body", "idempotency_key"], "The header `Idempotency-Key` says another one.")
        answer = self.mesh_through("tool").call_tool(
            name, data.arguments, idempotency_key=key or header, dry_run=data.dry_run or self.call.dry_run
        )
        result = Encoded(b'{"result":' + (answer.body or b"null") + b"}", replayed=answer.replayed)
        return cast(ToolResultOut, result)
