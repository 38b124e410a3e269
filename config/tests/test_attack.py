"""`attack`: what it refuses, how it judges, and one short round of it against real processes.

How long a neighbour waits depends on the machine: the command judges that, these tests do not.
"""

import io
import re
import threading
from collections import Counter

import pytest
import requests
from django.core.management import CommandError, call_command

from accounts.models import User
from config.attack.campaign import NOBODY, Report
from config.attack.clients import NotHere, Target
from config.attack.kinds import KINDS, MOST_CONNECTIONS, Tally
from config.attack.neighbour import PACE, Waits
from config.tests.test_run import free_port
from mesh.tests.processes import empty_broker, eventually, process, worker

WELL = {operation: Waits([0.1, 0.2]) for operation in PACE}


@pytest.mark.parametrize(
    ("url", "address"),
    [
        ("http://localhost:8001", "127.0.0.1"),
        ("http://127.0.0.1", "127.0.0.1"),
        ("http://127.9.9.9:8000", "127.9.9.9"),
        ("http://[::1]:8000", "::1"),
    ],
)
def test_a_server_on_this_machine_is_attacked(url: str, address: str) -> None:
    assert Target.of(url).address == address


@pytest.mark.parametrize(
    "url",
    [
        "http://192.0.2.1:8000",
        "http://0.0.0.0:8000",
        "http://10.0.0.1",
        "http://localhost.invalid",
        "http://[2001:db8::1]:8000",
        "https://localhost",
        "localhost:8000",
        "http://",
        "http://localhost:99999",
        "",
    ],
)
def test_no_other_server_is(url: str) -> None:
    with pytest.raises(NotHere, match="is not a server on this machine"):
        Target.of(url)
    with pytest.raises(CommandError, match="is not a server on this machine"):
        call_command("attack", url=url)


def test_a_name_that_leads_elsewhere_too_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    both = [(2, 1, 6, "", ("127.0.0.1", 80)), (2, 1, 6, "", ("192.0.2.1", 80))]
    monkeypatch.setattr("socket.getaddrinfo", lambda *_, **__: both)
    with pytest.raises(NotHere):
        Target.of("http://both.example")


@pytest.mark.server
def test_what_it_cannot_do_it_says(settings) -> None:
    with pytest.raises(CommandError, match="from 1 to 120"):
        call_command("attack", seconds=0)
    with pytest.raises(CommandError, match=r"Nothing answers at 127\.0\.0\.1:1"):
        call_command("attack", url="http://127.0.0.1:1")
    settings.EMAIL_URL = "smtp://mail.example.com"
    with pytest.raises(CommandError, match="thousands of mails"):
        call_command("attack")


def test_every_kind_is_bounded_and_called_otherwise() -> None:
    assert len({kind.name for kind in KINDS}) == len(KINDS) == 11
    assert all(kind.connections <= MOST_CONNECTIONS and kind.most <= 400 for kind in KINDS)


def test_who_waited_a_second_at_most_has_nothing_to_say() -> None:
    assert Report("searches", Tally(), WELL, "429 comes", True).faults == []
    assert Report("searches", Tally(), {**WELL, "login": Waits([0.1, 1.0])}).faults == []
    assert Report("searches", Tally(), WELL, "429 comes", None).faults == []  # too little was sent to tell


def test_every_fault_is_a_sentence() -> None:
    def of(waits: Waits | None = None, **fields: object) -> list[str]:
        found = WELL if waits is None else {**WELL, "order": waits}
        return Report("notes", Tally(), found, **fields).faults  # type: ignore[arg-type]

    assert of(Waits([0.1, 1.01])) == ["notes: the neighbour's order took 1.0 s."]
    assert of(Waits([0.1] * 4, [0, 503, 503])) == ["notes: the neighbour's order failed 3 of 4 times (no answer, 503)."]
    assert of(Waits()) == ["notes: the neighbour's order was not measured."]
    assert of(promise="429 comes", kept=False) == ["notes: it is promised that 429 comes; that was not so."]
    assert of(calmed=False) == ["notes: the server was still busy two minutes after it."]
    assert Report(NOBODY, Tally(), {**WELL, "list": Waits([2.0])}).faults == [
        "(nobody): the neighbour's list took 2.0 s. The machine is too busy to tell."
    ]


@pytest.fixture
def server(transactional_db):
    """A web server and a worker as `./run` starts them, with the limits that it has by default."""
    port = free_port()
    limits = {"RATE_LIMIT_READ": "600/min", "RATE_LIMIT_WRITE": "120/min", "RATE_LIMIT_LOGIN": "10/min"}
    command = ["-m", "gunicorn", "config.wsgi:application", f"--bind=127.0.0.1:{port}", "--preload"]
    command += ["--worker-class=config.gthread.Worker", "--workers=2", "--threads=4", "--no-control-socket"]
    empty_broker()

    def answers() -> bool:
        try:
            return requests.get(f"http://127.0.0.1:{port}/health", timeout=5).ok
        except OSError:
            return False

    with process(*command, DEBUG="on", LOG_LEVEL="ERROR", **limits), worker() as working:
        threading.Thread(target=working.stdout.read, daemon=True).start()  # a full pipe would hold it up
        eventually(answers, 60)
        yield f"http://127.0.0.1:{port}"


def statuses_of(line: str) -> Counter[str]:
    return Counter({status: int(number) for status, number in re.findall(r"(\w+)×(\d+)", line)})


@pytest.mark.attack
def test_a_short_round_tells_of_every_kind(server) -> None:
    out = io.StringIO()
    refused = ""
    try:
        call_command("attack", url=server, seconds=1, stdout=out, no_color=True)
    except CommandError as error:
        refused = str(error)
    told = out.getvalue()
    names = [NOBODY, *(kind.name for kind in KINDS)]
    rows = {line[:14].strip(): line for line in told.splitlines() if line[:14].strip() in names}
    assert list(rows) == names
    for name, line in rows.items():
        assert len(re.findall(r"\d+\.\d\d \(\d+\.\d\d\)", line)) == len(PACE), line
        statuses = statuses_of(line)
        assert statuses.total() == int(line[14:23]), line
        assert (statuses.total() > 0) is (name != NOBODY)
        assert not {status for status in statuses if status.startswith("5")} - {"503", "504"}, line
    faults = [line for line in told.splitlines() if re.match(r"[\w() ]+: (the|it)", line)]
    assert ("see above" in refused) is bool(faults)
    assert statuses_of(rows["guesses"])["401"] <= 10
    assert statuses_of(rows["invitations"]).keys() <= {"201", "429", "cut"}
    assert User.objects.filter(email__endswith="@attack.example").count() > 6
    assert "still there" in told
