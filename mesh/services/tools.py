"""The operations as tools for LLMs, over REST."""

from typing import Annotated, Any

from pydantic import Field

from mesh.declarations.decorators import query
from mesh.declarations.fields import text
from mesh.declarations.schemas import In, Out
from mesh.descriptions.tools import Format, tools_for
from mesh.errors import Invalid
from mesh.execution.service import Service
from mesh.rows.encoded import Encoded, undecoded


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
        return undecoded(ToolResultOut, result)
