"""`documents verify`, `rebuild` and `restore`: what is wrong is found, put right, and made rows of again."""

import io
import json
import signal
import time
from uuid import UUID, uuid4

import pytest
from django.core.management import CommandError, call_command

from accounts.models import Contact
from meetings.models import Call
from mesh.documents import bulk
from mesh.models import DocumentChange, WaitingDocument
from mesh.stores.objects import storage
from mesh.tests.database import sql
from mesh.tests.jobs import store_documents
from mesh.tests.processes import eventually, process
from tasks.models import Task

MARIA = {"name": "María García", "email": "maria@example.com", "company": "Azollon"}


def documents(*arguments):
    """What the command prints on both outputs, as lines; where it fails, its last word is one of them."""
    out = io.StringIO()
    try:
        call_command("documents", *arguments, stdout=out, stderr=out)
    except CommandError as error:
        return [*out.getvalue().splitlines(), f"FAILED {error}"]
    return out.getvalue().splitlines()


@pytest.fixture
def rows(alice, kept):
    """Two contacts, a call and two tasks of alice's, all stored."""
    maria = alice.api.post("/contacts", MARIA | {"notes": "Likes tea"}).json
    other = alice.api.post("/contacts", MARIA | {"email": "MARIA@example.com", "allow_duplicate": True}).json
    sent = {"contact_id": maria["id"], "title": "Talk", "scheduled_for": "2030-01-01T10:00:00Z"}
    call = alice.api.post("/calls", sent).json
    tasks = [
        alice.api.post("/tasks", sent).json
        for sent in (
            {"title": "Prepare", "contact_id": maria["id"], "due_date": "2030-01-01T10:00:00.000001Z"},
            {"title": "Rest", "description": "Well\n", "status": "done"},
        )
    ]
    store_documents()
    names = [f"users/{maria['uuid']}.json", f"users/{other['uuid']}.json", f"calls/{call['uuid']}.json"]
    return [*names, *(f"tasks/{task['uuid']}.json" for task in tasks)]


def empty_database():
    for model in (Task, Call, Contact):
        model.objects.all().delete()
    DocumentChange.objects.all().delete()
    WaitingDocument.objects.all().delete()


def everything():
    return [list(model.objects.order_by("uuid").values()) for model in (Contact, Call, Task)]


def without(rows, *names):
    return [[{key: value for key, value in row.items() if key not in names} for row in table] for table in rows]


def test_verify_finds_nothing_wrong_where_all_is_well(rows):
    assert documents("verify") == ["5 documents agree, 0 wait to be stored"]


def test_verify_names_what_is_missing_stale_and_extra_and_changes_nothing(rows, kept):
    maria, other, call, task, _ = rows
    storage().remove(maria)
    storage().put(other, storage().get(call))
    storage().put(task, storage().get(task) + b" ")
    extra = [f"tasks/{uuid4()}.json", "users/notes.txt", f"calls/{rows[2].upper()[6:-5]}.json"]
    for name in extra:
        storage().put(name, b"{}")
    storage().put(f"elsewhere/{uuid4()}.json", b"{}")
    before = kept()
    said = documents("verify")
    found = {f"missing {maria}", f"stale {other}", f"stale {task}", *(f"extra {name}" for name in extra)}
    assert set(said[:-1]) == found
    assert said[-1] == "FAILED 1 missing, 2 stale, 3 extra; 2 documents agree, 0 wait to be stored."
    assert kept() == before


def test_what_is_still_to_be_stored_is_not_wrong(alice, rows):
    alice.api.post("/tasks", {"title": "New"})
    Task.objects.filter(title="Rest").update(title="Sleep")
    Call.objects.all().delete()
    assert documents("verify") == ["3 documents agree, 3 wait to be stored"]


def test_what_changes_while_verify_looks_is_looked_at_again(rows, monkeypatch):
    look = bulk._compare_batch

    def look_while_it_changes(each, uuids):
        found = look(each, uuids)
        monkeypatch.undo()
        return found | dict.fromkeys(uuids, "stale")

    monkeypatch.setattr(bulk, "_compare_batch", look_while_it_changes)
    assert documents("verify") == ["5 documents agree, 0 wait to be stored"]


def test_rebuild_puts_everything_right_and_may_be_repeated(rows, kept):
    before = kept()
    storage().remove(rows[0])
    for name in (rows[1], f"tasks/{uuid4()}.json", "users/notes.txt"):
        storage().put(name, b"{}")
    for _ in range(2):
        assert documents("rebuild") == ["5 documents are stored"]
        assert kept() == before
    assert not WaitingDocument.objects.exists()
    assert documents("verify") == ["5 documents agree, 0 wait to be stored"]


def test_rebuild_fills_a_storage_that_lost_everything(rows, kept, settings, tmp_path):
    before = kept()
    for name in rows:
        storage().remove(name)
    assert documents("rebuild") == ["5 documents are stored"]
    assert kept() == before


def test_more_documents_than_are_in_memory_at_a_time(alice, folder, monkeypatch):
    monkeypatch.setattr(bulk, "_AT_ONCE", 7)
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(40))
    assert documents("rebuild") == ["40 documents are stored"]
    assert documents("verify") == ["40 documents agree, 0 wait to be stored"]
    before = everything()
    empty_database()
    assert documents("restore", "--as", "alice@example.com") == ["40 rows made, 0 were there already"]
    assert without(everything(), "id") == without(before, "id")


def test_restore_makes_the_same_rows_and_leaves_the_documents_as_they_are(alice, rows, kept):
    before, stored = everything(), kept()
    empty_database()
    assert documents("restore", "--as", "alice@example.com") == ["5 rows made, 0 were there already"]
    left_out = ("id", "contact_id", "is_duplicate")
    assert without(everything(), *left_out) == without(before, *left_out)
    assert sorted(Contact.objects.values_list("is_duplicate", flat=True)) == [False, True]
    assert Call.objects.get().contact.uuid == Task.objects.get(title="Prepare").contact.uuid
    assert not DocumentChange.objects.exists()
    assert documents("verify") == ["5 documents agree, 0 wait to be stored"]
    assert documents("restore", "--as", "alice@example.com") == ["0 rows made, 5 were there already"]
    store_documents()
    assert kept() == stored
    assert len(alice.api.get("/tasks").json["results"]) == 2


def test_restore_goes_on_where_it_was_interrupted(alice, rows):
    empty_database()
    list(zip(range(2), bulk.restore(alice.id), strict=False))
    assert Contact.objects.count() == 2
    assert not Call.objects.exists()
    assert documents("restore", "--as", "alice@example.com") == ["3 rows made, 2 were there already"]


def test_restore_refuses_where_a_row_is_not_what_its_document_says(alice, rows):
    Contact.objects.filter(name=MARIA["name"]).update(company="Other")
    Call.objects.all().delete()
    refusal = documents("restore", "--as", "alice@example.com")[-1]
    assert refusal.startswith("FAILED The row of users/")
    assert not Call.objects.exists()


def test_restore_refuses_where_a_row_has_no_document(alice, rows):
    task = Task.objects.create(creator=alice.user, title="New")
    refusal = documents("restore", "--as", "alice@example.com")
    said = f"FAILED The row of tasks/{task.uuid}.json is there already, and is not what the document says."
    assert refusal == [said]


def test_restore_names_what_is_broken_and_makes_the_others(alice, rows):
    maria, _, call, task, _ = rows
    empty_database()
    whole = json.loads(storage().get(task))

    def put(**fields):
        uuid = str(UUID(int=len(broken) + 1))
        name = f"tasks/{uuid}.json"
        storage().put(name, json.dumps(whole | {"id": uuid} | fields).encode())
        broken.append(name)

    broken = [maria, call, task]  # the call and the task have no contact without it
    storage().put(maria, b"{")
    put(title="x" * 201)
    put(title="")
    put(title="a\x00b")
    put(status="later")
    put(colour="red")
    put(created_at="yesterday")
    put(user_id=str(uuid4()))
    put(id=str(uuid4()))
    storage().put("users/notes.txt", b"hello")
    said = documents("restore", "--as", "alice@example.com")
    assert {line.partition(": ")[0] for line in said[:-1]} == {*broken, "users/notes.txt"}
    assert all(line.partition(": ")[2] for line in said[:-1])
    assert said[-1] == "FAILED 12 documents are broken; 2 rows made, 0 were there already."
    assert [Contact.objects.get().email, Task.objects.get().title] == ["MARIA@example.com", "Rest"]
    assert documents("restore", "--as", "alice@example.com")[-1].endswith("0 rows made, 2 were there already.")


def test_restore_is_someones(rows, charlie):
    empty_database()
    assert documents("restore", "--as", "nobody@example.com")[-1].startswith("FAILED")
    assert documents("restore", "--as", "charlie@example.com")[-1] == "5 rows made, 0 were there already"
    assert len(charlie.api.get("/contacts").json["results"]) == 2
    assert len(charlie.api.get("/calls").json["results"]) == 1
    assert len(charlie.api.get("/tasks").json["results"]) == 2


def test_a_storage_that_is_away_is_told_in_a_line(alice, s3):
    alice.api.post("/tasks", {"title": "Task"})
    s3.stop()
    for arguments in (["verify"], ["rebuild"], ["restore", "--as", "alice@example.com"]):
        (said,) = documents(*arguments)
        assert said.startswith("FAILED The storage: Could not connect")
    s3.start()


def test_a_storage_that_takes_nothing_is_told_in_a_line(alice, settings, tmp_path):
    (tmp_path / "file").touch()
    settings.DOCUMENTS_DIR = tmp_path / "file"
    alice.api.post("/tasks", {"title": "Task"})
    (said,) = documents("rebuild")
    assert said.startswith("FAILED NotADirectoryError")
    assert said.endswith("What is left is stored as soon as the storage takes it.")


@pytest.mark.django_db(transaction=True)
def test_rebuild_killed_in_the_middle_is_finished_by_the_job(person, folder):
    alice = person("alice")
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(3000))
    with process("manage.py", "documents", "rebuild") as child:
        eventually(lambda: len(folder()) > 100)
        child.send_signal(signal.SIGKILL)
        child.wait()
    assert len(folder()) < 3000
    sql("UPDATE mesh_waitingdocument SET lease_until = clock_timestamp() WHERE lease_until IS NOT NULL")
    store_documents()
    assert len([name for name in folder() if not name.startswith("tasks/.")]) == 3000


@pytest.mark.django_db(transaction=True)
def test_rebuild_waits_for_what_a_worker_has_and_leaves_it_to_it(person, folder):
    alice = person("alice")
    Task.objects.bulk_create(Task(creator=alice.user, title=f"Task {n}") for n in range(3))
    store_documents()
    sql("INSERT INTO mesh_waitingdocument (kind, uuid, version, changed_at, due_at, attempt, error, token, lease_until)"
        " SELECT 'tasks', uuid, 0, now(), now(), 0, '', gen_random_uuid(), clock_timestamp() + interval '1 second'"
        " FROM tasks_task LIMIT 1")  # fmt: skip
    started = time.monotonic()
    assert documents("rebuild") == ["3 documents are stored"]
    assert time.monotonic() - started > 0.9
