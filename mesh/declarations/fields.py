"""The types of single fields, each with its limits: texts, times, ids, e-mail addresses."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Annotated, Any
from uuid import UUID

import email_validator
from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    StringConstraints,
    WithJsonSchema,
)
from pydantic_core import CoreSchema

from mesh.declarations.words import MOST_WORDS, words_of

MAX_BIGINT = 2**63 - 1


def _check_unicode(text: str) -> str:
    if "\x00" in text:
        raise ValueError("Text must not contain the NUL character.")
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ValueError("Text must be valid Unicode (a lone surrogate was sent).") from None
    return text


#: Characters that are lost when a text is written into a file, such as a vCard. A text of nothing else is refused.
_BLANK = re.compile(r"[\s\x00-\x1f\x7f]*")


def _check_not_blank(text: str) -> str:
    if _BLANK.fullmatch(text):
        raise ValueError("Text must not consist of blanks and control characters alone.")
    return text


def text(low: int, high: int, *, strip: bool = True) -> Any:
    """A text of `low` to `high` characters, by default stripped: `Annotated[str, text(1, 200)]`."""
    return TextLimits(low, high, strip)


@dataclass(frozen=True)
class TextLimits:
    low: int
    high: int
    strip: bool

    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        limits = StringConstraints(min_length=self.low, max_length=self.high, strip_whitespace=self.strip)
        checks = [_check_unicode, _check_not_blank] if self.low and self.strip else [_check_unicode]
        return handler(Annotated[source, limits, *(AfterValidator(_unless_none(check)) for check in checks)])


def _unless_none(check: Callable[[str], str]) -> Callable[[str | None], str | None]:
    """The check, extended to `str | None`."""
    return lambda text: None if text is None else check(text)


def _parse_date(value: Any) -> Any:
    if isinstance(value, (int, float)) or (isinstance(value, str) and value.strip().lstrip("+-").isdigit()):
        raise ValueError("Give the time as RFC 3339, such as 2025-01-15T10:00:00Z.")
    if isinstance(value, date) and not isinstance(value, datetime):
        return datetime(value.year, value.month, value.day, tzinfo=UTC)
    return value


def _utc(value: datetime) -> datetime:
    try:
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)
    except OverflowError:
        raise ValueError("The time is out of range: years 1 to 9999, in UTC.") from None


Time = Annotated[
    datetime,
    BeforeValidator(_parse_date),
    AfterValidator(_utc),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": ["2025-01-15T10:00:00Z"]}),
]


def _check_id(value: Any) -> Any:
    if isinstance(value, bool) or (isinstance(value, str) and not re.fullmatch("[1-9][0-9]{0,18}", value)):
        raise ValueError("An id is a whole number, such as 7.")
    return value


Id = Annotated[int, Field(ge=1, le=MAX_BIGINT), BeforeValidator(_check_id)]
Ref = Id | UUID


def _check_word_count(value: str) -> str:
    if (count := len(words_of(value))) > MOST_WORDS:
        raise ValueError(f"At most {MOST_WORDS} words are looked for, and here are {count}. Send fewer.")
    return value


def words(high: int) -> Any:
    """A search text of at most `high` characters: `Annotated[str, words(200)]`."""
    return WordLimits(0, high, strip=True)


@dataclass(frozen=True)
class WordLimits(TextLimits):
    def __get_pydantic_core_schema__(self, source: Any, handler: Callable[[Any], CoreSchema]) -> CoreSchema:
        text_of = TextLimits(self.low, self.high, self.strip)
        return handler(Annotated[source, text_of, AfterValidator(_check_word_count)])


_SEARCH_DESCRIPTION = f"Only items that contain every word of this text, ignoring case; at most {MOST_WORDS} words."
Search = Annotated[Annotated[str, words(200)] | None, Field(description=_SEARCH_DESCRIPTION)]


#: Domains to which no mail can be delivered. `local` and `home.arpa` are allowed, since small networks have mail
#: servers there, and `test`, since people try things out with it.
email_validator.SPECIAL_USE_DOMAIN_NAMES[:] = ["invalid", "localhost", "onion"]


def plain_address(address: str) -> str:
    """An e-mail address in its normal form, without checking that the mailbox exists. Raises ValueError."""
    try:
        return email_validator.validate_email(address, check_deliverability=False).normalized
    except email_validator.EmailNotValidError as error:
        if "<" in address:
            raise ValueError("Send the e-mail address alone, without a name.") from None
        raise ValueError(f"value is not a valid email address: {error}") from None


Email = Annotated[
    str,
    StringConstraints(strip_whitespace=True),
    Field(max_length=254, examples=["alice@example.com"], json_schema_extra={"format": "email"}),
    AfterValidator(plain_address),
]
