"""@query and @command: a typed method's signature becomes a frozen Operation, from which every door is made.

The convention is FastAPI's: a parameter named in the route is a path parameter; the one pydantic model of a
command is the body; the rest are query parameters. A query's pydantic models (filters, the page) are query
parameters too. A command without a body takes its other parameters from the query string or a JSON body.
"""

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, cached_property
from typing import Annotated, Any, Literal, TypeVar, get_args, get_origin, get_type_hints

from pydantic import AliasChoices, BaseModel, TypeAdapter

from mesh.call import Actor
from mesh.errors import Forbidden, Unauthenticated
from mesh.schemas import Id

Kind = Literal["query", "command", "job"]
Where = Literal["path", "query", "body", "any"]
Allow = Callable[[Actor], None]
F = TypeVar("F", bound=Callable[..., Any])

_ROUTE = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) (/[^\s]*)$")


def anyone(actor: Actor) -> None:
    """Also who is not signed in."""


def signed_in(actor: Actor) -> None:
    """Any active user."""
    if actor.is_anonymous:
        raise Unauthenticated("Sign in: send `Authorization: Bearer <token>`.")


def in_person(actor: Actor) -> None:
    """Any active user, but not through an API key: what is about credentials."""
    signed_in(actor)
    if actor.key_id is not None:
        raise Forbidden("Sign in to do this; an API key may not.")


def admins(actor: Actor) -> None:
    """Users with the role ADMIN."""
    signed_in(actor)
    if not actor.is_admin:
        raise Forbidden("Only an ADMIN may do this.")


def nobody(actor: Actor) -> None:
    """Only the host itself."""
    raise Forbidden("Jobs are begun by commands.")


@dataclass(frozen=True)
class Also:
    """Another name under which a query parameter is taken: `Annotated[Status, Also("new_status")]`."""

    name: str


@dataclass(frozen=True)
class Route:
    method: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "Route":
        match = _ROUTE.match(text)
        if match is None:
            raise TypeError(f'a route reads "GET /things/{{id}}", not {text!r}')
        return cls(match[1], match[2])

    @cached_property
    def segments(self) -> tuple[str, ...]:
        return tuple(part for part in self.path.split("/") if part)

    @cached_property
    def names(self) -> tuple[str, ...]:
        return tuple(re.findall(r"{(\w+)}", self.path))


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
        return TypeAdapter(self.annotation)

    @property
    def argument_names(self) -> Iterable[str]:
        return (self.name,) if self.model is None else input_names(self.model)


@dataclass(frozen=True)
class Declaration:
    """What a decorator wrote down; `Operation.of` reads the method's signature beside it."""

    kind: Kind
    routes: tuple[Route, ...]
    allow: Allow
    ttl: int
    scopes: tuple[str, ...]
    tool: bool
    location: str
    secret: bool
    form: bool
    account: str | None
    media: str = ""
    filename: str = ""
    takes: str = ""
    status: int = 0
    any_key: bool = False
    job: "JobOptions | None" = None


@dataclass(frozen=True)
class JobOptions:
    """How a job is run: see `job`."""

    queue: str
    attempts: int
    lease: int
    every: int
    gave_up: str
    foretold: bool


def query(
    *routes: str,
    allow: Allow = signed_in,
    ttl: int = 0,
    scopes: tuple[str, ...] = ("user:{actor}",),
    tool: bool = True,
    media: str = "",
    filename: str = "",
    any_key: bool = False,
) -> Callable[[F], F]:
    """A read. Without a route it is called only inside the mesh.

    `ttl` seconds: the answer is cached, under the versions of `scopes`: by default the actor's own; shared ones, such
    as `events`, or of one row, such as `event:{id}`, are for what is the same for everyone who may see it.
    `media`: the answer, a text, goes out over REST as this media type in place of JSON, with an ETag. A method that
    returns an `Iterator[str]` is streamed, from one transaction, so that its answer may have any size; `filename` is
    what it is saved as. `any_key`: an API key needs no scope for it, since what it does with the key's rights is
    another operation, which asks for its own.
    """
    return _declare(
        "query",
        routes,
        allow=allow,
        ttl=ttl,
        scopes=scopes,
        tool=tool and bool(routes),
        media=media,
        filename=filename,
        any_key=any_key,
    )


def command(
    *routes: str,
    allow: Allow = signed_in,
    tool: bool = True,
    location: str = "",
    secret: bool = False,
    form: bool = False,
    account: str | None = None,
    takes: str = "",
    status: int = 0,
    any_key: bool = False,
) -> Callable[[F], F]:
    """A change, in one transaction.

    `location`: where the row it creates is read, such as `/users/{id}`; a POST beside a `GET …/{id}` of the same
    service has it already. `secret`: the answer holds a credential, so it is stored encrypted for replays.
    `form`: the body may be form-encoded too. `account`: counted against the login limits, per address and per
    account, which the argument of this name holds (an empty name: per address alone). `takes`: the body may be a text
    of this media type too, which is the one argument. `status`: the HTTP status of success, where it is not what the
    answer makes it (202: it will be done later). `any_key`: an API key needs no scope for it, since it does not
    matter who asks.
    """
    return _declare(
        "command",
        routes,
        allow=allow,
        tool=tool,
        location=location,
        secret=secret,
        form=form,
        account=account,
        takes=takes,
        status=status,
        any_key=any_key,
    )


def job(
    *, queue: str, attempts: int = 5, lease: int = 30, every: int = 0, gave_up: str = "", foretold: bool = False
) -> Callable[[F], F]:
    """Work in the background, begun with `self.defer(self.the_method, …)`; its effects happen once.

    It runs as who asked, in one transaction with the mark that it is done. A method that yields calls out: what it
    yields is called with no transaction open, and the method goes on in a second one with the result.

    A job without parameters serves all that waits of its kind in one run, as the system. `attempts`: how often it is
    tried, with growing pauses. `lease`: seconds after which a run that is not finished counts as lost. `every`: it is
    also begun by itself, so many seconds apart. `gave_up`: the method that is called, with the same arguments and
    `error`, when it has failed for good. `foretold`: it does nothing but write mails, so that a dry run of the command
    that begins it runs it too, and lists them.
    """
    options = JobOptions(queue, attempts, lease, every, gave_up, foretold)
    return _declare("job", (), allow=nobody, tool=False, job=options)


def _declare(kind: Kind, routes: tuple[str, ...], **options: Any) -> Callable[[F], F]:
    defaults: dict[str, Any] = {
        "ttl": 0, "scopes": (), "location": "", "secret": False, "form": False, "account": None,
    }  # fmt: skip
    declaration = Declaration(kind, tuple(map(Route.parse, routes)), **(defaults | options))

    def mark(method: F) -> F:
        method.__operation__ = declaration  # type: ignore[attr-defined]
        return method

    return mark


@dataclass(frozen=True, eq=False)
class Operation:
    """A query or command, with everything the doors need to know."""

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
    def serves_all(self) -> bool:
        """Whether one run of this job serves all that waits of its kind."""
        return self.declaration.kind == "job" and not self.parameters

    @cached_property
    def calls_out(self) -> bool:
        """Whether this job calls out between two transactions, so that a message carries it alone."""
        return self.declaration.kind == "job" and inspect.isgeneratorfunction(getattr(self.service, self.name))

    @property
    def summary(self) -> str:
        """The docstring's first sentence."""
        return self.description.partition("\n")[0].partition(". ")[0].rstrip(".")

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
        """The scope that an API key needs for it, such as `orders:read`; empty where it needs none.

        What is called inside the mesh alone needs none: the operation that calls it has asked for its own.
        """
        if self.declaration.any_key or not (self.declaration.routes or self.declaration.tool):
            return ""
        return f"{self.service_name}:{'write' if self.is_command else 'read'}"

    def permit(self, actor: Actor) -> None:
        """Refuses who may not call it: by their role, or by the scopes of their API key. Raises MeshError."""
        self.declaration.allow(actor)
        if self.key_scope and not actor.may(self.key_scope):
            raise Forbidden(f"This API key lacks the scope `{self.key_scope}`.")

    def scopes_of(self, arguments: Mapping[str, Any]) -> Sequence[str]:
        """The version scopes of this cached read; `{actor}` still stands for the actor's id.

        `arguments` may be what was sent: what is no id is none here, and will be refused.
        """
        scopes = self.declaration.scopes if self.declaration.ttl else ()
        return [_scope_of_row(scope, arguments["id"]) for scope in scopes] if self._cached_by_row else scopes

    @cached_property
    def _cached_by_row(self) -> bool:
        return any("{id}" in scope for scope in self.declaration.scopes)

    @cached_property
    def cached_per_actor(self) -> bool:
        return any("{actor}" in scope for scope in self.declaration.scopes)

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
    def argument_names(self) -> frozenset[str]:
        return frozenset(name for p in self.parameters for name in p.argument_names)

    def where(self, parameter: Parameter, route: Route) -> Where:
        """Where a parameter is sent over REST; `any` is the query string or the body."""
        if parameter.name in route.names:
            return "path"
        if parameter is self.body:
            return "body"
        return "any" if self.is_command and self.body is None and route.method != "DELETE" else "query"


def _scope_of_row(scope: str, id: Any) -> str:
    text = str(id)
    return scope.replace("{id}", text if text.isascii() and text.isdigit() and len(text) < 20 else "0")


def _created_at(service: type[Any], declaration: Declaration) -> str:
    """`/things/{id}` for `POST /things` where the service has `GET /things/{id}`; else nothing."""
    read = {route.path for item in service.declarations().values() for route in item.routes if route.method == "GET"}
    found = (f"{r.path}/{{id}}" for r in declaration.routes if r.method == "POST" and f"{r.path}/{{id}}" in read)
    return next(found, "")


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
