"""The embedded servers: shared by any number of processes, gone with the last one, whatever is killed."""

import json
import os
import signal
import stat
import subprocess
import sys
import time
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import environ
import psycopg
import pytest
from kombu import Connection
from redis import Redis, RedisError

from config.tests.left_over import belonging_to, eventually, kill, nothing_is_left, owner, postmaster, valkey

pytestmark = [
    pytest.mark.server,
    pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc"),
]
BASE_DIR = Path(__file__).parents[2]
USER = """
import json, sys
from pathlib import Path
from config.embedded import EmbeddedServers
{before}
servers = EmbeddedServers(Path(sys.argv[1]), json.loads(sys.argv[2]))
print(json.dumps(servers.start()), flush=True)
for line in sys.stdin:
    print(json.dumps(servers.start()), flush=True)
servers.stop()
"""


class User:
    """A process that uses the servers until it is closed."""

    def __init__(self, folder: Path, given: dict[str, str] | None = None, before: str = "") -> None:
        command = [sys.executable, "-c", USER.format(before=before), str(folder), json.dumps(given or {})]
        self.process = subprocess.Popen(command, cwd=BASE_DIR, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    def urls(self) -> dict[str, str]:
        assert self.process.stdout
        line = self.process.stdout.readline()
        assert line, "the servers did not start"
        urls: dict[str, str] = json.loads(line)
        return urls

    def ask(self) -> None:
        assert self.process.stdin
        self.process.stdin.write("start\n")
        self.process.stdin.flush()

    def start_again(self) -> dict[str, str]:
        self.ask()
        return self.urls()

    def close(self) -> int:
        self.process.communicate(timeout=30)
        return self.process.returncode


def connect(urls: dict[str, str], **changes: Any) -> psycopg.Connection:
    """Connect as Django does: with what django-environ makes of the address."""
    address = environ.Env.db_url_config(urls["DATABASE_URL"])
    parameters = {name: address[name.upper()] for name in ("host", "port", "user")} | {"dbname": address["NAME"]}
    return psycopg.connect(autocommit=True, **(parameters | changes))


def works(urls: dict[str, str]) -> bool:
    try:
        Redis.from_url(urls["REDIS_URL"], retry=None).ping()
        with connect(urls) as connection:
            connection.execute("CREATE TABLE IF NOT EXISTS visits (id serial)")
            connection.execute("INSERT INTO visits DEFAULT VALUES")
    except (psycopg.OperationalError, RedisError):
        return False
    return True


def visits(urls: dict[str, str]) -> int:
    with connect(urls) as connection:
        row = connection.execute("SELECT count(*) FROM visits").fetchone()
    assert row
    return int(row[0])


@pytest.fixture(scope="session")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty database, which is faster to copy than to make."""
    folder = tmp_path_factory.mktemp("template")
    user = User(folder)
    user.urls()
    user.close()
    return folder / "postgres"


@pytest.fixture
def folder(empty: Path, database: Path) -> Path:
    copy_database(database, empty)
    return empty


def copy_database(database: Path, folder: Path) -> None:
    subprocess.run(["cp", "-a", database, folder], check=True)


def test_users_share_the_servers_until_the_last_one_has_gone(folder: Path) -> None:
    alice, bob = User(folder), User(folder)
    urls = alice.urls()
    assert bob.urls() == urls
    assert works(urls)
    assert (len(postmaster(folder)), len(valkey(folder))) == (1, 1)

    assert alice.close() == 0
    assert works(urls)
    assert bob.close() == 0
    assert not belonging_to(folder)

    carol = User(folder)
    assert visits(carol.urls()) == 2
    carol.close()


def test_six_at_once_on_an_empty_folder_end_with_one_of_each(empty: Path) -> None:
    users = [User(empty) for _ in range(6)]
    assert all(works(user.urls()) for user in users)
    assert (len(postmaster(empty)), len(valkey(empty))) == (1, 1)
    assert (len(owner(empty, "postgres")), len(owner(empty, "valkey"))) == (1, 1)
    assert {user.close() for user in users} == {0}
    assert not belonging_to(empty)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_a_server_that_was_killed_comes_back(folder: Path, name: str) -> None:
    alice = User(folder)
    urls = alice.urls()
    assert works(urls)
    before = owner(folder, name)
    kill(postmaster(folder) if name == "postgres" else valkey(folder))
    assert not works(urls)
    assert eventually(lambda: works(urls))
    assert owner(folder, name) == before
    alice.close()
    assert not belonging_to(folder)


@pytest.mark.parametrize("name", ["postgres", "valkey"])
def test_an_owner_that_was_killed_is_replaced(folder: Path, name: str) -> None:
    alice = User(folder)
    urls = alice.urls()
    assert works(urls)
    kill(owner(folder, name))
    assert alice.start_again() == urls
    assert works(urls)
    assert visits(urls) == 2
    alice.close()
    assert not belonging_to(folder)


@pytest.mark.parametrize("also_owners", [False, True])
def test_nothing_is_left_when_all_users_are_killed(folder: Path, also_owners: bool) -> None:
    alice = User(folder)
    assert works(alice.urls())
    owners = [*owner(folder, "postgres"), *owner(folder, "valkey")]
    kill([alice.process.pid, *(owners if also_owners else [])])
    alice.process.wait()
    assert nothing_is_left(folder)

    bob = User(folder)
    assert visits(bob.urls()) == 1
    bob.close()


def test_a_new_server_waits_for_the_end_of_the_old_one(folder: Path) -> None:
    alice = User(folder)
    alice.urls()
    kill(old := valkey(folder), signal.SIGSTOP)
    kill(owner(folder, "valkey"))
    alice.ask()
    assert eventually(lambda: owner(folder, "valkey"))
    time.sleep(0.5)
    assert valkey(folder) == old
    assert not (folder / "run" / "valkey.ready").exists()
    kill(old, signal.SIGCONT)
    assert works(alice.urls())
    assert valkey(folder) != old
    alice.close()


def test_a_first_start_that_was_interrupted_heals(empty: Path) -> None:
    alice = User(empty)
    assert eventually(lambda: belonging_to(empty, "initdb"))
    kill([*owner(empty, "postgres"), *belonging_to(empty, "initdb"), alice.process.pid])
    assert (empty / "postgres.new").exists()
    assert not (empty / "postgres").exists()

    bob = User(empty)
    assert works(bob.urls())
    bob.close()


def test_a_pid_file_that_names_a_stranger_does_no_harm(folder: Path) -> None:
    as_server = ["setpriv", "--reuid=65534", "--clear-groups"] if os.geteuid() == 0 else []
    with subprocess.Popen([*as_server, "sleep", "60"]) as stranger:
        (folder / "postgres" / "postmaster.pid").write_text(f"{stranger.pid}\n{folder}/postgres\n")
        alice = User(folder)
        assert works(alice.urls())
        alice.close()
        assert stranger.poll() is None
        stranger.kill()


@pytest.mark.parametrize(
    ("given", "missing"),
    [({"DATABASE_URL": "postgres://elsewhere/x"}, "postgres"), ({"REDIS_URL": "redis://x"}, "valkey")],
)
def test_a_server_with_an_address_is_not_started(folder: Path, given: dict[str, str], missing: str) -> None:
    alice = User(folder, given)
    urls = alice.urls()
    assert not set(urls) & set(given)
    running = {"postgres": postmaster(folder), "valkey": valkey(folder)}
    assert [name for name, pids in running.items() if not pids] == [missing]

    bob = User(folder)  # who has no address gets the other server as well
    assert works(bob.urls())
    assert (len(postmaster(folder)), len(valkey(folder))) == (1, 1)
    alice.close()
    bob.close()


@pytest.mark.parametrize("name", ["x" * 120, "A, b", "Ä %2F +#?&;@:"])
def test_any_path_will_do(empty: Path, database: Path, name: str) -> None:
    home = empty / name
    home.mkdir()
    copy_database(database, home)
    alice = User(home)
    urls = alice.urls()
    assert works(urls)
    with Connection(urls["BROKER_URL"]) as broker:
        broker.default_channel.client.set("seen by", "kombu")
    path = unquote(urlsplit(urls["REDIS_URL"]).path)
    assert Redis(unix_socket_path=path, db=1).get("seen by") == b"kombu"
    assert Redis.from_url(urls["REDIS_URL"]).get("seen by") is None

    sockets = Path(path).parent
    assert stat.S_IMODE(sockets.stat().st_mode) == 0o700
    assert (sockets == home / "run") == name.startswith("Ä")
    alice.close()
    assert sockets.exists() == name.startswith("Ä")


def test_what_the_servers_are(folder: Path) -> None:
    alice = User(folder)
    urls = alice.urls()
    with connect(urls) as connection:
        role = connection.execute(
            "SELECT rolsuper, rolcreatedb, rolbypassrls FROM pg_roles WHERE rolname = current_user"
        )
        assert role.fetchone() == (False, True, False)
        assert connection.execute("SELECT upper('straße Ωλ é'), version() LIKE 'PostgreSQL 18%'").fetchone() == (
            "STRASSE ΩΛ É" if False else "STRAßE ΩΛ É",
            True,
        )
        assert connection.execute(
            "SELECT current_setting('listen_addresses'), current_setting('fsync')"
        ).fetchone() == (
            "",
            "on",
        )
    settings = Redis.from_url(urls["REDIS_URL"]).config_get("*")
    assert (settings["port"], settings["databases"]) == ("0", "128")
    assert (settings["maxmemory"], settings["maxmemory-policy"]) == (str(256 * 1024**2), "volatile-lfu")
    for name in (".s.PGSQL.5432", "valkey.sock"):
        assert stat.S_IMODE((folder / "run" / name).stat().st_mode) == 0o700
    alice.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another way")
def test_root_without_setpriv_uses_a_user_namespace(folder: Path, tmp_path: Path) -> None:
    first = User(folder)
    works(first.urls())
    first.close()
    (tmp_path / "setpriv").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "setpriv").chmod(0o755)
    alice = User(folder, before=f"import os; os.environ['PATH'] = '{tmp_path}:' + os.environ['PATH']")
    urls = alice.urls()
    assert works(urls)
    assert visits(urls) == 2
    assert (folder / "postgres").stat().st_uid == 0
    kill(owner(folder, "postgres"))
    kill([alice.process.pid])
    alice.process.wait()
    assert nothing_is_left(folder)

    bob = User(folder)
    assert visits(bob.urls()) == 2
    bob.close()
