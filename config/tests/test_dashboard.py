"""The dashboard: each tile's numbers, where they lead, what it costs; who may see the admin, and what may not go."""

import math
import re
import time
from datetime import datetime, timedelta

import pytest
from django.contrib import admin
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext
from django.urls import URLResolver
from django.utils import timezone

from accounts.tests.assertions import nothing_changes
from accounts.tests.browser import text_of
from config import dashboard
from events.models import Event
from mesh.calling import cache
from mesh.models import AuditEntry, Mail, Outbox, WaitingDocument
from mesh.stores.postgres import _Statements, fetch
from mesh.testing import Api
from notes.models import Note
from shop.models import Order, OrderLine, Product, StockDiscrepancy, StockMovement
from tasks.models import Task

NOW = timezone.now()


def ago(**span):
    return NOW - timedelta(**span)


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


def shown(site):
    response = site.get("/admin/")
    assert response.status_code == 200
    return response.context


def numbers(rows):
    return {row.label: row.number for row in rows}


def listed(site, url):
    """How many rows the list behind a number has."""
    response = site.get(url)
    assert response.status_code == 200, url
    return response.context["cl"].result_count


@pytest.fixture
def orders(alice):
    """Places orders as they are after some time: `make(status, created_at)`."""

    def make(status="PENDING", created_at=NOW, **fields):
        rest = {
            "RESERVED": {"reserved_until": NOW + timedelta(days=1)},
            "FAILED": {"failure": {"code": "shop.out_of_stock"}},
            "CANCELLED": {"cancel_reason": "requested"},
        }.get(status, {})
        return Order.objects.create(
            buyer=alice.user, status=status, total_cents=100, created_at=created_at, **{**rest, **fields}
        )

    return make


@pytest.fixture
def shirt(alice):
    return Product.objects.create(owner=alice.user, sku="A", name="Shirt", price_cents=100)


def job(operation, status="failed", queue="notes", **fields):
    return Outbox.objects.create(operation=operation, status=status, queue=queue, **fields)


def test_orders_by_status_each_lead_to_their_list(site, orders):
    for status, number in (("PENDING", 1), ("RESERVED", 2), ("PAID", 3), ("FAILED", 1)):
        for _ in range(number):
            orders(status)
    rows = shown(site)["orders"]
    assert numbers(rows) == {"PENDING": 1, "RESERVED": 2, "FAILED": 1, "CONFIRMED": 0, "PAID": 3, "CANCELLED": 0}
    assert [listed(site, row.url) for row in rows] == [row.number for row in rows]


def test_orders_by_day_are_of_two_weeks_and_lead_to_their_day(site, orders):
    today = timezone.localtime().replace(hour=0, minute=0, second=0, microsecond=0)
    orders("PAID", today)
    for status in ("PAID", "CONFIRMED", "RESERVED", "CANCELLED"):
        orders(status, today - timedelta(days=3))
    orders("FAILED", today - timedelta(days=13))
    orders("PAID", today - timedelta(days=13, seconds=1))
    days = shown(site)["days"]
    assert [day.total for day in days] == [1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 4, 0, 0, 1]
    assert (days[0].date, days[-1].date) == ((today - timedelta(days=13)).date(), today.date())
    assert days[10].numbers == {"paid": 1, "open": 2, "lost": 1}
    assert days[10].parts == {"paid": 25, "open": 50, "lost": 25}
    assert days[0].parts == {"paid": 0, "open": 0, "lost": 25}
    assert [listed(site, day.url) for day in days] == [day.total for day in days]


def test_the_time_to_a_decision_is_until_the_ledger_or_the_refusal(site, orders, shirt):
    for seconds in (1, 2, 3):
        order = orders("PAID", ago(hours=2))
        line = OrderLine.objects.create(order=order, product=shirt, sku="A", name="A", quantity=1, price_cents=100)
        StockMovement.objects.create(
            product=shirt, line=line, kind="reserved", quantity=1, at=order.created_at + timedelta(seconds=seconds)
        )
    orders("FAILED", ago(hours=2), updated_at=ago(hours=2) + timedelta(seconds=5))
    orders("FAILED", ago(days=2), updated_at=ago(hours=1))
    orders("PENDING", ago(hours=2))
    found = shown(site)["decisions"]
    assert (found["number"], found["p50"], found["p95"]) == (4, "2.5 s", "4.7 s")
    assert listed(site, found["url"]) == 5


def test_notes_by_status_and_overdue_tasks(site, alice):
    for status in ("done", "done", "failed"):
        Note.objects.create(author=alice.user, raw_text="Text", status=status)
    for days, status in ((-1, "todo"), (-1, "done"), (1, "todo")):
        Task.objects.create(creator=alice.user, title="Do", status=status, due_date=NOW + timedelta(days=days))
    found = shown(site)
    assert numbers(found["notes"]) == {"queued": 0, "processing": 0, "done": 2, "failed": 1}
    assert [listed(site, row.url) for row in found["notes"]] == [0, 0, 2, 1]
    assert (found["overdue"].number, listed(site, found["overdue"].url)) == (1, 1)


def test_queues_say_how_deep_they_are_and_how_old(site):
    Outbox.objects.all().delete()
    job("summarize_note", "waiting", due_at=timezone.now() - timedelta(minutes=3))
    job("summarize_note", "waiting", due_at=NOW + timedelta(hours=1))
    job("send_mail", "running", "mail")
    job("send_mail", "failed", "mail")
    job("send_mail", "done", "mail")
    queues = {row.queue: row for row in shown(site)["queues"]}
    assert list(queues) == ["default", "documents", "mail", "notes", "stock"]
    assert {name: [cell.number for cell in row.numbers] for name, row in queues.items()} == {
        "default": [0, 0, 0], "documents": [0, 0, 0], "mail": [0, 1, 1], "notes": [2, 0, 0], "stock": [0, 0, 0],
    }  # fmt: skip
    assert queues["notes"].oldest.removesuffix(" s").isdecimal() or queues["notes"].oldest == "3 min"
    assert queues["mail"].oldest == "–"
    for row in queues.values():
        assert [listed(site, cell.url) for cell in row.numbers] == [cell.number for cell in row.numbers]


def test_the_cache_tells_of_what_is_asked_for_most(site, monkeypatch):
    counts = {
        ("list_events", "hit"): 9,
        ("list_events", "miss"): 1,
        ("get_event", "hit"): 30,
        ("list_meetings", "miss"): 2,
    }
    monkeypatch.setattr(dashboard, "lookups", lambda: type(cache.lookups())(counts))
    found = shown(site)["cache"]
    assert (found["all"].hits, found["all"].total) == (39, 42)
    assert [(row.name, row.total, row.percent) for row in found["operations"]] == [
        ("get_event", 30, 100), ("list_events", 10, 90), ("list_meetings", 2, 0),
    ]  # fmt: skip
    assert "92.9 % of 42 reads" in text_of(site.get("/admin/"))


def test_the_next_events_show_how_full_they_are(site, alice):
    for days, fields in (
        (3, {"capacity": 4, "attendee_count": 4}),
        (1, {"name": "First"}),
        (2, {"status": "cancelled"}),
        (-1, {}),
        (4, {"deleted_at": NOW}),
    ):
        start = NOW + timedelta(days=days)
        Event.objects.create(**{"owner": alice.user, "name": "E", "start_date": start, "end_date": start, **fields})
    rows = shown(site)["events"]
    assert [row["event"].name for row in rows] == ["First", "E"]
    assert "4 of 4, full" in rows[1]["seats"]
    assert site.get(rows[1]["url"]).status_code == 200


def test_failed_work_is_told_by_operation_with_its_last_error(site, shirt):
    job("summarize_note", error="first", finished_at=ago(hours=2))
    job("summarize_note", error="last", finished_at=ago(hours=1))
    job("follow_payment", error="no answer", queue="default")
    Mail.objects.create(key="a", recipient="a@x.example", kind="k", subject="S", message_id="1", status="failed")
    StockDiscrepancy.objects.create(product=shirt, what="counter", counter="stock", expected=1, found=2)
    found = shown(site)
    assert [(row.operation, row.number, row.error) for row in found["failed"]] == [
        ("summarize_note", 2, "last"), ("follow_payment", 1, "no answer"),
    ]  # fmt: skip
    assert [listed(site, row.url) for row in found["failed"]] == [2, 1]
    for name, number in (("failed_jobs", 3), ("failed_mails", 1), ("discrepancies", 1)):
        assert (found[name].number, listed(site, found[name].url)) == (number, number), name


def test_its_button_tries_them_again_through_the_host(ada, person):
    for _ in range(2):
        job("summarize_note")
    other = job("follow_payment")
    site = Client(enforce_csrf_checks=True)
    site.force_login(ada.user)
    assert site.post("/admin/mesh/outbox/retry/", {"operation": "summarize_note"}).status_code == 403
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', site.get("/admin/").content.decode())[1]
    sent = {"operation": "summarize_note", "csrfmiddlewaretoken": token}
    assert site.get("/admin/mesh/outbox/retry/").status_code == 405
    assert "summarize_note is tried again: 2." in text_of(site.post("/admin/mesh/outbox/retry/", sent, follow=True))
    assert set(Outbox.objects.filter(operation="summarize_note").values_list("status", flat=True)) == {"waiting"}
    other.refresh_from_db()
    assert other.status == "failed"
    entry = AuditEntry.objects.latest("pk")
    assert (entry.operation, entry.door, entry.outcome, entry.actor_id) == ("retry_jobs", "admin", "ok", ada.id)


def test_a_button_that_names_nothing_tries_nothing_again(site):
    job("summarize_note")
    with nothing_changes():
        site.post("/admin/mesh/outbox/retry/", {})
    assert Outbox.objects.get(operation="summarize_note").status == "failed"


def test_people_and_their_sign_ins_of_the_last_day(site, ada, alice, bob):
    Api().post("/auth/login", {"username": "alice@example.com", "password": alice.password})
    bob.user.sessions.update(created_at=ago(days=2))
    rows = shown(site)["people"]
    assert numbers(rows) == {
        "active users": 3, "of them ADMINs": 1, "sign-ins to the API": 3, "people in the admin": 1,
    }  # fmt: skip
    assert [listed(site, row.url) for row in rows] == [row.number for row in rows]


def test_documents_that_wait(site, alice):
    fetch("DELETE FROM mesh_documentchange")
    assert shown(site)["documents"] == {"number": 0, "oldest": "–", "url": "/admin/mesh/waitingdocument/"}
    WaitingDocument.objects.create(
        kind="tasks", uuid="0190b0a0-0000-7000-8000-000000000000", version=1, changed_at=ago(hours=3), due_at=NOW
    )
    found = shown(site)["documents"]
    assert (found["number"], found["oldest"], listed(site, found["url"])) == (1, "3 h", 1)


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "–"),
        (-5, "0 ms"),
        (0.0042, "4 ms"),
        (2.34, "2.3 s"),
        (119, "119 s"),
        (180, "3 min"),
        (7200, "2 h"),
        (432_000, "5 days"),
    ],
)
def test_times_are_told_in_the_unit_that_suits_them(seconds, said):
    assert dashboard._span(seconds) == said


def test_where_there_is_nothing_it_says_so(site):
    text = text_of(site.get("/admin/"))
    for words in ("Nothing has failed.", "Nothing is planned.", "0 documents not stored yet"):
        assert words in text


def statements(site, monkeypatch):
    """How many statements the page takes: Django's own, and those of `fetch`."""
    raw = []
    run = _Statements.run
    monkeypatch.setattr(_Statements, "run", lambda self, sql, params: raw.append(sql) or run(self, sql, params))
    with CaptureQueriesContext(connection) as queries:
        shown(site)
    return len(queries) + len(raw)


def test_it_takes_as_many_statements_for_much_as_for_nothing(site, monkeypatch, alice, orders):
    few = statements(site, monkeypatch)
    assert few <= 18
    for number in range(5):
        orders("PAID")
        job(f"job_{number}")
        start = NOW + timedelta(days=1)
        Event.objects.create(owner=alice.user, name="E", start_date=start, end_date=start)
    assert statements(site, monkeypatch) == few


def test_time_grows_no_faster_than_the_orders(site, alice, shirt):
    def seconds():
        """The best of some, for the machine may be busy with other tests."""
        took = []
        for _ in range(5):
            begun = time.perf_counter()
            assert shown(site)["decisions"]["p50"] == "30 ms"
            took.append(time.perf_counter() - begun)
        return min(took)

    place(alice, shirt, 5_000)
    few = seconds()
    place(alice, shirt, 35_000)
    assert math.log(seconds() / few, 8) < 1.8


def place(alice, shirt, number):
    """Orders of the last three days, and as many jobs that are done."""
    [(last,)] = fetch("SELECT coalesce(max(id), 0) FROM shop_order")
    fetch(
        "INSERT INTO shop_order (buyer_id, status, total_cents, created_at)"
        " SELECT %s, 'PAID', 100, now() - interval '3 days' * random() FROM generate_series(1, %s)",
        [alice.id, number],
    )
    fetch(
        "INSERT INTO shop_orderline (order_id, product_id, sku, name, quantity, price_cents)"
        " SELECT id, %s, 'A', 'A', 1, 100 FROM shop_order WHERE id > %s",
        [shirt.pk, last],
    )
    fetch(
        "INSERT INTO shop_stockmovement (product_id, line_id, kind, quantity, at)"
        " SELECT product_id, l.id, 'reserved', 1, created_at + interval '30 ms'"
        " FROM shop_orderline l JOIN shop_order o ON o.id = order_id WHERE o.id > %s",
        [last],
    )
    fetch(
        "INSERT INTO mesh_outbox (operation, arguments, queue, lease, status, request_id, attempt, error)"
        " SELECT 'send_mail', '{}', 'mail', 60, 'done', '', 1, '' FROM generate_series(1, %s)",
        [number],
    )
    fetch("ANALYZE")


def test_the_badge_is_for_development_alone(site, settings):
    assert "development" not in text_of(site.get("/admin/"))
    settings.DEVELOPMENT = True
    assert "development" in text_of(site.get("/admin/"))


def test_the_navigation_has_every_table_under_a_group(site):
    groups = shown(site)["sidebar_navigation"]
    assert [group.get("title") for group in groups] == [None, "People", "Calendar", "Work", "Shop", "Events", "System"]
    links = [str(item["link"]) for group in groups for item in group["items"]]
    tables = [f"/admin/{m._meta.app_label}/{m._meta.model_name}/" for m in admin.site._registry]
    assert sorted(links) == sorted(["/admin/", *tables])
    assert all(item["icon"] for group in groups for item in group["items"])


VALUES = {"object_id": "1", "app_label": "shop", "content_type_id": "1", "url": "nothing"}


def paths(patterns, before="/admin/"):
    for each in patterns:
        route = re.sub(r"\(\?P<(\w+)>[^)]*\)|<(?:\w+:)?(\w+)>", lambda m: VALUES[m[1] or m[2]], str(each.pattern))
        route = before + route.strip("^$")
        if isinstance(each, URLResolver):
            yield from paths(each.url_patterns, route)
        else:
            yield route


def test_an_agent_has_no_way_in(ada, alice):
    client = Client()
    client.force_login(alice.user)
    found = [path for path in paths(admin.site.urls[0]) if path not in ("/admin/login/", "/admin/logout/")]
    assert {f"/admin/{m._meta.app_label}/{m._meta.model_name}/add/" for m in admin.site._registry} <= set(found)
    assert {"/admin/mesh/outbox/retry/", "/admin/search/", "/admin/shop/product/import/"} <= set(found)
    with nothing_changes():
        for path in found:
            for answer in (client.get(path), client.post(path), Client().get(path), Client().post(path)):
                assert (answer.status_code, answer["Location"]) == (302, f"/admin/login/?next={path}"), path


def test_what_would_break_the_books_cannot_be_deleted(site):
    kept = {model for model, model_admin in admin.site._registry.items() if not model_admin.remove}
    assert {model._meta.label for model in kept} == {
        "accounts.Session", "accounts.User", "events.Attendee", "mesh.AuditEntry", "mesh.Mail", "mesh.Outbox",
        "mesh.WaitingDocument", "shop.Order", "shop.Payment", "shop.Product", "shop.StockDiscrepancy",
        "shop.StockMovement",
    }  # fmt: skip
    with nothing_changes():
        for model in kept:
            base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
            assert site.post(f"{base}1/delete/", {"post": "yes"}).status_code == 403
            response = site.get(base)
            assert "delete_selected" not in dict(response.context["cl"].model_admin.get_actions(response.wsgi_request))


def act(site, path, action, *rows):
    return text_of(site.post(path, {"action": action, "_selected_action": [row.pk for row in rows]}, follow=True))


def test_actions_go_through_the_host(site, alice):
    note = Note.objects.create(author=alice.user, raw_text="Text", status="failed", error="x")
    assert "To be summarized again: 1." in act(site, "/admin/notes/note/", "summarize", note)
    task = Task.objects.create(creator=alice.user, title="Do")
    assert "Done: 1." in act(site, "/admin/tasks/task/", "done", task)
    mail = Mail.objects.create(key="a", recipient="a@x.example", kind="k", subject="S", message_id="1", status="failed")
    sending = job("send_mail", queue="mail", arguments={"id": mail.pk})
    assert "Tried again: 1." in act(site, "/admin/mesh/mail/", "try_again", mail)
    assert "Nothing of it has failed." in act(site, "/admin/mesh/mail/", "try_again", mail)
    for row, status in ((note, "queued"), (task, "done"), (sending, "waiting")):
        row.refresh_from_db()
        assert row.status == status
    done = AuditEntry.objects.filter(door="admin").order_by("pk").values_list("operation", "outcome")
    assert list(done) == [("summarize_again", "ok"), ("set_task_status", "ok"), ("retry_job", "ok")]


def test_meetings_are_found_by_when_they_are(site, alice):
    today = datetime.now(NOW.tzinfo).replace(hour=12, minute=0)
    for title, days in (("yesterday", -1), ("tomorrow", 1), ("last year", -365)):
        alice.api.post("/meetings", {"title": title, "scheduled_time": (today + timedelta(days=days)).isoformat()})
    for when, titles in (("upcoming", ["tomorrow"]), ("past", ["yesterday", "last year"]), ("today", [])):
        found = site.get("/admin/meetings/meeting/", {"when": when}).context["cl"].result_list
        assert [meeting.title for meeting in found] == titles
