"""Text search: every word must occur, anywhere in the texts, ignoring case."""

from django.db.models import Q

from mesh.declarations.words import words_of


def every_word(text: str | None, *fields: str) -> Q:
    """The condition that each word of `text` occurs in one of `fields`; empty without words."""
    condition = Q()
    for word in words_of(text or ""):
        any_field = Q()
        for field in fields:
            any_field |= Q(**{f"{field}__icontains": word})
        condition &= any_field
    return condition
