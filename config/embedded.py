"""The embedded default: a private PostgreSQL and a private Valkey in DATA_DIR, for whichever has no address given.

Any number of processes may use them at once, in whatever order they come and go. Each server has one owner, a small
process in the background (`python -m config.embedded`), which starts it, starts it again when it dies, and stops it
when the last user has gone. Three locks in DATA_DIR/run say who is there. The kernel drops them however their holders
end, so nothing has to be cleaned up after a kill -9:

- NAME.users is shared by all users; the owner that gets it alone has no users left;
- NAME.owner is held by the owner, and by who starts it before: one at a time;
- NAME.server is held by the server and all its children: an old one must be gone before a new one starts.

The owner makes the file NAME.ready when its server answers.
"""

# ruff: noqa: S603  (every command is our own)

import contextlib
import fcntl
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping
from pathlib import Path

from config.processes import is_locked, lock, locked, try_lock
from config.servers import Postgres, Server, ServerError, Valkey, make_private

START_TIMEOUT = 60.0
STOP_TIMEOUT = 10.0  # for each of a server's stop signals
POLL = 0.02
OWNER_POLL = 0.2
SERVERS: dict[str, type[Server]] = {"postgres": Postgres, "valkey": Valkey}


class EmbeddedServers:
    """One process's use of the servers that the environment gives no address for.

    `start` gives the environment variables to set. The servers stop after `stop`, or after the end of this process,
    unless other processes use them. `throwaway` trades durability for speed, for tests.
    """

    def __init__(self, data_dir: Path, given: Mapping[str, str], *, throwaway: bool = False) -> None:
        wanted = [server for server in SERVERS.values() if not given.get(server.variable)]
        self._uses = [_Use(server(data_dir.resolve(), throwaway=throwaway)) for server in wanted]

    @property
    def embeds_database(self) -> bool:
        """Whether the database is one of ours."""
        return any(isinstance(use.server, Postgres) for use in self._uses)

    def start(self) -> dict[str, str]:
        """Use the servers that run, start those that do not, and return the variables when all of them answer."""
        for use in self._uses:
            use.begin()
        deadline = time.monotonic() + START_TIMEOUT
        waiting = self._uses
        while waiting := [use for use in waiting if not use.ready()]:
            if time.monotonic() > deadline:
                raise waiting[0].failure("does not answer")
            time.sleep(POLL)
        return {name: value for use in self._uses for name, value in use.server.urls().items()}

    def lost(self) -> list[str]:
        """Return the titles of the servers whose owner was killed; `start` brings them back."""
        return [use.server.title for use in self._uses if not use.has_owner()]

    def keep_over_exec(self) -> None:
        """Let the program that replaces this process by exec go on being a user of the servers."""
        for use in self._uses:
            os.set_inheritable(use.descriptor, True)

    def stop(self) -> None:
        """Stop using the servers, and wait for the end of those that nobody else uses."""
        for use in self._uses:
            use.end()
        for use in self._uses:
            with contextlib.suppress(FileNotFoundError):  # someone removed the data folder
                use.wait_for_owner()


class _Use:
    """One process's use of one server."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self.descriptor = -1
        self.owners = server.run / "owners"  # held for a moment, lest a dead owner's mark is taken for a new one's
        self.owner: subprocess.Popen[bytes] | None = None

    def begin(self) -> None:
        make_private(self.server.run)
        self.owner = None
        if self.descriptor < 0:
            self.descriptor = lock(self.server.users_lock, shared=True)  # waits while an owner stops its server

    def ready(self) -> bool:
        """Make sure that there is an owner, and say whether its server answers."""
        with locked(self.owners):
            if (owner_lock := try_lock(self.server.owner_lock)) is not None:
                try:
                    if self.owner is not None:
                        raise self.failure("does not start")
                    self.server.ready_mark.unlink(missing_ok=True)
                    self.owner = self._start_owner(owner_lock)
                finally:
                    os.close(owner_lock)
            marked = self.server.ready_mark.exists()
        return marked and self.server.answers()

    def has_owner(self) -> bool:
        with locked(self.owners):
            return is_locked(self.server.owner_lock)

    def failure(self, what: str) -> ServerError:
        lines = self.server.log.read_text(errors="replace").splitlines()[-5:]
        return ServerError("\n  ".join([f"{self.server.title} {what}. The end of {self.server.log}:", *lines]))

    def end(self) -> None:
        if self.descriptor >= 0:
            os.close(self.descriptor)
            self.descriptor = -1

    def wait_for_owner(self) -> None:
        """Return when the owner has stopped its server, or at once when it has other users."""
        others = is_locked(self.server.users_lock) and not is_locked(self.server.users_lock, shared=True)
        deadline = time.monotonic() + STOP_TIMEOUT * len(self.server.stop_signals)
        while not others and self.has_owner() and time.monotonic() < deadline:
            time.sleep(POLL)

    def _start_owner(self, owner_lock: int) -> subprocess.Popen[bytes]:
        server = self.server
        mode = ["--throwaway"] if server.throwaway else []
        with server.log.open("wb") as log:
            return subprocess.Popen(
                [sys.executable, "-m", __name__, server.name, str(server.data_dir), *mode],
                cwd=Path(__file__).parent.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,  # a terminal's Ctrl-C and end are not for it
                pass_fds=[owner_lock],
            )


class _Owner:
    """What the process that owns a server does."""

    def __init__(self, server: Server) -> None:
        self.server = server
        self._users = os.open(server.users_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._told_to_stop = False
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._stop)

    def run(self) -> None:
        """Keep the server running until its last user has gone."""
        failures = 0
        while not self._done():
            make_private(self.server.sockets)
            server_lock = self._wait_for_old_server()
            process = self.server.start(server_lock)
            os.close(server_lock)
            started = time.monotonic()
            while process.poll() is None and not self._done():
                self._mark_when_ready()
                time.sleep(OWNER_POLL if self.server.ready_mark.exists() else POLL)
            self.server.ready_mark.unlink(missing_ok=True)
            if process.poll() is None:
                self._end(process)
                break
            failures = failures + 1 if time.monotonic() - started < 5 else 1
            if failures == 5:
                raise ServerError(f"{self.server.title} ended {failures} times in a row right after its start")
            time.sleep(OWNER_POLL * failures)
        with contextlib.suppress(OSError):  # the short folder; not when it is the other server's too
            self.server.sockets.rmdir()

    def _mark_when_ready(self) -> None:
        if not self.server.ready_mark.exists() and self.server.answers():
            self.server.ready_mark.touch()

    def _stop(self, *_: object) -> None:
        self._told_to_stop = True

    def _done(self) -> bool:
        if self._told_to_stop:
            return True
        try:
            fcntl.flock(self._users, fcntl.LOCK_EX | fcntl.LOCK_NB)  # new users now wait for our end
        except BlockingIOError:
            return False
        return True

    def _end(self, process: subprocess.Popen[bytes]) -> None:
        for number in self.server.stop_signals:
            process.send_signal(number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(STOP_TIMEOUT)
                return

    def _wait_for_old_server(self) -> int:
        """Get the server's lock. What holds it lost its owner: on Linux it is ending, elsewhere nobody told it to."""
        if (server_lock := self._lock_within(STOP_TIMEOUT if sys.platform == "linux" else 0)) is not None:
            return server_lock
        for number in self.server.stop_signals:
            with contextlib.suppress(OSError, ValueError):
                os.kill(int(self.server.pid_file().read_text().split()[0]), number)
            if (server_lock := self._lock_within(STOP_TIMEOUT)) is not None:
                return server_lock
        raise ServerError(f"an old {self.server.title} does not end")

    def _lock_within(self, seconds: float) -> int | None:
        deadline = time.monotonic() + seconds
        while (server_lock := try_lock(self.server.server_lock)) is None and time.monotonic() < deadline:
            time.sleep(POLL)
        return server_lock


def main(arguments: Iterable[str]) -> int:
    """Own a server: `python -m config.embedded NAME DATA_DIR [--throwaway]`."""
    name, data_dir, *mode = arguments
    try:
        _Owner(SERVERS[name](Path(data_dir), throwaway="--throwaway" in mode)).run()
    except ServerError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
