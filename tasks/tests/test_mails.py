"""What is mailed of tasks: to a new assignee, and the day before one is due."""

from datetime import UTC, datetime, timedelta

import pytest

from mesh.models import Mail, Outbox
from mesh.stores.postgres import fetch
from mesh.tests.jobs import run_jobs, run_periodic
from mesh.tests.mail_server import mails_in, texts_of
from tasks.models import Task


@pytest.fixture(autouse=True)
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def day(offset, hour=14):
    """A time on the day `offset` days after today, by the database's clock."""
    [(today,)] = fetch("SELECT date_trunc('day', now())")
    return (today + timedelta(days=offset, hours=hour)).isoformat()


def mailed():
    return list(Mail.objects.order_by("id").values_list("recipient", "subject"))


def periodic_run():
    run_periodic("mail_due_tasks")
    run_jobs()


def test_the_assignee_of_a_new_task_is_told(alice, bob, folder):
    project = alice.api.post("/projects", {"title": "Launch"}).json["id"]
    sent = {
        "title": "Call the bank",
        "description": "Ask for <the> rate.",
        "due_date": "2030-05-06T08:30:00Z",
        "assignee_id": bob.id,
        "project_id": project,
    }
    assert alice.api.post("/tasks", sent).status == 201
    run_jobs()
    [message] = mails_in(folder)
    assert (message["To"], message["Subject"]) == ("bob@example.com", "A task for you: Call the bank")
    text, html = texts_of(message)
    assert text.startswith(
        "Alice gave you a task.\n\nCall the bank\nDue Monday, 6 May 2030, 08:30 UTC\nProject: Launch\n\n"
        "Ask for <the> rate.\n\n-- \n"
    )
    assert "Ask for &lt;the&gt; rate." in html


def test_who_gives_a_task_to_themselves_is_not_told(alice):
    task = alice.api.post("/tasks", {"title": "x", "assignee_id": alice.id}).json["id"]
    alice.api.patch(f"/tasks/{task}", {"assignee_id": None})
    alice.api.post(f"/tasks/{task}/assign/{alice.id}")
    assert mailed() == []


def test_each_new_assignee_is_told_once_for_each_time(alice, bob, person):
    carol = person("carol", invited_by=alice.user)
    task = alice.api.post("/tasks", {"title": "x"}).json["id"]
    assert alice.api.post(f"/tasks/{task}/assign/{bob.id}").status == 200
    assert alice.api.post(f"/tasks/{task}/assign/{bob.id}").status == 200
    assert alice.api.patch(f"/tasks/{task}", {"assignee_id": bob.id, "title": "y"}).status == 200
    assert alice.api.patch(f"/tasks/{task}", {"assignee_id": carol.id}).status == 200
    assert alice.api.patch(f"/tasks/{task}", {"assignee_id": bob.id}).status == 200
    assert mailed() == [
        ("bob@example.com", "A task for you: x"),
        ("carol@example.com", "A task for you: y"),
        ("bob@example.com", "A task for you: y"),
    ]


def test_a_refused_assignment_tells_nobody(alice, charlie):
    task = alice.api.post("/tasks", {"title": "x"}).json["id"]
    assert alice.api.post(f"/tasks/{task}/assign/{charlie.id}").status == 404
    assert alice.api.patch(f"/tasks/{task}", {"assignee_id": charlie.id}).status == 422
    assert mailed() == []


def test_the_assignee_is_told_the_day_before_else_the_creator(alice, bob, folder):
    alice.api.post("/tasks", {"title": "mine", "due_date": day(1, 0)})
    theirs = alice.api.post("/tasks", {"title": "theirs", "due_date": day(1, 23), "assignee_id": bob.id}).json["id"]
    Mail.objects.all().delete()
    Outbox.objects.all().delete()
    periodic_run()
    assert sorted(mailed()) == [
        ("alice@example.com", "Due tomorrow: mine"),
        ("bob@example.com", "Due tomorrow: theirs"),
    ]
    bobs = next(message for message in mails_in(folder) if message["To"] == "bob@example.com")
    due = Task.objects.get(pk=theirs).due_date.astimezone(UTC)
    assert texts_of(bobs)[0].startswith(
        f"Your task is due tomorrow.\n\ntheirs\nDue {due:%A}, {due.day} {due:%B} {due.year}, 23:00 UTC\n\n-- \n"
    )


def test_other_days_and_finished_tasks_are_not_mailed(alice):
    for due in (day(0, 23.99), day(2, 0), day(-1), None):
        assert alice.api.post("/tasks", {"title": "x", "due_date": due}).status == 201
    for status in ("done", "cancelled"):
        assert alice.api.post("/tasks", {"title": "x", "due_date": day(1), "status": status}).status == 201
    periodic_run()
    assert mailed() == []
    assert alice.api.post("/tasks", {"title": "y", "due_date": day(1), "status": "in_progress"}).status == 201
    periodic_run()
    assert mailed() == [("alice@example.com", "Due tomorrow: y")]


def test_however_often_it_runs_there_is_one_mail_for_each_due_date(alice, bob, folder):
    task = alice.api.post("/tasks", {"title": "x", "due_date": day(1, 10)}).json["id"]
    for _ in range(3):
        periodic_run()
    assert len(mails_in(folder)) == 1
    alice.api.patch(f"/tasks/{task}", {"title": "renamed"})
    periodic_run()
    assert len(mails_in(folder)) == 1
    alice.api.patch(f"/tasks/{task}", {"due_date": day(1, 11)})
    periodic_run()
    assert [message["Subject"] for message in mails_in(folder)] == ["Due tomorrow: x", "Due tomorrow: renamed"]


def test_many_are_told_in_slices(alice, monkeypatch):
    monkeypatch.setattr("mesh.execution.service.MAX_DUE_ROWS", 2)
    for title in "abcde":
        assert alice.api.post("/tasks", {"title": title, "due_date": day(1)}).status == 201
    periodic_run()
    assert mailed() == [("alice@example.com", f"Due tomorrow: {title}") for title in "abcde"]
    assert Outbox.objects.filter(operation="mail_due_tasks", status="done").count() == 3


def test_who_does_not_want_it_gets_none(alice):
    alice.api.post("/tasks", {"title": "x", "due_date": day(1)})
    alice.api.patch("/users/me/notifications", {"task_due": False})
    periodic_run()
    assert mailed() == []


def test_times_are_told_in_utc(alice, bob, folder):
    alice.api.post("/tasks", {"title": "x", "due_date": "2030-01-01T01:30:00+03:00", "assignee_id": bob.id})
    run_jobs()
    assert "Due Monday, 31 December 2029, 22:30 UTC" in texts_of(mails_in(folder)[0])[0]
    assert datetime(2029, 12, 31).strftime("%A") == "Monday"
