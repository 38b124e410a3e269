"""Single fields: each bound from both sides, and what is never a text, a time, an id or an address."""

from datetime import UTC, datetime, timedelta, timezone
from typing import Annotated, Any
from uuid import UUID

import pytest
from pydantic import TypeAdapter, ValidationError

from mesh.declarations.fields import MAX_BIGINT, Email, Id, Ref, Search, Time, text

UUID7 = "01890a5d-ac96-774b-bcce-b302099a8057"


def read(annotation: Any, value: Any) -> Any:
    return TypeAdapter(annotation).validate_python(value)


def fault(annotation: Any, value: Any) -> tuple[str, str]:
    """The type and the message of the one thing that is wrong."""
    with pytest.raises(ValidationError) as refused:
        read(annotation, value)
    (error,) = refused.value.errors()
    return error["type"], error["msg"].removeprefix("Value error, ")


@pytest.mark.parametrize(
    ("low", "high", "value", "expected"),
    [
        (1, 5, "a", "a"),
        (1, 5, "abcde", "abcde"),
        (1, 5, "  abcde \n", "abcde"),
        (0, 5, "", ""),
        (0, 5, "   ", ""),
        (1, 2, "é中", "é中"),
        (1, 1, "\U0001f600", "\U0001f600"),  # one character, though two units of UTF-16
        (1, 9, "a\tb\nc", "a\tb\nc"),
    ],
)
def test_a_text_within_its_bounds_comes_without_the_blanks_around_it(low, high, value, expected):
    assert read(Annotated[str, text(low, high)], value) == expected


@pytest.mark.parametrize(
    ("low", "high", "value", "type"),
    [
        (1, 5, "", "string_too_short"),
        (1, 5, "   ", "string_too_short"),
        (3, 5, " ab ", "string_too_short"),
        (1, 5, "abcdef", "string_too_long"),
        (0, 0, "a", "string_too_long"),
        (1, 5, 7, "string_type"),
        (1, 5, None, "string_type"),
        (1, 5, b"abc\xff", "string_unicode"),
        (1, 5, ["a"], "string_type"),
        (1, 5, True, "string_type"),
    ],
)
def test_a_text_beyond_its_bounds_is_refused(low, high, value, type):
    assert fault(Annotated[str, text(low, high)], value)[0] == type


def test_blanks_are_kept_where_a_text_is_not_stripped():
    exact = Annotated[str, text(1, 5, strip=False)]
    assert read(exact, "  a  ") == "  a  "
    assert read(exact, "     ") == "     "
    assert fault(exact, "  a   ")[0] == "string_too_long"


@pytest.mark.parametrize("strip", [True, False])
def test_nul_and_lone_surrogates_are_no_text(strip):
    some = Annotated[str, text(1, 9, strip=strip)]
    assert fault(some, "a\x00b") == ("value_error", "Text must not contain the NUL character.")
    for value in ("\ud800", "a\udfff", "\udc00\ud800"):
        assert fault(some, value)[1].startswith(("Text must be valid Unicode", "Input should be a valid string"))


@pytest.mark.parametrize("value", ["\x01", "\x1f\x7f", "\x01 \x02", "\u2003\x07"])
def test_control_characters_alone_say_nothing(value):
    assert fault(Annotated[str, text(1, 9)], value)[1].startswith("Text must not consist of blanks and control")
    assert read(Annotated[str, text(0, 9)], "\x01") == "\x01"
    assert read(Annotated[str, text(1, 9)], f"{value}a").endswith("a")


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("2025-01-15T10:00:00Z", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15T10:00:00z", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15 10:00", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15T10:00", datetime(2025, 1, 15, 10, tzinfo=UTC)),
        ("2025-01-15", datetime(2025, 1, 15, tzinfo=UTC)),
        ("2025-01-15T10:00:00.123456Z", datetime(2025, 1, 15, 10, 0, 0, 123456, tzinfo=UTC)),
        ("2025-01-15T10:00:00+02:00", datetime(2025, 1, 15, 8, tzinfo=UTC)),
        ("2025-01-15T00:30:00-05:30", datetime(2025, 1, 15, 6, tzinfo=UTC)),
        ("2024-02-29T00:00:00Z", datetime(2024, 2, 29, tzinfo=UTC)),
        ("0001-01-01T00:00:00Z", datetime(1, 1, 1, tzinfo=UTC)),
        ("9999-12-31T23:59:59Z", datetime(9999, 12, 31, 23, 59, 59, tzinfo=UTC)),
        (datetime(2025, 1, 15, 10), datetime(2025, 1, 15, 10, tzinfo=UTC)),
        (datetime(2025, 1, 15).date(), datetime(2025, 1, 15, tzinfo=UTC)),
        (datetime(2025, 1, 15, 10, tzinfo=timezone(timedelta(hours=-3))), datetime(2025, 1, 15, 13, tzinfo=UTC)),
    ],
)
def test_a_time_of_any_form_is_one_in_utc(value, expected):
    found = read(Time, value)
    assert (found, found.tzinfo) == (expected, UTC)


@pytest.mark.parametrize("value", [0, 1735689600, 1735689600.5, "1735689600", "-5", " 17 ", "+1", True])
def test_a_number_is_no_time(value):
    assert fault(Time, value) == ("value_error", "Give the time as RFC 3339, such as 2025-01-15T10:00:00Z.")


@pytest.mark.parametrize(
    "value", ["", "yesterday", "2025-13-01", "2025-02-29", "2025-01-15T25:00", "10:00", "15.01.2025", None, [], {}]
)
def test_what_is_no_time_is_refused(value):
    assert fault(Time, value)[0] in ("datetime_from_date_parsing", "datetime_parsing", "datetime_type")


@pytest.mark.parametrize("value", ["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-01:00"])
def test_a_time_that_has_no_place_in_utc_is_refused(value):
    assert fault(Time, value) == ("value_error", "The time is out of range: years 1 to 9999, in UTC.")


@pytest.mark.parametrize(
    ("value", "expected"), [(1, 1), ("1", 1), ("10", 10), (MAX_BIGINT, MAX_BIGINT), (str(MAX_BIGINT), MAX_BIGINT)]
)
def test_an_id_is_a_whole_number_from_one_up(value, expected):
    assert read(Id, value) == expected


@pytest.mark.parametrize(
    "value", ["0", "-1", "01", "1.0", "1e3", " 1", "1 ", "", "x", "١", "1_0", "9" * 20, True, False]
)
def test_a_text_that_is_no_plain_number_is_no_id(value):
    assert fault(Id, value) == ("value_error", "An id is a whole number, such as 7.")


@pytest.mark.parametrize(
    ("value", "type"),
    [
        (0, "greater_than_equal"),
        (-1, "greater_than_equal"),
        (MAX_BIGINT + 1, "less_than_equal"),
        (1.5, "int_from_float"),
        (None, "int_type"),
        ([1], "int_type"),
    ],
)
def test_a_number_that_no_row_can_have_is_no_id(value, type):
    assert fault(Id, value)[0] == type


def test_a_reference_is_an_id_or_a_uuid():
    assert read(Ref, 7) == read(Ref, "7") == 7
    assert read(Ref, UUID7) == read(Ref, UUID(UUID7)) == UUID(UUID7)
    for value in (0, "x", "01890a5d", None, True):
        with pytest.raises(ValidationError):
            read(Ref, value)


def test_a_search_may_be_empty_absent_or_two_hundred_characters_long():
    assert (read(Search, None), read(Search, ""), read(Search, " a b ")) == (None, "", "a b")
    assert read(Search, "x" * 200) == "x" * 200
    assert fault(Search, "x" * 201)[0] == "string_too_long"
    assert fault(Search, "\x00")[1] == "Text must not contain the NUL character."


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("alice@example.com", "alice@example.com"),
        (" alice@example.com ", "alice@example.com"),
        ("Alice.B+c@EXAMPLE.com", "Alice.B+c@example.com"),
        ("ü@example.com", "ü@example.com"),
    ],
)
def test_an_address_alone_is_taken(value, expected):
    assert read(Email, value) == expected


@pytest.mark.parametrize(
    "value",
    ["", "alice", "@example.com", "alice@", "a b@example.com", "a@b@example.com", "a\n@example.com", 7, None],
)
def test_what_is_no_address_is_refused(value):
    with pytest.raises(ValidationError):
        read(Email, value)


def test_an_address_with_a_name_is_refused_with_the_reason():
    for value in ("Alice <alice@example.com>", "<alice@example.com>"):
        assert fault(Email, value) == ("value_error", "Send the e-mail address alone, without a name.")


def test_null_is_taken_where_a_text_may_be_null():
    for optional in (Annotated[str | None, text(1, 5)], Annotated[str, text(1, 5)] | None):
        assert read(optional, None) is None
        assert read(optional, " a ") == "a"
        for value in ("", "abcdef", "\x01", "a\x00"):
            with pytest.raises(ValidationError):
                read(optional, value)


def test_what_people_and_models_read_of_each_field():
    def schema(annotation: Any) -> dict[str, Any]:
        return TypeAdapter(annotation).json_schema()

    assert schema(Annotated[str, text(1, 5)]) == {"type": "string", "minLength": 1, "maxLength": 5}
    assert schema(Id) == {"type": "integer", "minimum": 1, "maximum": MAX_BIGINT}
    assert schema(Time) == {"type": "string", "format": "date-time", "examples": ["2025-01-15T10:00:00Z"]}
    assert schema(Email) == {
        "type": "string", "format": "email", "maxLength": 254, "examples": ["alice@example.com"],
    }  # fmt: skip
    assert schema(Ref) == {
        "anyOf": [{"type": "integer", "minimum": 1, "maximum": MAX_BIGINT}, {"type": "string", "format": "uuid"}]
    }
