"""The web's threaded worker: connections are kept, shared among its threads, ended in time and never dropped."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from config.gthread import Worker

pytestmark = pytest.mark.server

ROOT = Path(__file__).resolve().parents[2]
PAGE = 3_000_000
REQUEST = b"GET %s HTTP/1.1\r\nHost: x\r\n\r\n"


class Hasty(Worker):
    patience = 1.0
    rate = 256 * 1024


def app(environ, start_response):
    """Answers with its thread and what was asked; `/slow` takes its time, `/bug` fails.

    `/read` reads the body, `/broken` breaks off; `/page`, `/much` and `/stream` are answered with more than a socket
    holds, `/much` and `/stream` also with more than a worker keeps.
    """
    if environ["PATH_INFO"] == "/broken":
        start_response("200 OK", [("Content-Length", "100")])
        return (b"a" * (1 // number) for number in (1, 0))
    if environ["PATH_INFO"] == "/bug":
        raise ZeroDivisionError
    if environ["PATH_INFO"] == "/slow":
        time.sleep(1)
    if environ["PATH_INFO"] == "/read":
        environ["wsgi.input"].read(10)
    if environ["PATH_INFO"] == "/page":
        start_response("200 OK", [("Content-Length", str(PAGE))])
        return [b"a" * PAGE]
    if environ["PATH_INFO"] == "/stream":
        start_response("200 OK", [])
        return (b"a" * 100_000 for _ in range(1000))
    if environ["PATH_INFO"] == "/much":
        start_response("200 OK", [("Content-Length", str(100_000_000))])
        return [b"a" * 100_000_000]
    body = f"{environ['PATH_INFO']} {threading.get_ident()}\n".encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]


@pytest.fixture(params=["Hasty"])
def server(request):
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        port = unused.getsockname()[1]
    command = [sys.executable, "-m", "gunicorn", f"{__name__}:app", f"--bind=127.0.0.1:{port}", "--threads=3"]
    command += [f"--worker-class={__name__}.{request.param}", "--no-control-socket", "--keep-alive=2"]
    process = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
    assert process.stderr is not None
    while "Booting worker" not in process.stderr.readline():
        assert process.poll() is None
    process.port = port  # type: ignore[attr-defined]
    yield process
    process.kill()
    process.communicate()


@contextlib.contextmanager
def connected(server):
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as found:
        yield found


def answer(connection):
    """The path and the thread of the next answer; empty where the connection was ended."""
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        if not (byte := connection.recv(1)):
            return []
        head += byte
    body = b""
    while not body.endswith(b"\n"):
        body += connection.recv(1)
    assert head.startswith(b"HTTP/1.1 200"), head
    return body.split()


def test_a_connection_is_kept_from_request_to_request(server):
    with connected(server) as connection:
        for path in (b"/a", b"/b", b"/c"):
            connection.sendall(REQUEST % path)
            assert answer(connection)[0] == path


def test_requests_that_come_together_are_all_answered_in_order(server):
    with connected(server) as connection:
        connection.sendall(b"".join(REQUEST % path for path in (b"/a", b"/slow", b"/c")))
        assert [answer(connection)[0] for _ in range(3)] == [b"/a", b"/slow", b"/c"]


def test_more_connections_than_threads_are_served_and_silent_ones_hold_no_thread(server):
    with contextlib.ExitStack() as stack:
        silent = [stack.enter_context(connected(server)) for _ in range(10)]
        silent[0].sendall(b"GET /half")
        talking = [stack.enter_context(connected(server)) for _ in range(10)]
        for _ in range(3):
            for connection in talking:
                connection.sendall(REQUEST % b"/a")
            assert [answer(connection)[0] for connection in talking] == [b"/a"] * 10


def test_slow_requests_run_side_by_side(server):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(server)) for _ in range(3)]
        for connection in connections:
            connection.sendall(REQUEST % b"/slow")
        assert len({answer(connection)[1] for connection in connections}) == 3


def test_a_silent_connection_is_ended_in_time(server):
    with connected(server) as new, connected(server) as kept:
        kept.sendall(REQUEST % b"/a")
        assert answer(kept)[0] == b"/a"
        started = time.monotonic()
        assert (answer(new), answer(kept)) == ([], [])
        assert time.monotonic() - started > 1


def test_a_request_that_waits_for_a_thread_longer_than_a_silent_connection_may_last_is_answered(server):
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(connected(server)) for _ in range(12)]  # for 3 threads
        for connection in connections:
            connection.sendall(REQUEST % b"/slow")
        assert [answer(connection)[0] for connection in connections] == [b"/slow"] * 12


HALVES = [
    REQUEST[:-2] % b"/a",
    b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",
    b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345",  # which nobody reads
]


def still_answers(server, *others):
    """Whether a request is answered after these."""
    with contextlib.ExitStack() as stack:
        for sent in others:
            stack.enter_context(connected(server)).sendall(sent)
        time.sleep(0.2)
        whole = stack.enter_context(connected(server))
        whole.sendall(REQUEST % b"/a")
        return answer(whole)[0] == b"/a"


def test_half_a_request_holds_its_thread_for_a_while_only(server):
    assert still_answers(server, *3 * HALVES)  # for 3 threads


def test_who_takes_nothing_of_an_answer_holds_its_thread_for_a_while_only(server):
    assert still_answers(server, *6 * [REQUEST % b"/much"])


def test_those_who_do_not_leave_after_a_refusal_hold_up_nobody_for_long(server):
    assert still_answers(server, *9 * [b"no HTTP\r\n\r\n"])  # 2 seconds each of 3 threads; a connection lasts 10


patient = pytest.mark.parametrize("server", ["Worker"], indirect=True)  # 20 seconds: longer than a test waits


@patient
@pytest.mark.parametrize(
    "sent",
    [
        *HALVES,
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
        b"POST /a HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n12345",
        b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 100000000\r\n\r\n12345",
        b"GET / HTTP/1.1\r\n" + b"A: " + b"a" * 60_000,
        REQUEST % b"/page",
        b"no HTTP\r\n\r\n",
        REQUEST % b"/broken",
    ],
)
def test_slow_clients_hold_no_thread(server, sent):
    with contextlib.ExitStack() as stack:
        for _ in range(30):  # for 3 threads
            stack.enter_context(connected(server)).sendall(sent)
        for _ in range(3):
            whole = stack.enter_context(connected(server))
            whole.sendall(REQUEST % b"/a")
            assert answer(whole)[0] == b"/a"


def taken(connection, piece, pause, seconds):
    """How many bytes come to who takes a piece now and then, until it ends or the time is over."""
    total, end = 0, time.monotonic() + seconds
    with contextlib.suppress(ConnectionError):
        while time.monotonic() < end and (data := connection.recv(piece)):
            total += len(data)
            time.sleep(pause)
    return total


@pytest.mark.parametrize("path", [b"/page", b"/stream"])
def test_who_takes_an_answer_drop_by_drop_is_cut_off(server, path):
    with connected(server) as slow:
        slow.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        slow.sendall(REQUEST % path)
        drops = taken(slow, 10_000, 0.1, seconds=8)  # 100 kB a second, and each drop is progress
        assert 0 < drops + taken(slow, 1_000_000, 0, seconds=4) < PAGE


@pytest.mark.parametrize("path", [b"/page", b"/stream"])
def test_who_keeps_pace_is_not_cut_off_however_long_it_takes(server, path):
    size = PAGE if path == b"/page" else 100_000_000
    with connected(server) as steady:
        steady.sendall(REQUEST % path)
        pause = 0.02 if path == b"/page" else 0.001
        assert taken(steady, size // 100, pause, seconds=30) > size


def test_what_is_sent_drop_by_drop_is_ended_in_time(server):
    with connected(server) as slow:
        slow.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\n")
        started = time.monotonic()
        with pytest.raises(ConnectionError):
            while time.monotonic() < started + 10:
                slow.sendall(b"a")
                time.sleep(0.02)


def is_ended(connection):
    connection.setblocking(False)
    try:
        return connection.recv(1) == b""
    except BlockingIOError:
        return False
    except ConnectionError:
        return True


@patient
def test_too_much_that_is_kept_ends_those_of_whom_most_is_kept(server):
    head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 4000000\r\n\r\n"
    with contextlib.ExitStack() as stack:
        greedy = [stack.enter_context(connected(server)) for _ in range(24)]  # 91 MB, and 67 are kept
        modest = stack.enter_context(connected(server))
        modest.sendall(b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\n12345")
        for connection in greedy:
            with contextlib.suppress(ConnectionError):
                connection.sendall(head + b"a" * 3_800_000)
        end = time.monotonic() + 10
        while sum(map(is_ended, greedy)) < 5 and time.monotonic() < end:
            time.sleep(0.1)
        assert 5 <= sum(map(is_ended, greedy)) <= 14  # 7, give or take what the other threads hold at that moment
        modest.sendall(b"67890")
        assert answer(modest)[0] == b"/read"


def test_who_expects_a_word_gets_it_before_the_body(server):
    with connected(server) as connection:
        head = b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\nExpect: 100-continue\r\n\r\n"
        connection.sendall(head)
        assert connection.recv(100) == b"HTTP/1.1 100 Continue\r\n\r\n"
        connection.sendall(b"1234567890")
        last = b""
        while b"/read" not in last:
            last = connection.recv(1000)


def test_chunks_that_come_by_and_by_are_one_body_and_what_follows_is_the_next_request(server):
    chunked = (
        b"POST /read HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4;x=y\r\ndefg\r\n0\r\n\r\n"
    )
    with connected(server) as connection:
        for byte in chunked:
            connection.sendall(bytes([byte]))
        assert answer(connection)[0] == b"/read"
        connection.sendall(chunked + REQUEST % b"/b" + chunked.replace(b"/read", b"/a") + REQUEST % b"/c")
        assert [answer(connection)[0] for _ in range(4)] == [b"/read", b"/b", b"/a", b"/c"]


def test_requests_behind_an_answer_that_is_slowly_taken_are_answered(server):
    with connected(server) as connection:
        connection.sendall(REQUEST % b"/page" + REQUEST % b"/a")
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += connection.recv(1)
        left = PAGE
        while left:
            left -= len(connection.recv(min(left, 30_000)))
            time.sleep(0.005)
        assert answer(connection)[0] == b"/a"


def test_a_request_in_two_halves_is_answered(server):
    with connected(server) as connection:
        for part in (b"POST /read HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n", b"\r\n12345", b"67890"):
            connection.sendall(part)
            time.sleep(0.3)
        assert answer(connection)[0] == b"/read"
        connection.sendall(REQUEST % b"/a")
        assert answer(connection)[0] == b"/a"


def everything(connection):
    return b"".join(iter(lambda: connection.recv(65536), b""))


@pytest.mark.parametrize(("path", "status"), [(b"/bug", b"500"), (b"/broken", b"200")])
def test_what_fails_ends_its_connection_and_no_thread(server, path, status):
    for _ in range(5):  # for 3 threads
        with connected(server) as connection:
            connection.sendall(REQUEST % path)
            assert everything(connection).startswith(b"HTTP/1.1 " + status)
    assert still_answers(server)


NO_HTTP = [
    (b"\x16\x03\x01\x02\x00 TLS\r\n\r\n", 400, "Invalid Request Line"),
    (b"GET / HTTP/9.9\r\n\r\n", 400, "Invalid HTTP Version"),
    (b"GET / HTTP/1.1\r\nHost: x\r\nA(B: 1\r\n\r\n", 400, "Invalid HTTP header name"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: -1\r\n\r\n", 400, "Invalid HTTP Header"),
    (b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: cow\r\n\r\n", 400, "Unsupported transfer coding"),
    (b"GET /" + b"a" * 5000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414, "Request Line is too large"),
    (REQUEST[:-2] % b"/" + b"A: " + b"a" * 9000 + b"\r\n\r\n", 431, "Error parsing headers"),
]


def test_what_is_no_http_is_refused_with_a_problem(server):
    for sent, status, detail in NO_HTTP:
        with connected(server) as connection:
            connection.sendall(sent)
            head, _, body = everything(connection).partition(b"\r\n\r\n")
        assert head.startswith(b"HTTP/1.1 %d " % status)
        assert b"Content-Type: application/problem+json" in head
        problem = json.loads(body)
        assert (problem["status"], problem["code"]) == (status, "malformed")
        assert problem["detail"].startswith(detail)


def test_at_its_end_what_runs_is_answered_and_what_comes_meanwhile_too(server):
    with connected(server) as busy, connected(server) as idle:
        idle.sendall(REQUEST % b"/a")
        answer(idle)
        busy.sendall(REQUEST % b"/slow")
        time.sleep(0.2)
        server.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        idle.sendall(REQUEST % b"/late")
        assert (answer(idle)[0], answer(busy)[0]) == (b"/late", b"/slow")
        assert (answer(idle), answer(busy)) == ([], [])
    assert server.wait(10) == 0


def test_at_its_end_those_who_have_connected_are_served_though_nobody_had_taken_them(server):
    with connected(server) as connection:  # by now it knows of signals
        connection.sendall(REQUEST % b"/a")
        answer(connection)
    children = Path(f"/proc/{server.pid}/task/{server.pid}/children").read_text().split()
    for child in children:
        os.kill(int(child), signal.SIGSTOP)
    with connected(server) as first, connected(server) as second:
        first.sendall(REQUEST % b"/a")
        server.send_signal(signal.SIGTERM)
        time.sleep(0.2)
        for child in children:
            os.kill(int(child), signal.SIGCONT)
        time.sleep(0.2)
        second.sendall(REQUEST % b"/b")
        assert (answer(first)[0], answer(second)[0]) == (b"/a", b"/b")
    assert server.wait(10) == 0
