"""All that runs during a benchmark: Postgres and Valkey of its own, the data, and the two servers."""

import hashlib
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Self

import psycopg

from benchmarks.load import Server
from config.embedded import EmbeddedServers
from config.processes import end_with_parent
from config.servers import PORT, Postgres
from config.supervisor import WEB_WORKER, processes

HERE = Path(__file__).resolve().parent
PROJECT = HERE.parent
START_TIMEOUT = 60.0
SECRET_KEY = "only-for-benchmarks-only-for-benchmarks-only"
PASSWORD = "correct horse battery staple"
PEOPLE = 20  # who send the requests, in turn
DATABASES = ("meshwork", "peer")


class StackError(Exception):
    """Something that the benchmark needs is missing or does not start."""


class Stack:
    """The servers, each in one process on `server_cpu`; everything else inherits the CPUs of this process.

    `workers`: each server has a worker for its jobs beside it. On leaving the `with`, all of it is stopped and its
    folder removed.
    """

    def __init__(self, *, server_cpu: int, threads: int, workers: bool = False) -> None:
        self._server_cpu, self._threads, self._with_workers = server_cpu, threads, workers
        self._folder = Path(tempfile.mkdtemp(prefix="meshwork-benchmark-"))
        self._embedded = EmbeddedServers(self._folder, {})
        self._postgres = Postgres(self._folder.resolve())
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            python = peer_python()
            addresses = self._embedded.start()
            self.execute("meshwork", "CREATE DATABASE peer")
            self.redis_url = addresses["REDIS_URL"]
            self.meshwork = self._start_meshwork(addresses)
            self.peer = self._start_peer(python)
            if self._with_workers:
                self._start_workers(python)
            credentials = {"email": "user1@example.com", "name": "User 1", "password": PASSWORD}
            ask(self.meshwork, "POST", "/auth/signup", body=credentials, expected=201)
            for database in DATABASES:
                self.execute(database, (HERE / "data.sql").read_text())
                self.execute(database, "VACUUM ANALYZE")
            self.tokens = [self._signed_in(number) for number in range(1, PEOPLE + 1)]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children:
            child.send_signal(signal.SIGTERM)
        for child in self._children:
            child.wait()
        self._embedded.stop()
        shutil.rmtree(self._folder, ignore_errors=True)

    @property
    def database_pid(self) -> int:
        return int(self._postgres.pid_file().read_text().split()[0])

    def execute(self, database: str, *statements: str) -> None:
        with self.connect(database) as connection:
            for statement in statements:
                connection.execute(statement)

    def connect(self, database: str) -> psycopg.Connection[tuple[Any, ...]]:
        address = {"host": str(self._postgres.sockets), "port": PORT, "user": "meshwork", "dbname": database}
        return psycopg.connect(**address, autocommit=True)

    def _start_meshwork(self, addresses: Mapping[str, str]) -> Server:
        self._ours = {
            **addresses,
            "SECRET_KEY": SECRET_KEY,
            "DEBUG": "off",
            "HTTPS": "off",
            "SIGNUP_OPEN": "on",
            "LOG_LEVEL": "WARNING",
            "RATE_LIMIT_READ": "100000000/min",  # counted, but never reached
            "RATE_LIMIT_WRITE": "100000000/min",
            "RATE_LIMIT_SECONDS": "100000000/min",
            "RATE_LIMIT_BYTES": "100000GB/min",
            "RATE_LIMIT_LOGIN": "off",
            "MESH_CHECK_ANSWERS": "off",
            "WEB_THREADS": str(self._threads),
            "DJANGO_SETTINGS_MODULE": "benchmarks.settings" if self._with_workers else "config.settings",
        }
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(migrate, cwd=PROJECT, env={**os.environ, **self._ours}, check=True)
        gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind=127.0.0.1:{port}"]
        options = [f"--worker-class={WEB_WORKER}", "--workers=1", f"--threads={self._threads}"]
        return self._start("meshwork", [*gunicorn, *options], self._ours)

    def _start_peer(self, python: Path) -> Server:
        self._theirs = {
            "SECRET_KEY": SECRET_KEY,
            "PEER_DATABASE_URL": f"postgresql+asyncpg://meshwork@/peer?host={self._postgres.sockets}&port={PORT}",
            "PEER_REDIS_URL": self.redis_url.replace("db=0", "db=2"),
        }
        uvicorn = [str(python), "-m", "uvicorn", "benchmarks.peer.app:app", "--port={port}", "--no-access-log"]
        return self._start("peer", [*uvicorn, "--loop=uvloop", "--http=httptools"], self._theirs)

    def _start_workers(self, python: Path) -> None:
        """Meshwork's as `./run` starts it; the peer's takes as many jobs at once."""
        ours = next(process.command for process in processes("", 0) if process.name == "worker")
        theirs = [str(python), "-m", "benchmarks.peer.worker"]
        self.workers = {
            "peer": self._spawn("peer worker", theirs, self._theirs).pid,
            "meshwork": self._spawn("meshwork worker", ours, self._ours).pid,
        }

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> Server:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        child = self._spawn(name, [part.replace("{port}", str(port)) for part in command], environment)
        server = Server(name, f"http://127.0.0.1:{port}", child.pid)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                ask(server, "GET", "/health")
                return server
            except OSError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise StackError(f"{name} does not start:\n{self.log(name)}") from None
                time.sleep(0.1)

    def log(self, name: str) -> str:
        """The end of what a process has said."""
        return (self._folder / f"{name}.log").read_text()[-2000:]

    def _spawn(self, name: str, command: list[str], environment: Mapping[str, str]) -> subprocess.Popen[bytes]:
        with (self._folder / f"{name}.log").open("wb") as output:
            child = subprocess.Popen(
                command,
                cwd=PROJECT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=self._on_server_cpu(),
            )
        self._children.append(child)
        return child

    def _on_server_cpu(self) -> Callable[[], None]:
        ask_to_end, cpu = end_with_parent(), self._server_cpu

        def prepare() -> None:
            os.sched_setaffinity(0, {cpu})
            if ask_to_end is not None:
                ask_to_end()

        return prepare

    def _signed_in(self, number: int) -> str:
        """The access token of an AGENT of the data set."""
        credentials = {"username": f"user{number}@example.com", "password": PASSWORD}
        return str(json.loads(ask(self.meshwork, "POST", "/auth/login", body=credentials))["access_token"])


def ask(
    server: Server,
    method: str,
    path: str,
    *,
    token: str = "",
    body: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] | None = None,
    expected: int = 200,
) -> bytes:
    """The body of one answer. Raises StackError where its status is another than expected."""
    sent = {"Content-Type": "application/json", "Authorization": f"Bearer {token}", **(headers or {})}
    if not token:
        del sent["Authorization"]
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(server.url + path, data, sent, method=method)
    try:
        with urllib.request.urlopen(request) as response:
            status, answer = response.status, response.read()
    except urllib.error.HTTPError as refusal:
        status, answer = refusal.code, refusal.read()
    if status != expected:
        raise StackError(f"{server.name} answers {method} {path} with {status}, not {expected}: {answer[:500]!r}")
    return bytes(answer)


def peer_python() -> Path:
    """The interpreter of the peer's virtual environment, which is made once for each version of requirements.txt."""
    requirements = HERE / "requirements.txt"
    version = hashlib.sha256(requirements.read_bytes()).hexdigest()[:12]
    data_dir = Path(os.environ.get("DATA_DIR", PROJECT / ".data")).resolve()
    folder = data_dir / "benchmarks" / f"peer-{version}"
    if not folder.exists():
        print(f"Installing the peer into {folder} …", flush=True)
        new = folder.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", new], check=True)
        subprocess.run([new / "bin" / "python", "-m", "pip", "install", "-q", "-r", requirements], check=True)
        new.rename(folder)
    return folder / "bin" / "python"
