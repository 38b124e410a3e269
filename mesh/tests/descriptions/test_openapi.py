"""The OpenAPI document: valid, whole, and true to what the operations declare."""

import json
import re

import pytest
from drf_spectacular.validation import validate_schema

from mesh.declarations.permissions import anyone, in_person
from mesh.declarations.registry import registry
from mesh.testing import Api
from mesh.tests.processes import ROOT

ROUTES = [(operation, route) for operation in registry.operations.values() for route in operation.declaration.routes]
each_route = pytest.mark.parametrize(
    ("operation", "route"), ROUTES, ids=[f"{route.method} {route.path}" for _, route in ROUTES]
)


@pytest.fixture(scope="module")
def document():
    return json.loads(Api(mount="").get("/openapi.json").text)


def references(part):
    if isinstance(part, dict):
        if isinstance(part.get("$ref"), str):
            yield part["$ref"]
        part = list(part.values())
    if isinstance(part, list):
        for item in part:
            yield from references(item)


def parameters_of(document):
    return [
        parameter
        for item in document["paths"].values()
        for operation in item.values()
        for parameter in operation.get("parameters", [])
    ]


@pytest.mark.slow
def test_the_document_is_valid(document):
    validate_schema(document)
    assert document["openapi"].startswith("3.1")


def test_limits_are_written_in_the_words_of_json_schema(document):
    """An `ge` that pydantic could not translate would be read by nobody."""
    schemas = [parameter["schema"] for parameter in parameters_of(document)]
    schemas += [
        prop for schema in document["components"]["schemas"].values() for prop in schema.get("properties", {}).values()
    ]
    assert not [schema for schema in schemas if schema.keys() & {"ge", "gt", "le", "lt", "max_length", "min_length"}]
    assert {"minimum": 1, "maximum": 2**63 - 1, "type": "integer"} in schemas


def test_it_holds_every_route_and_health_and_nothing_else(document):
    told = {(method.upper(), path) for path, item in document["paths"].items() for method in item}
    assert told == {(route.method, f"/api/v1{route.path}") for _, route in ROUTES} | {("GET", "/health")}


def test_operation_ids_are_unique_and_those_of_the_tools(document):
    ids = [method["operationId"] for item in document["paths"].values() for method in item.values()]
    assert len(ids) == len(set(ids))
    assert {name for name, operation in registry.operations.items() if operation.declaration.routes} <= set(ids)


def test_components_have_clean_names_and_all_are_used(document):
    schemas = document["components"]["schemas"]
    assert [name for name in schemas if not re.fullmatch(r"[A-Z][A-Za-z]+", name) or name.endswith("Out")] == []
    used = {ref.removeprefix("#/components/schemas/") for ref in references(document)}
    assert used == set(schemas)
    assert {"Meeting", "MeetingPage", "Problem", "DryRun"} <= set(schemas)


def test_every_component_operation_and_parameter_is_described_and_no_summary_twice(document):
    ours = set(re.findall(r"^    (\w+):$", (ROOT / "openapi.yaml").read_text(), re.MULTILINE))
    schemas = document["components"]["schemas"]
    assert [name for name in sorted(ours & schemas.keys()) if not schemas[name].get("description")] == []
    assert len(ours & schemas.keys()) > 100
    paths = document["paths"].items()
    told = [method for path, item in paths if "/things" not in path for method in item.values()]
    assert [method["operationId"] for method in told if method["summary"] in method["description"]] == []
    parameters = [(method["operationId"], p) for method in told for p in method.get("parameters", [])]
    assert [(name, p["name"]) for name, p in parameters if not p.get("description")] == []


@each_route
def test_every_answer_of_a_route_is_documented(document, operation, route):
    told = document["paths"][f"/api/v1{route.path}"][route.method.lower()]
    responses = told["responses"]
    refusals = {"400", "401", "403", "422", "429", "503"}
    if route.names:
        refusals.add("404")
    if operation.is_command:
        refusals |= {"409", "413", "415"} if route.method != "DELETE" else {"409"}
    assert {str(operation.status), *refusals} <= responses.keys()
    for status, response in responses.items():
        assert response["description"]
        if int(status) >= 400:
            assert response["content"].keys() == {"application/problem+json"}
    if operation.is_command:
        headers = {p["name"] for p in told["parameters"] if p["in"] == "header"}
        assert headers == {"Idempotency-Key", *(["Prefer"] if operation.has_dry_run else [])}
    if operation.status == 201:
        assert "Location" in responses["201"]["headers"]


def test_the_headers_of_refusals_and_of_pages_are_documented(document):
    told = document["paths"]["/api/v1/meetings"]["get"]["responses"]
    sent = (("WWW-Authenticate", "401"), ("Retry-After", "429"), ("Retry-After", "503"), ("Link", "200"))
    assert [(name, status) for name, status in sent if name not in told[status].get("headers", {})] == []


def test_a_dry_run_is_documented_wherever_it_can_be_asked_for(document):
    wrong = []
    for operation, route in ROUTES:
        if operation.is_command:
            told = document["paths"][f"/api/v1{route.path}"][route.method.lower()]["responses"].get("200", {})
            if ("#/components/schemas/DryRun" in set(references(told))) is not operation.has_dry_run:
                wrong.append(f"{route.method} {route.path}")
    assert wrong == []


@each_route
def test_every_route_says_who_may_ask_and_what_it_takes(document, operation, route):
    told = document["paths"][f"/api/v1{route.path}"][route.method.lower()]
    assert told["summary"]
    assert not told["summary"].endswith(".")
    assert told["description"]
    assert told["tags"] == [operation.service_name]
    assert ({} in told["security"]) is (operation.declaration.allow is anyone)
    assert (told["security"] == [{}]) is (operation.declaration.allow is anyone and operation.declaration.any_key)
    in_path = {p["name"] for p in told["parameters"] if p["in"] == "path" and p["required"]}
    assert in_path == set(route.names)
    has_body = route.method not in ("GET", "DELETE") and any(
        operation.where(parameter, route) in ("body", "any") for parameter in operation.parameters
    )
    assert ("requestBody" in told) is has_body


def test_every_operation_says_which_credentials_it_takes_and_the_scope_of_a_key(document):
    def security(method, path):
        return document["paths"][f"/api/v1{path}"][method]["security"]

    bearer = {"bearer": []}
    assert security("get", "/orders") == [bearer, {"apiKey": ["orders:read"]}]
    assert security("post", "/orders") == [bearer, {"apiKey": ["orders:write"]}]
    assert security("get", "/events") == [{}, bearer, {"apiKey": ["events:read"]}]
    assert security("get", "/tools") == security("post", "/tools/{name}") == [bearer, {"apiKey": []}]
    assert security("post", "/auth/login") == security("post", "/auth/signup") == [{}]
    assert {op.name for op, route in ROUTES if security(route.method.lower(), route.path) == [bearer]} == {
        operation.name for operation, _ in ROUTES if operation.declaration.allow is in_person
    }
    schemes = document["components"]["securitySchemes"]
    assert {name: scheme["type"] for name, scheme in schemes.items()} == {"bearer": "http", "apiKey": "apiKey"}
    assert (schemes["apiKey"]["in"], schemes["apiKey"]["name"]) == ("header", "X-API-Key")
    assert "scope" in schemes["apiKey"]["description"]


def test_docs_answer_with_their_own_assets_alone():
    for path in ("/docs", "/redoc", "/docs/", "/openapi.json"):
        answered = Api(mount="").get(path)
        assert answered.status == 200
        assert not re.search(r'(?:src|href)="(?:https?:)?//', answered.text), path
