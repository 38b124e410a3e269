"""The admin: for ADMINs alone; its login, its pages."""

import re

import pytest
from django.contrib import admin
from django.test import Client

from accounts.tests.browser import form_of, submit, text_of
from conftest import PASSWORD
from mesh.doors.admin import MeshModelAdmin


@pytest.fixture
def site(ada):
    """A browser in which Ada is signed in to the admin."""
    client = Client()
    response = submit(client, "/admin/login/", "login-form", username="ada@example.com", password=PASSWORD)
    assert response.status_code == 302, response.content.decode()
    return client


def test_anonymous_visitors_are_led_to_the_login(db):
    response = Client().get("/admin/")
    assert (response.status_code, response["Location"]) == (302, "/admin/login/?next=/admin/")
    page = Client().get("/admin/login/")
    assert page.status_code == 200
    assert form_of(page, "login-form").keys() >= {"username", "password", "csrfmiddlewaretoken"}


def test_the_address_without_its_slash_leads_there_too(db):
    response = Client().get("/admin", follow=True)
    assert response.status_code == 200
    assert "login" in response.request["PATH_INFO"]


def test_an_admin_signs_in_and_finds_every_table(site):
    text = text_of(site.get("/admin/"))
    for model in admin.site._registry:
        assert str(model._meta.verbose_name_plural).lower() in text.lower()


@pytest.mark.parametrize(("who", "password"), [("alice", PASSWORD), ("ada", "wrong"), ("nobody", PASSWORD)])
def test_everyone_else_is_refused_in_the_same_words(ada, alice, who, password):
    client = Client()
    response = submit(client, "/admin/login/", "login-form", username=f"{who}@example.com", password=password)
    assert response.status_code == 200
    assert "Please enter the correct email and password for a staff account." in text_of(response)
    assert client.get("/admin/").status_code == 302


def test_the_login_is_limited_like_the_apis(ada, settings):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "3/min"}
    client = Client(raise_request_exception=False)
    for _ in range(3):
        wrong = submit(client, "/admin/login/", "login-form", username="ada@example.com", password="wrong")
        assert wrong.status_code == 200
    response = submit(client, "/admin/login/", "login-form", username="ada@example.com", password=PASSWORD)
    assert response.status_code in (200, 429), response
    assert "At most 3" in text_of(response)
    assert client.get("/admin/").status_code == 302


def test_a_demotion_holds_from_the_next_page_on(site, ada, person):
    eve = person("eve", "ADMIN")
    assert site.get("/admin/").status_code == 200
    eve.api.patch(f"/users/{ada.id}", {"role": "AGENT"})
    assert site.get("/admin/").status_code == 302
    eve.api.patch(f"/users/{ada.id}", {"role": "ADMIN", "is_active": False})
    assert site.get("/admin/").status_code == 302


def test_another_password_ends_it(site, ada):
    ada.api.post("/auth/password", {"current_password": PASSWORD, "new_password": "a long and lonely road"})
    assert site.get("/admin/").status_code == 302


@pytest.fixture
def rows(alice, bob):
    """A row of every table: {app_model: id}."""
    meeting = alice.api.post(
        "/meetings", {"title": "Plan", "scheduled_time": "2026-01-05T10:00:00Z", "attendee_ids": [bob.id]}
    ).json["id"]
    project = alice.api.post("/projects", {"title": "Website"}).json["id"]
    task = alice.api.post("/tasks", {"title": "Do", "project_id": project, "due_meeting_id": meeting}).json["id"]
    note = alice.api.post("/notes", {"content": "Text", "meeting_id": meeting}).json["id"]
    return {"meetings/meeting": meeting, "tasks/project": project, "tasks/task": task, "notes/note": note}


def test_every_table_in_the_admin_is_changed_through_operations_alone(site):
    """Among them no table of Django's own that has no meaning here, such as groups."""
    assert [m._meta.label for m, a in admin.site._registry.items() if not isinstance(a, MeshModelAdmin)] == []


def test_every_list_and_every_page_opens(site, rows):
    for model, model_admin in admin.site._registry.items():
        if not isinstance(model_admin, MeshModelAdmin):
            continue
        base = f"/admin/{model._meta.app_label}/{model._meta.model_name}/"
        for query in ("", "?q=a", *(f"?o={n}" for n in range(1, len(model_admin.list_display) + 1))):
            if query != "?q=a" or model_admin.search_fields:
                assert site.get(base + query).status_code == 200, base + query
        row = model._default_manager.first()
        if row is not None:
            assert site.get(f"{base}{row.pk}/change/").status_code == 200, base
        assert site.get(f"{base}add/").status_code == (200 if model_admin.add else 403), base
        assert site.get(f"{base}999999/change/").status_code == 302


@pytest.mark.parametrize(
    "lookup", ["year=9999", "year=9999&{}month=12", "year=9999&{}month=12&{}day=31", "year=99999999999", "year=x"]
)
@pytest.mark.parametrize(("path", "field"), [("events/event", "start_date"), ("meetings/meeting", "scheduled_time")])
def test_the_last_year_of_all_is_no_fault(site, alice, path, field, lookup):
    """A list links to the years of its rows."""
    last = "9999-12-31T10:00:00Z"
    alice.api.post("/events", {"name": "End", "start_date": last, "end_date": last})
    alice.api.post("/meetings", {"title": "End", "scheduled_time": last})
    response = site.get(f"/admin/{path}/?{field}__{lookup.replace('{}', f'{field}__')}")
    assert (response.status_code, response["Location"]) == (302, f"/admin/{path}/?e=1")
    assert "End" in text_of(site.get(f"/admin/{path}/?e=1"))


def test_pages_need_nothing_from_another_host(site, rows):
    for path in ("/admin/", "/admin/meetings/meeting/", "/admin/meetings/meeting/add/"):
        page = site.get(path).content.decode()
        assert (
            re.findall(r"""<(?:script|link|img|iframe)[^>]*(?:src|href)=["']?((?:https?:)?//[^"'\s>]+)""", page) == []
        )


def test_an_agent_with_a_session_cookie_sees_no_page(ada, alice, rows):
    client = Client()
    client.force_login(alice.user)
    for path in ("/admin/", "/admin/accounts/user/", "/admin/meetings/meeting/add/"):
        assert client.get(path).status_code == 302
