"""The processes that tests start have the tests' own settings."""

import pytest

from mesh.tests.jobs import due_now
from mesh.tests.mail_server import listening
from mesh.tests.processes import empty_broker, environment, eventually, process, relay
from tasks.models import Task


def test_what_a_test_sets_is_in_the_environment_of_its_processes(db, settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR, settings.PAYMENTS = "smtp://127.0.0.1:9", tmp_path, "stripe"
    settings.MESH = {**settings.MESH, "RATE_LIMIT_READ": "3/min"}
    found = environment(CURRENCY="CHF")
    names = ("EMAIL_URL", "DATA_DIR", "PAYMENTS", "RATE_LIMIT_READ", "CURRENCY")
    assert [found[name] for name in names] == ["smtp://127.0.0.1:9", str(tmp_path), "stripe", "3/min", "CHF"]


@pytest.mark.django_db(transaction=True)
def test_a_relay_that_works_itself_sends_to_the_tests_own_mail_server(alice, bob, settings):
    """A worker that is late leaves mails to the relay: they must not go into a folder instead."""
    empty_broker()
    with listening() as sink:
        settings.EMAIL_URL = sink.url
        assert alice.api.post("/tasks", {"title": "Pay", "assignee_id": bob.id}).status == 201
        assert Task.objects.count() == 1
        due_now()
        with relay():
            eventually(lambda: len(sink.taken) == 1)


def test_a_process_that_ends_too_early_says_why(db):
    with (
        pytest.raises(AssertionError, match="There is no operation"),
        process("manage.py", "mesh", "nothing", ready="never"),
    ):
        pass
