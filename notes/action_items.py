"""The action items of a note: who is to do what, and by when, where the text says so."""

import math
import re
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime

from notes.due_dates import Due, find_due
from notes.grammar import GRAMMARS, NAME, NAMES, SPEAKER, Claim, Grammar, named
from notes.languages import STOP_WORDS, WORD, language_of, word_set
from notes.sentences import Sentence, is_name
from notes.summarizer import ASSIGNEE_LENGTH, MOST_ITEMS, QUOTE_LENGTH, TITLE_LENGTH, ActionItem

_LABEL = re.compile(
    r"^\W{0,3}(?:to[ -]?dos?|actions?(?: items?| points?| required)?|ai|tasks?|next steps?|follow[ -]?ups?|reminder"
    r"|don['’]t forget|aufgaben?|aktion|ma(?:ß|ss)nahmen?|nächster? schritte?|erinnerung|nicht vergessen"
    r"|tareas?|acci[óo]n|acciones|pendientes?|pr[óo]ximos? pasos?|recordatorio|no olvidar)"
    r"(?:\s*[(\[](?P<owner>[^)\]]{1,60})[)\]])?"
    rf"(?:\s+(?:for |für |para )?(?P<name>{NAMES}))?\s*(?::|\s[-–—])\s*",
    re.IGNORECASE,
)
_SECTION = re.compile(
    r"\b(?:action items?|actions?|to[ -]?dos?|next steps|tasks|follow[ -]?ups?|aufgaben|nächste schritte|maßnahmen"
    r"|aktionen|offene punkte|tareas|acciones|próximos pasos|pendientes|compromisos)\s*:?$",
    re.IGNORECASE,
)
_DONE_SECTION = re.compile(
    r"^(?:done|completed|closed|finished|erledigt(?:es)?|abgeschlossen(?:es)?|hecho|terminado|completado)$",
    re.IGNORECASE,
)
_MENTION = re.compile(r"(?:^|\s)(?=@[\w-]++[\w.,:]*+ \w)")
_OWNER_BEFORE = re.compile(rf"^(?P<who>{NAMES})\s*(?::|\s[-–—|])\s+(?P<task>\S.*)$")
_OWNER_IN_BRACKETS = re.compile(rf"\s*[(\[](?:owner: ?|verantwortlich: ?|responsable: ?)?(?P<who>{NAMES})[,;: ]*[)\]]")
_OWNER_AFTER = re.compile(
    rf"\s*(?:\s[-–—|]|->|→|,)\s*(?:owner: ?|verantwortlich: ?|responsable: ?)?(?P<who>{NAME})\W*$"
)
_MENTION_ANYWHERE = re.compile(r"\s*(?<!\w)(?P<who>@[\w-]+)")
_AND = re.compile(r", | (?:and|und|y|e|&) ")
_ONLY_NAMES = re.compile(NAMES)
_EMPTY_BRACKETS = re.compile(r"\s*[(\[]\s*[,;]*\s*[)\]]")
_POINTERS = word_set(
    "it that this them do das es übernehmen machen tun erledigen hacerlo eso esto lo so "
    "none nothing tbd n keine nichts ninguna ninguno nada"
)
_ANSWER_WITHIN = 3  # sentences after a question
_AT_ONCE = 20  # sentences between two looks at the clock, which cost as much as a sentence does
MOST_SENTENCES = 5_000  # that are looked at: of the longest note, if they have 20 characters each


@dataclass(frozen=True, slots=True)
class _Item:
    claim: Claim
    due: datetime | None
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class _Setting:
    """Where a clause stands: with whose label, in a list of tasks, after an @mention."""

    sentence: Sentence
    owner: str | None
    listed: bool
    mentioned: bool


def action_items(
    sentences: Sequence[Sentence], *, now: datetime, language: str, until: float = math.inf
) -> list[ActionItem]:
    """At most `MOST_ITEMS` action items, in the order of the text; the same task is listed once.

    What `time.thread_time` finds after `until` is left out.
    """
    items: list[ActionItem] = []
    seen: set[tuple[str, str | None]] = set()
    for item in _items(sentences, now, language, until):
        made = _made(item)
        key = (made.title.lower(), made.assignee)
        if key not in seen and not _says_nothing(made.title):
            seen.add(key)
            items.append(made)
        if len(items) == MOST_ITEMS:
            break
    return items


def _items(sentences: Sequence[Sentence], now: datetime, language: str, until: float) -> Iterator[_Item]:
    """What each sentence says, and who took on what it asks: "Can you send it?" – "Sure."."""
    paragraph = 0
    for position, sentence in enumerate(sentences[:MOST_SENTENCES]):
        if position % _AT_ONCE == 0 and time.thread_time() > until:
            return
        first, paragraph = sentence.paragraph != paragraph, sentence.paragraph
        for claim, due in _said(sentence, first, now, language):
            if claim.who is None and sentence.text.endswith("?"):
                claim = replace(claim, who=_taker(sentences, position))
            yield _Item(claim, due, sentence)
        if (task := _asked(sentence)) and (taker := _taker(sentences, position)):
            yield _Item(Claim(taker, task), None, sentence)


def _said(sentence: Sentence, first: bool, now: datetime, language: str) -> list[tuple[Claim, datetime | None]]:
    """What a sentence, `first` in its paragraph or not, says is to be done."""
    text = sentence.plain
    label = _LABEL.match(text)
    if " " not in text or sentence.done or (sentence.heading and not label) or _is_done(text):
        return []
    if sentence.done is None and _DONE_SECTION.match(sentence.section):
        return []
    listed = bool(label) or sentence.done is False or (first and bool(_SECTION.search(sentence.section)))
    owner = None
    if label:
        owner, text = label["owner"] or label["name"], text[label.end() :]
    mention = _MENTION.search(text)
    setting = _Setting(sentence, owner, listed, bool(mention))
    spoken = language_of(text, language)
    for tongue in [spoken] if spoken else GRAMMARS:  # a few words may not tell which language they are
        if found := list(_claims(text[mention.end() :] if mention else text, setting, now, tongue)):
            return found
    return []


def _is_done(text: str) -> bool:
    return any(grammar.done.search(text) for grammar in GRAMMARS.values())


def _claims(text: str, setting: _Setting, now: datetime, language: str) -> Iterator[tuple[Claim, datetime | None]]:
    grammar = GRAMMARS[language]
    if grammar.unreal.match(grammar.polite.sub("", text)) and not setting.listed:
        return  # "If …, Maria will …": the condition holds for every clause
    for clause in _clauses(text, grammar):
        due = find_due(clause, now, language=language)
        if claim := _claim(_without(clause, due), setting, grammar, dated=due is not None):
            yield claim, due.at if due else None


def _clauses(text: str, grammar: Grammar) -> Iterator[str]:
    start = 0
    for match in grammar.split.finditer(text):
        if _ONLY_NAMES.fullmatch(text, start, match.start()):
            continue  # "Ana y Luis prepararán …"
        yield text[start : match.start()]
        start = match.end()
    yield text[start:]


def _without(clause: str, due: Due | None) -> str:
    if due is None:
        return clause.strip()
    cut = _EMPTY_BRACKETS.sub("", f"{clause[: due.start]} {clause[due.end :]}")
    return re.sub(r"\s+([,.;:?!)])", r"\1", " ".join(cut.split())).strip(" ,;:-–—|→>")


def _claim(clause: str, setting: _Setting, grammar: Grammar, *, dated: bool) -> Claim | None:
    """Who is to do what, by the clause's grammar or, in a list of tasks, by the way it is set out."""
    sentence, owner, listed = setting.sentence, setting.owner, setting.listed
    named_first = _OWNER_BEFORE.match(clause) if listed or sentence.bullet else None
    if named_first and named(named_first["who"]) and all(map(is_name, _AND.split(named_first["who"]))):
        owner, clause = named_first["who"], named_first["task"]
    heading = owner or (sentence.speaker if listed or sentence.bullet else None)
    found = next(grammar.claims(clause, listed=listed or sentence.bullet or setting.mentioned, dated=dated), None)
    if found and found.sure:
        if found.who == SPEAKER:
            return replace(found, who=sentence.speaker)
        return found if found.who or clause.endswith("?") else replace(found, who=heading)
    if not (found or listed):
        return None
    task, beside = _owner_within(found.task if found else clause)
    return Claim(owner or beside or heading, task)


def _owner_within(task: str) -> tuple[str, str | None]:
    """The task without the name beside it, and the name: "Fix it (Anna)", "Fix it – Anna", "Fix it @anna"."""
    for pattern in (_OWNER_IN_BRACKETS, _OWNER_AFTER, _MENTION_ANYWHERE):
        if (match := pattern.search(task)) and (who := named(match["who"])):
            return (task[: match.start()] + task[match.end() :]).strip(), who
    return task, None


def _asked(sentence: Sentence) -> str | None:
    """What a question such as "Who does the flyers?" asks to be done."""
    for grammar in GRAMMARS.values():
        if (match := grammar.who_question.match(sentence.plain)) and (task := grammar.task_of_question(match["task"])):
            return task
    return None


def _taker(sentences: Sequence[Sentence], position: int) -> str | None:
    """Who says yes to the question at `position`."""
    for sentence in sentences[position + 1 : position + 1 + _ANSWER_WITHIN]:
        if sentence.speaker and any(grammar.accepts.search(sentence.plain) for grammar in GRAMMARS.values()):
            return sentence.speaker
    return None


def _made(item: _Item) -> ActionItem:
    title = " ".join(item.claim.task.split()).strip(" .,;:!?-–—|→>")
    title = shortened(title[:1].upper() + title[1:], TITLE_LENGTH)
    who = " ".join(item.claim.who.split())[:ASSIGNEE_LENGTH] if item.claim.who else None
    return ActionItem(title, who, item.due, item.sentence.text[:QUOTE_LENGTH])


def shortened(text: str, length: int) -> str:
    """`text`, cut between two words where it is longer than `length`."""
    if len(text) <= length:
        return text
    return text[: length + 1].rpartition(" ")[0].rstrip(" ,;:-") or text[:length]


def _says_nothing(title: str) -> bool:
    """Whether a title is only pointers: "Do it", "Das übernehmen"."""
    words = {match.group().lower() for match in WORD.finditer(title)}
    return not words - _POINTERS - STOP_WORDS["en"] - STOP_WORDS["de"] - STOP_WORDS["es"]
