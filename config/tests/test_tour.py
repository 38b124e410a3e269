"""`tour`: the walk through a running server, whose steps come out as they are told."""

import io
import re
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connections

from mesh.tests.jobs import run_jobs
from shop.models import Order
from tasks.models import Task

pytestmark = pytest.mark.django_db(transaction=True)


def walk(url):
    out = io.StringIO()
    call_command("tour", url=url, stdout=out, no_color=True)
    return out.getvalue()


@pytest.fixture
def working():
    """Jobs are done as they come."""
    done = threading.Event()

    def work():
        while not done.wait(0.05):
            run_jobs("summarize_note", "reserve_stock")
        connections.close_all()

    worker = threading.Thread(target=work)
    worker.start()
    yield
    done.set()
    worker.join()


def test_every_step_of_it_comes_out_as_it_says(live_server, settings, working):
    settings.SIGNUP_OPEN = True
    for _ in range(2):
        told = walk(live_server.url)
        statuses = [int(line) for line in re.findall(r"^  (\d{3})$", told, re.M)]
        assert [status for status in statuses if status >= 400] == [409, 404]
        assert set(re.findall(r'"status": "(\w+)"', told)) >= {"RESERVED", "PAID", "CANCELLED", "FAILED", "waiting"}
        assert "Maria will send the offer" in told
        assert told.rstrip().endswith("/admin/ is for ADMINs.")


def test_where_nothing_answers_it_says_so():
    with pytest.raises(CommandError, match=r"Nothing answers at http://127.0.0.1:1. Start it with ./run"):
        walk("http://127.0.0.1:1")


def test_where_strangers_may_not_sign_up_it_says_so(live_server, settings):
    settings.SIGNUP_OPEN = False
    with pytest.raises(CommandError, match="closed"):
        walk(live_server.url)


def test_the_python_of_the_tours_page_runs_as_printed(live_server, settings, working):
    settings.SIGNUP_OPEN = True
    page = (Path(settings.BASE_DIR) / "docs" / "tour.md").read_text(encoding="utf-8")
    script = "".join(re.findall(r"```python\n(.*?)```", page, re.S)).replace("http://localhost:8000", live_server.url)
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
    assert "Maria will send the offer" in done.stdout
    assert Task.objects.get(title="Book a room").creator.email == "lena@example.com"
    assert Order.objects.count() == 1


def test_the_readmes_walk_and_the_tours_page_are_not_in_each_others_way(settings):
    """Whoever does both on one database signs up twice, and sells two things."""
    root = Path(settings.BASE_DIR)
    readme, page = (
        set(re.findall(r'"(?:email|sku)": "([^"]+)"', (root / name).read_text(encoding="utf-8")))
        for name in ("README.md", "docs/tour.md")
    )
    assert len(page) == 2
    assert not readme & page
