"""Conditions that Django's own lookups do not say."""

from typing import Any

from django.contrib.postgres.expressions import ArraySubquery
from django.db.models import BooleanField, F, Func, Q, QuerySet


class _AnyOf(Func):
    template, arg_joiner = "(%(expressions)s))", " = ANY("
    output_field = BooleanField()


def any_of(column: str, ids: QuerySet[Any]) -> Q:
    """Whether `column` is one of `ids`, which are looked up once: its index finds the rows also beside an `or`."""
    return Q(_AnyOf(F(column), ArraySubquery(ids)))
