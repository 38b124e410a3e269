"""/projects."""

from urllib.parse import quote

import pytest

from accounts.tests.assertions import TIME, faults, ids, nothing_changes, refused
from mesh.testing import Api
from tasks.models import Project, Task


@pytest.fixture
def project(alice):
    return alice.api.post("/projects", {"title": "Website", "description": "The new one"}).json


@pytest.fixture
def member(project, alice, bob):
    """Bob, who has a task in the project."""
    alice.api.post("/tasks", {"title": "Do", "project_id": project["id"], "assignee_id": bob.id})
    return bob


def test_whoever_starts_a_project_owns_it(alice):
    made = alice.api.post("/projects", {"title": "Website"})
    assert made.status == 201, made
    project = Project.objects.get()
    assert made.json == {
        "id": project.pk,
        "title": "Website",
        "description": "",
        "owner_id": alice.id,
        "created_at": TIME,
        "updated_at": TIME,
    }
    assert made.headers["Location"] == f"/api/v1/projects/{project.pk}"
    assert alice.api.get(f"/projects/{project.pk}").json == made.json


def test_the_location_is_under_the_mount_that_was_asked(alice):
    for mount in ("", "/api/v1", "/api/v2"):
        made = Api(alice.api.token, mount=mount).post("/projects/", {"title": "x"})
        assert made.headers["Location"] == f"{mount}/projects/{made.json['id']}"


@pytest.mark.parametrize("method", ["POST", "PUT", "PATCH"])
@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("title", ["x", "ä" * 200], ["", "  ", "ä" * 201, None, 7, "a\x00b"]),
        ("description", ["", "a\nb", "ä" * 5000], ["ä" * 5001, None, 7, "a\x00b"]),
        ("owner_id", [], [1]),
        ("id", [], [1]),
    ],
)
def test_each_field_has_its_limits(project, alice, method, field, good, bad):
    path = "/projects" if method == "POST" else f"/projects/{project['id']}"
    for value in good:
        answer = alice.api.request(method, path, {"title": "T", field: value})
        assert (answer.status, answer.json[field]) == (201 if method == "POST" else 200, value)
    with nothing_changes():
        for value in bad:
            found = faults(alice.api.request(method, path, {"title": "T", field: value}))
            assert found.keys() == {("body", field)}, value


def test_a_title_is_needed(alice, anonymous):
    with nothing_changes():
        assert faults(alice.api.post("/projects")).keys() == {("body", "title")}
        refused(anonymous.post("/projects", {"title": "x"}), 401)


@pytest.mark.parametrize("method", ["PUT", "PATCH"])
def test_put_and_patch_change_only_what_is_sent(project, alice, method):
    before = Project.objects.get().updated_at
    answer = alice.api.request(method, f"/projects/{project['id']}", {"title": "New"})
    assert (answer.status, answer.json) == (200, project | {"title": "New", "updated_at": TIME})
    answer = alice.api.request(method, f"/projects/{project['id']}", {"description": ""})
    assert answer.json == project | {"title": "New", "description": "", "updated_at": TIME}
    assert alice.api.get(f"/projects/{project['id']}").json == answer.json
    assert Project.objects.get().updated_at > before


def test_owner_member_and_admin_see_it_and_nobody_else(project, alice, member, charlie, ada, anonymous):
    path = f"/projects/{project['id']}"
    for person in (alice, member, ada):
        assert person.api.get(path).json == project
        assert ids(person.api.get("/projects")) == [project["id"]]
    assert refused(charlie.api.get(path), 404) == refused(charlie.api.get("/projects/999999"), 404)
    assert ids(charlie.api.get("/projects")) == []
    refused(anonymous.get(path), 401)
    refused(anonymous.get("/projects"), 401)


def test_who_loses_the_last_task_in_it_is_no_member_anymore(project, member, alice):
    task = Task.objects.get()
    alice.api.patch(f"/tasks/{task.pk}", {"assignee_id": None})
    refused(member.api.get(f"/projects/{project['id']}"), 404)
    assert ids(member.api.get("/projects")) == []


def test_only_owner_and_admin_change_and_delete(project, member, charlie, ada, anonymous):
    path = f"/projects/{project['id']}"
    with nothing_changes():
        for method in ("PUT", "PATCH", "DELETE"):
            data = None if method == "DELETE" else {"title": "x"}
            assert refused(member.api.request(method, path, data), 403)["detail"] == "Only its owner changes a project."
            refused(charlie.api.request(method, path, data), 404)
            refused(anonymous.request(method, path, data), 401)
    assert ada.api.patch(path, {"title": "By Ada"}).json == project | {"title": "By Ada", "updated_at": TIME}
    assert ada.api.delete(path).status == 204


def test_deleting_a_project_keeps_its_tasks_without_it(project, member, alice):
    task = Task.objects.get()
    before = alice.api.get(f"/tasks/{task.pk}").json
    answer = alice.api.delete(f"/projects/{project['id']}")
    assert (answer.status, answer.text) == (204, "")
    assert member.api.get(f"/tasks/{task.pk}").json == before | {"project_id": None}
    for person in (alice, member):
        refused(person.api.get(f"/projects/{project['id']}"), 404)
        assert ids(person.api.get("/projects")) == []
        assert ids(person.api.get("/projects?search=website")) == []
        assert ids(person.api.get(f"/tasks?project_id={project['id']}")) == []
    with nothing_changes():
        refused(alice.api.delete(f"/projects/{project['id']}"), 404)
        refused(alice.api.patch(f"/projects/{project['id']}", {"title": "x"}), 404)
        found = faults(alice.api.post("/tasks", {"title": "x", "project_id": project["id"]}))
        assert found == {("body", "project_id"): "You see no such project."}


def test_the_list_is_newest_first_and_searched_in_title_and_description(alice, charlie):
    a = alice.api.post("/projects", {"title": "Größe ПЛАН", "description": "one two"}).json["id"]
    b = alice.api.post("/projects", {"title": "Other", "description": "größe 100%"}).json["id"]
    charlie.api.post("/projects", {"title": "Größe"})
    for text, found in {
        "": [b, a], "grÖßE": [b, a], "план": [a], "TWO план": [a], "one other": [], "0%": [b], "_": [],
    }.items():  # fmt: skip
        assert ids(alice.api.get(f"/projects?search={quote(text)}")) == found, text


def test_the_list_comes_in_pages(alice):
    made = [alice.api.post("/projects", {"title": f"P{n}"}).json["id"] for n in range(3)]
    first = alice.api.get("/projects?limit=2").json
    assert (first["count"], [p["id"] for p in first["results"]]) == (3, [made[2], made[1]])
    rest = alice.api.get(f"/projects?limit=2&cursor={first['next']}").json
    assert (rest["count"], rest["next"], [p["id"] for p in rest["results"]]) == (None, None, [made[0]])


@pytest.mark.parametrize("query", ["limit=0", "limit=201", "cursor=x", "search=" + "x" * 201, "owner_id=1"])
def test_odd_query_parameters_are_refused(alice, query):
    assert faults(alice.api.get(f"/projects?{query}")).keys() == {("query", query.partition("=")[0])}


@pytest.mark.parametrize("id", ["0", "x", "-1", "9" * 30, "00000000-0000-7000-8000-000000000000"])
@pytest.mark.parametrize("method", ["GET", "PUT", "PATCH", "DELETE"])
def test_an_id_of_no_valid_form_is_a_404(alice, method, id):
    with nothing_changes():
        refused(alice.api.request(method, f"/projects/{id}", {"title": "x"} if method[0] == "P" else None), 404)
