"""GET and POST /users, GET /users/{id}: who knows whom, and inviting colleagues."""

from urllib.parse import quote

import pytest

from accounts.models import User
from accounts.tests.assertions import TIME, at_once, faults, ids, nothing_changes, refused
from mesh.testing import Api


def test_an_agent_sees_themselves_and_whom_they_invited(alice, bob, charlie):
    assert ids(alice.api.get("/users")) == [bob.id, alice.id]
    assert ids(bob.api.get("/users")) == [bob.id]
    assert ids(charlie.api.get("/users")) == [charlie.id]


def test_an_admin_sees_everyone_newest_first(ada, alice, bob, charlie):
    assert ids(ada.api.get("/users")) == [charlie.id, bob.id, alice.id, ada.id]
    assert ada.api.get(f"/users/{charlie.id}").json["email"] == "charlie@example.com"


def test_one_user_is_shown_as_in_the_list(alice, bob):
    shown = alice.api.get(f"/users/{bob.id}")
    assert shown.status == 200
    assert shown.json == {
        "id": bob.id,
        "email": "bob@example.com",
        "name": "Bob",
        "role": "AGENT",
        "is_active": True,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert alice.api.get("/users").json["results"][0] == shown.json


def test_a_stranger_and_nobody_look_the_same(alice, bob, charlie, anonymous):
    stranger, nobody = charlie.api.get(f"/users/{alice.id}"), charlie.api.get("/users/999999")
    assert refused(stranger, 404, "not_found") == refused(nobody, 404)
    refused(bob.api.get(f"/users/{alice.id}"), 404)
    refused(anonymous.get(f"/users/{alice.id}"), 401)
    refused(anonymous.get("/users"), 401)


@pytest.mark.parametrize("id", ["0", "-1", "x", "1.5", "9" * 30, "00000000-0000-7000-8000-000000000000", "%00"])
def test_an_id_of_no_valid_form_is_a_404(alice, id):
    refused(alice.api.get(f"/users/{id}"), 404)


def test_a_shared_meeting_makes_acquaintances_and_its_end_strangers(alice, bob, charlie, ada):
    sent = {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id, charlie.id]}
    meeting = ada.api.post("/meetings", sent).json["id"]
    assert ids(charlie.api.get("/users")) == [ada.id, charlie.id, bob.id]
    assert ids(bob.api.get("/users")) == [ada.id, charlie.id, bob.id]
    ada.api.delete(f"/meetings/{meeting}")
    assert ids(charlie.api.get("/users")) == [charlie.id]


def test_a_shared_project_makes_acquaintances_until_the_last_task_goes(alice, bob, charlie):
    project = alice.api.post("/projects", {"title": "Web"}).json["id"]
    task = alice.api.post("/tasks", {"title": "Do", "project_id": project, "assignee_id": bob.id}).json["id"]
    assert ids(bob.api.get("/users")) == [bob.id, alice.id]
    assert ids(charlie.api.get("/users")) == [charlie.id]
    alice.api.delete(f"/tasks/{task}")
    assert ids(bob.api.get("/users")) == [bob.id]


def test_search_finds_every_word_anywhere_in_name_or_email_in_any_case(ada, person):
    asa, jorg = person("asa"), person("jorg")
    User.objects.filter(pk=asa.id).update(name="Åsa Ärlig")
    User.objects.filter(pk=jorg.id).update(name="Jörg Weiß")
    for text, found in {
        "åSA": [asa.id],
        "ärl": [asa.id],
        "JÖRG": [jorg.id],
        "weiß jorg@": [jorg.id],
        "asa JÖRG": [],
        "EXAMPLE": [jorg.id, asa.id, ada.id],
        "%": [],
        "_": [],
        "\\": [],
        "": [jorg.id, asa.id, ada.id],
        "  ": [jorg.id, asa.id, ada.id],
    }.items():
        assert ids(ada.api.get(f"/users?search={quote(text)}")) == found, text


def test_search_has_at_most_200_characters(alice):
    assert alice.api.get("/users?search=" + "x" * 200).status == 200
    assert faults(alice.api.get("/users?search=" + "x" * 201)).keys() == {("query", "search")}


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=201", "limit=x", "limit=-1", "limit=", "cursor=x", "cursor=", "page=2", "role=ADMIN"]
)
def test_odd_query_parameters_are_refused(alice, query):
    assert faults(alice.api.get(f"/users?{query}")).keys() == {("query", query.partition("=")[0])}


def test_limit_goes_from_1_to_200(alice, bob):
    assert len(alice.api.get("/users?limit=1").json["results"]) == 1
    assert alice.api.get("/users?limit=200").json["next"] is None


def test_pages_follow_each_other_and_count_once(ada, person):
    people = [ada, *[person(f"p{number}") for number in range(4)]]
    first = ada.api.get("/users?limit=2")
    assert (first.json["count"], [row["id"] for row in first.json["results"]]) == (5, [people[4].id, people[3].id])
    second = ada.api.get(f"/users?limit=2&cursor={first.json['next']}")
    assert (second.json["count"], [row["id"] for row in second.json["results"]]) == (None, [people[2].id, people[1].id])
    third = ada.api.get(f"/users?limit=2&cursor={second.json['next']}")
    assert (third.json["next"], [row["id"] for row in third.json["results"]]) == (None, [ada.id])
    assert "Link" not in third.headers


def test_an_agent_invites_an_agent_and_then_knows_them(alice, charlie):
    made = alice.api.post("/users", {"name": "John Doe", "email": "john@example.com"})
    assert made.status == 201, made
    john = User.objects.get(email="john@example.com")
    assert made.json == {
        "id": john.pk,
        "email": "john@example.com",
        "name": "John Doe",
        "role": "AGENT",
        "is_active": True,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.headers["Location"] == f"/api/v1/users/{john.pk}"
    assert (john.invited_by_id, john.has_usable_password()) == (alice.id, False)
    assert alice.api.get(f"/users/{john.pk}").json == made.json
    refused(charlie.api.get(f"/users/{john.pk}"), 404)


@pytest.mark.parametrize(
    ("mount", "location"), [("", "/users/"), ("/api/v1", "/api/v1/users/"), ("/api/v2", "/api/v2/users/")]
)
def test_the_location_is_under_the_mount_that_was_asked(alice, mount, location):
    made = Api(alice.api.token, mount=mount).post("/users/", {"name": "J", "email": "j@example.com"})
    assert made.headers["Location"] == f"{location}{made.json['id']}"


@pytest.mark.parametrize("fields", [{"role": "AGENT"}, {"role": "ADMIN"}, {"password": "a long and lonely road"}])
def test_an_agent_sets_neither_role_nor_password(alice, fields):
    with nothing_changes():
        problem = refused(alice.api.post("/users", {"name": "J", "email": "j@example.com"} | fields), 403, "forbidden")
    assert "role" in problem["detail"]


def test_an_admin_sets_role_and_password(ada, anonymous):
    sent = {"name": "Eve", "email": "eve@example.com", "role": "ADMIN", "password": "a long and lonely road"}
    made = ada.api.post("/users", sent)
    assert (made.status, made.json["role"]) == (201, "ADMIN")
    login = anonymous.post("/auth/login", {"username": "eve@example.com", "password": "a long and lonely road"})
    assert Api(login.json["access_token"]).get("/users/me").json["role"] == "ADMIN"


def test_an_admins_password_for_another_is_validated(ada):
    with nothing_changes():
        found = faults(ada.api.post("/users", {"name": "Eve", "email": "eve@example.com", "password": "12345678"}))
    assert found.keys() == {("body", "password")}


def test_inviting_someone_who_is_here_is_a_conflict_in_any_case(alice, charlie):
    with nothing_changes():
        refused(alice.api.post("/users", {"name": "C", "email": "CHARLIE@example.com"}), 409, "accounts.email_taken")


@pytest.mark.django_db(transaction=True)
def test_two_invitations_of_one_email_at_once_make_one_user(alice):
    answers = at_once(*[lambda: alice.api.post("/users", {"name": "T", "email": "twin@example.com"})] * 3)
    assert sorted(answer.status for answer in answers) == [201, 409, 409]
    assert User.objects.filter(email="twin@example.com").count() == 1


@pytest.mark.parametrize(
    ("fields", "place"),
    [
        ({"name": ""}, "name"),
        ({"name": "n" * 101}, "name"),
        ({"name": None}, "name"),
        ({"email": "x"}, "email"),
        ({"email": None}, "email"),
        ({"role": "BOSS"}, "role"),
        ({"role": "admin"}, "role"),
        ({"password": ""}, "password"),
        ({"password": "p" * 129}, "password"),
        ({"is_active": False}, "is_active"),
        ({"invited_by_id": 1}, "invited_by_id"),
    ],
)
def test_what_is_out_of_bounds_is_named(ada, fields, place):
    with nothing_changes():
        sent = {"name": "Eve", "email": "eve@example.com"} | fields
        assert faults(ada.api.post("/users", sent)).keys() == {("body", place)}


def test_name_and_email_are_needed(ada, anonymous):
    with nothing_changes():
        assert faults(ada.api.post("/users")).keys() == {("body", "name"), ("body", "email")}
        refused(anonymous.post("/users", {"name": "Eve", "email": "eve@example.com"}), 401)
