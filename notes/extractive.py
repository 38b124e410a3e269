"""The default summarizer: offline and deterministic, it selects sentences of the note.

Each sentence is scored by how central its words are to the note (the cosine of its TF-IDF vector with the sum of all),
its position, and its kind (decisions, figures, chatter). The best are selected one by one, each discounted by its
similarity to those already selected (MMR), up to a maximum length, and put in the order of the text.
"""

import math
import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import datetime

from notes.action_items import action_items
from notes.languages import LABELS, STOP_WORDS, WORD, language_of
from notes.sentences import TERMINAL, Sentence, sentences
from notes.summarizer import Summary

SHARE, LEAST, MOST = 0.3, 220, 1_200  # of the text's length, in characters
CONSIDERED = 120  # the number of best sentences that are compared with each other
REDUNDANCY = 0.5  # the discount for full similarity to a selected sentence
SAME = 0.95  # the similarity above which a sentence is a repetition
SECONDS = 2.0  # of CPU time for one note; ordinary prose takes 0.3 at most

_DECIDED = re.compile(
    r"\b(?:decid\w+|decisions?|agreed|agreement|resolved|approved|concluded|will go with|settled on|let['’]s decide"
    r"|beschl(?:oss|uss|üss|ieß)\w*|entsch(?:ieden|eidung|eiden)\w*|vereinbart|einig\w*|geeinigt|festgelegt|abgemacht"
    r"|genehmigt"
    r"|decidi\w+|decisi[óo]n\w*|acuerd\w+|acord\w+|aprob\w+|resolvi\w+|convenido)\b",
    re.IGNORECASE,
)
_WEIGHTY = re.compile(
    r"\b(?:main|problem|because|cause\w*|risks?|important|budget|deadline|launch|goal|result|complain\w*|deliver\w*|contract"
    r"|wichtig\w*|grund|weil|risik\w*|frist|ziel|ergebnis\w*|problem\w*|unzufrieden\w*|vertrag\w*|verschieb\w*"
    r"|problema\w*|porque|riesgo\w*|importante|presupuesto|plazo|objetivo|resultado|contrato|retraso)\b",
    re.IGNORECASE,
)
_CHATTER = re.compile(
    r"^(?:hi|hello|hey|dear|thanks?|thank you|good (?:morning|afternoon|evening)|best regards|regards|cheers|bye|great"
    r"|perfect|hallo|liebe|guten (?:morgen|tag|abend)|danke|vielen dank|viele grüße|mit freundlichen|tschüss|super"
    r"|prima|gut|hola|buenos|buenas|gracias|saludos|un saludo|perfecto|vale|genial|attendees|participants|anwesend"
    r"|asistentes)\b"
    r"|\b(?:weather|coffee|lunch was|introductions|wetter|kaffee|comida|café|next meeting|nächstes treffen)\b",
    re.IGNORECASE,
)
_FIGURE = re.compile(r"\d[\d.,]{0,20}\s?(?:%|€|\$|£|k\b|EUR|USD|million|Mio|m²)|\b\d{2,}")

Vector = Mapping[str, float]


class ExtractiveSummarizer:
    def summarize(self, text: str, *, now: datetime) -> Summary:
        """Selects the most important sentences, and the action items that are found within `SECONDS` of CPU time."""
        until = time.thread_time() + SECONDS
        parsed = sentences(text)
        language = language_of(text)
        summary = _summary(text, parsed, language)
        return Summary(summary, action_items(parsed, now=now, language=language, until=until))


def _summary(text: str, parsed: Sequence[Sentence], language: str) -> str:
    body = [sentence for sentence in parsed if not sentence.heading] or list(parsed)
    budget = max(LEAST, min(MOST, int(len(text) * SHARE)))
    vectors = _vectors(body, language)
    scores = _scores(body, vectors)
    selected = _select(body, vectors, scores, budget)
    joined = _join([body[index] for index in sorted(selected)])
    return joined if joined and len(joined) <= len(text) else " ".join(text[:MOST].split())


def _vectors(body: Sequence[Sentence], language: str) -> list[Vector]:
    """The TF-IDF vector of each sentence, normalized to length 1."""
    stop = STOP_WORDS.get(language, frozenset())
    counts = [Counter(_stem(word) for word in _words(sentence.text) if word not in stop) for sentence in body]
    spread = Counter(word for count in counts for word in count)
    vectors: list[Vector] = []
    for count in counts:
        weights = {word: number * math.log(1 + len(body) / spread[word]) for word, number in count.items()}
        length = math.sqrt(sum(weight * weight for weight in weights.values())) or 1
        vectors.append({word: weight / length for word, weight in weights.items()})
    return vectors


def _words(text: str) -> list[str]:
    return [match.group().lower() for match in WORD.finditer(text)]


def _stem(word: str) -> str:
    """A crude stem for all three languages: "offer", "offers" and "offered" become one word."""
    return word[: max(4, len(word) - 2)] if len(word) > 5 and word.isalpha() else word


def _scores(body: Sequence[Sentence], vectors: Sequence[Vector]) -> list[float]:
    total: Counter[str] = Counter()
    for vector in vectors:
        total.update(vector)
    length = math.sqrt(sum(weight * weight for weight in total.values())) or 1
    scores = []
    for index, (sentence, vector) in enumerate(zip(body, vectors, strict=True)):
        centrality = sum(weight * total[word] for word, weight in vector.items()) / length
        scores.append(centrality + _features(sentence, index, len(body)))
    return scores


def _features(sentence: Sentence, index: int, count: int) -> float:
    """The part of a sentence's score that depends on its position and its kind."""
    text = sentence.plain
    size = len(text.split())
    score = 0.3 * max(0.0, 1 - index / max(4, count * 0.3))
    if _DECIDED.search(text) or _DECIDED.search(sentence.section):
        score += 0.6
    if _WEIGHTY.search(text):
        score += 0.15
    if _FIGURE.search(text):
        score += 0.15
    if size < 5:
        score -= 0.4
    if text.endswith("?"):
        score -= 0.4
    if sentence.done is not None or _is_label(text):
        score -= 0.3
    if _CHATTER.search(text):
        score -= 0.6
    return score


def _is_label(text: str) -> bool:
    label, colon, _ = text.partition(":")
    return bool(colon) and label.strip().lower() in LABELS and not _DECIDED.search(label)


def _select(body: Sequence[Sentence], vectors: Sequence[Vector], scores: Sequence[float], budget: int) -> list[int]:
    """The indexes of the selected sentences, best first: at least one, and as many as fit into `budget` characters."""
    candidates = sorted(range(len(body)), key=lambda index: (-scores[index], index))[:CONSIDERED]
    similarity = dict.fromkeys(candidates, 0.0)
    selected: list[int] = []
    used = 0
    while candidates:
        best = max(candidates, key=lambda index: (scores[index] - REDUNDANCY * similarity[index], -index))
        candidates.remove(best)
        size = len(body[best].text) + 1
        if selected and (used + size > budget or similarity[best] > SAME):
            continue
        selected.append(best)
        used += size
        for index in candidates:
            similarity[index] = max(similarity[index], _cosine(vectors[index], vectors[best]))
    return selected


def _cosine(one: Vector, other: Vector) -> float:
    return sum(weight * other.get(word, 0.0) for word, weight in one.items())


def _join(selected: Sequence[Sentence]) -> str:
    """Joins sentences; a bullet, another speaker, and a sentence after one without a full stop begin a new line."""
    parts: list[str] = []
    before: Sentence | None = None
    for sentence in selected:
        turn = sentence.speaker is not None and (before is None or before.paragraph != sentence.paragraph)
        if before:
            parts.append("\n" if turn or sentence.bullet or not before.plain.endswith(TERMINAL) else " ")
        parts.append(f"{sentence.speaker}: " if turn else "")
        parts.append(" ".join(sentence.text.split()))
        before = sentence
    return "".join(parts)
