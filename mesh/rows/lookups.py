"""Conditions that Django's own lookups cannot express."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, F, Func, Q, QuerySet


class _AnyOf(Func):
    template, arg_joiner = "(%(expressions)s))", " = ANY("
    output_field = BooleanField()


def any_of(column: str, ids: QuerySet[Any]) -> Q:
    """Whether `column` is one of `ids`. These are looked up once, so the column's index is used even inside an OR."""
    return Q(_AnyOf(F(column), ArraySubquery(ids)))
