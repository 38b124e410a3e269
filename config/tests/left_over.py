"""Finds the processes that belong to a data folder, so that tests can see what is left over."""

import os
import signal
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def belonging_to(folder: Path, *words: str) -> list[int]:
    """The processes that name the folder in their command or environment, and have these words in their command."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):
            command = (process / "cmdline").read_bytes()
            mentions = os.fsencode(folder) in command + (process / "environ").read_bytes()
            if mentions and int(process.name) != os.getpid() and all(word.encode() in command for word in words):
                found.append(int(process.name))
    return found


def owner(folder: Path, name: str) -> list[int]:
    return belonging_to(folder, "config.embedded", name)


def postmaster(folder: Path) -> list[int]:
    """Its process; a child that it has just made carries its command for a moment."""
    found = belonging_to(folder, "bin/postgres", "listen_addresses")
    return [pid for pid in found if _parent(pid) not in found]


def _parent(pid: int) -> int:
    try:
        return int(_stat(pid)[1])
    except FileNotFoundError:
        return 0


def _stat(pid: int) -> list[str]:
    """The state of a process, its parent, and what else the kernel says of it."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()


def valkey(folder: Path) -> list[int]:
    return belonging_to(folder, "valkey-server", "--unixsocket")


def kill(pids: list[int], number: signal.Signals = signal.SIGKILL) -> None:
    """Send the signal; after a SIGKILL, wait until the processes have ended and their locks are free."""
    assert pids
    for pid in pids:
        os.kill(pid, number)
    if number == signal.SIGKILL:
        assert eventually(lambda: all(_has_ended(pid) for pid in pids))


def _has_ended(pid: int) -> bool:
    try:
        return _stat(pid)[0] in "ZX"
    except FileNotFoundError:
        return True


def eventually(condition: Callable[[], object], seconds: float = 15) -> bool:
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def nothing_is_left(folder: Path, seconds: float = 15) -> bool:
    return eventually(lambda: not belonging_to(folder), seconds)
