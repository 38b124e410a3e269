"""Structured logs: one line for each event, with request id, user and operation; as JSON, or coloured for a console."""

import os
import re
import traceback
from collections.abc import Iterator
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]

#: Celery's loggers, which log each message; runs of jobs have log lines of their own.
_TELL_OF_MESSAGES = ("celery.app.trace", "celery.worker.strategy")

#: Where a database error begins to show rows, with users' texts and line breaks; also in the form of repr().
_ROWS = re.compile(r"(\n|\\n)[ |]*(?:DETAIL|QUERY|CONTEXT|LINE \d+):.*", re.DOTALL)


def logging_config(log_format: str, level: str) -> dict[str, Any]:
    """`LOGGING` for Django; also sets structlog up. `log_format` is `console` or `json`."""
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *_SHARED,
            structlog.stdlib.PositionalArgumentsFormatter(),
            structlog.processors.StackInfoRenderer(),
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    colours = not os.environ.get("NO_COLOR")
    console = structlog.dev.ConsoleRenderer(colors=colours, exception_formatter=structlog.dev.plain_traceback)
    renderer: Any = console if log_format == "console" else structlog.processors.JSONRenderer()
    final = [structlog.stdlib.ProcessorFormatter.remove_processors_meta]
    if log_format != "console":
        final += [structlog.processors.ExceptionRenderer(_traceback), _without_rows]  # type: ignore[list-item]
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "structured": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": _SHARED,
                "processors": [*final, renderer],
            }
        },
        "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "structured"}},
        "root": {"handlers": ["console"], "level": level},
        "loggers": {
            "django.request": {"level": "ERROR"},
            **({name: {"level": "WARNING"} for name in _TELL_OF_MESSAGES} if level == "INFO" else {}),
            "django.server": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        },
    }


def _traceback(exc_info: Any) -> str:
    """The traceback as Python prints it, with each exception's message cut off before it shows rows."""
    shown = "".join(traceback.format_exception(*exc_info)).rstrip()
    for message in sorted({str(error) for error in _chain(exc_info[1], set())}, key=len, reverse=True):
        shown = shown.replace(message, _without(message))
    return shown


def _chain(error: BaseException | None, seen: set[int]) -> Iterator[BaseException]:
    if error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        yield from _chain(error.__cause__, seen)
        yield from _chain(error.__context__, seen)


def _without_rows(logger: Any, name: str, event: Any) -> Any:
    """Removes rows from log lines that quote an error."""
    return {key: _without(value) if isinstance(value, str) else value for key, value in event.items()}


def _without(message: str) -> str:
    return _ROWS.sub(r"\1(left out: it may show rows)", message)
