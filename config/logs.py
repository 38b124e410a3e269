"""Structured logs: one line an event, with the request's id, user and operation; JSON, or coloured for a console."""

import os
import re
from typing import Any

import structlog

_SHARED: list[Any] = [
    structlog.contextvars.merge_contextvars,
    structlog.stdlib.add_logger_name,
    structlog.stdlib.add_log_level,
    structlog.processors.TimeStamper(fmt="iso", utc=True),
]


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
        final += [structlog.processors.format_exc_info, _without_rows]  # type: ignore[list-item]
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
            "django.server": {"handlers": ["console"], "level": "WARNING", "propagate": False},
        },
    }


def _without_rows(logger: Any, name: str, event: Any) -> Any:
    """A database's errors show whole rows in their DETAIL, people's texts among them: that stays out of the logs."""
    if "exception" in event:
        event["exception"] = re.sub(r"(?m)^DETAIL:.*$", "DETAIL: (left out)", event["exception"])
    return event
