"""Who attends, to take along: as CSV and as a page to print."""

import csv
import io
import re
from html import unescape

import pytest

from accounts.tests.assertions import TIME, refused
from events.tests.conftest import register
from mesh.formats import sheets


@pytest.fixture
def house(event, bob, charlie):
    made = event(name="<b>Open</b> day", capacity=3, location="Hall & garden")
    register(bob, made, "zoe", phone="+49 30 123")
    register(bob, made, "adam", name="=1+1")
    register(charlie, made, "eve", name='<script>alert("x")</script>')
    register(bob, made, "yan", name="Yan, who; waits", waitlist=True)
    register(charlie, made, "bea", waitlist=True)
    return made


def sheet(person, event):
    answer = person.api.get(f"/events/{event}/attendees/export")
    assert answer.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answer.headers["Content-Disposition"] == 'attachment; filename="attendees.csv"'
    return list(csv.reader(io.StringIO(answer.text)))


def rows(text):
    """The cells of the printed table."""
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.S)
    cells = [[unescape(re.sub("<[^>]*>", "", cell)) for cell in re.findall(r"<td>(.*?)</td>", row)] for row in found]
    return [row for row in cells if row]


def test_the_owner_gets_everyone_by_name_and_then_who_waits(alice, ada, house):
    header = ["name", "email", "phone", "status", "registration_date", "position"]
    expected = [
        ['<script>alert("x")</script>', "eve@example.com", "", "registered", TIME, ""],
        ["'=1+1", "adam@example.com", "", "registered", TIME, ""],
        ["Zoe", "zoe@example.com", "'+49 30 123", "registered", TIME, ""],
        ["Yan, who; waits", "yan@example.com", "", "waiting", TIME, "1"],
        ["Bea", "bea@example.com", "", "waiting", TIME, "2"],
    ]
    assert sheet(alice, house) == sheet(ada, house) == [header, *expected]


def test_others_get_those_whom_they_registered(bob, charlie, house):
    assert [(row[0], row[5]) for row in sheet(bob, house)[1:]] == [("'=1+1", ""), ("Zoe", ""), ("Yan, who; waits", "1")]
    assert [(row[1], row[5]) for row in sheet(charlie, house)[1:]] == [
        ("eve@example.com", ""),
        ("bea@example.com", "2"),
    ]


def test_the_page_shows_what_was_written_and_runs_nothing(alice, house):
    answer = alice.api.get(f"/events/{house}/attendees/print")
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == "default-src 'none'; style-src 'unsafe-inline'"
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert "<h1>&lt;b&gt;Open&lt;/b&gt; day</h1>" in answer.text
    assert "Hall &amp; garden" in answer.text
    assert "3 registered of 3 · 2 waiting" in answer.text
    assert "<script" not in answer.text
    assert [row[:3] for row in rows(answer.text)] == [
        ["", '<script>alert("x")</script>', "eve@example.com"],
        ["", "=1+1", "adam@example.com"],
        ["", "Zoe", "zoe@example.com"],
        ["waits, 1", "Yan, who; waits", "yan@example.com"],
        ["waits, 2", "Bea", "bea@example.com"],
    ]


def test_long_lists_come_in_parts_and_whole(alice, bob, event, monkeypatch):
    monkeypatch.setattr(sheets, "PART", 3)
    made = event()
    guests = [f"guest{number}" for number in range(8)]
    for guest in guests:
        register(bob, made, guest)
    assert [row[1] for row in sheet(alice, made)[1:]] == [f"{guest}@example.com" for guest in guests]
    printed = rows(alice.api.get(f"/events/{made}/attendees/print").text)
    assert [row[1] for row in printed] == [guest.title() for guest in guests]


def test_an_empty_list_is_one_too(alice, event):
    made = event()
    assert len(sheet(alice, made)) == 1
    assert rows(alice.api.get(f"/events/{made}/attendees/print").text) == []
    refused(alice.api.get("/events/4711/attendees/export"), 404)
