"""Raw statements: prepared when they come again, with Django's errors, whatever their parameters."""

import pytest
from django.db import DataError, IntegrityError, connection, transaction

from mesh.stores import postgres
from mesh.stores.postgres import fetch


def prepared() -> int:
    return int(fetch("SELECT count(*) FROM pg_prepared_statements")[0][0])


@pytest.mark.django_db(transaction=True)
def test_what_comes_twice_is_prepared_also_as_the_first_of_its_transaction():
    connection.close()
    for number in range(4):
        with transaction.atomic():
            assert fetch("SELECT %s::int + 1", [number]) == [(number + 1,)]
    mine = fetch("SELECT statement FROM pg_prepared_statements WHERE statement LIKE '%%+ 1'")
    assert mine == [("SELECT $1::int + 1",)]


def test_parameters_of_other_types_make_another_statement(db):
    for _ in range(3):
        for value in (1, 2**40, None, "seven", [2**40]):
            assert fetch("SELECT %s", [value]) == [(value,)]


def test_a_percent_sign_that_is_doubled_is_one(db):
    for _ in range(3):
        assert fetch("SELECT '100%%' || %s::text || '%%s'", ["!"]) == [("100%!%s",)]


@pytest.mark.django_db(transaction=True)
def test_more_statements_than_are_kept_go_on_working(monkeypatch):
    connection.close()
    monkeypatch.setattr(postgres, "_MOST_PREPARED", 5)
    for round in range(3):
        for number in range(20):
            assert fetch(f"SELECT {number} + %s::int", [round]) == [(number + round,)]
    assert prepared() <= 7


def test_a_prepared_statement_fails_as_any_other_and_works_again(db):
    for divisor in (1, 1, 0, 1):
        if divisor:
            assert fetch("SELECT 1 / %s::int", [divisor]) == [(1,)]
        else:
            with pytest.raises(DataError, match="division by zero"), transaction.atomic():
                fetch("SELECT 1 / %s::int", [divisor])


def test_the_broken_constraint_is_told(db):
    for _ in range(3):
        with pytest.raises(IntegrityError) as refused, transaction.atomic():
            fetch("INSERT INTO mesh_version (scope, number) VALUES (%s, 1), (%s, 1)", ["a", "a"])
        assert postgres.constraint_of(refused.value) == "mesh_version_pkey"


def test_a_statement_without_rows_answers_none(db):
    for _ in range(3):
        assert fetch("UPDATE mesh_version SET number = number WHERE scope = %s", ["nobody"]) == []
