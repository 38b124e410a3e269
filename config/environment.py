"""Preparation before anything starts: environment variables, servers, migrations."""

# ruff: noqa: S603  (every command is our own)

import hashlib
import os
import secrets
import subprocess
import sys
from pathlib import Path

import environ

from config.embedded import EmbeddedServers
from config.processes import end_with_parent, locked, say
from config.servers import make_private

BASE_DIR = Path(__file__).resolve().parent.parent


class RunError(Exception):
    """Meshwork cannot start or continue; the message says what to do."""


def prepare_environment() -> Path:
    """Set what the environment and `.env` leave open, but for the servers' addresses, and return the data folder."""
    environ.Env.read_env(BASE_DIR / ".env")
    data_dir = (BASE_DIR / (os.environ.get("DATA_DIR") or ".data")).resolve()
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        make_private(data_dir / "run")
    except OSError as error:
        raise RunError(f"cannot write to {data_dir} ({error.strerror}): choose another folder with DATA_DIR") from None
    os.environ["DATA_DIR"] = str(data_dir)
    os.environ["DEBUG"] = os.environ.get("DEBUG") or "on"
    if not os.environ.get("SECRET_KEY"):
        os.environ["SECRET_KEY"] = _secret_key(data_dir)
    return data_dir


def start_servers(servers: EmbeddedServers) -> None:
    """Start or join the servers that no address was given for, and put their addresses into the environment."""
    for name, value in servers.start().items():
        if not os.environ.get(name):
            os.environ[name] = value


def migrate(data_dir: Path, servers: EmbeddedServers) -> None:
    """Migrate the database; skip it when the embedded one has had all of today's migrations."""
    with locked(data_dir / "run" / "setup"):
        if not servers.embeds_database:
            return _run_migrations()
        digest = hashlib.sha256((BASE_DIR / "requirements.txt").read_bytes())  # packages bring migrations, too
        for path in sorted(BASE_DIR.glob("*/migrations/*.py")):
            digest.update(str(path.relative_to(BASE_DIR)).encode() + path.read_bytes())
        stamp = _stamp(data_dir)
        if not stamp.exists() or stamp.read_text() != digest.hexdigest():
            _run_migrations()
            stamp.write_text(digest.hexdigest())


def forget_migrations(data_dir: Path) -> None:
    """Make `migrate` look again: someone is changing the tables by hand."""
    _stamp(data_dir).unlink(missing_ok=True)


def _secret_key(data_dir: Path) -> str:
    """Return the key that DATA_DIR keeps, made at the first start."""
    path = data_dir / "secret_key"
    with locked(data_dir / "run" / "setup"):
        if not path.exists():
            draft = path.with_suffix(".new")
            draft.touch(mode=0o600)
            draft.write_text(secrets.token_urlsafe(48))
            draft.rename(path)
    return path.read_text()


def _stamp(data_dir: Path) -> Path:
    """Return the file that says which migrations the database has had; it goes when the database goes."""
    return data_dir / "postgres" / "migrations"


def _run_migrations() -> None:
    say("migrating the database")
    command = [sys.executable, str(BASE_DIR / "manage.py"), "migrate", "--noinput", "--verbosity=0"]
    if subprocess.run(command, preexec_fn=end_with_parent()).returncode:
        raise RunError("the database could not be migrated: see above")
