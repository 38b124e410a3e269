"""P12: any input has an answer that the OpenAPI document describes, and none is a server error."""

import json
from contextlib import contextmanager

import pytest
from django.core.signals import request_finished, request_started
from django.core.wsgi import get_wsgi_application
from django.db import close_old_connections

from config.tests.all_apps.matrix import OPERATIONS
from mesh.testing import Api

ROUTES = sorted({(route.method, route.path) for op in OPERATIONS.values() for route in op.declaration.routes})
#: Signing out would end the session under which the rest is asked.
ENDING = {("POST", "/auth/logout"), ("DELETE", "/auth/sessions/{id}"), ("POST", "/auth/password")}


@pytest.fixture(scope="module")
def schema():
    import schemathesis  # seconds to import, as what it brings

    document = json.loads(Api(mount="").get("/openapi.json").text)
    found = schemathesis.openapi.from_dict(document)
    found.app = get_wsgi_application()
    return found


@contextmanager
def open_connection():
    """Django would close the connection of the test after each request."""
    for signal in (request_started, request_finished):
        signal.disconnect(close_old_connections)
    yield
    for signal in (request_started, request_finished):
        signal.connect(close_old_connections)


@pytest.fixture(scope="module")
def checks():
    """All that is held against an answer."""
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks

    return [
        not_a_server_error,
        checks.status_code_conformance,
        checks.content_type_conformance,
        checks.response_schema_conformance,
        checks.response_headers_conformance,
    ]


@pytest.mark.parametrize("role", ["AGENT", "ADMIN"])
@pytest.mark.parametrize(("method", "path"), ROUTES, ids=[f"{method} {path}" for method, path in ROUTES])
def test_any_input_has_an_answer_that_is_documented(person, schema, checks, role, method, path):
    import hypothesis
    from hypothesis import HealthCheck, Phase, strategies

    someone = person("someone", role)
    rows = {
        "meetings": {"title": "A", "scheduled_time": "2030-01-01T10:00:00Z"},
        "projects": {"title": "A"},
        "tasks": {"title": "A"},
        "notes": {"raw_text": "A"},
        "categories": {"name": "A"},
        "events": {"name": "A", "start_date": "2030-01-01", "end_date": "2030-01-02"},
    }
    ids = {"users": someone.id, "auth": 1}
    for kind, body in rows.items():
        made = someone.api.post(f"/{kind}", body)
        assert made.status == 201
        ids[kind] = made.json["id"]
    contact = someone.api.post("/contacts", {"name": "A", "email": "a@example.com", "company": "A"}).json
    call = {"contact_id": contact["id"], "title": "A", "scheduled_for": "2030-01-01T10:00:00Z"}
    ids |= {"contacts": contact["id"], "calls": someone.api.post("/calls", call).json["id"]}
    guest = {"name": "A", "email": "a@example.com"}
    ids["attendees"] = someone.api.post(f"/events/{ids['events']}/attendees", guest).json["id"]
    headers = {} if (method, path) in ENDING else {"Authorization": f"Bearer {someone.api.token}"}
    operation = schema[f"/api/v1{path}"][method]

    @hypothesis.settings(
        max_examples=10,
        deadline=None,
        derandomize=True,
        database=None,
        phases=[Phase.explicit, Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @hypothesis.given(case=operation.as_strategy(), of_a_row=strategies.booleans())
    def ask(case, of_a_row):
        if of_a_row and "id" in (case.path_parameters or {}):
            case.path_parameters["id"] = ids.get(path.split("/")[1], 1)
        response = case.call(headers=headers)
        case.validate_response(response, checks=checks)
        assert response.elapsed < 5

    with open_connection():
        ask()
