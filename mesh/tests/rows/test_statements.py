"""Which rows: conditions and statements, compiled without a database."""

import pytest
from django.db.models import Q

from mesh import ANONYMOUS, Actor
from mesh.rows.search import every_word
from mesh.rows.visibility import MeshModel, MeshQuerySet, statement_for_ids, visible_rows
from mesh.tests.example.models import Thing

ALICE, BOB, ADA = Actor(7, "AGENT"), Actor(8, "AGENT"), Actor(1, "ADMIN")


@pytest.mark.parametrize("text", [None, "", "   ", "\n\t"])
def test_no_word_is_no_condition(text):
    assert every_word(text, "title", "notes") == Q()


def test_every_word_must_occur_in_one_of_the_fields():
    assert every_word("red", "title") == Q(title__icontains="red")
    assert every_word(" red  car ", "title", "notes") == (
        (Q(title__icontains="red") | Q(notes__icontains="red"))
        & (Q(title__icontains="car") | Q(notes__icontains="car"))
    )


def test_a_base_queryset_shows_nothing_to_anyone():
    for actor in (ALICE, ADA, ANONYMOUS):
        assert statement_for_ids(MeshQuerySet(model=Thing).visible_to(actor)) == ("", ())


def test_a_model_that_forgets_has_no_audience():
    assert MeshModel.audience(Thing(owner_id=7)) == set()


def test_a_row_that_is_not_stored_is_its_owners_alone():
    assert Thing(owner_id=7).audience() == {"user:7"}


def test_an_empty_condition_changes_nothing_and_copies_nothing():
    rows = Thing.objects.all()
    assert rows.filter(Q()) is rows
    assert rows.filter(Q(), Q()) is rows
    assert rows.filter(Q(title="A")) is not rows
    assert rows.filter(title="A") is not rows


def test_a_statement_has_the_actors_id_as_a_parameter():
    sql, params = statement_for_ids(visible_rows(Thing, ALICE))
    assert params == (7, 7)
    assert sql.count("%s") == 2
    assert "ORDER BY" not in sql
    assert sql.startswith('SELECT "example_thing"."id"')
    assert statement_for_ids(visible_rows(Thing, BOB)) == (sql, (8, 8))


def test_who_sees_all_has_no_condition():
    assert statement_for_ids(visible_rows(Thing, ADA)) == (
        'SELECT "example_thing"."id" AS "pk" FROM "example_thing"',
        (),
    )


def test_the_statement_of_a_whole_scope_is_compiled_once(monkeypatch):
    first = statement_for_ids(visible_rows(Thing, ALICE))
    assert statement_for_ids(visible_rows(Thing, ALICE)) is first
    assert statement_for_ids(visible_rows(Thing, ALICE).all()) is first
    assert statement_for_ids(visible_rows(Thing, ALICE).filter(Q())) is first


def test_a_narrower_question_is_a_statement_of_its_own_and_leaves_the_scopes_alone():
    whole = statement_for_ids(visible_rows(Thing, ALICE))
    narrow = visible_rows(Thing, ALICE).filter(title="A")
    sql, params = statement_for_ids(narrow)
    assert (sql == whole[0], params) == (False, (7, 7, "A"))
    assert statement_for_ids(visible_rows(Thing, ALICE).exclude(title="A"))[1] == (7, 7, "A")
    assert statement_for_ids(visible_rows(Thing, ALICE).none()) == ("", ())
    assert statement_for_ids(visible_rows(Thing, ALICE)) is whole


def test_an_order_is_left_out_of_the_ids():
    assert "ORDER BY" not in statement_for_ids(Thing.objects.order_by("title"))[0]
