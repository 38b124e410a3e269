"""Summaries and action items of notes: the protocol of a summarizer, and the one that is configured.

`settings.SUMMARIZER` names one of `SUMMARIZERS`. Nothing here accesses the database.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Protocol

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.module_loading import import_string

TITLE_LENGTH = 200
ASSIGNEE_LENGTH = 100
QUOTE_LENGTH = 500
MOST_ITEMS = 50

SUMMARIZERS = {
    "extractive": "notes.extractive.ExtractiveSummarizer",
    "openai": "notes.llm.OpenAISummarizer",
}


class SummarizerError(Exception):
    """Summarizing failed. `retryable`: it may succeed later, after `retry_after` seconds if that is not None.

    The message contains neither the note's text nor a key, so it can be stored and shown.
    """

    def __init__(self, message: str, *, retryable: bool, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retryable = retryable
        self.retry_after = retry_after


@dataclass(frozen=True, slots=True)
class ActionItem:
    """An action item: `title` ≤ 200 characters, `assignee` ≤ 100 if the text names one, `due_date` in UTC.

    `quote` ≤ 500 characters is the sentence that it is from, exactly as in the text.
    """

    title: str
    assignee: str | None
    due_date: datetime | None
    quote: str


@dataclass(frozen=True, slots=True)
class Summary:
    """The summary's text and at most `MOST_ITEMS` action items, in the order of the text."""

    text: str
    action_items: list[ActionItem] = field(default_factory=list)


class Summarizer(Protocol):
    def summarize(self, text: str, *, now: datetime) -> Summary:
        """Summarizes `text`; relative dates count from `now`, which is aware. Raises SummarizerError."""
        ...


def summarizer() -> Summarizer:
    """The summarizer that `settings.SUMMARIZER` names."""
    try:
        path = SUMMARIZERS[settings.SUMMARIZER]
    except KeyError:
        choices = " or ".join(SUMMARIZERS)
        raise ImproperlyConfigured(f"SUMMARIZER is {settings.SUMMARIZER!r}; it can be {choices}") from None
    instance: Summarizer = import_string(path)()
    return instance
