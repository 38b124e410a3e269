"""What a caller is told of each error of Postgres; what is tried again; documents in a folder."""

import os
import stat
from typing import Any

import pytest
from django.db import DataError, IntegrityError, InterfaceError, OperationalError, ProgrammingError

from mesh.errors import Conflict, DeadlineExceeded, Unavailable
from mesh.stores.objects import Folder, StorageTimeout, StorageUnavailable, storage
from mesh.stores.postgres import constraint_of, may_be_retried, refusal_of
from mesh.tests.example.services import SharedAlready


def error(state: str, cls: Any = OperationalError, constraint: str = "") -> Any:
    """A database error as Django raises it, with psycopg's as its cause."""
    cause = Exception("of psycopg")
    cause.sqlstate = state or None  # type: ignore[attr-defined]
    cause.diag = type("Diagnostic", (), {"constraint_name": constraint or None})()  # type: ignore[attr-defined]
    raised = cls("secret text of the database")
    raised.__cause__ = cause
    return raised


@pytest.mark.parametrize(
    ("state", "cls", "expected", "retry_after"),
    [
        ("23503", IntegrityError, Conflict, None),
        ("57014", OperationalError, DeadlineExceeded, None),
        ("40001", OperationalError, Unavailable, 1),
        ("40P01", OperationalError, Unavailable, 1),
        ("55P03", OperationalError, Unavailable, 1),
        ("08006", OperationalError, Unavailable, 2),
        ("53300", OperationalError, Unavailable, 2),
        ("57P01", OperationalError, Unavailable, 2),
        ("57P03", OperationalError, Unavailable, 2),
        ("", OperationalError, Unavailable, 2),
        ("", InterfaceError, Unavailable, 2),
    ],
)
def test_what_is_told_of_each_state(state, cls, expected, retry_after):
    refusal = refusal_of(error(state, cls))
    assert (type(refusal), refusal.retry_after) == (expected, retry_after)
    assert "secret" not in refusal.detail


@pytest.mark.parametrize(
    ("state", "cls"),
    [
        ("23514", IntegrityError),
        ("23502", IntegrityError),
        ("22001", DataError),
        ("42P01", ProgrammingError),
        ("", DataError),
    ],
)
def test_what_is_a_bug_of_ours_is_told_as_none(state, cls):
    assert refusal_of(error(state, cls)) is None


def test_a_broken_constraint_is_the_conflict_that_names_it():
    assert type(refusal_of(error("23505", IntegrityError, "example_share_once"))) is SharedAlready
    for constraint in ("some_other", ""):
        assert type(refusal_of(error("23505", IntegrityError, constraint))) is Conflict
    assert constraint_of(error("23505", IntegrityError, "example_share_once")) == "example_share_once"
    assert constraint_of(ValueError("no database's")) == ""


@pytest.mark.parametrize(
    ("state", "again"),
    [("40001", True), ("40P01", True), ("55P03", False), ("57014", False), ("23505", False), ("", False)],
)
def test_only_where_nothing_was_written_is_it_tried_again(state, again):
    assert may_be_retried(error(state)) is again


@pytest.fixture
def folder(tmp_path):
    return Folder(tmp_path / "documents")


def test_a_folder_keeps_a_file_for_each_document(folder, tmp_path):
    assert (folder.get("tasks/a.json"), list(folder.names("tasks"))) == (None, [])
    folder.put("tasks/a.json", b"1")
    folder.put("tasks/b.json", b"\x00\xff")
    folder.put("calls/a.json", b"3")
    assert (folder.get("tasks/a.json"), folder.get("tasks/b.json")) == (b"1", b"\x00\xff")
    assert (set(folder.names("tasks")), set(folder.names("calls"))) == (
        {"tasks/a.json", "tasks/b.json"},
        {"calls/a.json"},
    )
    assert (tmp_path / "documents" / "tasks" / "a.json").read_bytes() == b"1"


def test_a_document_is_replaced_and_removed(folder):
    for body in (b"first", b"second and longer", b""):
        folder.put("tasks/a.json", body)
        assert folder.get("tasks/a.json") == body
    folder.remove("tasks/a.json")
    folder.remove("tasks/a.json")
    assert (folder.get("tasks/a.json"), list(folder.names("tasks"))) == (None, [])


def test_a_write_that_fails_leaves_what_was_there_and_no_draft(folder, tmp_path, monkeypatch):
    folder.put("tasks/a.json", b"before")

    def full(descriptor: int) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        folder.put("tasks/a.json", b"after")
    assert folder.get("tasks/a.json") == b"before"
    assert os.listdir(tmp_path / "documents" / "tasks") == ["a.json"]


def test_folders_of_documents_are_their_owners_alone(folder, tmp_path):
    folder.put("tasks/a.json", b"1")
    assert stat.S_IMODE((tmp_path / "documents" / "tasks").stat().st_mode) == 0o700


def test_folders_inside_are_no_documents(folder, tmp_path):
    (tmp_path / "documents" / "tasks" / "inner").mkdir(parents=True)
    folder.put("tasks/a.json", b"1")
    assert list(folder.names("tasks")) == ["tasks/a.json"]


def test_without_a_bucket_documents_are_kept_in_the_folder(settings, tmp_path):
    settings.AWS_S3_BUCKET, settings.DOCUMENTS_DIR = "", tmp_path
    storage().put("tasks/a.json", b"1")
    assert (tmp_path / "tasks" / "a.json").read_bytes() == b"1"


def test_what_s3_does_not_answer_may_still_come_true():
    assert issubclass(StorageTimeout, StorageUnavailable)
    assert issubclass(StorageUnavailable, OSError)
