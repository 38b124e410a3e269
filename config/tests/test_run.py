"""`./run`: what it sets up, starts, keeps running and leaves behind, which is nothing."""

import asyncio
import os
import re
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import urllib.request
from http.client import HTTPException
from pathlib import Path

import pytest

from config.embedded import EmbeddedServers
from config.supervisor import Process, Supervisor
from config.tests.left_over import belonging_to, eventually, kill, nothing_is_left, owner, postmaster

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
BASE_DIR = Path(__file__).parents[2]
# Empty rather than absent, so that a developer's .env does not fill them.
BLANK = dict.fromkeys(["DATABASE_URL", "REDIS_URL", "BROKER_URL", "SECRET_KEY", "DEBUG", "HOST", "WEB_WORKERS"], "")
BLANK["DJANGO_SETTINGS_MODULE"] = "config.settings"  # not the tests'


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        port: int = listener.getsockname()[1]
        return port


def _hear_ctrl_c() -> None:
    """As at a terminal: what a shell begins with `&`, such as these tests, does not, nor what that begins."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


class Run:
    """`./run` with a data folder of its own, without the part that installs."""

    def __init__(self, folder: Path, *arguments: str, output: int | None = None, **environment: str) -> None:
        self.port = environment.get("PORT") or str(free_port())
        environment = {**os.environ, **BLANK, "DATA_DIR": str(folder), "PORT": self.port, **environment}
        command = [sys.executable, "-m", "config.supervisor", *arguments]
        self.said = tempfile.TemporaryFile("a+")  # noqa: SIM115  (for as long as the process)
        output = output or self.said.fileno()
        self.process = subprocess.Popen(
            command,
            cwd=BASE_DIR,
            env=environment,
            stdout=output,
            stderr=output,
            start_new_session=True,
            preexec_fn=_hear_ctrl_c,
        )

    def output(self) -> str:
        self.said.seek(0)
        return self.said.read()

    def is_healthy(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/health", timeout=5) as response:
                return bool(response.status == 200)
        except (OSError, HTTPException):
            return False

    def until_ready(self) -> "Run":
        assert eventually(lambda: "First admin" in self.output() or self.process.poll() is not None, 60)
        assert self.process.poll() is None, self.output()
        return self

    def exit_code(self) -> int:
        return self.process.wait(60)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.exit_code()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("migrated")
    assert Run(folder, "manage", "shell", "-c", "").exit_code() == 0
    assert nothing_is_left(folder)
    return folder


@pytest.fixture
def folder(empty: Path, migrated: Path) -> Path:
    subprocess.run(["cp", "-a", f"{migrated}/.", empty], check=True)
    return empty


def test_run_answers_until_ctrl_c(folder: Path) -> None:
    run = Run(folder).until_ready()
    assert run.is_healthy()
    assert "migrating" not in run.output()
    assert f"http://127.0.0.1:{run.port}/docs" in run.output()
    assert stat.S_IMODE((folder / "secret_key").stat().st_mode) == 0o600

    before = postmaster(folder)
    code = "from django.conf import settings; print(settings.DEVELOPMENT, len(settings.SECRET_KEY), settings.DATA_DIR)"
    command = Run(folder, "manage", "shell", "--verbosity=0", "-c", code)
    assert command.exit_code() == 0
    assert command.output() == f"True 64 {folder}\n"
    assert postmaster(folder) == before
    assert run.is_healthy()

    assert os.getpgid(min(belonging_to(folder, "gunicorn"))) != run.process.pid  # a terminal's Ctrl-C is not for it
    assert run.stop() == 0
    assert "run: stopping\n" in run.output()
    assert not belonging_to(folder)


def test_run_stops_cleanly_when_nobody_reads_its_output(folder: Path) -> None:
    reading, writing = os.pipe()
    run = Run(folder, output=writing)
    os.close(writing)
    assert eventually(lambda: belonging_to(folder, "gunicorn"))
    os.close(reading)
    assert eventually(run.is_healthy)
    assert run.stop() == 0
    assert not belonging_to(folder)


def test_run_goes_on_when_its_output_is_on_a_full_disk(folder: Path) -> None:
    with open("/dev/full", "wb") as full:
        run = Run(folder, output=full.fileno())
    assert eventually(run.is_healthy, 30)
    for _ in range(300):  # more than a pipe holds of lines about them
        assert run.is_healthy()
    assert run.stop() == 0
    assert not belonging_to(folder)


def test_a_stop_that_comes_as_the_web_begins_to_answer_is_not_lost(tmp_path: Path) -> None:
    async def cancelled_as_it_answers() -> bool:
        supervisor = Supervisor(EmbeddedServers(tmp_path, os.environ), "127.0.0.1", 1)
        worker = asyncio.create_task(supervisor._keep_running(Process("worker", ["sleep", "60"])))
        await asyncio.sleep(0.1)
        supervisor._answering.set()
        worker.cancel()
        await asyncio.wait([worker], timeout=2)
        stopped = worker.cancelled()
        worker.cancel()
        return stopped

    assert asyncio.run(cancelled_as_it_answers())


def test_run_starts_nothing_when_its_port_is_taken(empty: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        run = Run(empty, PORT=str(port))
        assert run.exit_code() == 1
    said = run.output()
    assert (
        said == f"run: 127.0.0.1:{port}: address already in use. Choose another with PORT and HOST: PORT=8001 ./run\n"
    )
    assert not list(empty.glob("run/*.log"))


def test_run_survives_the_death_of_its_parts(folder: Path) -> None:
    run = Run(folder).until_ready()
    kill([min(belonging_to(folder, "gunicorn"))])
    assert eventually(lambda: "web was killed by SIGKILL" in run.output())
    assert eventually(run.is_healthy)
    kill(owner(folder, "postgres"))
    assert eventually(lambda: "lost PostgreSQL" in run.output())
    assert eventually(run.is_healthy)
    kill(postmaster(folder))
    assert eventually(run.is_healthy)
    assert run.stop(signal.SIGTERM) == 0
    assert not belonging_to(folder)


def test_kill_9_of_run_leaves_nothing_running(folder: Path) -> None:
    run = Run(folder).until_ready()
    assert len(belonging_to(folder, "gunicorn")) > 1
    assert run.stop(signal.SIGKILL) == -9
    assert nothing_is_left(folder)

    again = Run(folder, PORT=run.port).until_ready()
    assert again.is_healthy()
    assert again.stop() == 0


def test_run_gives_up_on_a_process_that_cannot_start(folder: Path) -> None:
    run = Run(folder, WEB_WORKERS="none")
    assert run.exit_code() == 1
    assert "run: web ended 3 times in a row right after its start: see its lines above" in run.output()
    assert "web    | " in run.output()
    assert not belonging_to(folder)


def test_run_stops_while_it_starts(empty: Path) -> None:
    run = Run(empty)
    assert eventually(lambda: belonging_to(empty, "manage.py", "migrate"))
    assert run.stop(signal.SIGTERM) == 0
    assert not belonging_to(empty)


def test_manage_migrates_once_and_returns_the_exit_code(folder: Path) -> None:
    def manage(*command: str) -> tuple[int, bool]:
        run = Run(folder, "manage", *command)
        return run.exit_code(), "migrating the database" in run.output()

    assert manage("shell", "-c", "import sys; sys.exit(7)") == (7, False)
    assert manage("migrate", "--verbosity=0") == (0, False)
    assert manage("shell", "-c", "") == (0, True)  # someone may have migrated back
    assert nothing_is_left(folder)
    shutil.rmtree(folder / "postgres")
    assert manage("shell", "-c", "") == (0, True)
    assert nothing_is_left(folder)


def test_manage_leaves_nothing_when_killed(folder: Path) -> None:
    run = Run(folder, "manage", "shell", "-c", "print('here', flush=True); import time; time.sleep(60)")
    assert eventually(lambda: "here" in run.output())
    assert postmaster(folder)
    assert run.stop() not in (0, 1)  # Ctrl-C reached the command
    assert nothing_is_left(folder)


def test_test_returns_the_exit_code_of_pytest_and_cleans_up(empty: Path) -> None:
    run = Run(empty, "test", "-q", "-n0", "-k", "nothing_is_called_so", "config/tests", TMPDIR=str(empty))
    assert run.exit_code() == 5, run.output()
    assert not list(empty.iterdir())
    assert not belonging_to(empty)


def test_the_fast_lane_starts_no_server_and_says_which_tests_need_one(empty: Path) -> None:
    tests = ["mesh/tests/formats", "mesh/tests/execution/test_audit.py"]
    run = Run(empty, "test", "--fast", "-q", *tests, TMPDIR=str(empty), PYTHONDONTWRITEBYTECODE="1")
    assert run.exit_code() == 0, run.output()
    assert re.search(r"^\d+ passed, 6 deselected in ", run.output(), re.M), run.output()
    assert not (empty / "postgres").exists()
    assert not belonging_to(empty)


class Project:
    """A project with the real `run`, that says how it was started."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "config").mkdir(parents=True)
        shutil.copy(BASE_DIR / "run", folder)
        (folder / "requirements.txt").touch()
        (folder / "requirements-dev.txt").write_text("-r requirements.txt\n")
        (folder / "config" / "supervisor.py").write_text("import os, sys; print(os.getcwd(), sys.prefix, sys.argv[1:])")

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        environment = {name: value for name, value in os.environ.items() if name != "HOME"}
        return subprocess.Popen(
            [self.folder / "run", *arguments],
            cwd="/",
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )

    def run(self, *arguments: str) -> tuple[str, bool]:
        """What it printed, and whether it installed anything."""
        return self.result(self.start(*arguments))

    def result(self, process: "subprocess.Popen[str]") -> tuple[str, bool]:
        out, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        return out.strip(), "installing" in err

    def answer(self, *arguments: str) -> str:
        return f"{self.folder} {self.folder}/.venv {list(arguments)}"


def test_run_installs_what_changed_and_heals(tmp_path: Path) -> None:
    project = Project(tmp_path / "a house; with $paces")
    interrupted = project.start()
    assert eventually((project.folder / ".venv" / "bin" / "python").exists)
    os.killpg(interrupted.pid, signal.SIGKILL)
    interrupted.communicate()
    assert (project.folder / ".venv" / "installing").exists()

    both = [project.start("one"), project.start("two")]
    assert [project.result(process)[0] for process in both] == [project.answer("one"), project.answer("two")]
    assert project.run("manage", "a b") == (project.answer("manage", "a b"), False)
    assert project.run("test") == (project.answer("test"), True)
    assert project.run("test") == (project.answer("test"), False)

    (project.folder / "requirements.txt").write_text("# changed\n")
    assert project.run("test") == (project.answer("test"), True)
    assert project.run() == (project.answer(), False)
    (project.folder / ".venv" / "installing").touch()
    assert project.run() == (project.answer(), True)


def test_run_says_what_is_missing(tmp_path: Path) -> None:
    project = Project(tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("dirname", "cat"):
        (tmp_path / "bin" / name).symlink_to(str(shutil.which(name)))
    (tmp_path / "bin" / "python3").write_text("#!/bin/sh\nexit 1\n")  # too old, or without venv
    (tmp_path / "bin" / "python3").chmod(0o755)
    result = subprocess.run([project.folder / "run"], env={"PATH": f"{tmp_path}/bin"}, capture_output=True, text=True)
    assert (result.returncode, result.stdout) == (1, "")
    assert "needs Python 3.11 or newer" in result.stderr
    assert "apt install python3-venv" in result.stderr
