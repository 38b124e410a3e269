"""Days at the edges of the calendar and of the day, words around a day, and how each language says a time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from notes.due_dates import find_due

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)  # a Wednesday


def at(text: str, now: datetime = NOW, language: str = "en") -> str | None:
    """When `text` is due, as "2026-03-06 17:00"."""
    due = find_due(text, now, language=language)
    assert due is None or due.at.tzinfo is UTC
    return f"{due.at:%Y-%m-%d %H:%M}" if due else None


def moment(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def said(text: str, language: str = "en") -> str:
    """The part of `text` that names its due date."""
    due = find_due(text, NOW, language=language)
    assert due is not None
    return text[due.start : due.end]


@pytest.mark.parametrize(
    ("english", "german", "spanish", "day"),
    [
        ("on Monday", "am Montag", "el lunes", "2026-03-09 17:00"),
        ("on Tuesday", "am Dienstag", "el martes", "2026-03-10 17:00"),
        ("on Wednesday", "am Mittwoch", "el miércoles", "2026-03-11 17:00"),
        ("on Thursday", "am Donnerstag", "el jueves", "2026-03-05 17:00"),
        ("on Friday", "am Freitag", "el viernes", "2026-03-06 17:00"),
        ("on Saturday", "am Sonnabend", "el sábado", "2026-03-07 17:00"),
        ("on Sunday", "am Sonntag", "el domingo", "2026-03-08 17:00"),
        ("by Mon", "bis Mo", "el lunes", "2026-03-09 17:00"),
        ("by Tues", "bis Di", "el martes", "2026-03-10 17:00"),
        ("by Wed.", "bis Mi.", "el miercoles", "2026-03-11 17:00"),
        ("by Thurs.", "bis Do", "el jueves", "2026-03-05 17:00"),
        ("Monday of next week", "Montag der nächsten Woche", "el lunes de la próxima semana", "2026-03-09 17:00"),
        ("next week on Monday", "nächste Woche Montag", "la semana que viene, el lunes", "2026-03-09 17:00"),
        ("Friday next week", "Freitag nächster Woche", "el viernes de la semana que viene", "2026-03-13 17:00"),
        ("by the end of next week", "bis Ende der nächsten Woche", "la próxima semana", "2026-03-13 17:00"),
        ("in 10 days", "in zehn Tagen", "dentro de diez días", "2026-03-14 17:00"),
        ("within the next two weeks", "in den nächsten zwei Wochen", "en las próximas dos semanas", "2026-03-18 17:00"),
        ("in a month", "in einem Monat", "en un mes", "2026-04-04 17:00"),
        ("end of next month", "Ende nächsten Monats", "a finales del mes que viene", "2026-04-30 17:00"),
        ("by next month", "bis nächsten Monat", "el próximo mes", "2026-04-30 17:00"),
        ("early May", "Anfang Mai", "a principios de mayo", "2026-05-07 17:00"),
        ("mid-May", "Mitte Mai", "a mediados de mayo", "2026-05-15 17:00"),
        ("end of the year", "Ende des Jahres", "a fin de año", "2026-12-31 17:00"),
        ("by end of quarter", "bis Quartalsende", "fin de trimestre", "2026-03-31 17:00"),
        ("before the end of May", "vor Ende Mai", "antes de fin de mayo", "2026-05-31 17:00"),
        ("before May", "vor Mai", "antes de mayo", "2026-05-01 00:00"),
        ("before next week", "vor nächster Woche", "antes de la próxima semana", "2026-03-09 00:00"),
        ("the 5th of May 2027", "am 5. Mai 2027", "el 5 de mayo de 2027", "2027-05-05 17:00"),
        ("by 3/15", "bis 15.3.", "el 15/3", "2026-03-15 17:00"),
        ("5/3/27", "3.5.27", "3/5/27", "2027-05-03 17:00"),
        ("tonight", "heute Abend", "esta noche", "2026-03-04 17:00"),
        ("this afternoon", "heute Nachmittag", "esta tarde", "2026-03-04 17:00"),
        ("tomorrow evening", "morgen Abend", "mañana por la tarde", "2026-03-05 17:00"),
        ("tomorrow at 9:15", "morgen um 9:15", "mañana a las 9:15", "2026-03-05 09:15"),
        ("Friday in the morning", "Freitag früh", "el viernes por la mañana", "2026-03-06 12:00"),
        ("by 18:30 today", "bis heute 18:30 Uhr", "hoy antes de las 18:30", "2026-03-04 18:30"),
        ("before Christmas", "vor Weihnachten", "antes de Navidad", "2026-12-25 00:00"),
    ],
)
def test_the_three_languages_say_the_same(english, german, spanish, day):
    assert at(english) == day
    assert at(german, language="de") == day
    assert at(spanish, language="es") == day


@pytest.mark.parametrize(
    ("now", "text", "due"),
    [
        ("2026-12-31 10:00", "tomorrow", "2027-01-01 17:00"),
        ("2026-12-31 10:00", "on Friday", "2027-01-01 17:00"),
        ("2026-12-31 10:00", "next week", "2027-01-08 17:00"),
        ("2026-12-31 10:00", "by the end of the year", "2026-12-31 17:00"),
        ("2026-12-31 10:00", "in two months", "2027-02-28 17:00"),
        ("2026-12-31 10:00", "on the 1st", "2027-01-01 17:00"),
        ("2026-12-31 10:00", "in 2 working days", "2027-01-04 17:00"),
        ("2026-12-31 10:00", "before January", "2027-01-01 00:00"),
        ("2026-12-31 10:00", "by mid-January", "2027-01-15 17:00"),
        ("2026-12-31 10:00", "by 9 am", "2027-01-01 09:00"),
        ("2028-02-28 10:00", "tomorrow", "2028-02-29 17:00"),
        ("2028-02-28 10:00", "end of month", "2028-02-29 17:00"),
        ("2028-02-28 10:00", "on the 29th", "2028-02-29 17:00"),
        ("2028-02-29 10:00", "in 12 months", "2029-02-28 17:00"),
        ("2028-02-29 10:00", "on the 30th", None),
        ("2027-02-28 10:00", "end of month", "2027-02-28 17:00"),
        ("2027-02-28 10:00", "by 29 February", None),
        ("2027-02-28 10:00", "by 29 February 2028", "2028-02-29 17:00"),
        ("2026-01-31 10:00", "in a month", "2026-02-28 17:00"),
        ("2026-01-31 10:00", "in 2 months", "2026-03-31 17:00"),
        ("2026-01-31 10:00", "next month", "2026-02-28 17:00"),
        ("2026-03-06 18:00", "by Friday", "2026-03-13 17:00"),
        ("2026-03-06 18:00", "this week", "2026-03-06 23:59"),
        ("2026-03-06 18:00", "in one working day", "2026-03-09 17:00"),
        ("2026-03-06 18:00", "by noon", "2026-03-07 12:00"),
        ("2026-03-06 18:00", "by EOD", "2026-03-07 17:00"),
        ("2026-03-07 10:00", "by the end of the week", "2026-03-08 17:00"),
        ("2026-03-07 10:00", "next Monday", "2026-03-09 17:00"),
        ("2026-03-08 23:59", "today", None),
        ("2026-03-08 23:59", "this week", None),
        ("2026-03-08 23:59", "tomorrow", "2026-03-09 17:00"),
        ("2026-03-31 20:00", "by end of quarter", "2026-03-31 23:59"),
        ("2026-03-31 20:00", "by 31 March", "2026-03-31 23:59"),
    ],
)
def test_the_edges_of_weeks_months_and_years(now, text, due):
    assert at(text, moment(now)) == due


@pytest.mark.parametrize(
    "text",
    [
        "tomorrow", "the day after tomorrow", "on Monday", "next week", "in two weeks", "in 12 months", "by 9 am",
        "on the 1st", "by January", "next month",
    ],
)  # fmt: skip
def test_what_lies_after_the_last_day_of_all_is_no_due_date(text):
    assert at(text, moment("9999-12-31 10:00")) is None


def test_the_first_and_the_last_days_of_all_are_days_too():
    assert at("end of month", moment("9999-12-31 10:00")) == "9999-12-31 17:00"
    assert at("tomorrow, by January 5", moment("9999-12-30 10:00")) == "9999-12-31 17:00"
    assert find_due("by Friday", moment("0001-01-01 10:00")).at == moment("0001-01-05 17:00")
    assert find_due("by 5 May", moment("0001-01-01 10:00")) is None


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("by 3 December", "2026-12-03 17:00"),
        ("by 4 December 2025", None),
        ("by 4 December", "2026-12-04 17:00"),
        ("by 1 January", None),
        ("by 31 December", "2026-12-31 17:00"),
        ("by January", "2027-01-31 17:00"),
        ("by March", "2026-03-31 17:00"),
        ("on the 4th", "2026-03-04 17:00"),
        ("on the 3rd", "2026-04-03 17:00"),
        ("on the 31st", "2026-03-31 17:00"),
    ],
)
def test_a_day_without_a_year_is_in_the_past_for_90_days(text, due):
    assert at(text) == due


@pytest.mark.parametrize(
    "text",
    [
        "by 31 April", "Feb 30", "by 13/13", "by 2026-13-01", "2027-02-29", "am 31.4.", "by 25:00", "in 100 days",
        "3/4", "may 5", "in May", "march on", "she may go on the way", "sat in the sun", "version 3.4.5", "at 10.30",
    ],
)  # fmt: skip
def test_what_only_looks_like_a_day(text):
    assert at(text) is None


@pytest.mark.parametrize(
    ("text", "language"),
    [
        *((f"{word} Friday", "en") for word in ("since", "last", "every", "each", "from", "after", "past", "starting")),
        *((f"{word} Freitag", "de") for word in ("seit", "letzten", "jeden", "ab", "nach", "vom", "auf")),
        *((f"{word} viernes", "es") for word in ("desde el", "cada", "tras el", "después del", "a partir del")),
        ("Friday's meeting", "en"),
        ("el viernes pasado", "es"),
        ("yesterday", "en"),
        ("two weeks ago", "en"),
        ("am Morgen", "de"),
        ("jeden Morgen", "de"),
        ("por la mañana", "es"),
        ("la mañana", "es"),
    ],
)
def test_what_is_past_or_comes_again_is_no_due_date(text, language):
    assert at(text, language=language) is None


@pytest.mark.parametrize(
    ("text", "hour"),
    [
        ("by 5pm", "17:00"), ("by 5 p.m.", "17:00"), ("by 5:30 PM", "17:30"), ("by 12 pm", "12:00"),
        ("by 11 o'clock", "11:00"), ("by 17:00", "17:00"), ("by midday", "12:00"), ("until noon", "12:00"),
        ("by close of business", "17:00"), ("by the end of the day", "17:00"), ("bis 18 Uhr", "18:00"),
        ("bis 18.30 Uhr", "18:30"), ("spätestens um 18:15", "18:15"), ("bis Mittag", "12:00"),
        ("bis Feierabend", "17:00"), ("antes de las 18:00", "18:00"), ("hasta las 18 h", "18:00"),
    ],
)  # fmt: skip
def test_a_time_alone_is_today(text, hour):
    assert at(text) == f"2026-03-04 {hour}"


@pytest.mark.parametrize(
    ("text", "hour"),
    [("by 9:59", "09:59"), ("by 10:00", "10:00"), ("by 12 am", "00:00"), ("by 24:00", "00:00"), ("bis 8 Uhr", "08:00")],
)
def test_a_time_that_has_passed_is_tomorrow(text, hour):
    assert at(text) == f"2026-03-05 {hour}"


def test_a_time_of_a_day_that_has_passed_is_no_due_date():
    assert at("today at 9 am") is None
    assert at("by 10:00 today") is None
    assert at("today at 10:01") == "2026-03-04 10:01"


@pytest.mark.parametrize(
    ("text", "due"),
    [
        ("on Monday or by Friday", "2026-03-06 17:00"),
        ("on Friday, at the latest on Tuesday", "2026-03-10 17:00"),
        ("by Friday, no later than Monday", "2026-03-06 17:00"),
        ("Monday we send what we print on Tuesday", "2026-03-09 17:00"),
        ("we send on Monday what we print on Tuesday", "2026-03-10 17:00"),
        ("we heard on 2 March that it is due on Tuesday", "2026-03-10 17:00"),
    ],
)
def test_which_of_two_days_it_is(text, due):
    assert at(text) == due


@pytest.mark.parametrize(
    ("text", "language", "part"),
    [
        ("Send it by the end of next week to Kim.", "en", "by the end of next week"),
        ("Send it by 3pm tomorrow, please.", "en", "by 3pm tomorrow"),
        ("Send it by Friday (5pm) to Kim.", "en", "by Friday (5pm)"),
        ("Send it (by Friday 5pm).", "en", "by Friday 5pm"),
        ("Send it no later than the 20th.", "en", "no later than the 20th"),
        ("Schick es bis spätestens zum 20. März ab.", "de", "bis spätestens zum 20. März"),
        ("Schick es bis Freitag, 10 Uhr an Kim.", "de", "bis Freitag, 10 Uhr"),
        ("Envíalo a más tardar el lunes a las 15:00 a Ana.", "es", "a más tardar el lunes a las 15:00"),
    ],
)
def test_all_that_says_when_is_one_part(text, language, part):
    assert said(text, language) == part


@pytest.mark.parametrize(
    ("offset", "hour", "due"),
    [
        (14, 1, "2026-03-04 17:00"),  # the 4th on Kiritimati is still the 3rd in UTC
        (-11, 20, "2026-03-06 17:00"),  # the 4th on Niue is the 5th in UTC
        (0, 10, "2026-03-05 17:00"),
    ],
)
def test_tomorrow_is_counted_in_utc(offset, hour, due):
    there = datetime(2026, 3, 4, hour, tzinfo=timezone(timedelta(hours=offset)))
    assert at("Send it tomorrow.", there) == due


def test_a_sentence_of_many_days_is_looked_at_as_far_as_twenty_of_them():
    assert at("since Monday, " * 19 + "by Friday") == "2026-03-06 17:00"
    assert at("since Monday, " * 20 + "by Friday") is None
