"""No refusal is larger than its request needs: a hundred errors, short names, and how many more there are."""

import json

import pytest
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from mesh.errors import Invalid, field_errors
from mesh.testing import Api
from tasks.models import Project

MANY = {f"field{number:06}": 1 for number in range(30_000)}  # 0.5 MB
MOST = 64 * 1024


def more(number: int, *loc: str) -> dict[str, object]:
    return {"loc": list(loc), "msg": f"{number:,} more are not listed. Correct these first.", "type": "more_errors"}


def test_of_many_unknown_fields_a_hundred_are_named(alice):
    refused = alice.api.post("/projects", {"title": "A", **MANY})
    assert refused.status == 422
    assert len(refused.json["errors"]) == 101
    assert refused.json["errors"][0]["loc"] == ["body", "field000000"]
    assert refused.json["errors"][99]["loc"] == ["body", "field000099"]
    assert refused.json["errors"][100] == more(29_900, "body")
    assert refused.json["detail"] == "30,000 fields are invalid; the first 100 are in errors."
    assert Project.objects.count() == 0


def test_a_hundred_are_all_named(alice):
    refused = alice.api.post("/projects", {"title": "A", **{f"f{number}": 1 for number in range(100)}})
    assert (len(refused.json["errors"]), refused.json["detail"]) == (100, "100 fields are invalid; see errors.")


@pytest.mark.parametrize("name", ["a" * 900_000, "\U0001f40d" * 200_000])
def test_a_long_name_is_cut(alice, name):
    refused = alice.api.post("/projects", json.dumps({"title": "A", name: 1}, ensure_ascii=False).encode())
    assert refused.status == 422
    assert refused.json["errors"][0]["loc"] == ["body", name[:100] + "…"]
    assert len(refused.text) < 4096


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/projects", {"title": "A", **MANY}),
        ("/projects", {"title": "A", **{chr(0x1F400) * 150 + str(n): 1 for n in range(300)}}),
        ("/tools/create_project", {"arguments": {f"f{n}": 1 for n in range(100)}, **MANY}),
        ("/tools/create_project", {"arguments": MANY}),
        ("/orders", {"items": [{**MANY}]}),
        ("/meetings", {"title": "A", "attendee_emails": [["a"]] * 100_000}),
        ("/products/import", {"csv": "sku,name,price_cents\n" + ",,\n" * 1000 + "x,y\n" * 1000}),
        ("/products/import", {"csv": ",".join(["x" * 500] * 1500) + "\n"}),
        ("/contacts/import", {"csv": "email,name\n" + "no,\n" * 990}),
        ("/contacts/cards", {"vcard": "BEGIN:VCARD\nFN:\nEND:VCARD\n" * 900}),
        ("/auth/login", MANY),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_no_refusal_is_large(alice, path, body):
    refused = alice.api.post(path, body)
    assert refused.status == 422
    assert len(refused.json["errors"]) <= 101
    assert len(refused.text) < MOST


def test_a_dialect_has_as_few(alice):
    key = alice.api.post("/api-keys", {"name": "Task API", "scopes": ["*"]}).json["key"]
    refused = Api(mount="", X_API_Key=key).post(
        "/task-api/tasks", {"title": ["x"] * 90_000, "description": [MANY], "user_id": {}}
    )
    assert (refused.status, len(refused.text) < MOST) == (422, True)


class Wrong(BaseModel):
    model_config = ConfigDict(extra="forbid")
    numbers: list[int]


def test_what_a_schema_says_is_listed_as_far(alice):
    with pytest.raises(ValidationError) as found:
        TypeAdapter(Wrong).validate_python({"numbers": ["x"] * 5000})
    refusal = Invalid(field_errors(found.value, "body"))
    assert (len(refusal.errors), refusal.errors[-1], refusal.more) == (101, more(4900, "body", "numbers"), 4900)


def test_an_attempt_to_sign_in_is_counted_whatever_its_body(db, settings, anonymous):
    settings.MESH = {**settings.MESH, "RATE_LIMIT_LOGIN": "6/min"}
    bodies = [MANY, b"no JSON", b"[" * 100_000, b"a" * 2_000_000, {"username": 1}, {}, {}]
    answers = [anonymous.post("/auth/login", body) for body in bodies]
    assert [answer.status for answer in answers] == [422, 400, 400, 413, 422, 422, 429]
    assert int(answers[-1].headers["Retry-After"]) >= 1
