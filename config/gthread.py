"""gunicorn's threaded worker, whose threads take the connections themselves, and wait for no client.

gunicorn's own hands each request from its main thread to a pool, and the connection back: what that takes in locks,
queues and system calls costs as much as a cached answer. Here the main thread accepts connections and ends late ones;
whichever thread is free goes on with the next that can go on: a request is handled when all of it is there, and what a
client does not take of its answer is kept until it does. So slow clients cost memory, of which there is a limit, and no
threads; only a streamed answer, which may have any size, waits for its reader. Linux only, for want of epoll elsewhere.
What is no HTTP is refused in JSON, as all else is.
"""

import contextlib
import errno
import json
import re
import select
import socket
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

MAX_KEPT = 4 * 1024 * 1024  # bytes of a request that is not all there, or of an answer that is not taken
MAX_KEPT_IN_ALL = 64 * 1024 * 1024
_FAREWELL = 2.0  # seconds in which who is told goodbye may still send what nobody reads

_CONTENT_LENGTH = re.compile(rb"\r\ncontent-length:[ \t]*(\d{1,18})[ \t]*\r", re.IGNORECASE)
_CHUNKED = re.compile(rb"\r\ntransfer-encoding:[^\r]*chunked", re.IGNORECASE)
_EXPECTS = re.compile(rb"\r\nexpect:[ \t]*100-continue", re.IGNORECASE)


class Worker(ThreadWorker):  # type: ignore[misc]
    """`--worker-class=config.gthread.Worker`; all other options are those of gthread."""

    #: Seconds that a client has for sending a request, and by which it may be late in taking an answer.
    patience = 20.0
    #: Bytes a second at which a client has to take it.
    rate = 64 * 1024

    def init_process(self) -> None:
        gunicorn.util.write_error = _refuse
        gunicorn.util.close_graceful = lambda connection: None  # for `_part`, which holds up no thread
        self.cfg.set("sendfile", False)  # it would wait for its reader
        self.ready = select.epoll()
        #: The connections that wait for something; whoever takes one out of it owns it.
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
        conn.sock = _Patient(conn.sock, self.patience, self.rate)
        conn.set_timeout()
        self.idle[conn.sock.fileno()] = conn
        self.ready.register(conn.sock, select.EPOLLIN | select.EPOLLONESHOT)

    def _serve(self) -> None:
        while True:
            for number, _ in self.ready.poll(maxevents=1):
                conn = self.idle.pop(number, None)
                if conn is not None:
                    try:
                        goes_on = self._step(conn)
                    except OSError:
                        goes_on = False
                    except Exception:
                        self.log.exception("Error on a connection")
                        goes_on = False
                    if not goes_on:
                        conn.close()
                        self.method_queue.defer(self._closed)

    def _step(self, conn: TConn) -> bool:
        """Goes on with a connection until it would have to wait. Whether there is anything more to come."""
        sock: _Patient = conn.sock
        while sock.flush():
            if sock.parts:
                return sock.throw_away() and self._wait(conn, select.EPOLLIN, sock.deadline)
            if sock.ends:
                if sock.has_ended:
                    return False
                sock.part()
                continue
            if not sock.gather():
                return self._wait(conn, select.EPOLLIN, sock.deadline if sock.kept else self._end_of_silence())
            sock.ends = not self.handle(conn)
            if not sock.ends:
                sock.take_back(conn.parser.unreader.take_buffered())
        return self._wait(conn, select.EPOLLOUT, sock.deadline_of_answer)

    def _end_of_silence(self) -> float:
        return time.monotonic() + float(self.cfg.keepalive if self.alive else STOP_KEEPALIVE_LINGER)

    def _wait(self, conn: TConn, event: int, until: float) -> bool:
        conn.timeout = until
        if conn.sock.kept:
            self._make_room(conn)
        self.idle[conn.sock.fileno()] = conn
        self.ready.modify(conn.sock, event | select.EPOLLONESHOT)
        return True

    def _make_room(self, conn: TConn) -> None:
        """Ends connections of which most is kept, where too much is kept of all."""
        waiting = list(self.idle.items())
        in_all = conn.sock.kept + sum(other.sock.kept for _, other in waiting)
        for number, other in sorted(waiting, key=lambda item: -item[1].sock.kept):
            if in_all <= MAX_KEPT_IN_ALL:
                return
            in_all -= other.sock.kept
            if self.idle.pop(number, None) is not None:
                other.close()
                self.method_queue.defer(self._closed)

    def murder_keepalived(self, force: bool = False) -> None:
        """Closes the connections that have waited too long; not those whose request waits for a thread."""
        now = time.monotonic()
        late = {number: conn for number, conn in list(self.idle.items()) if force or conn.timeout <= now}
        asking = {number for number, conn in late.items() if not force and not conn.sock.owes}
        for number in late.keys() - (_readable(asking) if asking else set()):
            conn = self.idle.pop(number, None)
            if conn is not None:
                conn.close()
                self._closed()

    def _closed(self) -> None:
        self.nr_conns -= 1

    def _cap_keepalive(self, deadline: float) -> None:
        for conn in list(self.idle.values()):
            if not conn.sock.owes:
                conn.timeout = min(conn.timeout, deadline)


class _TooSlow(TimeoutError):
    """A client does not keep pace: to gunicorn, as if it had gone."""

    def __init__(self) -> None:
        super().__init__(errno.ECONNRESET, "The client was too slow.")


class _Patient:
    """A socket that waits for nobody, but for the reader of a streamed answer. In all else, the socket itself.

    What has come of a request is kept until all of it is there, and what was not taken of an answer until it is.
    """

    def __init__(self, sock: socket.socket, patience: float, rate: int) -> None:
        self._sock, self._patience, self._rate = sock, patience, rate
        with contextlib.suppress(OSError):  # a Unix socket has none
            # The kernel takes no more than it can send soon, so that it is seen how fast a client reads.
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, 128 * 1024)
        self._came, self._owed = bytearray(), bytearray()
        self._late, self._waits_since = 0.0, 0.0
        #: Whether the connection ends after this answer, whether it was said so, whether the other side has ended it.
        self.ends = self.parts = self.has_ended = False
        #: When what is being sent to us must be there.
        self.deadline = 0.0
        self._begin()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)

    @property
    def kept(self) -> int:
        """How many bytes wait in it."""
        return len(self._came) + len(self._owed)

    @property
    def owes(self) -> bool:
        """Whether something of an answer is left."""
        return bool(self._owed)

    # A request.

    def _begin(self) -> None:
        self._looked, self._end_of_head, self._size, self._next_chunk = 0, 0, 0, 0

    def gather(self) -> bool:
        """Takes what has come. Whether a request is there, or more than is waited for, or the end. Raises _TooSlow."""
        if self._came and self._is_whole():
            return True
        while True:
            try:
                data = self._sock.recv(65536, socket.MSG_DONTWAIT)
            except BlockingIOError:
                if self._came and time.monotonic() > self.deadline:
                    raise _TooSlow from None
                return False
            if not data:
                self.has_ended = True
                return True
            if not self._came:
                self.deadline = time.monotonic() + self._patience
            self._came += data
            if self._is_whole():
                return True

    def _is_whole(self) -> bool:
        came = self._came
        if len(came) > MAX_KEPT:
            return True
        if not self._end_of_head:
            end = came.find(b"\r\n\r\n", max(0, self._looked - 3))
            self._looked = len(came)
            if end < 0:
                return False
            self._end_of_head = end + 4
            self._measure(bytes(came[: end + 2]))
        return self._is_last_chunk_there() if self._next_chunk else len(came) >= self._size

    def _measure(self, head: bytes) -> None:
        """Finds out where the request ends, as far as its head says."""
        if _CHUNKED.search(head):
            self._next_chunk = self._end_of_head
        else:
            length = _CONTENT_LENGTH.search(head)
            size = self._end_of_head + (int(length[1]) if length else 0)
            self._size = size if size <= MAX_KEPT else self._end_of_head  # else it is refused, by its head
        if len(self._came) == self._end_of_head < max(self._size, self._next_chunk + 1) and _EXPECTS.search(head):
            self.sendall(b"HTTP/1.1 100 Continue\r\n\r\n")

    def _is_last_chunk_there(self) -> bool:
        came = self._came
        while (end := came.find(b"\r\n", self._next_chunk)) >= 0:
            try:
                size = int(came[self._next_chunk : end].partition(b";")[0], 16)
            except ValueError:
                return True  # which is refused
            if size <= 0:
                return came.find(b"\r\n\r\n", end) >= 0
            self._next_chunk = end + 2 + size + 2
        return False

    def recv(self, size: int) -> bytes:
        """Of what is there. Raises _TooSlow where nothing is."""
        data = bytes(self._came[:size])
        del self._came[:size]
        if not data and not self.has_ended:
            raise _TooSlow
        return data

    def take_back(self, data: bytes) -> None:
        """What was read beyond a request: the next begins with it."""
        self._came[:0] = data
        self._late = 0.0
        self.deadline = time.monotonic() + self._patience
        self._begin()

    def gettimeout(self) -> float:
        return self._patience

    def settimeout(self, seconds: float) -> None:
        """Nothing waits for the rest of a body that nobody read."""

    # An answer.

    def sendall(self, data: bytes) -> None:
        """Sends what is taken now, and keeps the rest; waits where that is too much. Raises _TooSlow."""
        if not self._owed:
            taken = self._send(data)
            if taken == len(data):
                return
            data, self._waits_since = data[taken:], time.monotonic()
        self._owed += data
        while len(self._owed) > MAX_KEPT and not self.flush():
            poll = select.poll()
            poll.register(self._sock, select.POLLOUT)
            poll.poll(1000 * max(0.0, self.deadline_of_answer - time.monotonic()))

    send = sendall  # gunicorn's own word to who expects one

    def flush(self) -> bool:
        """Sends what is taken of what is kept. Whether nothing is left. Raises _TooSlow."""
        while self._owed:
            taken = self._send(memoryview(self._owed)[:262144])
            now = time.monotonic()
            self._late = max(0.0, self._late + now - self._waits_since - taken / self._rate) if taken else self._late
            if now > (now if taken else self._waits_since) + self._patience - self._late:
                raise _TooSlow
            if not taken:
                return False
            self._waits_since = now
            del self._owed[:taken]
        return True

    def _send(self, data: bytes | memoryview) -> int:
        try:
            return self._sock.send(data, socket.MSG_DONTWAIT)
        except BlockingIOError:
            return 0

    @property
    def deadline_of_answer(self) -> float:
        """When some more of the answer must be taken: it may be late by the patience, at the rate."""
        return self._waits_since + self._patience - self._late

    # The end.

    def part(self) -> None:
        """Says that nothing more will be sent; what comes is thrown away, so that the answer is not lost for it."""
        self._sock.shutdown(socket.SHUT_WR)
        self.parts, self.deadline, self._looked = True, time.monotonic() + _FAREWELL, 0
        self._came.clear()

    def throw_away(self) -> bool:
        """Whether there may be more to throw away."""
        with contextlib.suppress(BlockingIOError):
            while data := self._sock.recv(65536, socket.MSG_DONTWAIT):
                self._looked += len(data)
                if self._looked > MAX_KEPT:
                    return False
            return False
        return time.monotonic() < self.deadline


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
