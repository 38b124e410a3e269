"""Contacts, calls and tasks as documents: what is stored after each change, and what is not."""

import json
import os
from datetime import UTC, datetime
from uuid import UUID

import pytest
from django.db import transaction
from django.test import Client
from prometheus_client.parser import text_string_to_metric_families

from accounts.tests.browser import submit
from meetings.models import Call
from mesh.checks import check_documents
from mesh.models import AuditEntry, DocumentChange, Outbox, WaitingDocument
from mesh.stores.objects import Folder, storage
from mesh.stores.postgres import fetch
from mesh.testing import Api
from mesh.tests.database import sql
from mesh.tests.jobs import store_documents
from mesh.tests.processes import eventually
from tasks.models import Task

MARIA = {"name": "María García", "email": "maria@example.com", "company": "Azollon"}
WHEN = "2030-01-01T10:00:00Z"


@pytest.fixture
def stored(kept):
    """What is stored after the job has run, by name, as JSON."""

    def documents():
        store_documents()
        assert not DocumentChange.objects.exists()
        assert not WaitingDocument.objects.exists()
        return {name: json.loads(body) for name, body in kept().items()}

    return documents


@pytest.fixture
def site(ada):
    """A browser in which Ada is signed in to the admin."""
    client = Client()
    submit(client, "/admin/login/", "login-form", username="ada@example.com", password=ada.password)
    return client


@pytest.fixture
def maria(alice):
    return alice.api.post("/contacts", MARIA).json


def call(person, contact, **fields):
    return person.api.post(
        "/calls", {"contact_id": contact["id"], "title": "Talk", "scheduled_for": WHEN} | fields
    ).json


def task(person, **fields):
    return person.api.post("/tasks", {"title": "Prepare"} | fields).json


def test_a_contact_made_changed_and_deleted(alice, stored):
    made = alice.api.post("/contacts", MARIA | {"user_type": "partner", "phone": "1", "notes": "Likes tea"}).json
    name = f"users/{made['uuid']}.json"
    body = MARIA | {"id": made["uuid"], "user_type": "partner", "notes": "Likes tea"}
    body |= {"created_at": made["created_at"], "updated_at": made["updated_at"]}
    assert stored() == {name: body}
    changed = alice.api.patch(f"/contacts/{made['id']}", {"name": "Maria", "notes": ""}).json
    assert stored() == {name: body | {"name": "Maria", "notes": None, "updated_at": changed["updated_at"]}}
    assert alice.api.delete(f"/contacts/{made['id']}").status == 204
    assert stored() == {}


def test_a_call_made_changed_moved_to_another_status_and_deleted(alice, maria, stored):
    made = call(alice, maria, duration_minutes=45)
    name = f"calls/{made['uuid']}.json"
    body = {"id": made["uuid"], "user_id": maria["uuid"], "title": "Talk", "scheduled_for": WHEN}
    body |= {"duration_minutes": 45, "notes": None, "status": "scheduled"}
    body |= {"created_at": made["created_at"], "updated_at": made["updated_at"]}
    assert stored()[name] == body
    body["updated_at"] = alice.api.patch(f"/calls/{made['id']}", {"notes": "Ask"}).json["updated_at"]
    assert stored()[name] == body | {"notes": "Ask"}
    body["updated_at"] = alice.api.patch(f"/calls/{made['id']}/status?new_status=completed").json["updated_at"]
    assert stored()[name] == body | {"notes": "Ask", "status": "completed"}
    alice.api.delete(f"/calls/{made['id']}")
    assert name not in stored()


def test_a_task_made_changed_moved_to_another_status_and_deleted(alice, maria, stored):
    bare = task(alice)
    made = task(alice, description="Slides", due_date=WHEN, contact_id=maria["id"])
    body = {"title": "Prepare", "status": "todo"}
    expected = {}
    for each, fields in (
        (bare, {"description": None, "user_id": None, "due_date": None}),
        (made, {"description": "Slides", "user_id": maria["uuid"], "due_date": WHEN}),
    ):
        times = {"created_at": each["created_at"], "updated_at": each["updated_at"]}
        expected[f"tasks/{each['uuid']}.json"] = body | {"id": each["uuid"]} | fields | times
    assert expected.items() <= stored().items()
    alice.api.patch(f"/tasks/{made['id']}", {"title": "Rehearse"})
    alice.api.patch(f"/tasks/{made['id']}/status", {"status": "in_progress"})
    changed = stored()[f"tasks/{made['uuid']}.json"]
    assert (changed["title"], changed["status"]) == ("Rehearse", "in_progress")
    alice.api.delete(f"/tasks/{made['id']}")
    assert stored().keys() == {f"users/{maria['uuid']}.json", f"tasks/{bare['uuid']}.json"}


def test_with_a_contact_its_calls_go_and_its_tasks_lose_it(alice, maria, stored):
    call(alice, maria)
    made = task(alice, contact_id=maria["id"])
    assert len(stored()) == 3
    alice.api.delete(f"/contacts/{maria['id']}")
    left = stored()
    assert left.keys() == {f"tasks/{made['uuid']}.json"}
    assert left[f"tasks/{made['uuid']}.json"]["user_id"] is None


def test_a_contact_that_becomes_part_of_another_one_gives_it_its_calls_and_tasks(alice, maria, stored):
    other = alice.api.post("/contacts", MARIA | {"email": "other@example.com", "notes": "Knows"}).json
    calls, tasks = call(alice, other), task(alice, contact_id=other["id"])
    assert stored()[f"calls/{calls['uuid']}.json"]["user_id"] == other["uuid"]
    assert alice.api.post(f"/contacts/{maria['id']}/merge", {"contact_id": other["id"]}).status == 200
    left = stored()
    assert f"users/{other['uuid']}.json" not in left
    assert left[f"users/{maria['uuid']}.json"]["notes"] == "Knows"
    assert left[f"calls/{calls['uuid']}.json"]["user_id"] == maria["uuid"]
    assert left[f"tasks/{tasks['uuid']}.json"]["user_id"] == maria["uuid"]


def test_what_an_admin_changes_in_the_admin_and_what_sql_does(site, alice, stored):
    made = task(alice)
    path = f"/admin/tasks/task/{made['id']}/change/"
    assert submit(site, path, "task_form", title="By the admin").status_code == 302
    name = f"tasks/{made['uuid']}.json"
    assert stored()[name]["title"] == "By the admin"
    Task.objects.update(title="At once")
    assert stored()[name]["title"] == "At once"
    new = UUID(int=7)
    sql("UPDATE tasks_task SET uuid = %s", new)
    assert stored().keys() == {f"tasks/{new}.json"}
    sql("DELETE FROM tasks_task")
    assert stored() == {}


def test_what_is_rolled_back_refused_or_only_tried_out_leaves_no_trace(alice, maria, stored):
    before = stored()
    with transaction.atomic():
        Task.objects.create(creator=alice.user, title="Never")
        transaction.set_rollback(True)
    assert alice.api.post("/tasks", {"title": ""}).status == 422
    dry = alice.api.post("/tasks", {"title": "Tried"}, Prefer="dry-run").json
    assert (dry["dry_run"], dry["jobs"]) == (True, [])
    assert alice.api.delete(f"/contacts/{maria['id']}", Prefer="dry-run").status == 200
    assert not DocumentChange.objects.exists()
    assert stored() == before


def test_times_before_the_epoch_and_at_the_end_of_the_calendar(alice, maria, stored):
    Call.objects.create(contact_id=maria["id"], title="Old", scheduled_for=datetime(1, 1, 1, tzinfo=UTC))
    Call.objects.create(contact_id=maria["id"], title="Late", scheduled_for=datetime.max.replace(tzinfo=UTC))
    times = {document.get("scheduled_for") for document in stored().values()}
    assert {"0001-01-01T00:00:00Z", "9999-12-31T23:59:59.999999Z"} <= times


def test_changes_of_one_row_are_stored_once(alice, s3):
    made = task(alice)
    for n in range(20):
        alice.api.patch(f"/tasks/{made['id']}", {"title": f"Version {n}"})
    store_documents()
    assert [method for method, _ in s3.asked if method == "PUT"][1:] == ["PUT"]  # the first made the bucket
    assert json.loads(s3.documents()[f"tasks/{made['uuid']}.json"])["title"] == "Version 19"
    assert (
        s3.client.head_object(Bucket=s3.bucket, Key=f"tasks/{made['uuid']}.json")["ContentType"] == "application/json"
    )


def test_more_than_a_run_takes_are_stored_in_one_go_oldest_change_first(alice, s3):
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(250))
    store_documents()
    assert len(s3.documents()) == 250
    paths = [path.removeprefix(f"/{s3.bucket}/") for method, path in s3.asked if method == "PUT"][1:]
    runs = [set(paths[start : start + 100]) for start in (0, 100, 200)]
    in_order = [f"tasks/{uuid}.json" for uuid in Task.objects.order_by("pk").values_list("uuid", flat=True)]
    assert runs == [set(in_order[start : start + 100]) for start in (0, 100, 200)]
    assert AuditEntry.objects.filter(operation="store_documents").count() == 3


@pytest.mark.django_db(transaction=True)
def test_each_command_that_changes_such_a_row_sends_a_message_and_others_none(broker, person):
    alice = person("alice")

    def begun():
        return broker.llen("documents")

    alice.api.post("/projects", {"title": "Website"})
    alice.api.post("/tasks", {"title": "Dry"}, Prefer="dry-run")
    alice.api.post("/tasks", {"title": ""})
    assert begun() == 0
    for n in range(5):
        task(alice, title=f"Task {n}")
    eventually(lambda: begun() == 1)
    assert not Outbox.objects.exists()


def test_a_document_in_the_folder_is_there_wholly_or_as_it_was(tmp_path, monkeypatch):
    folder = Folder(tmp_path)
    folder.put("tasks/a.json", b"one")
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", _no_space)
        with pytest.raises(OSError):
            folder.put("tasks/a.json", b"two")
    assert list(folder.names("tasks")) == ["tasks/a.json"]
    assert folder.get("tasks/a.json") == b"one"
    assert folder.get("tasks/b.json") is None
    folder.remove("tasks/b.json")
    assert list(folder.names("calls")) == []


def _no_space(descriptor):
    raise OSError(28, "No space left on device")


def test_where_nothing_can_be_stored_admins_see_why_and_metrics_say_how_much(alice, site, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.DOCUMENTS_DIR = tmp_path / "file"
    made = task(alice)
    store_documents()
    fetch("UPDATE mesh_waitingdocument SET changed_at = clock_timestamp() - interval '1 hour'")
    task(alice)
    families = text_string_to_metric_families(Api(mount="").get("/metrics").text)
    found = {family.name: family.samples[0].value for family in families if family.name.startswith("meshwork_document")}
    assert found["meshwork_documents_waiting"] == 2
    assert 3600 <= found["meshwork_document_oldest_seconds"] < 3700
    page = site.get("/admin/mesh/waitingdocument/").content.decode()
    assert f"tasks/{made['uuid']}.json" in page
    assert "NotADirectoryError" in page
    waiting = WaitingDocument.objects.get()
    assert site.get(f"/admin/mesh/waitingdocument/{waiting.pk}/change/").status_code == 200
    assert site.post(f"/admin/mesh/waitingdocument/{waiting.pk}/delete/", {"post": "yes"}).status_code == 403


@pytest.mark.parametrize(
    ("values", "code"),
    [
        ({}, None),
        ({"AWS_S3_BUCKET": "b", "AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, None),
        ({"AWS_ACCESS_KEY_ID": "k", "AWS_SECRET_ACCESS_KEY": "s"}, "mesh.W002"),
        ({"AWS_ENDPOINT_URL": "https://s3.example.com"}, "mesh.W002"),
        ({"AWS_S3_BUCKET": "b", "AWS_ACCESS_KEY_ID": "k"}, "mesh.E016"),
        ({"AWS_S3_BUCKET": "b", "AWS_SECRET_ACCESS_KEY": "s"}, "mesh.E016"),
        ({"AWS_S3_BUCKET": "b"}, "mesh.W003"),
        (
            {
                "AWS_S3_BUCKET": "b",
                "AWS_ACCESS_KEY_ID": "k",
                "AWS_SECRET_ACCESS_KEY": "s",
                "AWS_ENDPOINT_URL": "localhost:9000",
            },
            "mesh.E017",
        ),
    ],
)
def test_half_of_the_settings_of_s3_are_told_at_the_start(settings, values, code):
    for name, value in values.items():
        setattr(settings, name, value)
    assert [message.id for message in check_documents(None)] == ([code] if code else [])


def test_settings_are_read_when_a_document_is_stored(alice, folder, settings, tmp_path):
    task(alice)
    settings.DOCUMENTS_DIR = tmp_path / "elsewhere"
    store_documents()
    assert len(folder()) == 1
    assert next(storage().names("tasks")).startswith("tasks/")
