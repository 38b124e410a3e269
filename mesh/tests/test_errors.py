"""Every refusal: its status over HTTP and gRPC, and the problem that a client reads."""

import pytest
from pydantic import BaseModel, Field, ValidationError

from mesh import errors
from mesh.errors import Conflict, Invalid, MeshError, RateLimited, Unavailable, field_errors

#: Class: HTTP status, gRPC status, code, seconds to wait.
TABLE = {
    errors.MeshError: (500, "INTERNAL", "internal", None),
    errors.Malformed: (400, "INVALID_ARGUMENT", "malformed", None),
    errors.Unauthenticated: (401, "UNAUTHENTICATED", "unauthenticated", None),
    errors.Forbidden: (403, "PERMISSION_DENIED", "forbidden", None),
    errors.NotFound: (404, "NOT_FOUND", "not_found", None),
    errors.MethodNotAllowed: (405, "UNIMPLEMENTED", "method_not_allowed", None),
    errors.Conflict: (409, "ABORTED", "conflict", None),
    errors.InProgress: (409, "ABORTED", "idempotency.in_progress", 1),
    errors.TooLarge: (413, "RESOURCE_EXHAUSTED", "too_large", None),
    errors.UnsupportedMediaType: (415, "INVALID_ARGUMENT", "unsupported_media_type", None),
    errors.RateLimited: (429, "RESOURCE_EXHAUSTED", "rate_limited", 60),
    errors.Unavailable: (503, "UNAVAILABLE", "unavailable", 2),
    errors.DeadlineExceeded: (504, "DEADLINE_EXCEEDED", "deadline_exceeded", None),
}


@pytest.mark.parametrize("cls", TABLE, ids=lambda cls: cls.__name__)
def test_each_refusal_has_its_statuses_and_its_code(cls):
    refusal = cls("Because.")
    assert (refusal.status, refusal.grpc, refusal.code, refusal.retry_after) == TABLE[cls]
    assert refusal.problem() == {
        "type": "about:blank",
        "title": cls.title,
        "status": refusal.status,
        "detail": "Because.",
        "code": refusal.code,
    }
    assert str(refusal) == "Because."


def test_the_table_is_whole():
    mine = {cls for cls in vars(errors).values() if isinstance(cls, type) and issubclass(cls, MeshError)}
    assert mine == {*TABLE, Invalid, errors.NoDryRun}
    assert (Invalid.status, Invalid.grpc, Invalid.code) == (422, "INVALID_ARGUMENT", "invalid")


@pytest.mark.parametrize("cls", [cls for cls in TABLE if not issubclass(cls, Conflict)], ids=lambda cls: cls.__name__)
def test_without_a_detail_the_title_is_said(cls):
    assert cls().detail == cls.title


def test_a_conflict_says_its_message():
    class Taken(Conflict):
        code, message = "books.taken", "Somebody has it."

    assert Conflict().detail == "Another row already has this value."
    assert (Taken().detail, Taken().problem()["code"], Taken("Ada has it.").detail) == (
        "Somebody has it.", "books.taken", "Ada has it.",
    )  # fmt: skip


def test_how_long_to_wait_can_be_said_and_what_else_there_is_to_know():
    assert (RateLimited(retry_after=7).retry_after, RateLimited.retry_after) == (7, 60)
    assert Unavailable("Later.", retry_after=0).retry_after == 0
    assert Conflict("No.", stock=3).problem()["stock"] == 3


def test_one_wrong_field_is_named_in_the_detail_and_several_are_counted():
    one = Invalid.field(["body", "lines", 2, "sku"], "No such product.", "not_found")
    assert one.problem() == {
        "type": "about:blank",
        "title": "Invalid input",
        "status": 422,
        "detail": "body.lines.2.sku: No such product.",
        "code": "invalid",
        "errors": [{"loc": ["body", "lines", 2, "sku"], "msg": "No such product.", "type": "not_found"}],
    }
    two = Invalid([*one.errors, *one.errors])
    assert (two.detail, len(two.problem()["errors"])) == ("2 fields are invalid; see errors.", 2)
    assert Invalid(one.errors, "Look again.").detail == "Look again."
    assert Invalid.field(["a"], "b").errors[0]["type"] == "value_error"


class Person(BaseModel):
    name: str = Field(min_length=2)
    secret: int


def test_errors_of_pydantic_come_in_our_shape_without_what_was_sent():
    with pytest.raises(ValidationError) as refused:
        Person.model_validate({"name": "x", "secret": "hunter2"})
    found = field_errors(refused.value, "body", 3)
    assert [(error["loc"], error["type"]) for error in found] == [
        (["body", 3, "name"], "string_too_short"), (["body", 3, "secret"], "int_parsing"),
    ]  # fmt: skip
    assert all(error.keys() == {"loc", "msg", "type"} for error in found)
    assert "hunter2" not in str(found)


def test_what_a_validator_raised_is_said_in_its_own_words():
    class Even(BaseModel):
        number: int

        def model_post_init(self, context: object) -> None:
            if self.number % 2:
                raise ValueError("Give an even number.")

    class Outer(BaseModel):
        even: Even

    from mesh.declarations.fields import Id

    class Row(BaseModel):
        id: Id

    with pytest.raises(ValidationError) as refused:
        Row.model_validate({"id": True})
    assert field_errors(refused.value) == [
        {"loc": ["id"], "msg": "An id is a whole number, such as 7.", "type": "value_error"}
    ]
