"""Mails about meetings go out with their change or not at all, once, and arrive whole."""

import base64

import pytest
from icalendar import Calendar

from accounts.tests.assertions import nothing_changes, refused
from meetings.models import Meeting
from meetings.tests.calendars import WHEN, events, parsed
from mesh.models import Mail, Outbox
from mesh.tests.jobs import run_jobs
from mesh.tests.mail_server import listening

PLAN = {"title": "Plan", "scheduled_time": WHEN, "duration_minutes": 90, "location": "Room 2"}
MONDAY = "Monday, 5 January 2099, 10:00 UTC"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL = "https://mesh.example.org"


@pytest.fixture
def meeting(alice, bob, mails):
    sent = PLAN | {"attendee_ids": [bob.id], "attendee_emails": ["guest@example.com"]}
    id = alice.api.post("/meetings", sent).json["id"]
    mails()
    return id


INVITED = f"Invitation: Plan, {MONDAY}"


def test_a_dry_run_lists_the_mails_and_writes_none(meeting, alice, bob):
    guests = ["bob@example.com", "guest@example.com"]
    requests = [
        (alice, "POST", "/meetings", PLAN | {"attendee_ids": [bob.id]}, guests[:1], INVITED),
        (alice, "PATCH", f"/meetings/{meeting}", {"title": "New"}, guests, f"Changed: New, {MONDAY}"),
        (alice, "DELETE", f"/meetings/{meeting}", None, guests, f"Cancelled: Plan, {MONDAY}"),
        (
            bob, "POST", f"/meetings/{meeting}/respond", {"response": "accepted"},
            ["alice@example.com"], "Bob accepted: Plan",
        ),
    ]  # fmt: skip
    before = Mail.objects.count(), Outbox.objects.count()
    for person, method, path, sent, addresses, subject in requests:
        with nothing_changes():
            answer = person.api.request(method, path, sent, Prefer="dry-run")
        assert answer.json["mails"] == [{"to": address, "subject": subject} for address in addresses]
        jobs = [job["operation"] for job in answer.json["jobs"]]
        assert jobs == ["mail_invitations"] * (path == "/meetings") + ["send_mail"] * len(addresses)
    assert (Mail.objects.count(), Outbox.objects.count()) == before


def test_what_is_refused_or_fails_tells_nobody(meeting, alice, bob, charlie, mails, monkeypatch):
    refused(alice.api.post("/meetings", PLAN | {"attendee_ids": [bob.id, charlie.id]}), 422)
    refused(alice.api.patch(f"/meetings/{meeting}", {"title": "New", "attendee_ids": [charlie.id]}), 422)
    refused(bob.api.delete(f"/meetings/{meeting}"), 403)
    refused(charlie.api.delete(f"/meetings/{meeting}"), 404)
    monkeypatch.setattr(Meeting, "audience", lambda meeting: 1 / 0)
    refused(alice.api.patch(f"/meetings/{meeting}", {"title": "New"}), 500)
    assert mails() == []


def test_a_new_meeting_writes_no_mail_itself(alice, bob):
    assert alice.api.post("/meetings", PLAN | {"attendee_ids": [bob.id]}).status == 201
    assert alice.api.post("/meetings", PLAN).status == 201
    assert Mail.objects.count() == 0
    assert list(Outbox.objects.values_list("operation", "arguments")) == [
        ("mail_invitations", {"id": Meeting.objects.order_by("id")[0].pk})
    ]


def test_invitations_tell_of_the_meeting_as_it_is_by_then_and_come_once(alice, bob, person, mails):
    dora, eve = (person(name, invited_by=alice.user) for name in ("dora", "eve"))
    id = alice.api.post("/meetings", PLAN | {"attendee_ids": [bob.id, eve.id]}).json["id"]
    alice.api.patch(f"/meetings/{id}", {"title": "Retro", "attendee_ids": [bob.id, dora.id]})
    invited = [("dora@example.com", 1), ("bob@example.com", 1)]  # dora by the change that put her on the list
    mails()
    rows = Mail.objects.filter(kind="meeting_invitations").order_by("pk")
    assert [(row.recipient, row.subject) for row in rows] == [
        (address, f"Invitation: Retro, {MONDAY}") for address, _ in invited
    ]
    files = [parsed(base64.b64decode(row.attachments[0]["content"]).decode()) for row in rows]
    assert [(row.recipient, events(file)[0]["SEQUENCE"]) for row, file in zip(rows, files, strict=True)] == invited


def test_a_meeting_that_is_gone_by_then_invites_nobody(alice, bob, mails):
    id = alice.api.post("/meetings", PLAN | {"attendee_ids": [bob.id]}).json["id"]
    alice.api.delete(f"/meetings/{id}")
    assert mails() == [("bob@example.com", "meeting_changes", f"Cancelled: Plan, {MONDAY}")]
    assert Outbox.objects.get(operation="mail_invitations").status == "done"


def test_a_repeated_request_tells_once(alice, bob, mails):
    for _ in range(2):
        alice.api.post("/meetings", PLAN | {"attendee_ids": [bob.id]}, Idempotency_Key="k")
    assert mails() == [("bob@example.com", "meeting_invitations", INVITED)]


def test_no_title_gets_out_of_its_subject(alice, mails):
    sent = {"title": "Plan\nBcc: x@example.com", "attendee_emails": ["g@example.com"]}
    alice.api.post("/meetings", PLAN | sent)
    assert mails() == [
        ("g@example.com", "meeting_invitations", f"Invitation: Plan Bcc: x@example.com, {MONDAY}")
    ]  # fmt: skip


def test_who_is_deactivated_gets_none(meeting, alice, bob, ada, mails):
    ada.api.patch(f"/users/{bob.id}", {"is_active": False})
    alice.api.patch(f"/meetings/{meeting}", {"title": "New"})
    assert [mail[0] for mail in mails()] == ["guest@example.com"]


def test_a_mail_arrives_with_its_calendar_as_text_and_as_file(meeting, settings):
    with listening() as server:
        settings.EMAIL_URL = server.url
        run_jobs()
    assert server.recipients == ["bob@example.com", "guest@example.com"]
    assert {mail.status for mail in Mail.objects.all()} == {"sent"}
    for message, address in zip(server.taken, server.recipients, strict=True):
        assert (message["To"], message["Subject"]) == (address, INVITED)
        parts = {part.get_content_type(): part for part in message.walk() if not part.is_multipart()}
        assert list(parts) == ["text/plain", "text/html", "text/calendar", "application/ics"]
        invite, file = parts["text/calendar"], parts["application/ics"]
        assert (invite.get_param("method"), invite.get_content_charset()) == ("REQUEST", "utf-8")
        assert file.get_filename() == "invite.ics"
        (event,) = events(parsed(file.get_payload(decode=True).decode()))
        assert event["UID"] == f"meeting-{meeting}@mesh.example.org"
        assert Calendar.from_ical(invite.get_payload(decode=True)) == Calendar.from_ical(file.get_payload(decode=True))
