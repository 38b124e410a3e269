"""Events in the admin: a list like a calendar, who attends, refusals beside their fields; all of it by operations."""

import csv
import io
from datetime import timedelta

import pytest
from django.contrib.admin.models import LogEntry
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from accounts.tests.assertions import nothing_changes
from accounts.tests.browser import submit, text_of
from events.models import Attendee, Category, Event, Registration
from events.tests.conftest import BEGINS, ENDS, MONDAY, counts, register, seats
from mesh.models import AuditEntry

EVENTS, CATEGORIES = "/admin/events/event/", "/admin/events/category/"
ATTENDEES, REGISTRATIONS = "/admin/events/attendee/", "/admin/events/registration/"
DATES = {"start_date_0": "2099-01-05", "start_date_1": "10:00", "end_date_0": "2099-01-06", "end_date_1": "12:30"}


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


@pytest.fixture
def category(alice):
    """Makes categories of alice's; their ids."""

    def make(name="Workshops"):
        return alice.api.post("/categories", {"name": name}).json["id"]

    return make


def act(site, path, action, *ids, **fields):
    """The words of a list after an action on its rows."""
    sent = {"action": action, "_selected_action": [str(id) for id in ids], **fields}
    return text_of(site.post(path, sent, follow=True))


def audited():
    """The operations that came through the admin, and what became of them."""
    return list(AuditEntry.objects.filter(door="admin").order_by("pk").values_list("operation", "outcome"))


def names(page):
    return [row.name for row in page.context["cl"].result_list]


def at(begins, **lasts):
    """The dates of an event that begins so much later than now."""
    start = timezone.now() + begins
    return {"start_date": start.isoformat(), "end_date": (start + timedelta(**lasts)).isoformat()}


def statements(site, path):
    site.get(path)  # what is asked but once in a process is known by now
    with CaptureQueriesContext(
        connection,
    ) as asked:
        assert site.get(path).status_code == 200
    return len(asked)


def full(event, person):
    """An event whose two seats are taken, and where two wait."""
    made = event(capacity=2)
    for guest in ("gina", "hugo", "ines", "jan"):
        assert register(person, made, guest, waitlist=True).status == 201
    return made


def test_what_is_to_come_is_listed_first_the_soonest_on_top(site, event):
    day = timedelta(days=1)
    for name, begins in (
        ("later", 9 * day),
        ("old", -9 * day),
        ("soon", day),
        ("older", -20 * day),
        ("now", -day / 24),
    ):
        event(name=name, **at(begins, hours=2))
    assert names(site.get(EVENTS)) == ["now", "soon", "later", "old", "older"]
    assert names(site.get(f"{EVENTS}?o=2")) == ["later", "now", "old", "older", "soon"]


def test_events_are_found_by_time_status_category_and_words(site, alice, event, category):
    today = timezone.now().replace(hour=0, minute=0, second=0, microsecond=0)
    monday = today - timedelta(today.weekday())
    from_now = {
        "past": -timedelta(days=30), "running": -timedelta(hours=1), "next": timedelta(days=30),
    }  # fmt: skip
    for name, begins in from_now.items():
        event(name=name, **at(begins, days=0, hours=2))
    for name, start in (("last week", monday - timedelta(hours=2)), ("next week", monday + timedelta(7))):
        event(name=name, start_date=start.isoformat(), end_date=(start + timedelta(hours=2)).isoformat())
    event(name="moment", start_date=today.isoformat(), end_date=today.isoformat(), location="Cellar")
    kind = category()
    event(name="far", category_id=kind, description="Bring a hammer")
    assert alice.api.post(f"/events/{event(name='off')}/cancel").status == 200
    assert alice.api.delete(f"/events/{event(name='gone')}").status == 204
    current = {"past", "running", "next", "last week", "next week", "moment", "far", "off"}
    is_over = {"past", "last week", "moment"}
    for query, found in (
        ("", current), ("when=now", {"running"}),
        ("when=today", {"running", "moment"}), ("when=week", {"running", "moment"}),
        ("when=past", is_over), ("when=never", current),
        ("when=upcoming", current - is_over - {"running"}),
        ("status=cancelled", {"off"}), ("status__exact=active", current - {"off"}),
        (f"category__id__exact={kind}", {"far"}), ("category__isnull=True", current - {"far"}),
        ("deleted=yes", {"gone"}), ("q=HAMMER", {"far"}), ("q=cellar", {"moment"}), ("q=alice%40example.com", current),
        ("q=run", {"running"}), ("q=nothing", set()),
        ("start_date__year=2099&start_date__month=1&start_date__day=5", {"far", "off"}),
    ):  # fmt: skip
        assert set(names(site.get(f"{EVENTS}?{query}"))) == found, query


def test_times_and_seats_are_seen_at_a_glance(site, bob, event):
    full(event, bob)
    nearly, free = event(name="Nearly", capacity=6), event(name="Free", end_date="2099-01-05T10:00:00Z")
    for number in range(5):
        register(bob, nearly, f"guest{number}")
    register(bob, free, "gina")
    page = site.get(EVENTS)
    said = text_of(page)
    assert "When (UTC)" in said
    assert "Jan 5 Mon, 5 Jan – Tue, 6 Jan 2099 10:00 – 12:30 · 2 days Open day" in said
    assert "Jan 5 Mon, 5 Jan 2099 10:00 – 10:00 Free" in said
    assert "2 of 2, full 2 waiting active Alice" in said
    assert "5 of 6, nearly full active" in said
    assert "1, no limit active" in said
    html = page.content.decode()
    for style in ("bg-red-500", "bg-orange-500", 'style="width: 83.3', 'style="width: 100.0%"', "bg-green-100"):
        assert style in html
    assert "2 of 2, full 2 waiting" in text_of(site.get(f"{EVENTS}{Event.objects.get(capacity=2).pk}/change/"))
    Event.objects.filter(pk=free).update(start_date=timezone.now() - timedelta(1), end_date=timezone.now())
    assert "· over" in text_of(site.get(EVENTS))
    Event.objects.filter(pk=free).update(end_date=timezone.now() + timedelta(hours=1))
    assert "· running" in text_of(site.get(EVENTS))


def test_an_event_is_added_and_changed_and_its_cached_reads_are_fresh(site, ada, bob, anonymous, category):
    kind = category()
    sent = {"name": "Open day", "location": "Hall", "category": str(kind), "capacity": "1", **DATES}
    assert submit(site, f"{EVENTS}add/", "event_form", **sent).status_code == 302
    made = Event.objects.get().pk
    assert Event.objects.get().owner_id == ada.id
    found = anonymous.get(f"/events/{made}").json
    assert (found["name"], found["location"], found["capacity"]) == ("Open day", "Hall", 1)
    assert (found["start_date"], found["end_date"], found["category_id"]) == (BEGINS, ENDS, kind)
    path = f"{EVENTS}{made}/change/"
    with nothing_changes():
        assert submit(site, path, "event_form").status_code == 302
    register(bob, made, "gina"), register(bob, made, "hugo", waitlist=True)
    assert counts(anonymous, made) == (1, 0, 1)
    forged = {
        "name": "Open week",
        "description": "Two\r\nlines",
        "category": "",
        "capacity": "",
        "owner": str(bob.id),
    }
    assert submit(site, path, "event_form", attendee_count="9", status="cancelled", **forged).status_code == 302
    found = anonymous.get(f"/events/{made}").json
    assert (found["name"], found["description"], found["status"]) == ("Open week", "Two\nlines", "active")
    assert (found["category_id"], found["capacity"], found["seats_left"]) == (None, None, None)
    assert counts(anonymous, made) == (2, None, 0)
    assert Event.objects.get().owner_id == ada.id
    assert audited() == [("create_event", "ok"), ("update_event", "ok")]


def test_what_an_event_refuses_is_shown(site, bob, event):
    made = event()
    register(bob, made, "gina"), register(bob, made, "hugo")
    path = f"{EVENTS}{made}/change/"
    with nothing_changes():
        said = text_of(submit(site, path, "event_form", capacity="1"))
        assert "2 have a seat already, so there cannot be fewer seats." in said
        said = text_of(submit(site, path, "event_form", capacity="0"))
        assert "Input should be greater than or equal to 1" in said
        page = submit(site, path, "event_form", end_date_0="2099-01-04")
        assert page.context["adminform"].form.errors == {"end_date": ["An event ends when it begins, or later."]}
        page = submit(site, f"{EVENTS}add/", "event_form", name="", **DATES)
        assert page.context["adminform"].form.errors.keys() == {"name"}
        page = submit(site, f"{EVENTS}add/", "event_form", name="x", **{**DATES, "end_date_0": "2099-01-04"})
        assert page.context["adminform"].form.errors.keys() == {"end_date"}
    assert audited() == [("update_event", "events.capacity_taken"), ("update_event", "invalid")]


def test_events_are_cancelled_after_a_question_and_on_the_list(site, alice, anonymous, event, mails):
    first, second, other, gone = event(name="A"), event(name="B"), event(name="C"), event(name="D")
    alice.api.delete(f"/events/{gone}"), mails()
    path = f"{EVENTS}{first}/cancel/"
    assert path in site.get(f"{EVENTS}{first}/change/").content.decode()
    assert anonymous.get(f"/events/{first}").json["status"] == "active"
    with nothing_changes():
        page = site.get(path)
        assert "Cancel A" in text_of(page)
        assert site.get(f"{EVENTS}{gone}/cancel/").status_code == 404
        assert site.post(f"{EVENTS}{gone}/cancel/").status_code == 404
    assert "Cancelled." in text_of(site.post(path, follow=True))
    assert anonymous.get(f"/events/{first}").json["status"] == "cancelled"
    assert path not in site.get(f"{EVENTS}{first}/change/").content.decode()
    assert mails() == [("alice@example.com", f"Cancelled: A, {MONDAY}")]
    said = act(site, f"{EVENTS}?deleted=yes", "cancel_selected", gone)
    assert "D: " in said
    assert "Cancelled: 2." in act(site, EVENTS, "cancel_selected", first, second)
    assert [row["status"] for row in anonymous.get("/events").json["results"]] == ["active", "cancelled", "cancelled"]
    assert Event.objects.get(pk=other).is_active
    assert audited() == [
        ("cancel_event", "ok"), ("cancel_event", "not_found"), ("cancel_event", "ok"), ("cancel_event", "ok"),
    ]  # fmt: skip


def test_a_deleted_event_is_out_of_sight_and_is_only_read(site, bob, anonymous, event):
    made, other = full(event, bob), event(name="Other")
    assert anonymous.get(f"/events/{made}").status == 200
    path = f"{EVENTS}{made}/delete/"
    with nothing_changes():
        assert "Are you sure" in text_of(site.get(path))
    assert site.post(path, {"post": "yes"}).status_code == 302
    assert anonymous.get(f"/events/{made}").status == 404
    assert Registration.objects.filter(event=made).count() == 4
    assert names(site.get(EVENTS)) == ["Other"]
    assert names(site.get(f"{EVENTS}?deleted=yes")) == ["Open day"]
    page = site.get(f"{EVENTS}{made}/change/")
    html = page.content.decode()
    assert "gina@example.com" in html
    for name in (
        'name="name"',
        'name="_save"',
        *(f"{EVENTS}{made}/{page}/" for page in ("cancel", "register", "print")),
    ):
        assert name not in html
    with nothing_changes():
        assert site.post(f"{EVENTS}{made}/change/", {"name": "x", **DATES}).status_code == 403
        assert site.post(path, {"post": "yes"}).status_code == 403
        assert site.get(f"{EVENTS}{made}/register/").status_code == 404
        for name in ("export", "print"):
            assert "There is no such" in text_of(site.get(f"{EVENTS}{made}/{name}/", follow=True))
        said = act(site, EVENTS, "delete_selected", other)
        assert "Are you sure" in said
    said = act(site, f"{EVENTS}?deleted=yes", "delete_selected", made, post="yes")
    assert "Open day: " in said
    assert "Deleted: 1." in act(site, EVENTS, "delete_selected", other, post="yes")
    assert audited() == [("delete_event", "ok"), ("delete_event", "not_found"), ("delete_event", "ok")]


def test_attendees_are_shown_with_an_event_those_who_wait_in_line(site, bob, event):
    made = full(event, bob)
    first = Registration.objects.get(event=made, email_key="gina@example.com")
    bob.api.delete(f"/events/{made}/attendees/{first.attendee_id}")
    page = site.get(f"{EVENTS}{made}/change/")
    said = text_of(page)
    told = [
        said.index(words)
        for words in ("Hugo hugo@example.com - registered -", "Ines ines@example.com - registered -",
                      "Jan jan@example.com - waiting 1")
    ]  # fmt: skip
    assert told == sorted(told)
    seat = Registration.objects.get(email_key="jan@example.com").pk
    assert f'href="{REGISTRATIONS}{seat}/change/"' in page.content.decode()


def test_thousands_of_attendees_are_shown_page_by_page(site, bob, event):
    made = event()
    for number in range(60):
        register(bob, made, f"guest{number:02}")
    path = f"{EVENTS}{made}/change/"
    said = text_of(site.get(path))
    assert ("guest49@" in said, "guest50@" in said) == (True, False)
    said = text_of(site.get(f"{path}?registrations-page=2"))
    assert ("guest49@" in said, "guest50@" in said) == (False, True)


def test_registering_somebody(site, ada, anonymous, event, mails):
    made = event(capacity=1)
    assert counts(anonymous, made) == (0, 1, 0)
    mails()
    path = f"{EVENTS}{made}/register/"
    assert path in site.get(f"{EVENTS}{made}/change/").content.decode()
    with nothing_changes():
        assert "Register for Open day" in text_of(site.get(path))
    sent = {"name": "Gina", "email": "gina@example.com", "phone": "+49 30 1"}
    assert "Gina is registered." in text_of(site.post(path, sent, follow=True))
    assert mails() == [("gina@example.com", f"Your seat: Open day, {MONDAY}")]
    person = Attendee.objects.get()
    assert (person.registrar_id, person.name, person.email, person.phone) == (
        ada.id, "Gina", "gina@example.com", "+49 30 1",
    )  # fmt: skip
    assert counts(anonymous, made) == (1, 0, 0)
    answer = submit(site, path, "event_form", name="Hugo", email="hugo@example.com", waitlist="on")
    assert answer.status_code == 302
    assert "Hugo waits for a seat, at place 1." in text_of(site.get(answer["Location"]))
    assert Attendee.objects.get(name="Hugo").phone is None
    assert counts(anonymous, made) == (1, 0, 1)
    assert audited() == [("register_attendee", "ok")] * 2


def test_why_somebody_is_not_registered_stands_beside_the_field(site, alice, event):
    made = event(capacity=1)
    path = f"{EVENTS}{made}/register/"
    gina, hugo = ({"name": name, "email": f"{name}@example.com"} for name in ("gina", "hugo"))
    site.post(path, gina)
    with nothing_changes():
        for sent, field, said in (
            (gina, "email", "Somebody with this e-mail is registered"),
            ({**gina, "waitlist": "on"}, "email", "Somebody with this e-mail is registered"),
            (hugo, "waitlist", "This event is full."),
            ({**hugo, "email": "hugo"}, "email", "not a valid email address"),
            ({**hugo, "phone": "x" * 51}, "phone", "at most 50 characters"),
            ({"email": "hugo@example.com"}, "name", "Field required"),
        ):
            page = site.post(path, sent)
            assert page.status_code == 422
            assert page.context["form"].errors.keys() == {field}, sent
            assert said in text_of(page)
    alice.api.post(f"/events/{made}/cancel")
    with nothing_changes():
        assert "This event is cancelled." in text_of(site.post(path, hugo))
    for wrong in ("0", "x"):
        assert site.get(f"{EVENTS}{wrong}/register/").status_code == 404


def test_the_lists_to_take_along(site, bob, event):
    made = full(event, bob)
    html = site.get(f"{EVENTS}{made}/change/").content.decode()
    answer = site.get(f"{EVENTS}{made}/export/")
    assert answer["Content-Type"] == "text/csv; charset=utf-8"
    assert answer["Content-Disposition"] == 'attachment; filename="attendees.csv"'
    rows = list(csv.reader(io.StringIO(answer.getvalue().decode())))
    assert [(row[0], row[3], row[5]) for row in rows[1:]] == [
        ("Gina", "registered", ""), ("Hugo", "registered", ""), ("Ines", "waiting", "1"), ("Jan", "waiting", "2"),
    ]  # fmt: skip
    page = site.get(f"{EVENTS}{made}/print/")
    assert page["Content-Type"] == "text/html; charset=utf-8"
    assert "default-src 'none'" in page["Content-Security-Policy"]
    assert "gina@example.com" in page.getvalue().decode()
    assert f"{EVENTS}{made}/export/" in html
    assert f'href="{EVENTS}{made}/print/"' in html
    assert site.get(f"{EVENTS}x/export/").status_code == 302


def test_categories_are_added_changed_and_deleted(site, ada, alice, anonymous, event, category):
    assert submit(site, f"{CATEGORIES}add/", "category_form", name="Concerts").status_code == 302
    concerts = Category.objects.get().pk
    assert Category.objects.get().creator_id == ada.id
    assert anonymous.get(f"/categories/{concerts}").json["description"] == ""
    path = f"{CATEGORIES}{concerts}/change/"
    assert submit(site, path, "category_form", description="Loud").status_code == 302
    assert anonymous.get(f"/categories/{concerts}").json["description"] == "Loud"
    workshops = category()
    with nothing_changes():
        assert "There is already a category" in text_of(submit(site, path, "category_form", name="WORKSHOPS"))
    event(category_id=concerts), event(category_id=concerts, name="Second")
    assert alice.api.delete(f"/events/{event(category_id=workshops)}").status == 204
    page = site.get(CATEGORIES)
    assert [(row.name, row.number) for row in page.context["cl"].result_list] == [("Concerts", 2), ("Workshops", 0)]
    link = f"/events/calendar.ics?category_id={concerts}"
    assert f'href="{link}"' in page.content.decode()
    assert Client().get(link)["Content-Type"].startswith("text/calendar")
    assert names(site.get(f"{EVENTS}?category__id__exact={concerts}")) == ["Second", "Open day"]
    with nothing_changes():
        assert "Are you sure" in act(site, CATEGORIES, "delete_selected", concerts, workshops)
        said = text_of(site.post(f"{CATEGORIES}{concerts}/delete/", {"post": "yes"}, follow=True))
        assert "Events are in this category." in said
    said = act(site, CATEGORIES, "delete_selected", concerts, workshops, post="yes")
    assert "Concerts: Events are in this category." in said
    assert "Deleted: 1." in said
    assert audited()[-2:] == [("delete_category", "categories.in_use"), ("delete_category", "ok")]
    assert anonymous.get(f"/categories/{workshops}").status == 404
    assert anonymous.get(f"/categories/{concerts}").status == 200


def test_people_are_changed_and_only_those_of_events_that_there_are(site, alice, bob, event):
    made, other = event(), event(name="Other")
    register(bob, made, "gina"), register(bob, other, "gina"), register(bob, made, "hugo")
    page = site.get(ATTENDEES)
    assert [(row.name, row.number) for row in page.context["cl"].result_list] == [("Hugo", 1), ("Gina", 2)]
    assert "gina@example.com - Bob 2" in text_of(page)
    gina, hugo = Attendee.objects.order_by("pk").values_list("pk", flat=True)
    path = f"{ATTENDEES}{gina}/change/"
    assert submit(site, path, "attendee_form", name="Gina Gold", phone="+49 30 1").status_code == 302
    shown = bob.api.get(f"/attendees/{gina}").json
    assert (shown["name"], shown["email"], shown["phone"]) == ("Gina Gold", "gina@example.com", "+49 30 1")
    assert submit(site, path, "attendee_form", phone="").status_code == 302
    assert bob.api.get(f"/attendees/{gina}").json["phone"] is None
    with nothing_changes():
        said = text_of(submit(site, path, "attendee_form", email="HUGO@example.com"))
        assert "Somebody with this e-mail" in said or "another person with this e-mail" in said
        assert site.get(f"{ATTENDEES}add/").status_code == 403
        assert site.post(f"{ATTENDEES}{gina}/delete/", {"post": "yes"}).status_code == 403
    assert names(site.get(f"{ATTENDEES}?q=gold")) == ["Gina Gold"]
    alice.api.delete(f"/events/{made}")
    assert [(row.name, row.number) for row in site.get(ATTENDEES).context["cl"].result_list] == [("Gina Gold", 1)]
    assert site.get(f"{ATTENDEES}{hugo}/change/").status_code == 302
    assert [operation for operation, _ in audited()] == ["update_attendee"] * 3


def test_registrations_are_found_and_removed_who_waits_moves_up(site, alice, bob, anonymous, event, category, mails):
    made = full(event, bob)
    other = event(name="Other", category_id=category())
    register(bob, other, "gina")
    assert alice.api.delete(f"/events/{event(name='Gone')}").status == 204
    seat = {row.attendee.name: row for row in Registration.objects.filter(event=made).select_related("attendee")}

    def found(query=""):
        rows = site.get(f"{REGISTRATIONS}?{query}").context["cl"].result_list
        return [(row.attendee.name, row.status, row.number) for row in rows]

    waiting = [("Jan", "waiting", 2), ("Ines", "waiting", 1)]
    assert found() == [
        ("Gina", "registered", None), *waiting, ("Hugo", "registered", None), ("Gina", "registered", None),
    ]  # fmt: skip
    assert found("status__exact=waiting") == waiting
    assert found("q=HUGO%40") == [("Hugo", "registered", None)]
    assert found("q=other") == found(f"event__category__id__exact={Category.objects.get().pk}") == found()[:1]
    assert found(f"attendee__id__exact={seat['Gina'].attendee_id}") == [("Gina", "registered", None)] * 2
    assert counts(anonymous, made) == (2, 0, 2)
    mails()
    path = f"{REGISTRATIONS}{seat['Gina'].pk}/"
    assert "Gina <gina@example.com> Phone - Status registered Place in line -" in text_of(site.get(f"{path}change/"))
    said = text_of(site.get(f"{REGISTRATIONS}{seat['Jan'].pk}/change/"))
    assert "Status waiting Place in line 2" in said
    with nothing_changes():
        assert "Are you sure" in text_of(site.get(f"{path}delete/"))
        assert site.post(f"{path}change/", {"status": "waiting"}).status_code == 403
    assert site.post(f"{path}delete/", {"post": "yes"}).status_code == 302
    assert counts(anonymous, made) == (2, 0, 1)
    assert seats(alice, made) == [("Hugo", "registered", None), ("Ines", "registered", None), ("Jan", "waiting", 1)]
    assert {address for address, _ in mails()} == {"gina@example.com", "ines@example.com"}
    chosen = seat["Hugo"].pk, seat["Jan"].pk
    with nothing_changes():
        assert "Are you sure" in act(site, REGISTRATIONS, "delete_selected", *chosen)
    assert "Deleted: 2." in act(site, REGISTRATIONS, "delete_selected", *chosen, post="yes")
    assert counts(anonymous, made) == (1, 1, 0)
    assert sorted(address for address, _ in mails()) == ["hugo@example.com", "jan@example.com"]
    alice.api.delete(f"/events/{made}")
    assert found() == [("Gina", "registered", None)]
    assert audited() == [("remove_attendee", "ok")] * 3


def test_no_list_asks_more_of_the_database_for_more_rows(site, alice, event, category):
    def more(numbers):
        for number in numbers:
            made = event(name=f"Event {number}", category_id=category(f"Kind {number}"), capacity=1)
            register(alice, made, f"guest{number}"), register(alice, made, f"other{number}", waitlist=True)
            register(alice, first, f"guest{number}", waitlist=True)

    first = event(capacity=1)
    more(range(2))
    paths = (EVENTS, CATEGORIES, ATTENDEES, REGISTRATIONS, f"{EVENTS}{first}/change/")
    few = [statements(site, path) for path in paths]
    more(range(2, 20))
    assert [statements(site, path) for path in paths] == few


def test_an_agent_with_a_session_cookie_reaches_none_of_it(alice, event):
    made = event()
    client = Client()
    client.force_login(alice.user)
    with nothing_changes():
        for path in (EVENTS, CATEGORIES, ATTENDEES, REGISTRATIONS):
            assert client.get(path).status_code == 302
        for name in ("export", "print", "cancel", "register", "change"):
            assert (
                client.post(f"{EVENTS}{made}/{name}/", {"name": "Eve", "email": "eve@example.com"}).status_code == 302
            )


def test_a_refused_deletion_leaves_its_trace(site, ada, alice, event, category):
    made = category()
    event(category_id=made)
    said = text_of(site.post(f"{CATEGORIES}{made}/delete/", {"post": "yes"}, follow=True))
    assert "Events are in this category." in said
    assert list(AuditEntry.objects.filter(operation="delete_category").values_list("outcome", flat=True)) == [
        "categories.in_use"
    ]
    assert LogEntry.objects.count() == 0
