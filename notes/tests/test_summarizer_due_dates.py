"""When something is due: what English, German and Spanish say of days, as seen on Wednesday, 4 March 2026, 10:00."""

from datetime import UTC, datetime, timedelta, timezone

import pytest

from notes.due_dates import find_due

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)

ENGLISH = {
    "Send it by Friday.": "2026-03-06 17:00",
    "Send it before Friday.": "2026-03-06 00:00",
    "Send it next Friday.": "2026-03-13 17:00",
    "Send it this Friday.": "2026-03-06 17:00",
    "Send it on Wednesday.": "2026-03-11 17:00",
    "Send it by next Tuesday 3pm.": "2026-03-10 15:00",
    "Send it at 3:30 pm on Friday.": "2026-03-06 15:30",
    "Send it today.": "2026-03-04 17:00",
    "Send it tomorrow.": "2026-03-05 17:00",
    "Send it tomorrow morning.": "2026-03-05 12:00",
    "Send it the day after tomorrow.": "2026-03-06 17:00",
    "Send it in two weeks.": "2026-03-18 17:00",
    "Send it within 3 working days.": "2026-03-09 17:00",
    "Send it in a month.": "2026-04-04 17:00",
    "Send it this week.": "2026-03-06 17:00",
    "Send it by the end of next week.": "2026-03-13 17:00",
    "Send it by end of month.": "2026-03-31 17:00",
    "Send it by the end of May.": "2026-05-31 17:00",
    "Send it before June.": "2026-06-01 00:00",
    "Send it by mid-April.": "2026-04-15 17:00",
    "Send it by end of quarter.": "2026-03-31 17:00",
    "Send it by 20 March.": "2026-03-20 17:00",
    "Send it by 3 February.": "2026-02-03 17:00 of the past",
    "Send it by 3 November.": "2026-11-03 17:00",
    "Send it by March 20th, 2027.": "2027-03-20 17:00",
    "Send it by 2026-03-20.": "2026-03-20 17:00",
    "Send it by 04/05/2026.": "2026-04-05 17:00",
    "Send it on the 15th.": "2026-03-15 17:00",
    "Send it on the 2nd.": "2026-04-02 17:00",
    "Send it before Christmas.": "2026-12-25 00:00",
    "Send it by EOD.": "2026-03-04 17:00",
    "Send it by noon.": "2026-03-04 12:00",
    "Send it by 9 am.": "2026-03-05 09:00",
    "On Monday we heard of it, so send it by Thursday.": "2026-03-05 17:00",
    "Discuss Monday's figures on Thursday.": "2026-03-05 17:00",
}
GERMAN = {
    "Schick es bis Freitag.": "2026-03-06 17:00",
    "Schick es vor Freitag.": "2026-03-06 00:00",
    "Schick es nächsten Freitag.": "2026-03-13 17:00",
    "Schick es kommenden Freitag.": "2026-03-06 17:00",
    "Schick es morgen.": "2026-03-05 17:00",
    "Schick es morgen früh.": "2026-03-05 12:00",
    "Schick es übermorgen.": "2026-03-06 17:00",
    "Schick es bis Ende der Woche.": "2026-03-06 17:00",
    "Schick es nächste Woche.": "2026-03-13 17:00",
    "Schick es in drei Tagen.": "2026-03-07 17:00",
    "Schick es innerhalb von zwei Wochen.": "2026-03-18 17:00",
    "Schick es bis Ende März.": "2026-03-31 17:00",
    "Schick es bis Monatsende.": "2026-03-31 17:00",
    "Schick es bis zum 15.": "2026-03-15 17:00",
    "Schick es bis 3.4.": "2026-04-03 17:00",
    "Schick es am 03.04.2026.": "2026-04-03 17:00",
    "Schick es spätestens am 20. März.": "2026-03-20 17:00",
    "Schick es bis Freitag 15 Uhr.": "2026-03-06 15:00",
    "Schick es bis 18 Uhr.": "2026-03-04 18:00",
    "Schick es Mitte Mai.": "2026-05-15 17:00",
}
SPANISH = {
    "Envíalo antes del viernes.": "2026-03-06 00:00",
    "Envíalo para el lunes.": "2026-03-09 17:00",
    "Envíalo hasta el martes.": "2026-03-10 17:00",
    "Envíalo el próximo lunes.": "2026-03-09 17:00",
    "Envíalo mañana.": "2026-03-05 17:00",
    "Envíalo mañana por la mañana.": "2026-03-05 12:00",
    "Envíalo pasado mañana.": "2026-03-06 17:00",
    "Envíalo el 15 de abril.": "2026-04-15 17:00",
    "Envíalo antes del 8 de abril de 2027.": "2027-04-08 00:00",
    "Envíalo a fin de mes.": "2026-03-31 17:00",
    "Envíalo a finales de mayo.": "2026-05-31 17:00",
    "Envíalo en dos semanas.": "2026-03-18 17:00",
    "Envíalo la próxima semana.": "2026-03-13 17:00",
    "Envíalo el viernes a las 15:00.": "2026-03-06 15:00",
    "Envíalo a más tardar el jueves.": "2026-03-05 17:00",
    "Envíalo el 03/04/2026.": "2026-04-03 17:00",
}
NO_DUE_DATES = [
    "Send the report of 3 May.",
    "We know it since Monday.",
    "Ship 3/4 of it.",
    "You may 5 times and more.",
    "It is version 1.3 of 2.10.",
    "It was due by 2020-01-01.",
    "By 31 February.",
    "Die Fehler vom Samstag.",
    "Guten Morgen.",
    "Das war vor zwei Wochen.",
    "Los datos del lunes.",
    "Esta mañana llovió.",
    "So geht es.",
    "",
]


@pytest.mark.parametrize(("text", "due"), ENGLISH.items())
def test_english(text, due):
    if due.endswith("of the past"):
        assert find_due(text, NOW) is None
    else:
        assert find_due(text, NOW).at == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(("text", "due"), GERMAN.items())
def test_german(text, due):
    assert find_due(text, NOW, language="de").at == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize(("text", "due"), SPANISH.items())
def test_spanish(text, due):
    assert find_due(text, NOW, language="es").at == datetime.fromisoformat(due).replace(tzinfo=UTC)


@pytest.mark.parametrize("text", NO_DUE_DATES)
@pytest.mark.parametrize("language", ["en", "de", "es"])
def test_what_is_no_due_date(text, language):
    assert find_due(text, NOW, language=language) is None


def test_today_after_hours_is_the_end_of_the_day():
    late = datetime(2026, 3, 4, 18, 30, tzinfo=UTC)
    assert find_due("Send it today.", late).at == datetime(2026, 3, 4, 23, 59, tzinfo=UTC)


def test_now_is_read_in_utc():
    auckland = datetime(2026, 3, 5, 9, tzinfo=timezone(timedelta(hours=13)))  # still the 4th in UTC
    assert find_due("Send it tomorrow.", auckland).at == datetime(2026, 3, 5, 17, tzinfo=UTC)


def test_the_turn_of_the_year():
    december = datetime(2026, 12, 18, 10, tzinfo=UTC)
    assert find_due("by January 8th", december).at == datetime(2027, 1, 8, 17, tzinfo=UTC)
    assert find_due("next month", december).at == datetime(2027, 1, 31, 17, tzinfo=UTC)
    assert find_due("in two months", december).at == datetime(2027, 2, 18, 17, tzinfo=UTC)


def test_where_the_text_says_so_is_told_with_its_preposition():
    text = "Send the offer by next Tuesday 3pm to Kim."
    due = find_due(text, NOW)
    assert text[due.start : due.end] == "by next Tuesday 3pm"
