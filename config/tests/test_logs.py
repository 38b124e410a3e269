"""What is logged, and what is not: rows, and a line for each message."""

import json
import logging
from io import StringIO

import pytest
import structlog
from django.conf import settings
from django.db import DatabaseError, connection, transaction

from config.logs import logging_config

SECRET = "secret one\nsecret two\n\nThe above exception was the direct cause of: secret three\nCONTEXT: secret four"


@pytest.fixture
def lines():
    """What this process logs meanwhile, as a server writes it."""
    given = settings.LOGGING["formatters"]["structured"]
    assert isinstance(given["processors"][-1], structlog.processors.JSONRenderer)
    output = StringIO()
    handler = logging.StreamHandler(output)
    handler.setFormatter(given["()"](foreign_pre_chain=given["foreign_pre_chain"], processors=given["processors"]))
    logging.getLogger().addHandler(handler)
    yield lambda: [json.loads(line) for line in output.getvalue().splitlines()]
    logging.getLogger().removeHandler(handler)


@pytest.mark.django_db
@pytest.mark.parametrize(
    ("statement", "says"),
    [
        ("INSERT INTO kept SELECT word FROM kept", "duplicate key value violates unique constraint"),
        ("INSERT INTO kept SELECT NULL, word FROM kept", "null value in column"),
        ("SELECT word::json FROM kept", "invalid input syntax for type json"),
        ("SELECT 'a secret', nothing", 'column "nothing" does not exist'),
        ("DO $$BEGIN EXECUTE 'SELECT ''a secret'', nothing'; END$$", 'column "nothing" does not exist'),
    ],
)
def test_the_rows_that_a_database_error_shows_are_not_logged(lines, statement, says):
    with connection.cursor() as cursor:
        cursor.execute("CREATE TEMP TABLE kept (word text UNIQUE NOT NULL, other text) ON COMMIT DROP")
        cursor.execute("INSERT INTO kept VALUES (%s)", [SECRET])
        with pytest.raises(DatabaseError, match="secret") as raised, transaction.atomic():
            cursor.execute(statement)
    told_on = RuntimeError(f"Told on: {raised.value}")
    told_on.__cause__ = raised.value
    log = structlog.get_logger("mesh")
    for error in (raised.value, told_on):
        log.error("bug", exc_info=error)
        logging.getLogger("celery").error("Task raised: %r", error, exc_info=error)
    log.warning("database_away", error=str(raised.value))
    log.error("bug", exc_info=ExceptionGroup("of several", [raised.value]))
    logged = lines()
    assert len(logged) == 6
    assert "secret" not in json.dumps(logged)
    for line in logged[:4]:
        assert says in line["exception"]
        assert "cursor.execute(statement)" in line["exception"]
        assert "direct cause" in line["exception"]
    assert says in logged[1]["event"]
    assert says in logged[4]["error"]


def test_jobs_have_a_line_of_their_own_and_messages_have_none():
    """The worker's word that it is ready stays; tests and people wait for it."""
    loggers = logging_config("json", "INFO")["loggers"]
    quiet = {name for name, options in loggers.items() if "celery".startswith(name.partition(".")[0])}
    assert quiet == {"celery.app.trace", "celery.worker.strategy"}
    assert {loggers[name]["level"] for name in quiet} == {"WARNING"}
    assert not quiet & logging_config("json", "DEBUG")["loggers"].keys()
