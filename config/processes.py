"""Child processes that end with their parent, locks that end with their holder, and output that may lose its reader."""

import contextlib
import ctypes
import fcntl
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TextIO

PR_SET_PDEATHSIG = 1
_libc = ctypes.CDLL(None) if sys.platform == "linux" else None


def end_with_parent(number: signal.Signals = signal.SIGTERM) -> Callable[[], None] | None:
    """Return a `preexec_fn` that makes the kernel send a signal to the child when its parent ends, even by kill -9.

    Linux only; elsewhere None. The thread that made the child counts as its parent: call it from the main thread.
    """
    if _libc is None:
        return None
    libc, parent = _libc, os.getpid()

    def ask_the_kernel() -> None:
        libc.prctl(PR_SET_PDEATHSIG, int(number))
        if os.getppid() != parent:  # it has already ended: no signal will come
            os._exit(1)

    return ask_the_kernel


def emit(stream: TextIO, data: bytes) -> None:
    """Write to stdout or stderr. It may have lost its reader: at Ctrl-C `| tee` ends before we do.

    What a full disk does not take is lost: whoever writes to us goes on.
    """
    try:
        while data:
            data = data[os.write(stream.fileno(), data) :]
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError:
        pass


def say(text: str) -> None:
    """Print a line of `./run`'s own; standard output is for what the user asked for."""
    emit(sys.stderr, f"run: {text}\n".encode())


def lock(path: Path, *, shared: bool = False) -> int:
    """Wait for a lock on a file. It lasts until the descriptor and all its copies, a child's too, are closed."""
    descriptor = _open(path)
    fcntl.flock(descriptor, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
    return descriptor


def try_lock(path: Path, *, shared: bool = False) -> int | None:
    """Lock a file as `lock` does, or return None when it is taken."""
    descriptor = _open(path)
    try:
        fcntl.flock(descriptor, (fcntl.LOCK_SH if shared else fcntl.LOCK_EX) | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        return None
    return descriptor


@contextlib.contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a lock on a file for a block."""
    descriptor = lock(path)
    try:
        yield
    finally:
        os.close(descriptor)


def is_locked(path: Path, *, shared: bool = False) -> bool:
    """Say whether the lock is taken."""
    descriptor = try_lock(path, shared=shared)
    if descriptor is not None:
        os.close(descriptor)
    return descriptor is None


def _open(path: Path) -> int:
    return os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
