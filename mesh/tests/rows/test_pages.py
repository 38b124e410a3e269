"""Lists in pages: nothing twice, nothing left out, while rows come and go."""

import base64
from urllib.parse import parse_qs, urlsplit

import pytest

from mesh.testing import Api
from mesh.tests.database import sql
from mesh.tests.example.models import Thing


def things(person, first, last):
    return [Thing.objects.create(owner=person.user, title=f"{number}").pk for number in range(first, last)]


def cursor(text):
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 20, 200])
def test_all_pages_together_hold_every_row_once_newest_first(alice, bob, limit):
    expected = []
    for number in range(20):
        expected += things(alice, number, number + 1)
        things(bob, 0, 1)
    found, page = [], alice.api.get(f"/things?limit={limit}").json
    assert page["count"] == 20
    while True:
        assert len(page["results"]) <= limit
        found += [row["id"] for row in page["results"]]
        if page["next"] is None:
            break
        page = alice.api.get(f"/things?limit={limit}&cursor={page['next']}").json
        assert page["count"] is None
    assert found == expected[::-1]


def test_rows_that_come_and_go_meanwhile_make_no_doubles_and_no_gaps(alice):
    ids = things(alice, 0, 12)
    found, gone = [], []
    page = alice.api.get("/things?limit=3").json
    while page["next"]:
        found += [row["id"] for row in page["results"]]
        things(alice, 100, 102)
        gone += [ids.pop(0)]
        Thing.objects.filter(pk__in=[gone[-1], found[-1]]).delete()
        page = alice.api.get(f"/things?limit=3&cursor={page['next']}").json
    found += [row["id"] for row in page["results"]]
    assert len(found) == len(set(found))
    assert set(ids) <= set(found)


def test_the_link_header_leads_to_the_next_page_and_keeps_the_filters(alice):
    things(alice, 0, 3)
    for mount in ("", "/api/v1", "/api/v2"):
        page = Api(alice.api.token, mount).get("/things/?limit=2&search=%20&")
        address, _, rest = page.headers["Link"].removeprefix("<").partition(">")
        assert rest == '; rel="next"'
        split = urlsplit(address)
        assert (split.netloc, split.path) == ("testserver", f"{mount}/things/")
        assert parse_qs(split.query, keep_blank_values=True) == {
            "limit": ["2"], "search": [" "], "cursor": [page.json["next"]]
        }  # fmt: skip
        last = Api(alice.api.token, "").get(f"{split.path}?{split.query}")
        assert (len(last.json["results"]), last.json["next"], "Link" in last.headers) == (1, None, False)


def test_an_exact_last_page_has_no_next(alice):
    things(alice, 0, 4)
    first = alice.api.get("/things?limit=4").json
    assert (first["count"], len(first["results"]), first["next"]) == (4, 4, None)


def test_the_default_is_50_rows_and_the_most_is_200(alice):
    things(alice, 0, 201)
    assert len(alice.api.get("/things").json["results"]) == 50
    assert len(alice.api.get("/things?limit=200").json["results"]) == 200
    for limit in ("0", "201", "-1", "a", "", "1e2", "9" * 400, "%00"):
        refused = alice.api.get(f"/things?limit={limit}")
        assert (refused.status, [e["loc"] for e in refused.json["errors"]]) == (422, [["query", "limit"]])


@pytest.mark.parametrize(
    "tampered",
    [
        "", "a", "%00", "%ff%fe", "1", "x" * 65, cursor("id:0"), cursor("id:-1"), cursor("id:9223372036854775808"),
        cursor("id:1 OR 1=1"), cursor("pk:1"), cursor("id:"), cursor("id:\u0661"), cursor("id:1.0"), "aWQ6MQ==x",
    ],
)  # fmt: skip
def test_a_tampered_cursor_is_refused_by_its_name(alice, tampered):
    refused = alice.api.get(f"/things?cursor={tampered}")
    assert refused.status == (400 if "%f" in tampered else 422)
    assert "%f" in tampered or [e["loc"] for e in refused.json["errors"]] == [["query", "cursor"]]


def test_a_cursor_made_up_for_someone_elses_rows_shows_none_of_them(alice, charlie):
    ids = things(alice, 0, 3)
    page = charlie.api.get(f"/things?cursor={cursor(f'id:{ids[-1] + 1}')}")
    assert page.json == {"count": None, "next": None, "results": []}


def test_a_search_takes_every_word_in_any_case_and_no_wildcards(alice):
    for title in ("Red House", "red car", "100% red", "a_b", "a\\b"):
        Thing.objects.create(owner=alice.user, title=title, notes="Haus")
    for search, titles in (
        ("RED", ["100% red", "red car", "Red House"]),
        ("house red", ["Red House"]),
        ("%25", ["100% red"]),
        ("_", ["a_b"]),
        ("\\", ["a\\b"]),
        ("hAUS car", ["red car"]),
        ("red nothing", []),
    ):
        page = alice.api.get(f"/things?search={search}").json
        assert ([row["title"] for row in page["results"]], page["count"]) == (titles, len(titles))


def many_things(person, count):
    sql(
        "INSERT INTO example_thing (owner_id, title, notes) SELECT %s, 'A', '' FROM generate_series(1, %s)",
        person.id,
        count,
    )


def test_a_count_is_exact_to_ten_thousand_and_then_says_that_there_are_more(alice, bob, ada):
    many_things(alice, 10_000)
    many_things(bob, 2)
    exact = alice.api.get("/things?limit=1").json
    assert (exact["count"], "more" in exact) == (10_000, False)
    many_things(alice, 1)
    newest = Thing.objects.latest("pk").pk
    beyond = alice.api.get("/things?limit=2").json
    assert (beyond["count"], beyond["more"]) == (10_000, True)
    assert [row["id"] for row in beyond["results"]] == [newest, newest - 3]
    following = alice.api.get(f"/things?limit=2&cursor={beyond['next']}").json
    assert (following["count"], "more" in following) == (None, False)
    assert [row["id"] for row in following["results"]] == [newest - 4, newest - 5]
    assert {key: ada.api.get("/things?limit=1").json[key] for key in ("count", "more")} == {
        "count": 10_000,
        "more": True,
    }
    assert bob.api.get("/things").json["count"] == 2
