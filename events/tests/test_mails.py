"""The mails about events: who is told of what, once, and the calendar file that goes with it."""

import base64

import pytest

from events import mailings as mail_jobs
from events.models import Event, Registration
from events.tests.conftest import BEGINS, ENDS, MONDAY, TUESDAY, is_over, register
from meetings.tests.calendars import events as entries
from meetings.tests.calendars import parsed
from mesh.models import Mail, Outbox

ALICE = "alice@example.com"


@pytest.fixture(autouse=True)
def _site(settings):
    settings.SITE_URL, settings.EMAIL_FROM = "https://mesh.example.org", "Office <office@example.org>"


@pytest.fixture
def house(event, bob, mails):
    """An event with two seats, both taken, and one who waits; what was mailed of it so far."""
    made = event(capacity=2, location="Hall")
    for guest in ("eve", "finn", "gil"):
        assert register(bob, made, guest, waitlist=True).status == 201
    return made, mails()


def body_to(address):
    return Mail.objects.filter(recipient=address).latest("pk").text.partition("\n\n-- \n")[0]


def calendar_to(address):
    """The method of the calendar in the newest mail to an address, and its one entry."""
    (file,) = Mail.objects.filter(recipient=address).latest("pk").attachments
    calendar = parsed(base64.b64decode(file["content"]).decode())
    method = str(calendar["METHOD"])
    assert file["mimetype"] == f"text/calendar; method={method}"
    (entry,) = entries(calendar)
    return method, entry


def told(address):
    return Mail.objects.filter(recipient=address).count()


def test_the_owner_is_told_of_a_new_event_and_everyone_of_their_seat(house):
    _, mailed = house
    assert mailed == [
        (ALICE, f"Your event: Open day, {MONDAY}"),
        ("eve@example.com", f"Your seat: Open day, {MONDAY}"),
        ("finn@example.com", f"Your seat: Open day, {MONDAY}"),
        ("gil@example.com", f"Waiting list: Open day, {MONDAY}"),
    ]
    assert body_to(ALICE) == (
        f"Your event is open for registration.\n\nIt has 2 seats.\n\nOpen day\n{MONDAY} to {TUESDAY}\nHall"
    )
    assert body_to("gil@example.com").startswith(
        "You are on the waiting list, Gil.\n\nThe event is full. You are number 1 in line,"
    )
    assert Mail.objects.get(recipient="gil@example.com").attachments == []
    method, entry = calendar_to("eve@example.com")
    assert (method, str(entry["UID"]), entry["SEQUENCE"]) == ("REQUEST", f"event-{house[0]}@mesh.example.org", 0)
    assert (str(entry["ATTENDEE"]), entry["ATTENDEE"].params["PARTSTAT"]) == ("mailto:eve@example.com", "ACCEPTED")
    assert (str(entry["ORGANIZER"]), entry["ORGANIZER"].params["CN"]) == ("mailto:office@example.org", "Office")


def test_a_change_is_told_with_old_and_new_to_all_who_attend_or_wait_and_to_the_owner(alice, house, mails):
    made, _ = house
    alice.api.patch(f"/events/{made}", {"name": "Open night", "location": "", "capacity": 2})
    subject = f"Changed: Open night, {MONDAY}"
    assert mails() == [(f"{name}@example.com", subject) for name in ("eve", "finn", "gil", "alice")]
    changes = "Name: Open night (was: Open day)\nLocation: none (was: Hall)"
    assert body_to("eve@example.com").startswith(f"An event that you attend has changed.\n\n{changes}\n\nOpen night\n")
    assert body_to("gil@example.com").startswith("An event that you wait for has changed.\n")
    assert body_to(ALICE).startswith(f"Your event has changed.\n\n{changes}\n")
    method, entry = calendar_to("eve@example.com")
    assert (method, entry["SEQUENCE"], str(entry["SUMMARY"])) == ("REQUEST", 1, "Open night")
    assert Mail.objects.filter(recipient="gil@example.com").latest("pk").attachments == []


def test_times_and_category_are_told_as_people_read_them(alice, house, mails):
    made, _ = house
    talks = alice.api.post("/categories", {"name": "Talks"}).json["id"]
    changed = {"start_date": "2099-01-04T08:00:00Z", "end_date": "2099-01-04T09:00:30Z", "category_id": talks}
    alice.api.patch(f"/events/{made}", changed)
    mails()
    assert body_to("eve@example.com").split("\n\n")[1].splitlines() == [
        f"Begins: Sunday, 4 January 2099, 08:00 UTC (was: {MONDAY})",
        f"Ends: Sunday, 4 January 2099, 09:00:30 UTC (was: {TUESDAY})",
        "Category: Talks (was: none)",
    ]


def test_another_capacity_is_told_to_the_owner_alone_and_what_stays_to_nobody(alice, ada, house, mails):
    made, _ = house
    ada.api.patch(f"/events/{made}", {"capacity": 2, "name": "Open day", "start_date": BEGINS})
    assert mails() == []
    ada.api.patch(f"/events/{made}", {"capacity": 1_000})
    assert mails() == [
        (ALICE, f"Changed: Open day, {MONDAY}"),
        ("gil@example.com", f"You have a seat: Open day, {MONDAY}"),
    ]
    assert "Capacity: 1,000 (was: 2)" in body_to(ALICE)


def test_a_cancellation_takes_it_out_of_the_calendars_once(alice, house, mails):
    made, _ = house
    for _ in range(2):
        assert alice.api.post(f"/events/{made}/cancel").status == 200
    assert alice.api.delete(f"/events/{made}").status == 204
    subject = f"Cancelled: Open day, {MONDAY}"
    assert mails() == [(f"{name}@example.com", subject) for name in ("eve", "finn", "gil", "alice")]
    method, entry = calendar_to("eve@example.com")
    assert (method, str(entry["STATUS"]), entry["SEQUENCE"]) == ("CANCEL", "CANCELLED", 1)
    assert str(entry["ATTENDEE"]) == "mailto:eve@example.com"
    assert Mail.objects.filter(recipient="gil@example.com").latest("pk").attachments == []


def test_deleting_what_is_still_to_come_is_a_cancellation(alice, house, mails):
    made, _ = house
    alice.api.delete(f"/events/{made}")
    assert [address for address, _ in mails()] == ["eve@example.com", "finn@example.com", "gil@example.com", ALICE]
    assert calendar_to("eve@example.com")[0] == "CANCEL"


def test_who_moves_up_is_told_with_a_calendar_file_and_who_was_removed_with_another(alice, house, mails, bob):
    made, _ = house
    eve = bob.api.get("/attendees?search=eve").json["results"][0]["id"]
    bob.api.delete(f"/events/{made}/attendees/{eve}")
    assert mails() == [
        ("eve@example.com", f"No longer registered: Open day, {MONDAY}"),
        ("gil@example.com", f"You have a seat: Open day, {MONDAY}"),
    ]
    method, entry = calendar_to("eve@example.com")
    assert (method, "STATUS" in entry) == ("CANCEL", False)
    assert calendar_to("gil@example.com")[0] == "REQUEST"


def test_a_new_address_is_told_of_its_seats_and_places(bob, event, house, mails):
    second = event(name="Second")
    register(bob, second, "gil")
    over = event(name="Over")
    register(bob, over, "gil")
    is_over(over)
    mails()
    gil = bob.api.get("/attendees?search=gil").json["results"][0]["id"]
    bob.api.patch(f"/attendees/{gil}", {"name": "Gilda"})
    assert mails() == []
    bob.api.patch(f"/attendees/{gil}", {"email": "gilda@example.com"})
    assert mails() == [
        ("gilda@example.com", f"Your seat: Second, {MONDAY}"),
        ("gilda@example.com", f"Waiting list: Open day, {MONDAY}"),
    ]


def test_a_new_address_is_told_of_all_its_seats_some_at_a_time(alice, bob, event, mails):
    eve = register(bob, event(), "eve").json["id"]
    mails()
    fields = {"owner": alice.user, "name": "More", "attendee_count": 1, "start_date": BEGINS, "end_date": ENDS}
    more = Event.objects.bulk_create(Event(**fields) for _ in range(449))
    Registration.objects.bulk_create(
        Registration(event=made, attendee_id=eve, email_key="eve@example.com", status="registered") for made in more
    )
    bob.api.patch(f"/attendees/{eve}", {"email": "eva@example.com"})
    said = mails()
    assert said[0] == ("eva@example.com", f"Your seat: Open day, {MONDAY}")
    assert said[1:] == [("eva@example.com", f"Your seat: More, {MONDAY}")] * 449
    parts = Outbox.objects.filter(operation="mail_seats").order_by("pk").values_list("arguments__ids", flat=True)
    assert [len(ids) for ids in parts] == [1, 200, 200, 50]


def test_of_a_deletion_the_newest_address_is_told_also_where_it_was_another_persons(alice, bob, event, mails):
    gone = event(name="Gone")
    for guest in ("eve", "gil", "finn"):
        register(bob, gone, guest)
    eve = register(bob, event(), "eve").json["id"]
    mails()
    alice.api.delete(f"/events/{gone}")
    bob.api.patch(f"/attendees/{eve}", {"email": "gil@example.com"})
    off = f"Cancelled: Gone, {MONDAY}"
    assert mails() == [
        ("gil@example.com", off),
        ("finn@example.com", off),
        (ALICE, off),
        ("gil@example.com", f"Your seat: Open day, {MONDAY}"),
    ]


def test_an_owner_who_attends_gets_one_mail_a_change(alice, event, mails):
    made = event()
    register(alice, made, "ALICE")
    mails()
    alice.api.patch(f"/events/{made}", {"name": "B"})
    assert mails() == [("ALICE@example.com", f"Changed: B, {MONDAY}")]


def test_of_what_is_over_nobody_is_told(alice, bob, house, mails):
    made, _ = house
    is_over(made)
    finn = bob.api.get("/attendees?search=finn").json["results"][0]["id"]
    alice.api.patch(f"/events/{made}", {"description": "It was nice"})
    bob.api.delete(f"/events/{made}/attendees/{finn}")
    alice.api.patch(f"/events/{made}", {"capacity": 9})
    alice.api.post(f"/events/{made}/cancel")
    assert mails() == []
    assert Event.objects.get(pk=made).attendee_count == 2


def test_of_a_cancelled_event_no_change_is_told(alice, house, mails):
    made, _ = house
    alice.api.post(f"/events/{made}/cancel")
    mails()
    alice.api.patch(f"/events/{made}", {"description": "Why"})
    assert mails() == []


def test_a_change_that_was_overtaken_by_a_cancellation_is_not_told(alice, house, mails):
    made, _ = house
    alice.api.patch(f"/events/{made}", {"name": "B"})
    alice.api.post(f"/events/{made}/cancel")
    assert {subject for _, subject in mails()} == {f"Cancelled: B, {MONDAY}"}


def test_who_moved_up_before_the_first_mail_went_is_told_once(alice, bob, event, mails):
    made = event(capacity=1)
    register(bob, made, "eve")
    mails()
    register(bob, made, "finn", waitlist=True)
    alice.api.patch(f"/events/{made}", {"capacity": 2})
    assert mails() == [
        (ALICE, f"Changed: Open day, {MONDAY}"),
        ("finn@example.com", f"You have a seat: Open day, {MONDAY}"),
    ]


def test_who_was_removed_before_the_first_mail_went_has_no_seat_confirmed(bob, event, mails):
    made = event()
    eve = register(bob, made, "eve").json["id"]
    bob.api.delete(f"/events/{made}/attendees/{eve}")
    assert [subject for address, subject in mails() if address != ALICE] == [
        f"No longer registered: Open day, {MONDAY}"
    ]


def test_many_are_told_some_at_a_time_and_who_came_later_is_not(alice, bob, event, mails, monkeypatch):
    monkeypatch.setattr(mail_jobs, "MOST_AT_ONCE", 2)
    made = event()
    guests = [f"guest{number}" for number in range(5)]
    for guest in guests:
        register(bob, made, guest)
    mails()
    alice.api.patch(f"/events/{made}", {"name": "B"})
    register(bob, made, "late")
    said = mails()
    changed = [address for address, subject in said if subject.startswith("Changed")]
    assert changed == [f"{guest}@example.com" for guest in guests] + [ALICE]
    assert ("late@example.com", f"Your seat: B, {MONDAY}") in said
    assert told("late@example.com") == 1


def test_a_dry_run_lists_the_mails_and_writes_none(alice, house, mails):
    made, _ = house
    tried = alice.api.post(f"/events/{made}/cancel", Prefer="dry-run").json
    assert [mail["to"] for mail in tried["mails"]] == ["eve@example.com", "finn@example.com", "gil@example.com", ALICE]
    assert mails() == []
    made = alice.api.post("/events", {"name": "B", "start_date": BEGINS, "end_date": BEGINS}, Prefer="dry-run").json
    assert made["mails"] == [{"to": ALICE, "subject": f"Your event: B, {MONDAY}"}]


def test_a_dry_run_lists_the_mails_of_all_parts_and_one_job(alice, bob, event, mails, monkeypatch):
    monkeypatch.setattr(mail_jobs, "MOST_AT_ONCE", 2)
    made = event()
    guests = [f"guest{number}" for number in range(5)]
    for guest in guests:
        register(bob, made, guest)
    mails()
    tried = alice.api.post(f"/events/{made}/cancel", Prefer="dry-run").json
    assert [mail["to"] for mail in tried["mails"]] == [*(f"{guest}@example.com" for guest in guests), ALICE]
    assert [job["operation"] for job in tried["jobs"]] == ["mail_event", *["send_mail"] * 6]
    alice.api.post(f"/events/{made}/cancel")
    assert mails() == [(mail["to"], mail["subject"]) for mail in tried["mails"]]


def test_each_kind_can_be_turned_off(alice, house, mails):
    made, _ = house
    assert alice.api.patch("/users/me/notifications", {"event_changes": False}).status == 200
    alice.api.patch(f"/events/{made}", {"name": "B"})
    assert ALICE not in [address for address, _ in mails()]
    kinds = set(Mail.objects.values_list("kind", flat=True))
    assert kinds == {"event_changes", "event_registrations"}
