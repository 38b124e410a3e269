"""What `./run` does.

./run                      start everything and keep it running, until Ctrl-C
./run manage COMMAND       one of Django's commands, with the same environment and servers
./run test [ARGUMENTS]     pytest, with servers of its own
./run test --fast          only the tests that need none, in seconds
"""

# ruff: noqa: S603  (every command is our own)

import asyncio
import contextlib
import os
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from config.embedded import EmbeddedServers
from config.environment import BASE_DIR, RunError, forget_migrations, migrate, prepare_environment, start_servers
from config.processes import emit, end_with_parent, say
from config.servers import ServerError

HEAD_START = 10.0  # seconds that the others wait for the web at most
GRACE = 10.0  # seconds between SIGTERM and SIGKILL
AT_ONCE = 10.0  # a process that ends within so many seconds has failed to start ...
QUEUES = "notes,mail,stock,documents,default"
WEB_WORKER = "config.gthread.Worker" if hasattr(select, "epoll") else "gthread"
MOST_FAILURES = 3  # ... and is given up after so many times in a row
NO_SERVERS = {"DATABASE_URL": "postgres:///none", "REDIS_URL": "redis://none", "BROKER_URL": "redis://none/1"}
WITHOUT_MIGRATION = {"check", "help", "makemigrations", "migrate", "showmigrations", "sqlmigrate", "test"}


@dataclass(frozen=True)
class Process:
    """One of the processes that `./run` keeps running."""

    name: str
    command: list[str]


def processes(host: str, port: int) -> list[Process]:
    """Return what runs, besides the servers."""
    workers = os.environ.get("WEB_WORKERS") or str(min(2, os.cpu_count() or 1))
    threads = os.environ.get("WEB_THREADS") or "4"
    web = [sys.executable, "-m", "gunicorn", "config.wsgi:application", f"--bind={_address(host, port)}"]
    web += [f"--worker-class={WEB_WORKER}", f"--workers={workers}", f"--threads={threads}", "--graceful-timeout=8"]
    web += ["--keep-alive=75"]  # longer than a proxy keeps a connection to us, as in the image
    web += ["--log-level=warning", "--no-control-socket", "--preload"]  # imports once: faster to start, and smaller
    if os.access("/dev/shm", os.W_OK):  # noqa: S108  (a heartbeat on a disk can block its worker)
        web.append("--worker-tmp-dir=/dev/shm")
    celery = [sys.executable, "-m", "celery", "--app=config.celery", "--quiet"]
    concurrency = os.environ.get("WORKER_CONCURRENCY") or "8"
    worker = [*celery, "worker", "--pool=threads", f"--concurrency={concurrency}", f"--queues={QUEUES}"]
    worker += ["--without-mingle", "--without-gossip", "--loglevel=WARNING"]
    return [
        Process("web", web),
        Process("worker", worker),
        Process("relay", [sys.executable, "manage.py", "relay"]),
    ]


def serve() -> int:
    """Start everything, keep it running and stop it when asked to; the exit code is then 0."""
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    data_dir = prepare_environment()
    host, port = os.environ.get("HOST") or "127.0.0.1", _port()
    _check_address(host, port)
    servers = EmbeddedServers(data_dir, os.environ)
    try:
        start_servers(servers)
        migrate(data_dir, servers)
        metrics = data_dir / "run" / "metrics"
        shutil.rmtree(metrics, ignore_errors=True)
        metrics.mkdir()
        os.environ["PROMETHEUS_MULTIPROC_DIR"] = str(metrics)
        asyncio.run(Supervisor(servers, host, port).run())
    except KeyboardInterrupt:
        pass
    finally:
        servers.stop()
    return 0


def manage(arguments: list[str]) -> int:
    """Become `manage.py` with these arguments, as a user of the servers until it ends."""
    data_dir = prepare_environment()
    servers = EmbeddedServers(data_dir, os.environ)
    start_servers(servers)
    command = arguments[0] if arguments else "help"
    if command == "migrate":
        forget_migrations(data_dir)
    elif servers.embeds_database and command not in WITHOUT_MIGRATION:
        migrate(data_dir, servers)
    servers.keep_over_exec()
    os.execv(sys.executable, [sys.executable, str(BASE_DIR / "manage.py"), *arguments])  # noqa: S606


def test(arguments: list[str]) -> int:
    """Run pytest on all processors, with servers that are thrown away afterwards, and return its exit code."""
    if "--fast" in arguments:
        return _test_without_servers(arguments)
    if not any(argument.startswith(("-n", "--numprocesses")) for argument in arguments):
        arguments = ["-n", "auto", "--dist", "worksteal", *arguments]  # some tests take a hundred times as long as most
    with tempfile.TemporaryDirectory(prefix="meshwork-test-", ignore_cleanup_errors=True) as folder:
        os.environ["DATA_DIR"] = folder
        servers = EmbeddedServers(prepare_environment(), os.environ, throwaway=True)
        try:
            start_servers(servers)
            pytest = subprocess.Popen([sys.executable, "-m", "pytest", *arguments], preexec_fn=end_with_parent())
            signal.signal(signal.SIGINT, lambda *_: None)  # the terminal sends it to pytest as well
            signal.signal(signal.SIGTERM, lambda *_: pytest.terminate())
            return pytest.wait()
        finally:
            servers.stop()


def _test_without_servers(arguments: list[str]) -> int:
    """Become pytest in this process's place: its tests take less time than a second process would to start."""
    os.environ.update(NO_SERVERS)
    os.execv(sys.executable, [sys.executable, "-m", "pytest", *arguments])  # noqa: S606


class Supervisor:
    """Keeps the processes running, passes on what they print, and says where Meshwork answers."""

    def __init__(self, servers: EmbeddedServers, host: str, port: int) -> None:
        self._servers = servers
        self._address = _address({"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host), port)  # noqa: S104
        self._processes = processes(host, port)
        self._answering = asyncio.Event()
        self._width = max(len(process.name) for process in self._processes)

    async def run(self) -> None:
        """Return when SIGINT or SIGTERM comes; raise when something cannot be kept running."""
        asked_to_stop = asyncio.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, asked_to_stop.set)
        failure: Exception | None = None
        try:
            async with asyncio.TaskGroup() as group:
                for process in self._processes:
                    group.create_task(self._keep_running(process))
                group.create_task(self._keep_servers())
                group.create_task(self._announce())
                await asked_to_stop.wait()
                say("stopping")
                raise _Stop  # cancels the others and waits for them
        except* _Stop:
            pass
        except* (RunError, ServerError) as failures:
            failure = failures.exceptions[0]
        if failure:
            raise failure

    async def _keep_running(self, process: Process) -> None:
        if process.name != "web":  # people wait for the web: its start has the processors to itself
            with contextlib.suppress(TimeoutError):  # not wait_for: before 3.12 it may lose a Ctrl-C that comes now
                async with asyncio.timeout(HEAD_START):
                    await self._answering.wait()
        failures = 0
        while failures < MOST_FAILURES:
            started = time.monotonic()
            status = await self._run_once(process)
            failures = failures + 1 if time.monotonic() - started < AT_ONCE else 1
            how = f"was killed by {signal.Signals(-status).name}" if status < 0 else f"ended with exit code {status}"
            say(f"{process.name} {how}")
            await asyncio.sleep(0.5 * failures)
        raise RunError(f"{process.name} ended {failures} times in a row right after its start: see its lines above")

    async def _run_once(self, process: Process) -> int:
        reading, writing = os.pipe()
        try:
            child = await asyncio.create_subprocess_exec(
                *process.command,
                cwd=BASE_DIR,
                env={**os.environ, "PYTHONUNBUFFERED": "1", **({} if sys.stdout.isatty() else {"NO_COLOR": "1"})},
                stdin=subprocess.DEVNULL,
                stdout=writing,
                stderr=writing,
                start_new_session=True,  # a terminal's Ctrl-C comes to us alone
                preexec_fn=end_with_parent(),
            )
        finally:
            os.close(writing)
        output = asyncio.create_task(self._pass_on(process.name, reading))
        try:
            return await child.wait()
        finally:
            if child.returncode is None:
                child.terminate()
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(GRACE):
                        await child.wait()
            with contextlib.suppress(ProcessLookupError):
                os.killpg(child.pid, signal.SIGKILL)  # and what it left behind, which may hold its port
            await asyncio.wait([output], timeout=1)

    async def _pass_on(self, name: str, descriptor: int) -> None:
        stream = asyncio.StreamReader()
        pipe = os.fdopen(descriptor, "rb", buffering=0)
        await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(stream), pipe)
        text = f"{name.ljust(self._width)} |"
        label = f"\033[36m{text}\033[0m ".encode() if sys.stdout.isatty() else f"{text} ".encode()
        rest = b""
        while chunk := await stream.read(65536):
            *lines, rest = (rest + chunk).split(b"\n")
            for line in lines:
                emit(sys.stdout, label + line + b"\n")
        if rest:
            emit(sys.stdout, label + rest + b"\n")

    async def _keep_servers(self) -> None:
        while True:
            await asyncio.sleep(1)
            if not Path(os.environ["DATA_DIR"], "run").exists():
                raise RunError(f"{os.environ['DATA_DIR']} was removed")
            if lost := self._servers.lost():
                say(f"lost {' and '.join(lost)}: starting again")
                self._servers.start()

    async def _announce(self) -> None:
        started = time.monotonic()
        while not await self._is_healthy():
            await asyncio.sleep(0.1)
        url = f"http://{self._address}"
        self._answering.set()
        say(f"web answers after {time.monotonic() - started:.1f} s")
        text = f"\n  API          {url}\n  Reference    {url}/docs\n  Admin        {url}/admin/\n"
        text += "  First admin  ./run manage createadmin --email E --password P\n\n"
        emit(sys.stdout, text.encode())

    async def _is_healthy(self) -> bool:
        """Say whether web answers; 400 is one: it may serve other host names only."""
        host, _, port = self._address.rpartition(":")
        try:
            async with asyncio.timeout(5):
                reader, writer = await asyncio.open_connection(host.strip("[]"), int(port))
                writer.write(f"GET /health HTTP/1.0\r\nHost: {self._address}\r\n\r\n".encode())
                status = (await reader.readline()).split()[1:2]
                writer.close()
        except (OSError, TimeoutError):
            return False
        return bool(status) and int(status[0]) < 500


class _Stop(Exception):
    """Someone asked us to stop."""


def main(arguments: list[str]) -> int:
    """Do what `./run` was asked to do and return the exit code."""
    try:
        match arguments:
            case []:
                return serve()
            case ["manage", *rest]:
                return manage(rest)
            case ["test", *rest]:
                return test(rest)
            case ["-h" | "--help" | "help"]:
                print(__doc__)
                return 0
    except (RunError, ServerError) as error:
        say(str(error))
        return 1
    except KeyboardInterrupt:
        return 130
    print(__doc__, file=sys.stderr)
    return 2


def _address(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _check_address(host: str, port: int) -> None:
    """Raise when nobody could listen there, before anything is started."""
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, protocol) as listener:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind(address)
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise RunError(f"{_address(host, port)}: {why}. Choose another with PORT and HOST: PORT=8001 ./run") from None


def _port() -> int:
    text = os.environ.get("PORT") or "8000"
    if not text.isdecimal() or not 0 < int(text) < 65536:
        raise RunError(f"PORT must be a number from 1 to 65535, not {text!r}")
    return int(text)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
