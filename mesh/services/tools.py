"""The operations as tools for LLMs, over REST."""

from typing import Annotated, Any

from pydantic import Field

from mesh.declarations.decorators import dispatch, query
from mesh.declarations.fields import text
from mesh.declarations.schemas import In, Out
from mesh.descriptions.tools import Format, tools_for
from mesh.errors import Invalid
from mesh.execution.service import Service
from mesh.rows.encoded import Encoded, undecoded


class ToolCallIn(In):
    """The arguments of a tool, as one flat object, and how to run it."""

    arguments: dict[Annotated[str, text(1, 100)], Any] = Field(
        default={}, max_length=100, description="By name, as the tool's schema in list_tools says."
    )
    dry_run: bool = Field(False, description="Only for commands: report what would happen, and change nothing.")
    idempotency_key: Annotated[str, text(0, 255)] = Field(
        "",
        description="Repeats a command safely: the same key gives one effect and the same answer, for 24 hours."
        " The same as the header `Idempotency-Key`.",
    )


class ToolResultOut(Out):
    """What the tool returned."""

    result: Any = Field(description="As the operation answers over REST.")


FormatName = Annotated[Format, Field(description="The API whose shape the tools have: MCP, OpenAI or Anthropic.")]
ToolName = Annotated[
    str, text(1, 100), Field(description="The tool's name, from list_tools.", examples=["create_task"])
]


class ToolService(Service):
    """The operations as tools for language models."""

    name = "tools"

    @query("GET /tools", tool=False, any_key=True)
    def list_tools(self, *, format: FormatName = "mcp") -> list[dict[str, Any]]:
        """List the tools that you may use.

        A tool is an operation as a language model calls it: its name, its description and the JSON schema of its
        arguments. Returns the array that the chosen API takes, with what your role and the scopes of your API key
        allow.
        """
        return tools_for(self.actor, format)

    @dispatch("POST /tools/{name}", to="name")
    def call_tool(self, *, name: ToolName, data: ToolCallIn) -> ToolResultOut:
        """Call a tool by its name.

        It runs with exactly your rights, like the same operation over REST. Returns as `result` what the tool
        returned, or null where it returns nothing; a refusal is a problem as everywhere.
        """
        key, header = data.idempotency_key, self.invocation.idempotency_key
        if key and header and key != header:
            raise Invalid.field(["body", "idempotency_key"], "The header `Idempotency-Key` says another one.")
        answer = self.mesh_through("tool").call_tool(
            name, data.arguments, idempotency_key=key or header, dry_run=data.dry_run or self.invocation.dry_run
        )
        result = Encoded(b'{"result":' + (answer.body or b"null") + b"}", replayed=answer.replayed)
        return undecoded(ToolResultOut, result)
