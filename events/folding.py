"""Texts as uniqueness looks at them."""

from django.db.models import Func, Value
from django.db.models.functions import Lower


class Normalized(Func):
    """A text in Unicode's normal form NFKC, so that it is the same however it was typed."""

    function = "NORMALIZE"
    template = "%(function)s(%(expressions)s, NFKC)"


def folded(text: str | Value) -> Lower:
    """A text as uniqueness looks at it: in any case, and in any normal form."""
    return Lower(Normalized(text))
