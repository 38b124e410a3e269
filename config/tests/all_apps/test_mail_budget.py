"""The budget of mails a day: what users and API keys cause to others, counted with the command that causes it."""

import re
from datetime import timedelta

import pytest
from django.core.exceptions import ImproperlyConfigured
from django.db import connections, transaction
from django.utils import timezone

from accounts.models import ApiKey, UnwantedMail
from accounts.tests.assertions import nothing_changes, refused
from config.settings import _number_or_off
from config.tests.all_apps.matrix import CASES, ROUTES, make_world, send
from events.models import Registration
from mesh.declarations.registry import registry
from mesh.models import AuditEntry, Mail, MailCount, Outbox
from mesh.testing import Api
from mesh.tests.jobs import run_jobs, run_periodic
from mesh.tests.live import at_once
from shop.models import Product

PLAN = {"title": "Plan", "scheduled_time": "2099-01-05T10:00:00Z"}
DAY = {"name": "Open day", "start_date": "2099-01-05T10:00:00Z", "end_date": "2099-01-05T12:00:00Z"}
COMMANDS = [(name, n) for name, n in ROUTES if registry.operations[name].is_command]


@pytest.fixture
def per_day(settings):
    def allow(mails):
        settings.MESH = {**settings.MESH, "MAILS_PER_DAY": mails}

    allow(10)
    return allow


def guests(number):
    return [f"g{n}@example.com" for n in range(number)]


def invite(api, number, **headers):
    return api.post("/meetings", {**PLAN, "attendee_emails": guests(number)}, **headers)


def used():
    return dict(MailCount.objects.values_list("owner", "used"))


def key_of(person):
    row, key = ApiKey.objects.issue(user=person.user, name="Key", scopes=["*"], last_used_at=timezone.now())
    return row.pk, Api(X_API_Key=key)


def test_mails_to_others_are_counted_with_the_command_before_its_jobs_write_them(alice, per_day):
    assert invite(alice.api, 4).status == 201
    assert (used(), Mail.objects.count()) == ({f"user:{alice.id}": 4}, 0)
    run_jobs("mail_invitations")
    assert (used(), Mail.objects.count()) == ({f"user:{alice.id}": 4}, 4)
    assert MailCount.objects.get().day == timezone.now().date()


def test_past_it_the_command_is_refused_with_the_numbers_and_nothing_happens(alice, per_day):
    assert invite(alice.api, 8).status == 201
    with nothing_changes():
        answer = invite(alice.api, 3)
    problem = refused(answer, 429, "mesh.mail_budget")
    assert problem["detail"] == (
        "This would send 3 mails. Of the 10 a day that you may send, 8 are used. Send fewer, or wait for the next day"
        " (in UTC); whoever runs this server can raise MAILS_PER_DAY."
    )
    assert (problem["limit"], problem["used"]) == (10, 8)
    midnight = (timezone.now() + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)
    assert abs(int(answer.headers["Retry-After"]) - (midnight - timezone.now()).total_seconds()) < 60
    assert used() == {f"user:{alice.id}": 8}
    assert AuditEntry.objects.latest("pk").outcome == "mesh.mail_budget"
    assert invite(alice.api, 2).status == 201
    assert used() == {f"user:{alice.id}": 10}
    assert invite(alice.api, 1).status == 429
    assert alice.api.post("/projects", {"title": "Quiet"}).status == 201


def test_mails_that_a_command_writes_itself_are_counted_too(alice, bob, per_day):
    per_day(2)
    assert alice.api.post("/users", {"email": "new@example.com", "name": "New"}).status == 201
    assert alice.api.post("/tasks", {"title": "x", "assignee_id": bob.id}).status == 201
    with nothing_changes():
        refused(alice.api.post("/users", {"email": "more@example.com", "name": "More"}), 429, "mesh.mail_budget")
        refused(alice.api.post("/tasks", {"title": "y", "assignee_id": bob.id}), 429, "mesh.mail_budget")
    assert Mail.objects.count() == 2
    assert used() == {f"user:{alice.id}": 2}


def test_a_fresh_account_cannot_write_to_thousands(alice):
    """200 addresses a meeting, 120 meetings a minute."""
    answers = [invite(alice.api, 200) for _ in range(4)]
    assert [answer.status for answer in answers] == [201, 201, 429, 429]
    run_jobs("mail_invitations")
    assert Mail.objects.count() == 400


def test_the_dry_run_tells_the_budget_and_is_refused_in_the_same_words(alice, per_day):
    assert invite(alice.api, 3).status == 201
    tried = invite(alice.api, 5, Prefer="dry-run").json
    assert (len(tried["mails"]), tried["mail_budget"]) == (5, {"limit": 10, "used": 8})
    assert used() == {f"user:{alice.id}": 3}
    assert invite(alice.api, 8, Prefer="dry-run").json == invite(alice.api, 8).json
    assert invite(alice.api, 8).status == 429
    assert "mail_budget" not in alice.api.post("/projects", {"title": "Quiet"}, Prefer="dry-run").json
    per_day(None)
    assert "mail_budget" not in invite(alice.api, 5, Prefer="dry-run").json


def test_a_key_has_a_budget_of_its_own_and_counts_for_its_user(alice, ada, per_day):
    id, by_key = key_of(alice)
    assert invite(by_key, 6).status == 201
    assert used() == {f"user:{alice.id}": 6, f"key:{id}": 6}
    assert invite(alice.api, 4).status == 201
    refused(invite(by_key, 1), 429, "mesh.mail_budget")
    _, by_key = key_of(ada)
    assert invite(by_key, 10).status == 201
    assert "Of the 10 a day that this API key may send, 10 are used." in refused(invite(by_key, 1), 429)["detail"]
    assert invite(key_of(ada)[1], 10).status == 201
    assert invite(ada.api, 80).status == 201
    assert "Of the 100 a day that you may send, 100 are used." in refused(invite(ada.api, 1), 429)["detail"]


def test_mails_to_oneself_and_of_the_system_are_free(alice, bob, per_day):
    per_day(1)
    event = alice.api.post("/events", DAY).json["id"]
    mine = {"name": "Alice", "email": "ALICE@example.com"}
    assert alice.api.post(f"/events/{event}/attendees", mine).status == 201
    assert alice.api.post(f"/events/{event}/cancel").status == 200
    assert alice.api.post("/api-keys", {"name": "Key", "scopes": ["*"]}).status == 201
    meeting = {**PLAN, "attendee_ids": [bob.id], "scheduled_time": (timezone.now() + timedelta(minutes=9)).isoformat()}
    assert alice.api.post("/meetings", meeting).status == 201
    run_periodic("remind_of_meetings")
    run_jobs()
    assert Mail.objects.filter(kind="meeting_reminders").count() == 2
    assert used() == {f"user:{alice.id}": 1}


def test_what_nobody_wants_is_counted_like_the_rest(alice, per_day):
    """Else the count would tell who turned mails off."""
    for guest in guests(2):
        UnwantedMail.objects.create(email=guest, kind="meeting_invitations")
    assert invite(alice.api, 4, Prefer="dry-run").json["mail_budget"] == {"limit": 10, "used": 4}
    assert invite(alice.api, 4).status == 201
    run_jobs("mail_invitations")
    assert (Mail.objects.count(), used()) == (2, {f"user:{alice.id}": 4})


def test_all_who_attend_an_event_are_counted(alice, bob, per_day):
    per_day(100)
    event = alice.api.post("/events", {**DAY, "capacity": 2}).json["id"]
    for guest in guests(4):
        sent = {"name": guest, "email": guest, "waitlist": True}
        assert bob.api.post(f"/events/{event}/attendees", sent).status == 201
    assert used() == {f"user:{bob.id}": 4}
    assert alice.api.patch(f"/events/{event}", {"name": "Closed day"}).status == 200
    assert used() == {f"user:{bob.id}": 4, f"user:{alice.id}": 4}
    assert alice.api.patch(f"/events/{event}", {"capacity": 3}).status == 200  # one moves up
    assert used()[f"user:{alice.id}"] == 5
    first = Registration.objects.order_by("pk")[0].attendee_id
    assert bob.api.delete(f"/events/{event}/attendees/{first}").status == 204  # is told, and one more moves up
    assert used()[f"user:{bob.id}"] == 6
    per_day(7)
    with nothing_changes():
        refused(alice.api.patch(f"/events/{event}", {"name": "Open day"}), 429, "mesh.mail_budget")
    per_day(8)
    assert alice.api.post(f"/events/{event}/cancel").status == 200
    assert sum(used().values()) == 14


@pytest.mark.parametrize("call_off", ["cancel", "delete"])
def test_an_event_can_be_called_off_however_many_others_have_registered_for_it(alice, bob, per_day, call_off):
    per_day(2)
    events = [alice.api.post("/events", DAY).json["id"] for _ in range(2)]
    per_day(10)
    for guest in guests(3):
        assert bob.api.post(f"/events/{events[0]}/attendees", {"name": guest, "email": guest}).status == 201
    per_day(2)
    with nothing_changes():
        refused(alice.api.patch(f"/events/{events[0]}", {"name": "Closed day"}), 429, "mesh.mail_budget")
    if call_off == "cancel":
        assert alice.api.post(f"/events/{events[0]}/cancel").status == 200
    else:
        assert alice.api.delete(f"/events/{events[0]}").status == 204
    assert used() == {f"user:{bob.id}": 3, f"user:{alice.id}": 3}
    assert invite(alice.api, 1).status == 429
    run_jobs()
    assert set(Mail.objects.filter(subject__startswith="Cancelled").values_list("recipient", flat=True)) >= {*guests(3)}


@pytest.mark.parametrize(("name", "position"), COMMANDS, ids=[f"{name}-{n}" for name, n in COMMANDS])
def test_each_command_is_charged_for_what_it_and_its_jobs_mail(db, name, position):
    world = make_world()
    alice = world.people["alice"]
    own = {name: world.ids[name.removeprefix("charlies_")] for name in ("charlies_task", "charlies_contact")}
    arguments = CASES[name][0].arguments(world.ids | world.public | own | {"refresh_token": alice.refresh_token})
    if name == "assign_task":
        arguments["user_id"] = world.people["bob"].id
    if name == "place_order":  # not the archived one
        product = Product.objects.create(owner=alice.user, sku="A", name="A", price_cents=1)
        arguments["items"][0]["product_id"] = product.pk
    send(alice.api, name, position, arguments)
    Outbox.objects.exclude(actor_id=alice.id).delete()
    run_jobs()
    written = Mail.objects.exclude(recipient__iexact=alice.user.email).count()
    assert used().get(f"user:{alice.id}", 0) == written


@pytest.mark.django_db(transaction=True)
def test_of_many_at_once_no_more_are_let_through_than_there_is_room_for(alice, per_day):
    def ask(_):
        try:
            return invite(alice.api, 3).status
        finally:
            connections.close_all()

    assert sorted(at_once(6, ask)) == [201] * 3 + [429] * 3
    assert used() == {f"user:{alice.id}": 9}


def test_it_is_taken_back_with_the_command(alice, per_day):
    with transaction.atomic():
        assert invite(alice.api, 4).status == 201
        transaction.set_rollback(True)
    assert used() == {}
    repeated = [invite(alice.api, 4, Idempotency_Key="k").status for _ in range(2)]
    assert (repeated, used()) == ([201, 201], {f"user:{alice.id}": 4})


def test_the_next_day_begins_anew_and_old_days_are_forgotten(alice, per_day):
    today = timezone.now().date()
    for days in (1, 7, 8, 100):
        MailCount.objects.create(owner=f"user:{alice.id}", day=today - timedelta(days=days), used=10)
    assert invite(alice.api, 10).status == 201
    run_periodic("prune_mails")
    run_jobs("prune_mails")
    days = MailCount.objects.order_by("-day").values_list("day", flat=True)
    assert list(days) == [today - timedelta(days=n) for n in (0, 1, 7)]


@pytest.mark.parametrize(("said", "means"), [("off", None), ("1", 1), ("500", 500), ("", 500)])
def test_the_setting_is_a_number_or_off(monkeypatch, said, means):
    monkeypatch.setenv("MAILS_PER_DAY", said)
    assert _number_or_off("MAILS_PER_DAY", default="500") == means


@pytest.mark.parametrize("said", ["0", "-1", "many", "1.5", "500/d", "9" * 10])
def test_any_other_setting_is_refused_at_the_start(monkeypatch, said):
    monkeypatch.setenv("MAILS_PER_DAY", said)
    with pytest.raises(ImproperlyConfigured, match=re.escape(f"MAILS_PER_DAY is {said!r}: give a number such as 500")):
        _number_or_off("MAILS_PER_DAY", default="500")
