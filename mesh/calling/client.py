"""Mesh, the caller's half: checks permission, looks into the cache, else sends over the transport to the host."""

import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar, cast

from django.conf import settings

from mesh.calling import concurrency
from mesh.calling.cache import cached, key_of, look_up
from mesh.calling.limits import of_address
from mesh.calling.transports import transport_of
from mesh.declarations.actors import Actor, Client
from mesh.declarations.arguments import bind_flat
from mesh.declarations.invocation import Answer, Door, Invocation
from mesh.declarations.operations import Operation
from mesh.declarations.registry import registry
from mesh.declarations.running import in_command
from mesh.descriptions.tools import tools_for
from mesh.errors import FieldError, Invalid, NotFound
from mesh.rows import versions

S = TypeVar("S")

_WEB_DOORS = ("rest", "tool", "admin")
_KEY = re.compile(r"[\x20-\x7e]{1,255}")


class Mesh:
    """All operations, with exactly the rights of one actor.

    `Mesh(actor).meetings.schedule_meeting(data=…)`, typed as `mesh.of(MeetingService).schedule_meeting(data=…)`;
    by name with plain arguments as `mesh.call_tool("schedule_meeting", {…})`. `known_versions`: the versions that were
    read by the statement that authenticated the actor. `look_up`: reads a key of the cache. It is called once for each
    operation that runs, with an empty key if the answer is not cached.
    """

    def __init__(
        self,
        actor: Actor,
        *,
        door: Door = "python",
        request_id: str = "",
        client: Client | None = None,
        known_versions: Mapping[str, int] | None = None,
        look_up: Callable[[str], bytes | None] = look_up,
    ) -> None:
        self.actor = actor
        self.door: Door = door
        self.request_id = request_id
        self.client = client or Client()
        self._known_versions = known_versions
        self._look_up = look_up

    def of(self, service: type[S]) -> S:
        """The service, with its methods' own types; each call goes through the mesh."""
        return cast(S, _Proxy(self, service))

    def __getattr__(self, name: str) -> Any:
        if name in registry.services:
            return self.of(registry.services[name])
        raise AttributeError(f"there is no service {name!r}; there are {', '.join(sorted(registry.services))}")

    def call(
        self,
        operation: Operation,
        values: Mapping[str, Any],
        arguments: Mapping[str, Any],
        *,
        idempotency_key: str = "",
        dry_run: bool = False,
        fresh: bool = False,
    ) -> Answer:
        """Checks permission, and calls with bound arguments; `fresh` bypasses the cache. Raises MeshError."""
        operation.permit(self.actor)
        return self.run(operation, values, arguments, idempotency_key=idempotency_key, dry_run=dry_run, fresh=fresh)

    def run(
        self,
        operation: Operation,
        values: Mapping[str, Any],
        arguments: Mapping[str, Any],
        *,
        idempotency_key: str = "",
        dry_run: bool = False,
        fresh: bool = False,
    ) -> Answer:
        """Like `call`, but without the permission check: the caller has already called `Operation.permit`."""
        if idempotency_key and not _KEY.fullmatch(idempotency_key):
            raise Invalid.field(["header", "Idempotency-Key"], "Send 1 to 255 printable ASCII characters.")
        invocation = Invocation(
            operation=operation.name,
            actor=self.actor,
            values=values,
            arguments=arguments,
            door=self.door,
            request_id=self.request_id,
            client=self.client,
            idempotency_key=idempotency_key,
            dry_run=dry_run,
        )
        key = "" if fresh else self._cache_key(operation, arguments)
        cached_value = self._look_up(key)
        if not key:
            return self._send(operation, invocation)
        return cached(
            operation, self.actor, self.limit_key, key, cached_value, lambda: self._send(operation, invocation)
        )

    def _send(self, operation: Operation, invocation: Invocation) -> Answer:
        """The host's answer. An expensive operation from a web door needs a free place first. Raises Busy."""
        transport = transport_of(operation.service_name)
        if invocation.door not in _WEB_DOORS or not operation.is_expensive(invocation.arguments):
            return transport.send(invocation)
        if operation.streams:
            return concurrency.streamed(self.limit_key, lambda: transport.send(invocation))
        with concurrency.expensive(self.limit_key):
            return transport.send(invocation)

    @property
    def limit_key(self) -> str:
        """The key that limits are counted under: `user:7`, or the address if nobody is signed in."""
        return of_address(self.client.address) if self.actor.is_anonymous else f"user:{self.actor.id}"

    def get_tools(self, format: str = "mcp") -> list[dict[str, Any]]:
        """The tools that this actor may use, in the shape that `mcp`, `openai` or `anthropic` takes."""
        return tools_for(self.actor, format)

    def call_tool(
        self, name: str, arguments: Mapping[str, Any], *, idempotency_key: str = "", dry_run: bool = False
    ) -> Answer:
        """Calls a tool by its name with flat arguments, as an LLM sends them. Raises MeshError."""
        operation = registry.operations.get(name)
        if operation is None or not operation.declaration.tool:
            raise NotFound(f"There is no tool {name!r}. List the tools to see their names.")
        operation.permit(self.actor)
        arguments = dict(arguments)
        asks_dry_run = arguments.pop("dry_run", False) if operation.is_command else False
        try:
            values, plain = bind_flat(operation, arguments)
            errors, more = list[FieldError](), 0
        except Invalid as invalid:
            errors, more = invalid.listed, invalid.more
        if not isinstance(asks_dry_run, bool):
            errors.append({"loc": ["dry_run"], "msg": "Input should be true or false", "type": "bool_type"})
        if errors:
            raise Invalid(errors, more=more)
        return self.run(operation, values, plain, idempotency_key=idempotency_key, dry_run=asks_dry_run or dry_run)

    def _cache_key(self, operation: Operation, arguments: Mapping[str, Any]) -> str:
        """The key of the answer in the cache; empty if it is not cached."""
        if not self._may_be_cached(operation, arguments):
            return ""
        return key_of(operation, self.actor, self._versions(operation, arguments), arguments)

    def _may_be_cached(self, operation: Operation, arguments: Mapping[str, Any]) -> bool:
        """Whether the answer may be cached. What an ADMIN sees of everyone may not, since no tag covers it."""
        if not operation.declaration.ttl or not settings.MESH["CACHE"] or in_command():
            return False
        if not operation.is_likely_again(arguments):
            return False
        return not operation.cached_per_actor or not (self.actor.is_admin or self.actor.is_anonymous)

    def _versions(self, operation: Operation, arguments: Mapping[str, Any]) -> Mapping[str, int]:
        tags = [tag.replace("{actor}", str(self.actor.id)) for tag in operation.cache_tags_of(arguments)]
        if self._known_versions is not None and all(tag in self._known_versions for tag in tags):
            return {tag: self._known_versions[tag] for tag in tags}
        return versions.current(tags)


class _Proxy:
    """A service's methods as calls through the mesh, decoded to the types they declare."""

    def __init__(self, mesh: Mesh, service: type[Any]) -> None:
        self._mesh = mesh
        self._operations = registry.of_service(service)

    def __getattr__(self, name: str) -> Any:
        operation = self._operations.get(name)
        if operation is None:
            raise AttributeError(f"{name!r} is no operation; there are {', '.join(sorted(self._operations))}")

        def call(**values: Any) -> Any:
            answer = self._mesh.call(operation, *_bind_python(operation, values))
            return operation.decode(answer)

        return call


def _bind_python(operation: Operation, values: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The keyword arguments of a Python caller, completed with defaults, and the same as plain data."""
    complete: dict[str, Any] = {}
    plain: dict[str, Any] = {}
    unknown = values.keys() - {parameter.name for parameter in operation.parameters}
    if unknown:
        raise TypeError(f"{operation.name}() got unexpected arguments: {', '.join(sorted(unknown))}")
    for parameter in operation.parameters:
        if parameter.name in values:
            complete[parameter.name] = value = values[parameter.name]
            sent = parameter.adapter.dump_python(value, mode="json", exclude_unset=True)
            plain |= sent if parameter.model else {parameter.name: sent}
        elif parameter.model is not None:
            complete[parameter.name] = parameter.model()
        elif parameter.required:
            raise TypeError(f"{operation.name}() needs {parameter.name}")
        else:
            complete[parameter.name] = parameter.default
    return complete, plain
