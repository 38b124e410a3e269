"""Operation: a declared method and its signature, from which every door is made.

The convention is FastAPI's: a parameter named in the route is a path parameter; the one pydantic model of a
command is the body; the others are query parameters. A query's pydantic models (filters, the page) are query
parameters too. A command without a body takes its other parameters from the query string or a JSON body.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, BaseModel, TypeAdapter

from mesh.declarations.actors import Actor
from mesh.declarations.decorators import Also, Declaration, Route
from mesh.declarations.fields import Id, WordLimits
from mesh.declarations.integers import JsonIntegers
from mesh.declarations.invocation import Answer
from mesh.errors import Forbidden

Where = Literal["path", "query", "body", "any"]

_FINE_TIME = re.compile(r"\d{4,}-\d\d-\d\dT\d\d:\d\d:(?!00Z).*")


@cache
def input_names(model: type[BaseModel]) -> frozenset[str]:
    """The names under which a model's fields are sent."""
    names: set[str] = set()
    for name, info in model.model_fields.items():
        if isinstance(info.validation_alias, AliasChoices):
            names.update(map(str, info.validation_alias.choices))
        else:
            names.add(str(info.validation_alias or name))
    return frozenset(names)


@dataclass(frozen=True)
class Parameter:
    """One parameter of the method: a scalar, or a model whose fields are arguments of their own."""

    name: str
    annotation: Any
    required: bool
    default: Any
    model: type[BaseModel] | None
    aliases: tuple[str, ...]

    @cached_property
    def adapter(self) -> TypeAdapter[Any]:
        annotation: Any = Annotated[self.annotation, JsonIntegers()]
        return TypeAdapter(annotation)

    @property
    def argument_names(self) -> Iterable[str]:
        return (self.name,) if self.model is None else input_names(self.model)


@dataclass(frozen=True, eq=False)
class Operation:
    """One operation, with everything that the doors need to know about it."""

    name: str
    service: type[Any]
    declaration: Declaration
    description: str
    parameters: tuple[Parameter, ...]
    returns: Any
    adapter: TypeAdapter[Any] | None
    location: str = ""
    streams: bool = False

    @classmethod
    def of(cls, service: type[Any], name: str, method: Callable[..., Any]) -> "Operation":
        declaration: Declaration = method.__operation__  # type: ignore[attr-defined]
        hints = get_type_hints(method, include_extras=True)
        signature = inspect.signature(method)
        parameters = []
        for parameter in list(signature.parameters.values())[1:]:
            if parameter.kind is not inspect.Parameter.KEYWORD_ONLY or parameter.name not in hints:
                raise TypeError(f"{service.__name__}.{name}: {parameter.name} must be a typed keyword-only parameter")
            parameters.append(_parameter(parameter, hints[parameter.name]))
        if "return" not in hints:
            raise TypeError(f"{service.__name__}.{name} must say what it returns")
        streams = hints["return"] == Iterator[str]
        returns = str if streams else hints["return"]
        return cls(
            name=name,
            service=service,
            declaration=declaration,
            description=inspect.getdoc(method) or "",
            parameters=tuple(parameters),
            returns=returns,
            adapter=None if returns is type(None) or declaration.kind == "job" else TypeAdapter(returns),
            location=declaration.location or _created_at(service, declaration),
            streams=streams,
        )

    @property
    def is_command(self) -> bool:
        return self.declaration.kind == "command"

    @property
    def has_dry_run(self) -> bool:
        """Whether this command can be tried: see `mesh.declarations.command`."""
        said = self.declaration.dry_run
        guarded = self.declaration.secret or self.declaration.account is not None
        return self.is_command and (not guarded if said is None else said)

    @property
    def serves_all(self) -> bool:
        """Whether one run of this job serves all that waits of its kind."""
        return self.declaration.kind == "job" and not self.parameters

    @cached_property
    def calls_out(self) -> bool:
        """Whether this job calls out between two transactions, so that a message carries it alone."""
        return self.declaration.kind == "job" and inspect.isgeneratorfunction(getattr(self.service, self.name))

    @property
    def summary(self) -> str:
        """The docstring's first sentence, without its full stop."""
        return self.description.partition("\n")[0].partition(". ")[0].rstrip(".")

    @property
    def details(self) -> str:
        """The docstring after its first sentence."""
        return self.description[len(self.summary) :].lstrip(". \n")

    @property
    def service_name(self) -> str:
        return str(self.service.name)

    @property
    def status(self) -> int:
        """The HTTP status of success."""
        if self.declaration.status:
            return self.declaration.status
        if self.returns is type(None):
            return 204
        return 201 if self.location else 200

    @cached_property
    def key_scope(self) -> str:
        """The scope that an API key needs for it, such as `orders:read`; empty if it needs none.

        An operation that is only called inside the mesh needs none: its caller has already been checked.
        """
        if self.declaration.any_key or not (self.declaration.routes or self.declaration.tool):
            return ""
        return f"{self.service_name}:{'write' if self.is_command else 'read'}"

    def permit(self, actor: Actor) -> None:
        """Checks that the actor may call it, by their role and by the scopes of their API key. Raises MeshError."""
        self.declaration.allow(actor)
        if self.key_scope and not actor.may(self.key_scope):
            raise Forbidden(f"This API key lacks the scope `{self.key_scope}`.")

    def decode(self, answer: Answer) -> Any:
        """The answer as the method's declared return type, for callers in Python."""
        if answer.stream is not None:
            return answer.stream
        return None if self.adapter is None else self.adapter.validate_json(answer.body)

    def cache_tags_of(self, arguments: Mapping[str, Any]) -> Sequence[str]:
        """The cache tags of this query; none if it is not cached. `{actor}` still stands for the actor's id.

        `arguments` need not be validated: an invalid id gives the tag of id 0, and is refused later.
        """
        tags = self.declaration.cache_tags if self.declaration.ttl else ()
        return [_cache_tag_of_row(tag, arguments["id"]) for tag in tags] if self._cached_by_row else tags

    @cached_property
    def _cached_by_row(self) -> bool:
        return any("{id}" in tag for tag in self.declaration.cache_tags)

    @cached_property
    def cached_per_actor(self) -> bool:
        return any("{actor}" in tag for tag in self.declaration.cache_tags)

    @cached_property
    def body(self) -> Parameter | None:
        """The parameter that is the JSON body of a command."""
        models = [p for p in self.parameters if p.model is not None]
        return models[0] if self.is_body_operation and models else None

    @cached_property
    def is_body_operation(self) -> bool:
        """Whether its models are a body (a POST, PUT or PATCH) and not query parameters."""
        return any(route.method not in ("GET", "DELETE") for route in self.declaration.routes) or self.is_command

    @cached_property
    def word_arguments(self) -> frozenset[str]:
        """The names of the arguments that are search texts."""
        annotations = {p.name: p.annotation for p in self.parameters if p.model is None}
        for model in (p.model for p in self.parameters if p.model is not None):
            annotations |= {name: info.annotation for name, info in model.model_fields.items()}
        return frozenset(name for name, annotation in annotations.items() if _takes_words(annotation))

    def searches(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a call with these plain arguments is a search, which reads texts row by row."""
        return any(arguments.get(name) for name in self.word_arguments)

    def is_expensive(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a call with these plain arguments needs one of the few places for expensive requests.

        See `mesh/calling/concurrency.py`.
        """
        declared = self.declaration
        return declared.expensive or self.streams or bool(declared.takes) or self.searches(arguments)

    def is_likely_again(self, arguments: Mapping[str, Any]) -> bool:
        """Whether a call with these plain arguments is likely to be repeated soon, so that caching is worthwhile.

        Arguments with countless values make it unlikely: search texts, cursors, times that are not a whole minute.
        """
        if self.searches(arguments) or arguments.get("cursor"):
            return False
        return not any(_FINE_TIME.fullmatch(value) for value in arguments.values() if isinstance(value, str))

    @cached_property
    def argument_names(self) -> frozenset[str]:
        return frozenset(name for p in self.parameters for name in p.argument_names)

    def where(self, parameter: Parameter, route: Route) -> Where:
        """Where a parameter is sent over REST; `any` means in the query string or in the body."""
        if parameter.name in route.names:
            return "path"
        if parameter is self.body:
            return "body"
        return "any" if self.is_command and self.body is None and route.method != "DELETE" else "query"


def _takes_words(annotation: Any) -> bool:
    return isinstance(annotation, WordLimits) or any(map(_takes_words, get_args(annotation)))


def _cache_tag_of_row(tag: str, id: Any) -> str:
    text = str(id)
    return tag.replace("{id}", text if text.isascii() and text.isdigit() and len(text) < 20 else "0")


def _created_at(service: type[Any], declaration: Declaration) -> str:
    """`/things/{id}` for `POST /things` if the service has `GET /things/{id}`; else empty."""
    readable = {
        route.path for item in service.declarations().values() for route in item.routes if route.method == "GET"
    }
    paths = (f"{r.path}/{{id}}" for r in declaration.routes if r.method == "POST" and f"{r.path}/{{id}}" in readable)
    return next(paths, "")


def _parameter(parameter: inspect.Parameter, annotation: Any) -> Parameter:
    model = annotation if inspect.isclass(annotation) and issubclass(annotation, BaseModel) else None
    metadata = get_args(annotation)[1:] if get_origin(annotation) is Annotated else ()
    return Parameter(
        name=parameter.name,
        annotation=Id if annotation is int else annotation,
        required=parameter.default is inspect.Parameter.empty and model is None,
        default=None if parameter.default is inspect.Parameter.empty else parameter.default,
        model=model,
        aliases=tuple(item.name for item in metadata if isinstance(item, Also)),
    )
