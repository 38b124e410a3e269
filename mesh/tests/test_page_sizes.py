"""No page is larger than a mebibyte, whatever its rows hold; and no row is lost for it."""

import pytest

from events.models import Event
from mesh.rows.reads import MAX_PAGE_BYTES
from notes.models import Note

MOST = MAX_PAGE_BYTES + 4096


def walked(api, path, limit):
    """The ids of all pages, and the bytes of each page."""
    page = api.get(f"{path}?limit={limit}")
    count = page.json["count"]
    ids, sizes = [row["id"] for row in page.json["results"]], [len(page.text.encode())]
    while page.json["next"] is not None:
        page = api.get(f"{path}?limit={limit}&cursor={page.json['next']}")
        assert (page.status, page.json["count"]) == (200, None)
        assert page.json["results"]
        ids += [row["id"] for row in page.json["results"]]
        sizes.append(len(page.text.encode()))
    assert count == len(ids)
    return ids, sizes


def notes(person, *texts):
    rows = [Note.objects.create(author=person.user, raw_text=text, status="done") for text in texts]
    return [row.pk for row in rows][::-1]


@pytest.mark.parametrize("limit", [1, 7, 200])
@pytest.mark.parametrize("letter", ["n", "é", "\x01", "\\"])
def test_a_page_of_long_texts_ends_early(alice, limit, letter):
    ids = notes(alice, *[letter * (1000 if number % 3 else 99_000) for number in range(25)])
    found, sizes = walked(alice.api, "/notes", limit)
    assert found == ids
    # A row that is larger than a page comes alone: `content` says what `raw_text` says.
    assert max(sizes) < max(MOST, 2 * 6 * 99_000 + 4096 if letter == "\x01" else 0)
    assert limit == 1 or len(sizes) < 25


def test_a_row_larger_than_a_page_is_a_page(alice):
    ids = notes(alice, "\x01" * 100_000, "a", "\x01" * 100_000, "\x01" * 100_000, "b", "c")
    found, sizes = walked(alice.api, "/notes", 50)
    assert found == ids
    assert len(sizes) == 5
    assert max(sizes) > MAX_PAGE_BYTES


def test_what_is_short_is_one_page_as_before(alice):
    ids = notes(alice, *["n" * 100] * 60)
    assert [len(walked(alice.api, "/notes", limit)[1]) for limit in (60, 59, 200)] == [1, 2, 1]
    assert walked(alice.api, "/notes", 60)[0] == ids


def test_a_thousand_events_of_five_kilobytes_are_several_pages(alice, anonymous):
    times = {"start_date": "2030-01-01T00:00Z", "end_date": "2030-01-02T00:00Z"}
    rows = [Event(owner=alice.user, name="E", description="d" * 5000, **times) for _ in range(500)]
    ids = [row.pk for row in Event.objects.bulk_create(rows)]
    found, sizes = walked(anonymous, "/events", 1000)
    assert found == ids[::-1]
    assert max(sizes) < MOST
    assert len(sizes) == 3


def test_a_page_that_ends_early_has_a_link_to_the_next(alice):
    notes(alice, *["n" * 99_000] * 8)
    page = alice.api.get("/notes?limit=8")
    assert 0 < len(page.json["results"]) < 8
    assert f"cursor={page.json['next']}>" in page.headers["Link"]
