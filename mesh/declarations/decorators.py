"""@query, @command, @job and @dispatch: the declarations of operations."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, TypeVar

from mesh.declarations.permissions import Allow, nobody, signed_in

Kind = Literal["query", "command", "job", "dispatch"]
F = TypeVar("F", bound=Callable[..., Any])

_ROUTE = re.compile(r"^(GET|POST|PUT|PATCH|DELETE) (/[^\s]*)$")


@dataclass(frozen=True)
class Also:
    """Another name that is accepted for a query parameter: `Annotated[Status, Also("new_status")]`."""

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


@dataclass(frozen=True)
class Declaration:
    """The arguments of a decorator; `Operation.of` adds what the method's signature says."""

    kind: Kind
    routes: tuple[Route, ...]
    allow: Allow
    ttl: int
    cache_tags: tuple[str, ...]
    tool: bool
    location: str
    secret: bool
    form: bool
    account: str | None
    counter: str = "login"
    media: str = ""
    filename: str = ""
    takes: str = ""
    status: int = 0
    any_key: bool = False
    dry_run: bool | None = None
    creates: type[Any] | None = None
    unlimited: str = ""
    expensive: bool = False
    dispatches_to: str = ""
    job: "JobOptions | None" = None


@dataclass(frozen=True)
class JobOptions:
    """How a job is run: see `job`."""

    queue: str
    attempts: int
    lease: int
    every: int
    gave_up: str
    mails_only: bool


def query(
    *routes: str,
    allow: Allow = signed_in,
    ttl: int = 0,
    cache_tags: tuple[str, ...] = ("user:{actor}",),
    tool: bool = True,
    media: str = "",
    filename: str = "",
    any_key: bool = False,
) -> Callable[[F], F]:
    """Declares a read. Without a route it can only be called inside the mesh.

    `ttl`: seconds for which the answer is cached, under the versions of `cache_tags`. The default tag is the actor's
    own. Shared tags, such as `events`, or the tag of one row, such as `event:{id}`, are for answers that are the same
    for everyone who may see them.
    `media`: over REST the answer, a text, has this media type instead of JSON, with an ETag. A method that returns an
    `Iterator[str]` is streamed, from one transaction, so its answer may have any size. `filename`: the file name that
    browsers save it under.
    `any_key`: an API key needs no scope for it, since it only calls other operations, which require their own.
    """
    return _declare(
        "query",
        routes,
        allow=allow,
        ttl=ttl,
        cache_tags=cache_tags,
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
    counter: str = "login",
    takes: str = "",
    status: int = 0,
    any_key: bool = False,
    dry_run: bool | None = None,
    creates: type[Any] | None = None,
    unlimited: str = "",
    expensive: bool = False,
) -> Callable[[F], F]:
    """Declares a change, which runs in one transaction.

    `location`: the path of the row that it creates, such as `/users/{id}`. The default, for a POST in a service that
    has a `GET …/{id}`, is that path.
    `secret`: the answer holds a credential, so it is stored encrypted for replays.
    `form`: the body may also be form-encoded.
    `account`: calls count against the login limits, per address and per account. This is the name of the argument that
    holds the account; with an empty name they count per address alone.
    `counter`: the name of the counter for these attempts. Each counter has a limit of its own.
    `takes`: the body may also be a text of this media type, which becomes the one argument.
    `status`: the HTTP status of success, if it does not follow from the answer (202: it will be done later).
    `any_key`: an API key needs no scope for it, since it does not matter who calls.
    `dry_run`: whether it has a dry run; by default not if it is `secret` or has an `account`. A command that issues or
    consumes a credential has none, since a dry run would allow trying credentials without a trace.
    `creates`: the model of which it creates a row for the actor, who may have a limited number of them
    (`mesh/execution/quotas.py`). A command that creates rows without it says in `unlimited` what else limits them.
    `expensive`: it takes so long, like password hashing, that only a few may run at once. Searches, streamed answers
    and commands with `takes` always count as expensive.
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
        counter=counter,
        takes=takes,
        status=status,
        any_key=any_key,
        dry_run=dry_run,
        creates=creates,
        unlimited=unlimited,
        expensive=expensive,
    )


def job(
    *, queue: str, attempts: int = 5, lease: int = 30, every: int = 0, gave_up: str = "", mails_only: bool = False
) -> Callable[[F], F]:
    """Declares background work, started with `self.defer(self.the_method, …)`. Its effects happen once.

    It runs as the user who started it, in the transaction that marks it as done. A method that yields calls out: the
    function that it yields is called with no transaction open, and the method continues in a second transaction with
    the result.

    A job without parameters serves everything of its kind that waits in one run, as the system.
    `attempts`: how often it is tried, with growing backoff.
    `lease`: seconds after which a run that has not finished counts as lost.
    `every`: seconds between periodic runs; 0 is never.
    `gave_up`: the name of the method that is called, with the same arguments and `error`, when it has failed for good.
    `mails_only`: it does nothing but write mails, so that a dry run of the command that starts it can run it too, and
    list them.
    """
    options = JobOptions(queue, attempts, lease, every, gave_up, mails_only)
    return _declare("job", (), allow=nobody, tool=False, job=options)


def dispatch(*routes: str, to: str) -> Callable[[F], F]:
    """Declares an operation that calls another one: that is the one which is counted and permitted.

    `to` is the name of the argument that holds the other operation's name.
    """
    return _declare("dispatch", routes, allow=signed_in, tool=False, any_key=True, dispatches_to=to)


def _declare(kind: Kind, routes: tuple[str, ...], **options: Any) -> Callable[[F], F]:
    defaults: dict[str, Any] = {
        "ttl": 0, "cache_tags": (), "location": "", "secret": False, "form": False, "account": None,
    }  # fmt: skip
    declaration = Declaration(kind, tuple(map(Route.parse, routes)), **(defaults | options))

    def mark(method: F) -> F:
        method.__operation__ = declaration  # type: ignore[attr-defined]
        return method

    return mark
