"""Extracts the action items of a note: who is to do what, and by when, if the text says so."""

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
_AT_ONCE = 20  # sentences between two readings of the clock, which cost as much as parsing a sentence
MOST_SENTENCES = 5_000  # sentences read: all of the longest note, if each has 20 characters


@dataclass(frozen=True, slots=True)
class _Item:
    claim: Claim
    due: datetime | None
    sentence: Sentence


@dataclass(frozen=True, slots=True)
class _Context:
    """The context of a clause: its sentence, the name on its label, and whether it is in a task list or @mentions."""

    sentence: Sentence
    owner: str | None
    listed: bool
    mentioned: bool


def action_items(
    sentences: Sequence[Sentence], *, now: datetime, language: str, until: float = math.inf
) -> list[ActionItem]:
    """At most `MOST_ITEMS` action items, in the order of the text, without duplicates.

    `now` resolves relative dates. Stops when `time.thread_time()`, in seconds, exceeds `until`.
    """
    items: list[ActionItem] = []
    seen: set[tuple[str, str | None]] = set()
    for item in _items(sentences, now, language, until):
        action_item = _action_item(item)
        key = (action_item.title.lower(), action_item.assignee)
        if key not in seen and not _is_only_pointers(action_item.title):
            seen.add(key)
            items.append(action_item)
        if len(items) == MOST_ITEMS:
            break
    return items


def _items(sentences: Sequence[Sentence], now: datetime, language: str, until: float) -> Iterator[_Item]:
    """Yields the claims of each sentence; an answer assigns what a question asks: "Can you send it?" – "Sure."."""
    paragraph = 0
    for position, sentence in enumerate(sentences[:MOST_SENTENCES]):
        if position % _AT_ONCE == 0 and time.thread_time() > until:
            return
        first, paragraph = sentence.paragraph != paragraph, sentence.paragraph
        for claim, due in _claims_of_sentence(sentence, first, now, language):
            if claim.who is None and sentence.text.endswith("?"):
                claim = replace(claim, who=_who_accepts(sentences, position))
            yield _Item(claim, due, sentence)
        if (task := _task_asked_for(sentence)) and (name := _who_accepts(sentences, position)):
            yield _Item(Claim(name, task), None, sentence)


def _claims_of_sentence(
    sentence: Sentence, first: bool, now: datetime, language: str
) -> list[tuple[Claim, datetime | None]]:
    """The claims of a sentence with their due dates; `first`: it is the first of its paragraph."""
    text = sentence.plain
    label = _LABEL.match(text)
    if " " not in text or sentence.done or (sentence.heading and not label) or _reports_done(text):
        return []
    if sentence.done is None and _DONE_SECTION.match(sentence.section):
        return []
    listed = bool(label) or sentence.done is False or (first and bool(_SECTION.search(sentence.section)))
    owner = None
    if label:
        owner, text = label["owner"] or label["name"], text[label.end() :]
    mention = _MENTION.search(text)
    context = _Context(sentence, owner, listed, bool(mention))
    spoken = language_of(text, language)
    for candidate in [spoken] if spoken else GRAMMARS:  # a few words may not reveal their language
        if claims := list(_claims(text[mention.end() :] if mention else text, context, now, candidate)):
            return claims
    return []


def _reports_done(text: str) -> bool:
    return any(grammar.done.search(text) for grammar in GRAMMARS.values())


def _claims(text: str, context: _Context, now: datetime, language: str) -> Iterator[tuple[Claim, datetime | None]]:
    grammar = GRAMMARS[language]
    if grammar.unreal.match(grammar.polite.sub("", text)) and not context.listed:
        return  # "If …, Maria will …": the condition holds for every clause
    for clause in _clauses(text, grammar):
        due = find_due(clause, now, language=language)
        if claim := _claim(_cut_out_date(clause, due), context, grammar, dated=due is not None):
            yield claim, due.at if due else None


def _clauses(text: str, grammar: Grammar) -> Iterator[str]:
    start = 0
    for match in grammar.split.finditer(text):
        if _ONLY_NAMES.fullmatch(text, start, match.start()):
            continue  # "Ana y Luis prepararán …"
        yield text[start : match.start()]
        start = match.end()
    yield text[start:]


def _cut_out_date(clause: str, due: Due | None) -> str:
    if due is None:
        return clause.strip()
    cut = _EMPTY_BRACKETS.sub("", f"{clause[: due.start]} {clause[due.end :]}")
    return re.sub(r"\s+([,.;:?!)])", r"\1", " ".join(cut.split())).strip(" ,;:-–—|→>")


def _claim(clause: str, context: _Context, grammar: Grammar, *, dated: bool) -> Claim | None:
    """Who is to do what, by the clause's grammar or, in a list of tasks, by its layout."""
    sentence, owner, listed = context.sentence, context.owner, context.listed
    named_first = _OWNER_BEFORE.match(clause) if listed or sentence.bullet else None
    if named_first and named(named_first["who"]) and all(map(is_name, _AND.split(named_first["who"]))):
        owner, clause = named_first["who"], named_first["task"]
    heading = owner or (sentence.speaker if listed or sentence.bullet else None)
    claim = next(grammar.claims(clause, listed=listed or sentence.bullet or context.mentioned, dated=dated), None)
    if claim and claim.sure:
        if claim.who == SPEAKER:
            return replace(claim, who=sentence.speaker)
        return claim if claim.who or clause.endswith("?") else replace(claim, who=heading)
    if not (claim or listed):
        return None
    task, beside = _owner_within(claim.task if claim else clause)
    return Claim(owner or beside or heading, task)


def _owner_within(task: str) -> tuple[str, str | None]:
    """Splits a task from the name beside it: "Fix it (Anna)", "Fix it – Anna", "Fix it @anna"."""
    for pattern in (_OWNER_IN_BRACKETS, _OWNER_AFTER, _MENTION_ANYWHERE):
        if (match := pattern.search(task)) and (who := named(match["who"])):
            return (task[: match.start()] + task[match.end() :]).strip(), who
    return task, None


def _task_asked_for(sentence: Sentence) -> str | None:
    """The task that a question such as "Who does the flyers?" asks for."""
    for grammar in GRAMMARS.values():
        if (match := grammar.who_question.match(sentence.plain)) and (task := grammar.task_of_question(match["task"])):
            return task
    return None


def _who_accepts(sentences: Sequence[Sentence], position: int) -> str | None:
    """The speaker who says yes to the question at `position`."""
    for sentence in sentences[position + 1 : position + 1 + _ANSWER_WITHIN]:
        if sentence.speaker and any(grammar.accepts.search(sentence.plain) for grammar in GRAMMARS.values()):
            return sentence.speaker
    return None


def _action_item(item: _Item) -> ActionItem:
    title = " ".join(item.claim.task.split()).strip(" .,;:!?-–—|→>")
    title = shortened(title[:1].upper() + title[1:], TITLE_LENGTH)
    who = " ".join(item.claim.who.split())[:ASSIGNEE_LENGTH] if item.claim.who else None
    return ActionItem(title, who, item.due, item.sentence.text[:QUOTE_LENGTH])


def shortened(text: str, length: int) -> str:
    """`text`, cut between words to at most `length` characters."""
    if len(text) <= length:
        return text
    return text[: length + 1].rpartition(" ")[0].rstrip(" ,;:-") or text[:length]


def _is_only_pointers(title: str) -> bool:
    """Whether a title only refers to something else: "Do it", "Das übernehmen"."""
    words = {match.group().lower() for match in WORD.finditer(title)}
    return not words - _POINTERS - STOP_WORDS["en"] - STOP_WORDS["de"] - STOP_WORDS["es"]
