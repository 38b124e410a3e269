"""Shared by the grammars: claims that somebody is to do something, and the names of people."""

from dataclasses import dataclass

from notes.languages import MONTHS, STOP_WORDS, WEEKDAYS

SPEAKER = "I"  # the assignee of "I'll …": the speaker of the sentence

_NOBODY = frozenset({"nobody", "none", "niemand", "keiner", "nadie", "ninguno", "ninguna"})

_CAPITAL = r"[^\W\d_a-zß-öø-ÿ]"
_CAPITALIZED = rf"{_CAPITAL}[\w’'-]{{1,29}}"
#: Titles before a name; an atomic group, so that "Dr Dr Dr" does not backtrack.
_TITLES = rf"(?>(?:(?:Mrs?|Ms|Dr|Prof|Herrn?|Frau|Hr|Fr|Sra?|Srta|Señora?|Don|Doña)\.? (?={_CAPITAL}[\w’'-])){{0,2}})"
NAME = rf"(?-i:{_TITLES}{_CAPITALIZED}(?: {_CAPITALIZED}){{0,2}}|@[\w.-]{{1,40}})"
NAMES = rf"{NAME}(?:(?:, | and | & | und | y | e ){NAME}){{0,4}}"


@dataclass(frozen=True, slots=True)
class Claim:
    """`who` is to do `task`; `who` is a name, `SPEAKER` or None. Unless `sure`, it only counts in a list of tasks."""

    who: str | None
    task: str
    sure: bool = True


def is_person(name: str) -> bool:
    """Whether a capitalized word can be a name: it is not a stop word, month or weekday."""
    word = name.split()[0].lower()
    return not any(word in words for words in (MONTHS, WEEKDAYS, _NOBODY, *STOP_WORDS.values()))


def named(who: str) -> str | None:
    return who.lstrip("@") if who.startswith("@") or is_person(who) else None
