"""The one way in for every web request: authenticate, count, permit, bind, call, refuse."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

import structlog
from django.core.exceptions import BadRequest, DisallowedHost, RequestDataTooBig, SuspiciousOperation
from django.db import DatabaseError, InterfaceError
from django.http import HttpRequest, HttpResponse, UnreadablePostError
from django.http.multipartparser import MultiPartParserError
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
from mesh.errors import Malformed, MeshError, RateLimited, TooLarge
from mesh.rows import versions
from mesh.stores.postgres import refusal_of

log = structlog.get_logger("mesh.requests")

R = TypeVar("R", HttpResponse, HttpResponseBase | Reply)
#: Returns the actor, and the versions of these cache tags if the same statement read them. Raises MeshError.
Authenticate = Callable[[HttpRequest, Sequence[str]], tuple[Actor, Mapping[str, int] | None]]


def by_credentials(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, Mapping[str, int] | None]:
    """Authenticates by bearer token or API key; without either, the actor is ANONYMOUS. Raises MeshError."""
    authorization, api_key = request.META.get("HTTP_AUTHORIZATION", ""), request.META.get("HTTP_X_API_KEY", "")
    if authorization or api_key:
        return identity().authenticate(authorization, api_key, cache_tags)
    is_per_actor = any("{actor}" in tag for tag in cache_tags)
    return ANONYMOUS, versions.current(cache_tags) if cache_tags and not is_per_actor else None


def as_nobody(request: HttpRequest, cache_tags: Sequence[str]) -> tuple[Actor, None]:
    """Always ANONYMOUS: for doors whose requests carry their own proof, such as a signed link."""
    return ANONYMOUS, None


class Admission:
    """One request, from authentication to the answer or the refusal.

    `respond` turns whatever happens inside it into a response. `enter` authenticates. `call` counts the request,
    checks permission, binds the arguments and calls. A door that does not `call` must `count`. Every request that
    `respond` refuses has been counted: against its user, or against its address if the user is unknown.
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
        self._limit_key = ""
        self._usage: Usage | None = None
        self._is_counted = False
        self._limited: RateLimited | None = None

    def respond(self, answer: Callable[[], R], refuse: Callable[[MeshError], R]) -> R:
        """The response of `answer`, or of `refuse` for the error that it raised; records what the request cost."""
        started = time.perf_counter()
        try:
            response = answer()
        except Exception as error:
            response = refuse(self._count_refusal(self._refusal_of(error)))
        response["X-Content-Type-Options"] = "nosniff"
        if self._usage is not None:
            for name, value in self._usage.headers(self._kind).items():
                response[name] = value
        self._record_cost(response, time.perf_counter() - started)
        return response

    def enter(self, cache_tags: Sequence[str] = (), **logged: str) -> Mesh:
        """Authenticates, and returns all operations with the actor's rights. Raises MeshError.

        `cache_tags`: those of the query that will be called, if its answer may be cached. `logged`: what else is in
        every log line of this request.
        """
        host_of(self.request)
        client = client_of(self.request)
        actor, known_versions = self._authenticate(self.request, cache_tags)
        key = {} if actor.key_id is None else {"api_key_id": actor.key_id}
        structlog.contextvars.bind_contextvars(user_id=actor.id, **key, **logged)
        mesh = Mesh(
            actor,
            door=self.door,
            request_id=self.request_id,
            client=client,
            known_versions=known_versions,
            look_up=self._look_up,
        )
        self._limit_key = mesh.limit_key
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

        `bind` reads the arguments. It runs after the permission check, since a body may take long to arrive. A query
        that may be cached is counted by its cache lookup, in the same round trip to Redis.
        """
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
        """Counts the request, unless it has been counted. Raises RateLimited, each time if the limit is exceeded."""
        self._look_up("")

    def _look_up(self, key: str) -> bytes | None:
        """Reads a key of the cache (empty: none). The first call also counts the request, in the same round trip."""
        if self._limited is not None:
            raise self._limited
        if self._is_counted:
            return cache.look_up(key)
        self._is_counted = True
        counted = count_request("WRITE" if self._kind == "write" else "READ", self._limit_key, key)
        self._usage = counted.requests
        try:
            counted.refuse()
        except RateLimited as limited:
            self._limited = limited
            raise
        return counted.cached_value if counted.looked_up else cache.look_up(key)

    def _refusal_of(self, error: Exception) -> MeshError:
        match error:
            case MeshError():
                return error
            case DisallowedHost():
                return Malformed(UNKNOWN_HOST)
            case RequestDataTooBig():
                return TooLarge("The form is too large.")
            case SuspiciousOperation() | BadRequest() | MultiPartParserError():
                return Malformed("The form cannot be read, or has too many fields.")
            case UnreadablePostError():
                return Malformed("The form did not arrive.")
            case DatabaseError() | InterfaceError() if (refusal := refusal_of(error)) is not None:
                return refusal
        return self._log_bug()

    def _count_refusal(self, refusal: MeshError) -> MeshError:
        """Counts a refused request, unless it was counted; the refusal, or that of an exceeded rate limit."""
        self._limit_key = self._limit_key or of_address(client_of(self.request).address)
        try:
            self.count()
        except RateLimited as limited:
            return limited
        return refusal

    def _log_bug(self) -> MeshError:
        log.exception("bug")
        return MeshError(f"Something went wrong here. Quote request {self.request_id}.")

    def _record_cost(self, response: HttpResponseBase | Reply, seconds: float) -> None:
        if not self._limit_key or response.status_code == 429:
            return
        if isinstance(response, (HttpResponse, Reply)):
            spend(self._limit_key, seconds, len(response.content))
        else:
            spend(self._limit_key, seconds, 0)
            stream: Any = response
            stream.streaming_content = self._record_stream_cost(stream.streaming_content)

    def _record_stream_cost(self, parts: Iterator[Any]) -> Iterator[Any]:
        """Passes on the parts of a streamed answer, and records their cost when the stream ends or is closed."""
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
            spend(self._limit_key, seconds, size)
