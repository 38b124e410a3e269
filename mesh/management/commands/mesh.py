"""`mesh`: the table of all operations, and calling one from the command line."""

import json
from argparse import ArgumentParser
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils.module_loading import import_string

from mesh.calling.client import Mesh
from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.descriptions.json_schema import arguments_schema
from mesh.descriptions.tools import FORMATS, tools_for
from mesh.errors import Invalid, MeshError


class Command(BaseCommand):
    help = "Prints the table of all operations, or calls one: mesh OPERATION --as EMAIL name=value …"

    def create_parser(self, prog_name: str, subcommand: str, **kwargs: Any) -> CommandParser:
        parser = super().create_parser(prog_name, subcommand, **kwargs)
        parser.parse_args = parser.parse_intermixed_args  # type: ignore[method-assign]  # options anywhere
        return parser

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("operation", nargs="?", help="the operation's name; without one, the table of all")
        parser.add_argument("arguments", nargs="*", help='name=value; lists as JSON: attendee_ids="[1, 2]"')
        parser.add_argument("--as", dest="email", help="the e-mail of the user who asks; without it, nobody does")
        parser.add_argument("--key", default="", help="an idempotency key: repeat the command safely")
        parser.add_argument("--dry-run", action="store_true", help="show what would happen, change nothing")
        parser.add_argument("--json", action="store_true", help="the table as JSON")
        parser.add_argument("--tools", choices=FORMATS, help="all tools, in the shape that this API takes, as JSON")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["tools"]:
            self.stdout.write(json.dumps(tools_for(Actor(role="ADMIN", id=-1), options["tools"]), indent=2))
            return
        if options["operation"] is None:
            self._table(as_json=options["json"])
            return
        operation = registry.operations.get(options["operation"])
        if operation is None:
            raise CommandError(f"There is no operation {options['operation']!r}. `mesh` alone lists them.")
        if not operation.declaration.tool:
            raise CommandError(f"{operation.name} is not for the command line; it is called over REST.")
        try:
            actor = ANONYMOUS
            if options["email"]:
                actor = import_string(settings.MESH["IDENTITY"])().actor_by_email(options["email"])
            answer = Mesh(actor, door="cli").call_tool(
                operation.name,
                _parsed(operation, options["arguments"]),
                idempotency_key=options["key"],
                dry_run=options["dry_run"],
            )
        except MeshError as refusal:
            raise CommandError(_message(refusal)) from None
        if answer.body:
            self.stdout.write(json.dumps(json.loads(answer.body), indent=2, ensure_ascii=False))
        else:
            self.stdout.write("done")

    def _table(self, *, as_json: bool) -> None:
        rows = [
            {
                "service": op.service_name,
                "operation": op.name,
                "kind": op.declaration.kind,
                "routes": [f"{route.method} {route.path}" for route in op.declaration.routes],
                "allow": op.declaration.allow.__name__,
                "cached": op.declaration.ttl or None,
                "tool": op.declaration.tool,
                "dry_run": op.has_dry_run,
                "summary": op.summary,
            }
            for op in registry.operations.values()
        ]
        if as_json:
            self.stdout.write(json.dumps(rows, indent=2))
            return
        for row in sorted(rows, key=lambda row: str(row["service"])):
            routes = ", ".join(row["routes"]) or "inside the mesh"  # type: ignore[arg-type]
            self.stdout.write(
                f"{row['service']:10} {row['operation']:22} {row['kind']:8} {row['allow']:10} {routes}\n"
                f"{'':10} {row['summary']}"
            )


def _parsed(operation: Operation, pairs: list[str]) -> dict[str, Any]:
    """`name=value` pairs; a value is JSON where the argument takes no text, or an integer too, else text."""
    properties = arguments_schema(operation)["properties"]
    found: dict[str, Any] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        if not equals:
            raise CommandError(f"Write arguments as name=value, not {pair!r}.")
        found[name] = value if _takes_as_text(properties.get(name, {}), value) else _json_or_text(value)
    return found


def _takes_as_text(schema: dict[str, Any], value: str) -> bool:
    """Whether an argument takes a text, and may not take this one as an integer, as an id or a uuid does."""
    types = {option.get("type") for option in schema.get("anyOf", [schema])}
    return "string" in types and not ("integer" in types and value.isascii() and value.isdecimal())


def _json_or_text(value: str) -> Any:
    try:
        return json.loads(value)
    except json.JSONDecodeError:
        return value


def _message(refusal: MeshError) -> str:
    if isinstance(refusal, Invalid):
        lines = [f"  {'.'.join(map(str, error['loc']))}: {error['msg']}" for error in refusal.errors]
        return "\n".join(["The arguments are invalid:", *lines])
    return refusal.detail
