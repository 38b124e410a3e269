"""gunicorn's threaded worker, whose threads take the connections themselves.

gunicorn's own hands each request from its main thread to a pool, and the connection back: what that takes in locks,
queues and system calls costs as much as a cached answer. Here the main thread accepts connections and ends idle ones;
whichever thread is free waits for the next that has something to say. Linux only, for want of epoll elsewhere. What is
no HTTP is refused in JSON, as all else is.
"""

import contextlib
import errno
import json
import select
import socket
import struct
import threading
import time
from collections.abc import Iterable
from typing import Any

import gunicorn.util  # type: ignore[import-untyped]
from gunicorn.workers.gthread import (  # type: ignore[import-untyped]
    STOP_KEEPALIVE_LINGER,
    TConn,
    ThreadWorker,
)


class Worker(ThreadWorker):  # type: ignore[misc]
    """`--worker-class=config.gthread.Worker`; all other options are those of gthread."""

    #: Seconds that a client has for sending a request, and for taking some more of an answer: a thread waits for it.
    patience = 20.0

    def init_process(self) -> None:
        gunicorn.util.write_error = _refuse
        self.readable = select.epoll()
        #: The connections that wait for a request; whoever takes one out of it owns it.
        self.idle: dict[int, TConn] = {}
        super().init_process()

    def get_thread_pool(self) -> Any:
        self.threads = [threading.Thread(target=self._serve, daemon=True) for _ in range(self.cfg.threads)]
        return super().get_thread_pool()  # which makes no thread before it is given work

    def run(self) -> None:
        for thread in self.threads:
            thread.start()
        super().run()

    def set_accept_enabled(self, enabled: bool) -> None:
        """At the end, takes everyone who has connected by then: the kernel would cut off those that nobody took."""
        super().set_accept_enabled(enabled)
        if not self.alive:
            for listener in self.sockets:
                taken = -1
                while taken < self.nr_conns:
                    taken = self.nr_conns
                    self.accept(listener)
                listener.close()

    def enqueue_req(self, conn: TConn) -> None:
        """A new connection: from now on it waits for its first request."""
        conn.data_ready = True  # when it is handled, which is not before
        conn.sock = _InTime(conn.sock, self.patience)
        conn.set_timeout()
        self.idle[conn.sock.fileno()] = conn
        self.readable.register(conn.sock, select.EPOLLIN | select.EPOLLONESHOT)

    def _serve(self) -> None:
        while True:
            for number, _ in self.readable.poll(maxevents=1):
                conn = self.idle.pop(number, None)
                if conn is not None:
                    self._answer(conn)

    def _answer(self, conn: TConn) -> None:
        try:
            conn.sock.begin(readable=True)
            kept = self.handle(conn)
            while kept and conn.parser.unreader.buf.getvalue():  # the next request came with this one
                conn.sock.begin(readable=False)
                kept = self.handle(conn)
            if kept:
                self._wait_again(conn)
        except Exception:
            self.log.exception("Error on a connection")
            kept = False
        if not kept:  # by this thread, since it may take a moment
            with contextlib.suppress(OSError):  # gunicorn has closed it where an answer broke off
                conn.close(graceful=not conn.sock.too_slow)
            self.method_queue.defer(self._closed)

    def _wait_again(self, conn: TConn) -> None:
        conn.set_timeout()
        if not self.alive:
            conn.timeout = min(conn.timeout, time.monotonic() + STOP_KEEPALIVE_LINGER)
        self.idle[conn.sock.fileno()] = conn
        self.readable.modify(conn.sock, select.EPOLLIN | select.EPOLLONESHOT)

    def murder_keepalived(self, force: bool = False) -> None:
        """Closes the connections that have waited too long; not those that wait for a thread."""
        now = time.monotonic()
        late = {number for number, conn in list(self.idle.items()) if force or conn.timeout <= now}
        if late and not force:
            late -= _readable(late)
        for conn in [self.idle.pop(number, None) for number in late]:
            if conn is not None:
                conn.close()
                self._closed()

    def _closed(self) -> None:
        self.nr_conns -= 1

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in list(self.idle.values()):
            conn.timeout = min(conn.timeout, deadline)


class _TooSlow(TimeoutError):
    """A client keeps a thread waiting: to gunicorn, as if it had gone."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "The client was too slow.")


class _InTime:
    """A socket whose other side has to keep pace. In all else, the socket itself."""

    def __init__(self, sock: socket.socket, seconds: float) -> None:
        self._sock, self._seconds, self.too_slow = sock, seconds, False
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", int(seconds), 0))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    def begin(self, *, readable: bool) -> None:
        """A request begins; `readable`: something of it is there."""
        self._deadline, self._readable = time.monotonic() + self._seconds, readable

    def recv(self, size: int) -> bytes:
        """Raises _TooSlow."""
        if not self._readable and not _readable([self._sock.fileno()], self._deadline - time.monotonic()):
            self.too_slow = True
            raise _TooSlow
        self._readable = False
        return self._sock.recv(size)

    def sendall(self, data: bytes) -> None:
        """Raises _TooSlow."""
        try:
            self._sock.sendall(data)
        except BlockingIOError:
            self.too_slow = True
            raise _TooSlow from None

    def gettimeout(self) -> float:
        return self._deadline - time.monotonic()

    def settimeout(self, seconds: float) -> None:
        """For what is left of a body that nobody read, and for a farewell."""
        self._deadline = min(self._deadline, time.monotonic() + seconds)


def _readable(sockets: Iterable[int], seconds: float = 0) -> set[int]:
    poll = select.poll()
    for number in sockets:
        poll.register(number, select.POLLIN)
    return {number for number, _ in poll.poll(max(0, 1000 * seconds))}


def _refuse(connection: socket.socket, status: int, reason: str, detail: str) -> None:
    """Answers what is no HTTP with a problem (RFC 9457), like all that is wrong with a request in 4xx."""
    if status == 501:  # a transfer coding that is not known
        status, reason = 400, "Bad Request"
    code = "malformed" if status < 500 else "internal"
    problem = {"type": "about:blank", "title": reason, "status": status, "detail": detail or reason, "code": code}
    body = json.dumps(problem).encode()
    head = f"HTTP/1.1 {status} {reason}\r\nContent-Type: application/problem+json\r\nContent-Length: {len(body)}\r\n"
    gunicorn.util.write_nonblock(connection, head.encode() + b"Connection: close\r\n\r\n" + body)
