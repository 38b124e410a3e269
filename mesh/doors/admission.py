"""The way in of every request over the web: who asks, how often, what they may call, and what they get for it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from django.core.exceptions import DisallowedHost
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from mesh.calling import cache
from mesh.calling.client import Mesh
from mesh.calling.limits import Usage, count_login_from, count_login_of, count_request, of_address, spend
from mesh.declarations.actors import ANONYMOUS, Actor
from mesh.declarations.arguments import Values
from mesh.declarations.identity import identity
from mesh.declarations.invocation import Answer, Door
from mesh.declarations.operations import Operation
from mesh.doors.http.requests import UNKNOWN_HOST, client_of, host_of, request_id_of
from mesh.doors.http.responses import Reply
from mesh.errors import Malformed, MeshError
from mesh.rows import versions
from mesh.stores.postgres import refusal_of

log = structlog.get_logger("mesh.requests")

R = TypeVar("R", HttpResponse, HttpResponseBase | Reply)
#: Who asks, and the versions of these cache tags where the same statement gave them. Raises MeshError.
Authenticate = Callable[[HttpRequest, Sequence[str]], tuple[Actor, Mapping[str, int] | None]]


def by_credentials(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, Mapping[str, int] | None]:
    """Who a bearer token or an API key stands for; nobody in particular where neither was sent."""
    authorization, api_key = request.META.get("HTTP_AUTHORIZATION", ""), request.META.get("HTTP_X_API_KEY", "")
    if authorization or api_key:
        return identity().authenticate(authorization, api_key, cache_tags)
    own = any("{actor}" in tag for tag in cache_tags)
    return ANONYMOUS, versions.current(cache_tags) if cache_tags and not own else None


def as_nobody(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, None]:
    """Nobody in particular: what they may do, they may by what they send."""
    return ANONYMOUS, None


class Admission:
    """One request, from who asks to the answer or the refusal.

    `respond` makes a response of whatever happens inside it. `enter` says who asks; `call` counts the request, asks
    whether the actor may, binds the arguments and calls. A door that does not `call` says `count`. Every request that
    is refused has been counted: against its user, or its address where nobody is known.
    """

    def __init__(
        self,
        request: HttpRequest,
        authenticate: Authenticate = by_credentials,
        *,
        changes: bool,
        door: Door = "rest",
    ) -> None:
        self.request = request
        self.request_id = request_id_of(request)
        self.door: Door = door
        self._authenticate = authenticate
        self._kind = "write" if changes else "read"
        self._whose = ""
        self._usage: Usage | None = None
        self._is_counted = False

    def respond(self, answer: Callable[[], R], refuse: Callable[[MeshError], R]) -> R:
        """The response of `answer`, or to the refusal that it raised; what it cost is noted."""
        started = time.perf_counter()
        try:
            response = self._counted(answer)
        except MeshError as refusal:
            response = refuse(refusal)
        except DisallowedHost:
            response = refuse(Malformed(UNKNOWN_HOST))
        except (DatabaseError, InterfaceError) as error:
            response = refuse(refusal_of(error) or self._bug())
        except Exception:
            response = refuse(self._bug())
        response["X-Content-Type-Options"] = "nosniff"
        if self._usage is not None:
            for name, value in self._usage.headers(self._kind).items():
                response[name] = value
        self._note_cost(response, time.perf_counter() - started)
        return response

    def enter(self, cache_tags: Sequence[str] = ()) -> Mesh:
        """All operations, with the rights of who asks; `cache_tags` are of what may be cached. Raises MeshError."""
        host_of(self.request)
        client = client_of(self.request)
        actor, known_versions = self._authenticate(self.request, cache_tags)
        structlog.contextvars.bind_contextvars(user_id=actor.id)
        if actor.key_id is not None:
            structlog.contextvars.bind_contextvars(api_key_id=actor.key_id)
        mesh = Mesh(
            actor,
            door=self.door,
            request_id=self.request_id,
            client=client,
            known_versions=known_versions,
            look_up=self._look_up,
        )
        self._whose = mesh.whose
        return mesh

    def call(
        self,
        mesh: Mesh,
        operation: Operation,
        bind: Callable[[], tuple[Values, Values]],
        *,
        idempotency_key: str = "",
        dry_run: bool = False,
        fresh: bool = False,
    ) -> Answer:
        """The operation's answer. Raises MeshError.

        `bind` reads the arguments. A body may be long in coming: it is read only of who may call the operation. What
        may be cached is counted by the look into the cache.
        """
        structlog.contextvars.bind_contextvars(operation=operation.name)
        account, counter = operation.declaration.account, operation.declaration.counter
        if fresh or not operation.declaration.ttl:
            self.count()
        operation.permit(mesh.actor)
        if account is not None:
            count_login_from(mesh.client.address, counter)
        values, arguments = bind()
        if account is not None:
            count_login_of(str(arguments.get(account, "")), counter)
        return mesh.run(operation, values, arguments, idempotency_key=idempotency_key, dry_run=dry_run, fresh=fresh)

    def count(self) -> None:
        """Counts the request, unless it was. Raises RateLimited."""
        self._look_up("")

    def _look_up(self, key: str) -> bytes | None:
        """What is cached under a key, if any; the first time, the request is counted on the same way."""
        if self._is_counted:
            return cache.look_up(key)
        self._is_counted = True
        counted = count_request("WRITE" if self._kind == "write" else "READ", self._whose, key)
        self._usage = counted.requests
        counted.refuse()
        return counted.found if counted.looked_up else cache.look_up(key)

    def _counted(self, answer: Callable[[], R]) -> R:
        try:
            return answer()
        except MeshError:
            self._whose = self._whose or of_address(client_of(self.request).address)
            self.count()
            raise

    def _bug(self) -> MeshError:
        log.exception("bug")
        return MeshError(f"Something went wrong here. Quote request {self.request_id}.")

    def _note_cost(self, response: HttpResponseBase | Reply, seconds: float) -> None:
        if not self._whose or response.status_code == 429:
            return
        if isinstance(response, (HttpResponse, Reply)):
            spend(self._whose, seconds, len(response.content))
        else:
            spend(self._whose, seconds, 0)
            stream: Any = response
            stream.streaming_content = self._accounted(stream.streaming_content)

    def _accounted(self, parts: Iterator[Any]) -> Iterator[Any]:
        """The parts of a streamed answer; what making them cost is noted when it ends, however it does."""
        seconds, size = 0.0, 0
        try:
            while True:
                started = time.perf_counter()
                part = next(parts, None)
                seconds += time.perf_counter() - started
                if part is None:
                    return
                size += len(part)
                yield part
        finally:
            spend(self._whose, seconds, size)
