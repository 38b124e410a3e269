"""The mails about meetings: who is told of what, once, and the calendar file that goes with it."""

import base64
from datetime import timedelta

import pytest
from django.utils import timezone

from meetings.models import Meeting
from meetings.tests.calendars import WHEN, events, parsed, people
from mesh.models import Mail

PLAN = {"title": "Plan", "scheduled_time": WHEN, "duration_minutes": 90, "location": "Room 2"}
MONDAY = "Monday, 5 January 2099, 10:00 UTC"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL = "https://mesh.example.org"


@pytest.fixture
def dora(person, alice):
    return person("dora", invited_by=alice.user)


def schedule(person, **fields):
    made = person.api.post("/meetings", PLAN | fields)
    assert made.status == 201, made
    return made.json["id"]


@pytest.fixture
def meeting(alice, bob, mails):
    id = schedule(alice, attendee_ids=[bob.id], attendee_emails=["guest@example.com"])
    mails()
    return id


def change(person, id, **fields):
    answer = person.api.patch(f"/meetings/{id}", fields)
    assert answer.status == 200, answer


def calendar_to(address):
    """The calendar in the newest mail to an address, and its method, which the mail names too."""
    mail = Mail.objects.filter(recipient=address).latest("pk")
    (file,) = mail.attachments
    calendar = parsed(base64.b64decode(file["content"]).decode())
    method = str(calendar["METHOD"])
    assert file["mimetype"] == f"text/calendar; method={method}"
    assert file["filename"] == {"REQUEST": "invite.ics", "CANCEL": "cancel.ics"}[method]
    (event,) = events(calendar)
    return method, event


def body_to(address):
    """The text of the newest mail to an address, without its footer."""
    return Mail.objects.filter(recipient=address).latest("pk").text.partition("\n\n-- \n")[0]


INVITED = ("meeting_invitations", f"Invitation: Plan, {MONDAY}")
CANCELLED = ("meeting_changes", f"Cancelled: Plan, {MONDAY}")
REMOVED = ("meeting_changes", f"No longer invited: Plan, {MONDAY}")


def test_a_new_meeting_invites_users_and_guests_with_a_calendar_file(alice, bob, mails):
    id = schedule(alice, description="Bring\ntea & <cake>", attendee_ids=[bob.id], attendee_emails=["g@example.com"])
    assert mails() == [("bob@example.com", *INVITED), ("g@example.com", *INVITED)]
    details = f"Plan\n{MONDAY}, 1 hour 30 minutes\nRoom 2\n\nBring\ntea & <cake>"
    assert body_to("bob@example.com") == (
        f"Alice invites you to a meeting.\n\n{details}\n\nPlease answer in Meshwork, where this is meeting {id}."
    )
    assert body_to("g@example.com") == (
        f"Alice invites you to a meeting.\n\n{details}\n\nPlease tell Alice (alice@example.com) whether you come."
    )
    html = Mail.objects.first().html
    assert "Bring\ntea &amp; &lt;cake&gt;</p>" in html
    for address in ("bob@example.com", "g@example.com"):
        method, event = calendar_to(address)
        assert (method, event["UID"], event["SEQUENCE"]) == ("REQUEST", f"meeting-{id}@mesh.example.org", 0)
        assert "STATUS" not in event
        assert people(event) == [
            ("mailto:bob@example.com", "Bob", "NEEDS-ACTION"),
            ("mailto:g@example.com", "g@example.com", "NEEDS-ACTION"),
        ]


def test_the_organizer_is_not_told_of_what_they_do(alice, mails):
    id = schedule(alice, attendee_ids=[alice.id])
    change(alice, id, title="New")
    alice.api.post(f"/meetings/{id}/respond", {"response": "accepted"})
    alice.api.delete(f"/meetings/{id}")
    schedule(alice)
    assert mails() == []


@pytest.mark.parametrize(
    ("fields", "lines", "subject"),
    [
        ({"title": "Retro"}, "Title: Retro (was: Plan)", f"Changed: Retro, {MONDAY}"),
        (
            {"scheduled_time": "2099-01-06T09:30:00+01:00"},
            f"Time: Tuesday, 6 January 2099, 08:30 UTC (was: {MONDAY})",
            "Changed: Plan, Tuesday, 6 January 2099, 08:30 UTC",
        ),
        ({"duration_minutes": 61}, "Duration: 1 hour 1 minute (was: 1 hour 30 minutes)", f"Changed: Plan, {MONDAY}"),
        ({"location": None}, "Location: none (was: Room 2)", f"Changed: Plan, {MONDAY}"),
        (
            {"title": "Retro", "location": "Room 3", "description": "New"},
            "Title: Retro (was: Plan)\nLocation: Room 3 (was: Room 2)",
            f"Changed: Retro, {MONDAY}",
        ),
    ],
)
def test_who_stays_is_told_what_changed_old_and_new(meeting, alice, mails, fields, lines, subject):
    change(alice, meeting, **fields)
    told = ("meeting_changes", subject)
    assert mails() == [("bob@example.com", *told), ("guest@example.com", *told)]
    assert body_to("bob@example.com").startswith(f"Alice has changed a meeting.\n\n{lines}\n\n")
    method, event = calendar_to("bob@example.com")
    assert (method, event["UID"], event["SEQUENCE"]) == ("REQUEST", f"meeting-{meeting}@mesh.example.org", 1)
    assert event.start == Meeting.objects.get().scheduled_time
    assert event["SUMMARY"] == fields.get("title", "Plan")


def test_of_nothing_or_of_another_description_nobody_is_told(meeting, alice, mails):
    change(alice, meeting)
    change(alice, meeting, **PLAN)
    change(alice, meeting, description="New")
    assert mails() == []


def test_every_change_is_told_once_with_a_higher_sequence(meeting, alice, bob, mails):
    for number, title in enumerate(("A", "B", "A"), 1):
        change(alice, meeting, title=title)
        assert calendar_to("bob@example.com")[1]["SEQUENCE"] == number
    assert [subject for address, _, subject in mails() if address == "bob@example.com"] == [
        f"Changed: {title}, {MONDAY}" for title in ("A", "B", "A")
    ]
    for number, ids in enumerate(([], [bob.id], [], [bob.id]), 4):
        change(alice, meeting, attendee_ids=ids)
        assert calendar_to("bob@example.com")[1]["SEQUENCE"] == number
    assert len(mails()) == 4


def test_who_is_new_is_invited_and_who_is_taken_off_is_told_so_and_who_stays_is_left_alone(
    meeting, alice, bob, dora, mails
):
    change(alice, meeting, attendee_ids=[bob.id, dora.id], attendee_emails=["h@example.com"])
    assert mails() == [
        ("guest@example.com", *REMOVED), ("dora@example.com", *INVITED), ("h@example.com", *INVITED),
    ]  # fmt: skip
    method, event = calendar_to("guest@example.com")
    assert (method, event["UID"], event["SEQUENCE"]) == ("CANCEL", f"meeting-{meeting}@mesh.example.org", 1)
    assert "STATUS" not in event  # the meeting itself is on
    assert people(event) == [("mailto:guest@example.com", "guest@example.com", "NEEDS-ACTION")]
    method, event = calendar_to("dora@example.com")
    assert (method, event["SEQUENCE"]) == ("REQUEST", 1)
    assert [name for _, name, _ in people(event)] == ["Bob", "Dora", "h@example.com"]


def test_who_is_taken_off_hears_nothing_of_what_it_becomes(meeting, alice, mails):
    change(alice, meeting, attendee_ids=[], title="Secret", location="Secret", description="Secret")
    assert [mail[0] for mail in mails()] == ["bob@example.com", "guest@example.com"]
    row = Mail.objects.filter(recipient="bob@example.com").latest("pk")
    assert row.subject == REMOVED[1]
    assert row.text.startswith(
        f"Alice has taken you off the list of this meeting. You need not come.\n\nPlan\n{MONDAY}\n"
    )
    file = base64.b64decode(row.attachments[0]["content"]).decode()
    assert "Secret" not in row.text + row.html + file


def test_a_guest_who_has_become_a_user_is_still_the_same(alice, person, mails):
    id = schedule(alice, attendee_emails=["eve@example.com"])
    mails()
    eve = person("eve", invited_by=alice.user)
    change(alice, id, attendee_emails=["EVE@example.com"])
    assert alice.api.get(f"/meetings/{id}").json["attendees"][0]["id"] == eve.id
    assert mails() == []
    change(alice, id, title="New")
    assert mails() == [("eve@example.com", "meeting_changes", f"Changed: New, {MONDAY}")]


def test_a_cancelled_meeting_leaves_the_calendars_of_all(meeting, alice, bob, mails):
    change(alice, meeting, description="New")
    bob.api.post(f"/meetings/{meeting}/respond", {"response": "declined"})
    mails()
    assert alice.api.delete(f"/meetings/{meeting}").status == 204
    assert mails() == [("bob@example.com", *CANCELLED), ("guest@example.com", *CANCELLED)]
    assert body_to("bob@example.com") == (
        f"Alice has cancelled this meeting.\n\nPlan\n{MONDAY}, 1 hour 30 minutes\nRoom 2\n\nNew"
    )
    for address in ("bob@example.com", "guest@example.com"):
        method, event = calendar_to(address)
        assert (method, event["STATUS"]) == ("CANCEL", "CANCELLED")
        assert (event["UID"], event["SEQUENCE"]) == (f"meeting-{meeting}@mesh.example.org", 2)
        assert people(event) == [
            ("mailto:bob@example.com", "Bob", "DECLINED"),
            ("mailto:guest@example.com", "guest@example.com", "NEEDS-ACTION"),
        ]


def test_what_an_admin_does_the_organizer_is_told_too(meeting, ada, mails):
    change(ada, meeting, title="New")
    ada.api.delete(f"/meetings/{meeting}")
    changed = ("meeting_changes", f"Changed: New, {MONDAY}")
    cancelled = ("meeting_changes", f"Cancelled: New, {MONDAY}")
    assert mails() == [
        ("bob@example.com", *changed), ("guest@example.com", *changed), ("alice@example.com", *changed),
        ("bob@example.com", *cancelled), ("guest@example.com", *cancelled), ("alice@example.com", *cancelled),
    ]  # fmt: skip
    assert body_to("alice@example.com").startswith("Ada has cancelled this meeting.")
    assert [mail.attachments for mail in Mail.objects.filter(recipient="alice@example.com")] == [[], []]


def test_the_organizer_hears_each_answer_that_differs(meeting, bob, mails):
    for response in ("accepted", "accepted", "tentative", "declined", "accepted"):
        assert bob.api.post(f"/meetings/{meeting}/respond", {"response": response}).status == 200
    answers = ("Bob accepted: Plan", "Bob may come: Plan", "Bob declined: Plan", "Bob accepted: Plan")
    assert mails() == [("alice@example.com", "responses", answer) for answer in answers]
    assert body_to("alice@example.com") == f"Bob accepted.\n\nPlan\n{MONDAY}, 1 hour 30 minutes"


def ago(**by):
    return (timezone.now() - timedelta(**by)).isoformat()


def test_nobody_is_told_of_a_meeting_that_is_over(alice, bob, dora, mails):
    id = schedule(alice, scheduled_time=ago(minutes=91), attendee_ids=[bob.id], attendee_emails=["g@example.com"])
    change(alice, id, title="New", attendee_ids=[dora.id])
    dora.api.post(f"/meetings/{id}/respond", {"response": "accepted"})
    alice.api.delete(f"/meetings/{id}")
    assert mails() == []


def test_of_one_that_has_begun_they_still_are(alice, bob, mails):
    id = schedule(alice, scheduled_time=ago(minutes=80), attendee_ids=[bob.id])
    assert [kind for _, kind, _ in mails()] == ["meeting_invitations"]
    change(alice, id, location="Room 3")
    assert [kind for _, kind, _ in mails()] == ["meeting_changes"]


def test_one_that_moves_into_the_past_or_out_of_it_is_told_of(meeting, alice, mails):
    change(alice, meeting, scheduled_time=ago(days=2))
    assert [mail[0] for mail in mails()] == ["bob@example.com", "guest@example.com"]
    change(alice, meeting, scheduled_time=WHEN)
    assert [mail[0] for mail in mails()] == ["bob@example.com", "guest@example.com"]
