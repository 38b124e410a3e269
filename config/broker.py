"""Celery's consumer and Kombu's Redis transport, with fixes for faults that would end a worker."""

from collections.abc import Callable
from typing import Any

import msgspec
import structlog
from celery.worker import consumer as celery_consumer
from kombu.transport import TRANSPORT_ALIASES
from kombu.transport import redis as kombu_redis
from redis.exceptions import ConnectionError

log = structlog.get_logger(__name__)


class _Delivery(msgspec.Struct):
    exchange: str
    routing_key: str


class _Properties(msgspec.Struct):
    delivery_tag: str
    delivery_info: _Delivery
    body_encoding: str


class _Message(msgspec.Struct):
    """The parts of a message that Kombu relies on."""

    body: bytes  # as base64
    headers: dict[str, Any]
    properties: _Properties


def _readable(popped: tuple[bytes, bytes] | None) -> tuple[bytes, bytes] | None:
    """The result of BRPOP; nothing if it is not a valid message. It is off its list, so no other worker gets it."""
    if popped:
        try:
            msgspec.json.decode(popped[1], type=_Message)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            log.error("message_unreadable", queue=popped[0].decode(), begins=repr(popped[1][:100]), error=str(error))
            return None
    return popped


class Channel(kombu_redis.Channel):
    def _connparams(self, asynchronous: bool = False) -> Any:
        """Where the broker is; a closed connection does not know any more.

        Kombu asks it all the same when the broker has gone: to hand back unacknowledged messages when it closes the
        channel a second time, after the first was cut short by an answer to BRPOP that could not be read; and to
        acknowledge what came over the connection before. It is ready for a ConnectionError then, but its own answer is
        an AttributeError of None, and the worker ends.
        """
        if self.connection is None or self.connection.client is None:
            raise ConnectionError("This channel's connection is closed.")
        return super()._connparams(asynchronous)  # type: ignore[misc]  # the stubs lack it

    def _create_client(self, asynchronous: bool = False) -> Any:
        client = super()._create_client(asynchronous)  # type: ignore[misc]
        client.set_response_callback("BRPOP", _readable)
        return client


class Transport(kombu_redis.Transport):
    Channel = Channel


class Consumer(celery_consumer.Consumer):
    def create_task_handler(self, *args: Any, **kwargs: Any) -> Callable[[Any], None]:
        """The function that handles each message. One that Celery cannot turn into a task is dropped.

        Else it would end the worker or, by a KeyError, which Kombu takes for the connection's, make it connect anew;
        and having been handed back each time, it would do so again and again.
        """
        handle = super().create_task_handler(*args, **kwargs)

        def handle_or_drop(message: Any) -> None:
            try:
                handle(message)
            except Exception as error:
                lost: tuple[type[Exception], ...] = self.connection_errors  # type: ignore[attr-defined]
                if isinstance(error, lost) and not isinstance(error, KeyError):
                    raise
                log.exception("message_dropped", headers=repr(message.headers)[:200])
                if not message.acknowledged:
                    message.reject()

        return handle_or_drop


def use() -> None:
    """Makes Kombu use our transport for `redis://`, `redis+socket://` and `rediss://`."""
    TRANSPORT_ALIASES.update(dict.fromkeys(("redis", "rediss"), f"{__name__}:Transport"))
