"""@query, @command, @job and @dispatch: what a service writes down beside a method, and who may call it."""

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


@dataclass(frozen=True)
class Declaration:
    """What a decorator wrote down; `Operation.of` reads the method's signature beside it."""

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
    """A read. Without a route it is called only inside the mesh.

    `ttl` seconds: the answer is cached, under the versions of `cache_tags`: by default the actor's own; shared ones,
    such as `events`, or of one row, such as `event:{id}`, are for what is the same for everyone who may see it.
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
    """A change, in one transaction.

    `location`: where the row it creates is read, such as `/users/{id}`; a POST beside a `GET …/{id}` of the same
    service has it already. `secret`: the answer holds a credential, so it is stored encrypted for replays.
    `form`: the body may be form-encoded too. `account`: counted against the login limits, per address and per
    account, which the argument of this name holds (an empty name: per address alone). `counter`: what counts these
    attempts; who uses up one counter has not used up the others. `takes`: the body may be a text
    of this media type too, which is the one argument. `status`: the HTTP status of success, where it is not what the
    answer makes it (202: it will be done later). `any_key`: an API key needs no scope for it, since it does not
    matter who asks. `dry_run`: whether it can be tried; by default not where it is `secret` or counted for an
    `account`. What issues or consumes a credential has none: it would be tried without a trace. `creates`: the model
    of which it makes a row for the actor, who may have so many of them (`mesh/execution/quotas.py`); what makes a row
    without that says in `unlimited` why rows have an end all the same. `expensive`: it takes so long, as passwords do,
    that few of it may run at once; so do searches, streamed answers and what `takes` a text, by themselves.
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
    """Work in the background, begun with `self.defer(self.the_method, …)`; its effects happen once.

    It runs as who asked, in one transaction with the mark that it is done. A method that yields calls out: what it
    yields is called with no transaction open, and the method goes on in a second one with the result.

    A job without parameters serves all that waits of its kind in one run, as the system. `attempts`: how often it is
    tried, with growing pauses. `lease`: seconds after which a run that is not finished counts as lost. `every`: it is
    also begun by itself, so many seconds apart. `gave_up`: the method that is called, with the same arguments and
    `error`, when it has failed for good. `mails_only`: it does nothing but write mails, so that a dry run of the
    command that begins it runs it too, and lists them.
    """
    options = JobOptions(queue, attempts, lease, every, gave_up, mails_only)
    return _declare("job", (), allow=nobody, tool=False, job=options)


def dispatch(*routes: str, to: str) -> Callable[[F], F]:
    """Calls another operation, whose name is the argument `to`: it is counted, permitted and run as that one."""
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
