"""GET /meetings and GET /meetings/{id}."""

from urllib.parse import quote

import pytest

from accounts.tests.assertions import faults, ids, refused


@pytest.fixture
def schedule(alice):
    def make(title="Plan", time="2026-01-05T10:00:00Z", person=alice, **fields):
        made = person.api.post("/meetings", {"title": title, "scheduled_time": time, **fields})
        assert made.status == 201, made
        return made.json["id"]

    return make


def test_organizer_attendees_and_admin_see_a_meeting_and_nobody_else(schedule, alice, bob, charlie, ada, anonymous):
    id = schedule(attendee_ids=[bob.id])
    for person in (alice, bob, ada):
        assert person.api.get(f"/meetings/{id}").json["id"] == id
        assert ids(person.api.get("/meetings")) == [id]
    assert refused(charlie.api.get(f"/meetings/{id}"), 404) == refused(charlie.api.get("/meetings/999999"), 404)
    assert ids(charlie.api.get("/meetings")) == []
    assert ids(charlie.api.get("/meetings?search=plan")) == []
    refused(anonymous.get(f"/meetings/{id}"), 401)
    refused(anonymous.get("/meetings"), 401)


@pytest.mark.parametrize("id", ["0", "-1", "x", "1.5", "9" * 30, "00000000-0000-7000-8000-000000000000", "1%00"])
def test_an_id_of_no_valid_form_is_a_404(alice, id):
    refused(alice.api.get(f"/meetings/{id}"), 404)


@pytest.mark.parametrize("form", ["{}.0", "+{}", "%20{}", "{}%20", "0_{}", "{}e0", "0x{}"])
def test_an_id_has_one_form(schedule, alice, form):
    refused(alice.api.get("/meetings/" + form.format(schedule())), 404)


def test_the_list_is_newest_first_whatever_the_time(schedule, alice):
    late, early = schedule(time="2030-01-01"), schedule(time="2020-01-01")
    assert ids(alice.api.get("/meetings")) == [early, late]


def test_the_list_shows_each_as_it_is_shown_alone(schedule, alice, bob):
    first = schedule(attendee_ids=[bob.id])
    second = schedule(attendee_emails=["g@example.com"])
    listed = alice.api.get("/meetings").json["results"]
    assert listed == [alice.api.get(f"/meetings/{id}").json for id in (second, first)]


def test_from_and_to_include_their_ends(schedule, alice):
    a, b, c = (schedule(time=f"2026-01-0{day}T10:00:00Z") for day in (1, 2, 3))
    for query, found in {
        "from=2026-01-02T10:00:00Z": [c, b],
        "from=2026-01-02T10:00:00.000001Z": [c],
        "to=2026-01-02T10:00:00Z": [b, a],
        "to=2026-01-02T09:59:59.999999Z": [a],
        "from=2026-01-02T10:00:00&to=2026-01-02T10:00:00": [b],
        "from=2026-01-02&to=2026-01-03": [b],
        "from=2026-01-02T12:00:00%2B02:00&to=2026-01-02T08:00:00-02:00": [b],
        "from=2026-01-03&to=2026-01-01": [],
        "": [c, b, a],
    }.items():
        assert ids(alice.api.get(f"/meetings?{query}")) == found, query


def test_search_finds_every_word_anywhere_in_any_case(schedule, alice):
    a = schedule("Überblick Größe", description="Quarterly ПЛАН", location="Straße 5")
    b = schedule("100% sure_thing", description="back\\slash", location=None)
    for text, found in {
        "überBLICK": [a],
        "план größe": [a],
        "STRAßE quarter": [a],
        "über sure": [],
        "100%": [b],
        "e_t": [b],
        "k\\s": [b],
        "%": [b],
        "_": [b],
        "5": [a],
        "uarterl": [a],
        "'; drop table": [],
        "": [b, a],
    }.items():
        assert ids(alice.api.get(f"/meetings?search={quote(text)}")) == found, text


def test_filters_and_search_work_together_and_across_pages(schedule, alice):
    made = [schedule(f"Plan {n}", time=f"2026-01-0{n}") for n in range(1, 6)]
    schedule("Other", time="2026-01-03")
    query = "search=plan&from=2026-01-02&to=2026-01-04&limit=2"
    first = alice.api.get(f"/meetings?{query}")
    assert [row["id"] for row in first.json["results"]] == [made[3], made[2]]
    assert first.json["count"] == 3
    link = first.headers["Link"]
    assert link.endswith('>; rel="next"')
    followed = alice.api.get("/meetings?" + link.partition("?")[2].partition(">")[0])
    assert [row["id"] for row in followed.json["results"]] == [made[1]]
    assert (followed.json["count"], followed.json["next"]) == (None, None)


@pytest.mark.parametrize(
    "query",
    [
        "from=yesterday", "from=", "to=1705312800", "to=2024-02-30", "limit=0", "limit=201", "cursor=x",
        "search=" + "x" * 201, "from_=2026-01-01", "status=done", "organizer_id=1", "search=%00",
    ],
)  # fmt: skip
def test_odd_query_parameters_are_refused(alice, query):
    assert faults(alice.api.get(f"/meetings?{query}")).keys() == {("query", query.partition("=")[0])}


def test_a_parameter_sent_twice_is_refused(alice):
    assert faults(alice.api.get("/meetings?limit=1&limit=2")).keys() == {("query", "limit")}


def test_a_cached_answer_is_fresh_after_every_kind_of_change(schedule, alice, bob, ada):
    id = schedule(attendee_ids=[bob.id])
    other = bob.api

    def cached():
        assert other.get(f"/meetings/{id}").json == other.get(f"/meetings/{id}").json
        assert other.get(f"/meetings/{id}").headers["X-Cache"] == "hit"
        assert ids(other.get("/meetings")) == ids(other.get("/meetings"))
        return other.get(f"/meetings/{id}")

    cached()
    alice.api.patch(f"/meetings/{id}", {"title": "New"})
    assert cached().json["title"] == "New"
    bob.api.post(f"/meetings/{id}/respond", {"response": "accepted"})
    assert cached().json["attendees"][0]["response"] == "accepted"
    ada.api.patch(f"/users/{alice.id}", {"name": "Alicia"})
    assert cached().json["organizer"]["name"] == "Alicia"
    alice.api.patch("/users/me", {"name": "Alice"})
    assert cached().json["organizer"]["name"] == "Alice"
    assert ids(other.get("/meetings")) == [id]
    alice.api.patch(f"/meetings/{id}", {"attendee_ids": []})
    refused(other.get(f"/meetings/{id}"), 404)
    assert ids(other.get("/meetings")) == []
    alice.api.patch(f"/meetings/{id}", {"attendee_ids": [bob.id]})
    assert cached().status == 200
    alice.api.delete(f"/meetings/{id}")
    refused(other.get(f"/meetings/{id}"), 404)
    assert ids(other.get("/meetings")) == []


def test_an_admin_is_never_shown_a_cached_list(schedule, ada, alice):
    assert ids(ada.api.get("/meetings")) == []
    id = schedule()
    answer = ada.api.get("/meetings")
    assert ids(answer) == [id]
    assert "X-Cache" not in answer.headers


def test_head_answers_as_get_without_a_body(schedule, alice):
    id = schedule()
    head, get = alice.api.request("HEAD", f"/meetings/{id}"), alice.api.get(f"/meetings/{id}")
    assert (head.status, head.text) == (200, "")
    assert head.headers["Content-Length"] == str(len(get.text.encode()))
