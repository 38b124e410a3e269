"""iCalendar: entries, people and calendars as clients read them."""

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from icalendar import Calendar

from mesh.formats import ical

BEGINS = datetime(2030, 1, 1, 10, tzinfo=UTC)


def entry(**changes: Any) -> Any:
    fields = {
        "key": "meeting-7",
        "sequence": 2,
        "stamp": BEGINS - timedelta(days=1),
        "created": BEGINS - timedelta(days=3),
        "changed": BEGINS - timedelta(days=2),
        "begins": BEGINS,
        "ends": BEGINS + timedelta(minutes=30),
        "title": "Plan",
    }
    return ical.entry(**{**fields, **changes})


def lines(text: str) -> list[str]:
    """The lines of a file, unfolded."""
    return text.replace("\r\n ", "").split("\r\n")


def test_an_entry_is_known_by_its_key_and_our_host(settings):
    settings.SITE_URL = "https://mesh.example.com:8000/x"
    assert lines(entry().to_ical().decode()) == [
        "BEGIN:VEVENT",
        "SUMMARY:Plan",
        "DTSTART:20300101T100000Z",
        "DTEND:20300101T103000Z",
        "DTSTAMP:20291231T100000Z",
        "UID:meeting-7@mesh.example.com",
        "SEQUENCE:2",
        "CREATED:20291229T100000Z",
        "LAST-MODIFIED:20291230T100000Z",
        "END:VEVENT",
        "",
    ]


@pytest.mark.parametrize("length", [timedelta(0), timedelta(seconds=-1)])
def test_an_entry_without_a_length_has_no_end(length):
    assert "DTEND" not in entry(ends=BEGINS + length).to_ical().decode()


def test_texts_are_there_where_they_say_something():
    text = entry(description="Bring; tea, milk\\sugar\nand cups", location="", url=None).to_ical().decode()
    assert "DESCRIPTION:Bring\\; tea\\, milk\\\\sugar\\nand cups" in lines(text)
    assert "LOCATION" not in text
    assert "URL" not in text


@pytest.mark.parametrize(
    ("value", "clean"),
    [
        ("plain é中", "plain é中"),
        ("a\r\nb\rc\nd", "a\nb\nc\nd"),
        ("a\x00b\x07c\x1fd\x7fe", "abcde"),
        ("a\tb", "a\tb"),
        ("", ""),
    ],
)
def test_control_characters_are_left_out(value, clean):
    assert ical.clean(value) == clean


def test_nothing_that_people_wrote_begins_a_line_of_its_own():
    hostile = "Plan\r\nATTENDEE:mailto:evil@example.com\nEND:VEVENT\x00"
    found = lines(entry(title=hostile, description=hostile).to_ical().decode())
    assert not [line for line in found if line.startswith("ATTENDEE")]
    assert found.count("END:VEVENT") == 1
    (event,) = Calendar.from_ical(ical.calendar([entry(title=hostile)])).events
    assert event["summary"] == "Plan\nATTENDEE:mailto:evil@example.com\nEND:VEVENT"


@pytest.mark.parametrize(
    ("name", "email", "told", "address"),
    [
        ("Alice", "alice@example.com", "Alice", "mailto:alice@example.com"),
        ("", "alice@example.com", "alice@example.com", "mailto:alice@example.com"),
        (" \n ", "alice@example.com", "alice@example.com", "mailto:alice@example.com"),
        ("A\r\nB\tC", "a+b@example.com", "A B C", "mailto:a+b@example.com"),
        ("Ü", "ü@example.com", "Ü", "mailto:%C3%BC@example.com"),
        ("X", 'a"b;c@example.com', "X", "mailto:a%22b%3Bc@example.com"),
    ],
)
def test_a_person_has_a_name_on_one_line_and_an_address(name, email, told, address):
    person = ical.person(name, email, ROLE="CHAIR")
    assert (person.params["CN"], str(person), person.params["ROLE"]) == (told, address, "CHAIR")


def test_a_calendar_holds_its_entries():
    text = ical.calendar([entry(), entry(key="meeting-8", title="Other")])
    found = lines(text)
    assert found[:3] == ["BEGIN:VCALENDAR", "VERSION:2.0", "PRODID:-//Meshwork//Calendar//EN"]
    assert found[-2:] == ["END:VCALENDAR", ""]
    assert [event["summary"] for event in Calendar.from_ical(text).events] == ["Plan", "Other"]
    assert not {"METHOD", "NAME", "REFRESH-INTERVAL"} & {line.partition(":")[0].partition(";")[0] for line in found}


@pytest.mark.parametrize("method", ["REQUEST", "CANCEL", "PUBLISH"])
def test_a_message_between_calendars_names_its_method(method):
    assert f"METHOD:{method}" in lines(ical.calendar([entry()], method))


def test_a_calendar_to_subscribe_to_has_a_name_on_one_line_and_says_when_to_look_again():
    found = lines(ical.calendar([], "PUBLISH", "Alice's\r\nplans"))
    assert "NAME:Alice's plans" in found
    assert "X-WR-CALNAME:Alice's plans" in found
    assert "REFRESH-INTERVAL;VALUE=DURATION:PT15M" in found


def test_long_lines_are_folded_and_come_back_whole():
    title = "中é" * 100
    text = ical.calendar([entry(title=title)])
    assert all(len(line.encode()) <= 75 for line in text.split("\r\n"))
    (event,) = Calendar.from_ical(text).events
    assert event["summary"] == title


def test_entries_are_taken_from_anything_that_yields_them():
    assert ical.calendar(entry(key=f"k-{n}") for n in range(3)).count("BEGIN:VEVENT") == 3
