"""What a search may cost: each word that decides once, few of them, and not for long."""

from datetime import timedelta

import pytest

from mesh.declarations.words import words_of
from mesh.tests.database import sql
from mesh.tests.stores.test_postgres_failures import another_connection
from tasks.models import Project

NINE = "one two three four five six seven eight nine"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", []),
        ("d d D d", ["d"]),
        ("red car RED cart", ["RED", "cart"]),
        ("a ab abc bc", ["abc"]),
        ("straße ss SS", ["straße", "SS"]),
        ("é É", ["É"]),
    ],
)
def test_repeated_words_and_those_within_others_are_not_looked_for(text, words):
    assert sorted(words_of(text)) == sorted(words)


def test_what_is_left_out_changes_nothing(alice):
    for title in ("red cart", "red car", "cart"):
        Project.objects.create(owner=alice.user, title=title)
    page = alice.api.get("/projects?search=car+cart+RED+red+r").json
    assert ([row["title"] for row in page["results"]], page["count"]) == (["red cart"], 1)


def test_a_ninth_word_is_refused_at_every_door(alice, anonymous):
    assert alice.api.get("/projects?search=" + "d+" * 99).status == 200
    assert alice.api.get("/projects?search=" + NINE.replace("nine", "eight").replace(" ", "+")).status == 200
    said = "At most 8 words are looked for, and here are 9. Send fewer."
    for api, path, name in (
        (alice.api, "/projects?search=", "search"),
        (anonymous, "/events?search=", "search"),
        (anonymous, "/events/count?search=", "search"),
        (anonymous, "/events?location=", "location"),
    ):
        refused = api.get(path + NINE.replace(" ", "+"))
        assert (refused.status, refused.json["errors"]) == (
            422,
            [{"loc": ["query", name], "msg": said, "type": "value_error"}],
        )
    refused = alice.api.post("/tools/list_projects", {"arguments": {"search": NINE}})
    assert (refused.status, refused.json["errors"][0]["msg"]) == (422, said)


def test_a_search_for_null_is_none(alice):
    assert alice.api.post("/tools/list_projects", {"arguments": {"search": None}}).status == 200


@pytest.mark.django_db(transaction=True)
def test_a_search_that_takes_too_long_is_a_504_and_the_time_of_others_stays(alice, settings):
    settings.MESH = {**settings.MESH, "SEARCH_TIMEOUT": timedelta(milliseconds=150)}
    before = sql("SHOW statement_timeout")
    with another_connection() as other, other.transaction():
        other.execute("LOCK TABLE tasks_project IN ACCESS EXCLUSIVE MODE")
        refused = alice.api.get("/projects?search=red")
    assert (refused.status, refused.json["code"]) == (504, "deadline_exceeded")
    assert sql("SHOW statement_timeout") == before
    assert alice.api.get("/projects?search=red").status == 200
    assert sql("SHOW statement_timeout") == before


@pytest.mark.django_db(transaction=True)
def test_commands_have_more_time_than_the_reads_of_their_connection(alice):
    sql("SET statement_timeout = '150ms'")  # as the connections of web
    try:
        project = Project.objects.create(owner=alice.user, title="Before")
        with another_connection() as other, other.transaction():
            other.execute("SELECT * FROM tasks_project FOR UPDATE")
            sql("SET lock_timeout = '600ms'")
            refused = alice.api.patch(f"/projects/{project.pk}", {"title": "After"})
        assert refused.status == 503  # its lock, not its statement
        with another_connection() as other, other.transaction():
            other.execute("LOCK TABLE tasks_project IN ACCESS EXCLUSIVE MODE")
            assert alice.api.get("/projects").status == 504
    finally:
        sql("RESET statement_timeout")
        sql("RESET lock_timeout")
