"""Calling the method behind an operation, and encoding what it returns."""

from collections.abc import Callable
from typing import Any, cast

from django.conf import settings

from mesh.declarations.invocation import Answer, Invocation
from mesh.declarations.operations import Operation
from mesh.execution.service import Service
from mesh.execution.unit_of_work import Work
from mesh.rows.encoded import encoded_of


def method_of(operation: Operation, invocation: Invocation, work: Work) -> Callable[..., Any]:
    """The operation's method, bound to a new instance of its service."""
    service: Service = operation.service(invocation.actor, invocation=invocation, work=work)
    return cast(Callable[..., Any], getattr(service, operation.name))


def encode_answer(operation: Operation, result: Any) -> Answer:
    """What the method returned, as JSON; with `CHECK_ANSWERS` it is validated against the schema."""
    if (encoded := encoded_of(result)) is not None:
        answer = Answer(encoded.body, encoded.row_id, encoded.next_cursor, encoded.replayed)
    elif operation.adapter is None:
        return Answer(b"")
    else:
        answer = Answer(operation.adapter.dump_json(result), getattr(result, "id", None), getattr(result, "next", None))
    if settings.MESH["CHECK_ANSWERS"] and operation.adapter is not None:
        operation.adapter.validate_json(answer.body)
    return answer
