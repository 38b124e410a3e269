"""Folders for the tests that start the real thing."""

import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from config.tests.left_over import belonging_to


@pytest.fixture
def empty() -> Iterator[Path]:
    """A folder with a path that is short enough for sockets, unlike pytest's own; in memory if there is room."""
    in_memory = os.access("/dev/shm", os.W_OK) and shutil.disk_usage("/dev/shm").free > 2**30
    path = Path(tempfile.mkdtemp(prefix="mw", dir="/dev/shm" if in_memory else None))
    yield path
    for pid in belonging_to(path):
        os.kill(pid, 9)
    shutil.rmtree(path, ignore_errors=True)
