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

    On leaving the `with`, all of it is stopped and its folder removed.
    """

    def __init__(self, *, server_cpu: int, threads: int) -> None:
        self._server_cpu, self._threads = server_cpu, threads
        self._folder = Path(tempfile.mkdtemp(prefix="meshwork-benchmark-"))
        self._embedded = EmbeddedServers(self._folder, {})
        self._postgres = Postgres(self._folder.resolve())
        self._children: list[subprocess.Popen[bytes]] = []

    def __enter__(self) -> Self:
        try:
            python = peer_python()
            addresses = self._embedded.start()
            self.execute("meshwork", "CREATE DATABASE peer")
            self.meshwork = self._start_meshwork(addresses)
            self.peer = self._start_peer(python, addresses["REDIS_URL"])
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
        address = {"host": str(self._postgres.sockets), "port": PORT, "user": "meshwork", "dbname": database}
        with psycopg.connect(**address, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    def _start_meshwork(self, addresses: Mapping[str, str]) -> Server:
        environment = {
            **addresses,
            "SECRET_KEY": SECRET_KEY,
            "DEBUG": "off",
            "HTTPS": "off",
            "SIGNUP_OPEN": "on",
            "LOG_LEVEL": "WARNING",
            "RATE_LIMIT_READ": "100000000/min",  # counted, but never reached
            "RATE_LIMIT_WRITE": "100000000/min",
            "RATE_LIMIT_LOGIN": "off",
            "MESH_CHECK_ANSWERS": "off",
            "WEB_THREADS": str(self._threads),
        }
        migrate = [sys.executable, "manage.py", "migrate", "--verbosity=0"]
        subprocess.run(migrate, cwd=PROJECT, env={**os.environ, **environment}, check=True)
        gunicorn = [sys.executable, "-m", "gunicorn", "config.wsgi", "--bind=127.0.0.1:{port}"]
        options = ["--worker-class=gthread", "--workers=1", f"--threads={self._threads}"]
        return self._start("meshwork", [*gunicorn, *options], environment)

    def _start_peer(self, python: Path, redis_url: str) -> Server:
        environment = {
            "SECRET_KEY": SECRET_KEY,
            "PEER_DATABASE_URL": f"postgresql+asyncpg://meshwork@/peer?host={self._postgres.sockets}&port={PORT}",
            "PEER_REDIS_URL": redis_url.replace("db=0", "db=2"),
        }
        uvicorn = [str(python), "-m", "uvicorn", "benchmarks.peer.app:app", "--port={port}", "--no-access-log"]
        return self._start("peer", [*uvicorn, "--loop=uvloop", "--http=httptools"], environment)

    def _start(self, name: str, command: list[str], environment: Mapping[str, str]) -> Server:
        with socket.socket() as unused:
            unused.bind(("127.0.0.1", 0))
            port = unused.getsockname()[1]
        log = self._folder / f"{name}.log"
        with log.open("wb") as output:
            child = subprocess.Popen(
                [part.replace("{port}", str(port)) for part in command],
                cwd=PROJECT,
                env={**os.environ, **environment},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=output,
                preexec_fn=self._on_server_cpu(),
            )
        self._children.append(child)
        server = Server(name, f"http://127.0.0.1:{port}", child.pid)
        deadline = time.monotonic() + START_TIMEOUT
        while True:
            try:
                ask(server, "GET", "/health")
                return server
            except OSError:
                if child.poll() is not None or time.monotonic() > deadline:
                    raise StackError(f"{name} does not start:\n{log.read_text()[-2000:]}") from None
                time.sleep(0.1)

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
