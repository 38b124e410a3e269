"""What the database holds when the services are passed by; both sides of the scope."""

import uuid

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from accounts.models import User
from accounts.tests.assertions import nothing_changes
from mesh.testing import visibility_mismatches
from tasks.models import Project, Task


@pytest.fixture
def task(alice):
    return Task.objects.create(creator=alice.user, title="Do")


@pytest.fixture
def project(alice):
    return Project.objects.create(owner=alice.user, title="Web")


def violates(name):
    return pytest.raises(IntegrityError, match=name)


def test_tasks_and_projects_have_a_title(task, project):
    with nothing_changes(), violates("tasks_task_title"), transaction.atomic():
        Task.objects.update(title="")
    with nothing_changes(), violates("tasks_project_title"), transaction.atomic():
        Project.objects.update(title="")


@pytest.mark.parametrize("status", ["", "ToDo", "pending", "open"])
def test_a_status_is_one_of_four(task, status):
    with nothing_changes(), violates("tasks_task_status"), transaction.atomic():
        Task.objects.update(status=status)


def test_a_uuid_is_there_once(task, alice):
    other = Task.objects.create(creator=alice.user, title="Other")
    with nothing_changes(), violates("uuid"), transaction.atomic():
        Task.objects.filter(pk=other.pk).update(uuid=task.uuid)
    assert Task.objects.filter(pk=other.pk).update(uuid=uuid.uuid4()) == 1


@pytest.mark.parametrize(("model", "length"), [(Task, 1000), (Project, 5000)])
def test_texts_have_their_lengths_in_the_database_too(task, project, model, length):
    assert model.objects.update(title="ä" * 200, description="ä" * length) == 1
    for fields in ({"title": "x" * 201}, {"description": "x" * (length + 1)}):
        with nothing_changes(), pytest.raises(DataError), transaction.atomic():
            model.objects.update(**fields)


@pytest.mark.parametrize(
    ("table", "column"),
    [("task", c) for c in ("uuid", "creator_id", "title", "description", "status", "created_at", "updated_at")]
    + [("project", c) for c in ("owner_id", "title", "description", "created_at", "updated_at")],
)
def test_what_is_needed_is_not_null(task, project, table, column):
    with violates(column), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE tasks_{table} SET {column} = NULL")


@pytest.mark.parametrize(
    ("table", "column"),
    [
        ("task", "creator_id"), ("task", "assignee_id"), ("task", "project_id"), ("task", "due_meeting_id"),
        ("project", "owner_id"),
    ],
)  # fmt: skip
def test_references_lead_to_rows(task, project, table, column):
    with pytest.raises(IntegrityError), transaction.atomic(), connection.cursor() as cursor:
        cursor.execute(f"UPDATE tasks_{table} SET {column} = 999999")
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")


def test_who_sees_a_row_and_who_hears_of_its_changes_are_the_same(alice, bob, charlie, project, person):
    dora = person("dora")
    Task.objects.create(creator=alice.user, title="A", project=project, assignee=bob.user)
    Task.objects.create(creator=bob.user, title="B", project=project)
    Task.objects.create(creator=charlie.user, title="C", assignee=dora.user)
    Project.objects.create(owner=charlie.user, title="Empty")
    actors = [p.actor for p in (alice, bob, charlie, dora)]
    for model in (Task, Project, User):
        assert visibility_mismatches(model, actors) == []
