"""Unread bodies: if too much of a request's body is left unread, the response closes the connection."""

from collections.abc import Callable, Iterable
from typing import Any

#: Bytes; if less of a body is left, the server reads and drops it after the response, and keeps the connection.
MAX_DROPPED = 64 * 1024


class UnreadBodies:
    """The outermost WSGI application. It handles bodies that a refused request leaves unread.

    If the server cannot keep the connection, the response must say so, or the client's next request is lost. WSGI
    forbids applications to send `Connection: close`, so gunicorn is told to close, and sends it.
    """

    def __init__(self, application: Callable[..., Iterable[bytes]]) -> None:
        self.application = application

    def __call__(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        chunked, length = "HTTP_TRANSFER_ENCODING" in environ, environ.get("CONTENT_LENGTH", "")
        if not chunked and not (length.isdecimal() and int(length) >= MAX_DROPPED):
            return self.application(environ, start_response)
        body = environ["wsgi.input"] = _Body(environ["wsgi.input"], None if chunked else int(length))

        def start(status: str, headers: list[tuple[str, str]], *error: Any) -> Any:
            if body.left is None or body.left >= MAX_DROPPED:
                _end_connection(start_response)
            return start_response(status, headers, *error)

        return self.application(environ, start)


def _end_connection(start_response: Any) -> None:
    response: Any = getattr(start_response, "__self__", None)  # gunicorn's
    if hasattr(response, "force_close"):
        response.force_close()


class _Body:
    """A body stream that counts what is left, in bytes; None while unknown, because the body is chunked."""

    def __init__(self, stream: Any, length: int | None) -> None:
        self._stream, self.left = stream, length

    def read(self, size: int = -1) -> bytes:
        data: bytes = self._stream.read(size if size >= 0 else None)
        self._count(data, ended=size < 0 or len(data) < size)
        return data

    def readline(self, size: int = -1) -> bytes:
        line: bytes = self._stream.readline(size if size >= 0 else None)
        self._count(line, ended=not line and size != 0)
        return line

    def _count(self, data: bytes, *, ended: bool) -> None:
        if ended:
            self.left = 0
        elif self.left is not None:
            self.left -= len(data)
