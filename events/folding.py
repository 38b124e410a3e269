"""Texts folded for comparison in unique constraints."""

from django.db.models import Func, Value
from django.db.models.functions import Lower


class Normalized(Func):
    """A text in Unicode's normal form NFKC, so that all ways to encode it compare equal."""

    function = "NORMALIZE"
    template = "%(function)s(%(expressions)s, NFKC)"


def folded(text: str | Value) -> Lower:
    """A text folded for unique constraints: in lower case and normal form NFKC."""
    return Lower(Normalized(text))
