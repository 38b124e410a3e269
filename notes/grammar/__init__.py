"""Grammars that find tasks in English, German and Spanish, each a module with the same names."""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from notes.grammar import english, german, spanish
from notes.grammar.claim import NAME, NAMES, SPEAKER, Claim, named

__all__ = ["GRAMMARS", "NAME", "NAMES", "SPEAKER", "Claim", "Grammar", "named"]


@dataclass(frozen=True, slots=True)
class Grammar:
    """The grammar of a language: `split` separates clauses, and `claims(clause, listed=…, dated=…)` reads one."""

    claims: Callable[..., Iterator[Claim]]
    split: re.Pattern[str]
    unreal: re.Pattern[str]
    polite: re.Pattern[str]
    done: re.Pattern[str]
    accepts: re.Pattern[str]
    who_question: re.Pattern[str]
    task_of_question: Callable[[str], str | None]


def _grammar(module: Any) -> Grammar:
    return Grammar(
        module.claims,
        module.SPLIT,
        module.UNREAL,
        module.POLITE,
        module.DONE,
        module.ACCEPTS,
        module.WHO_QUESTION,
        module.task_of_question,
    )


GRAMMARS = {"en": _grammar(english), "de": _grammar(german), "es": _grammar(spanish)}
