"""Splits a note into sentences: prose, wrapped lines, bullets, Markdown, chat logs and transcripts."""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from notes.languages import ABBREVIATIONS, ALSO_WORDS, LABELS, MONTHS, STOP_WORDS, WORD, word_set

LONGEST = 500  # characters; longer sentences are cut, which bounds the work of every later step
WRAPPED = 60  # characters; a line that is longer with the next line's first word was wrapped

_RULE = re.compile(r"[-=_*~#+•–—·> ]+$")  # also a bullet or a quotation with nothing in it
_BULLET = re.compile(r"(?:[-*+•–—·‣▪◦●○»>]|->|→|\d{1,2}[.)]|[a-z]\))\s+")
_HASHES = re.compile(r"#{1,6}\s+")
_BOX = re.compile(r"(?:\[(?P<mark>[ xX✓✔]?)\]|(?P<open>☐)|(?P<done>[☑☒✅✔]))\s*")
_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:[.,]\d{1,3})?(?:\s?[ap]m)?"
_STAMP = re.compile(rf"(?:\[{_CLOCK}\]|\({_CLOCK}\)|(?P<bare>{_CLOCK}))\s*[-–—|]?\s*", re.IGNORECASE)
_WORD = r"[^\W\d_][\w.’'-]{0,29}"
_SPEAKER = re.compile(
    rf"(?:\*\*|__)?(?P<name>@?{_WORD}(?:[ ]{_WORD}){{0,3}})(?:\*\*|__)?"
    r"(?:\s?[(\[][^)\]\n]{0,20}[)\]])?\s?:(?:\*\*|__)?(?:\s+|$)"
)
_BOLD = re.compile(r"(?:\*\*|__)[^*_]+(?:\*\*|__):?")
_EMPHASIS = re.compile(r"\*\*|__|`|(?<!\w)[*_](?=\w)|(?<=[\w.!?])[*_](?!\w)")
_END = re.compile(r"(?<![.!?…])(?P<mark>[.!?…]++)(?P<close>[\"'”“’‘»«)\]*_]*+)\s+|[。！？]+\s*|(?<![؟۔।])[؟۔।]++\s+")
_LAST_WORD = re.compile(r"[\w.’'-]*\w$")
_ARTICLES = word_set("am an ab im in zum zur vom von bis der die das dem den des beim seit und oder jeder jede jedes")
TERMINAL = (".", "!", "?", "…", "。", "！", "？", "؟", "۔", "।")


@dataclass(frozen=True, slots=True)
class Sentence:
    """A sentence exactly as in the note, but without its bullet, check box, time stamp and speaker label."""

    text: str
    speaker: str | None = None
    bullet: bool = False
    done: bool | None = None  # whether its check box is ticked; None: it has none
    heading: bool = False
    section: str = ""  # the heading above it
    paragraph: int = 0

    @property
    def plain(self) -> str:
        """The text on one line, without Markdown emphasis."""
        return " ".join(_EMPHASIS.sub("", self.text).split())


@dataclass(slots=True)
class _Line:
    start: int
    end: int
    bullet: bool = False
    done: bool | None = None
    hashes: bool = False
    speaker: str | None = None
    after_blank: bool = False
    indent: int = 0

    @property
    def listed(self) -> bool:
        return self.bullet or self.done is not None


def sentences(text: str) -> list[Sentence]:
    """The sentences of `text` in their order, headings among them, each at most `LONGEST` characters."""
    return list(_sentences(text))


def _sentences(text: str) -> Iterator[Sentence]:
    lines = _lines(text)
    section, paragraph, index = "", 0, 0
    while index < len(lines):
        line, last = lines[index], index
        paragraph += 1
        if _is_heading(text, lines, index):
            heading = text[line.start : line.end][:LONGEST]
            section = heading.strip("*_# :")
            yield Sentence(heading, heading=True, section=section, paragraph=paragraph)
        else:
            if line.after_blank and not line.listed and index and not lines[index - 1].hashes:
                section = ""
            while last + 1 < len(lines) and _continues(text, line, lines[last], lines[last + 1]):
                last += 1
            for start, end in _spans(text, line.start, lines[last].end):
                yield Sentence(text[start:end], line.speaker, line.bullet, line.done, False, section, paragraph)
        index = last + 1


def _lines(text: str) -> list[_Line]:
    lines: list[_Line] = []
    position, blank = 0, False
    for content in text.splitlines(keepends=True):
        stripped = content.strip()
        if not stripped or _RULE.match(stripped):
            blank = True
        else:
            start = position + content.index(stripped[0])
            line = _line(text, start, start + len(stripped))
            line.after_blank, line.indent = blank, start - position
            if line.start < line.end:
                lines.append(line)
                blank = False
        position += len(content)
    return lines


def _line(text: str, start: int, end: int) -> _Line:
    """Parses a line: strips its bullet, check box, time stamp and speaker label."""
    line = _Line(start, end)
    if match := _HASHES.match(text, start, end):
        line.hashes, line.start = True, match.end()
        return line
    while match := _BULLET.match(text, line.start, end):
        line.bullet, line.start = True, match.end()
    if match := _BOX.match(text, line.start, end):
        line.done = bool(match["done"] or (match["mark"] or "").strip())
        line.start = match.end()
    words = line.start
    if stamp := _STAMP.match(text, line.start, end):
        words = stamp.end()
        line.start = line.start if stamp["bare"] else words
    if (label := _SPEAKER.match(text, words, end)) and is_name(label["name"]):
        line.speaker, line.start = label["name"].lstrip("@"), label.end()
    return line


def is_name(label: str) -> bool:
    """Whether the label before a colon is a person's name, and not a word such as "TODO" or "Decision"."""
    words = label.lstrip("@").split()
    if any(word.strip(".").lower() in LABELS for word in words):
        return False
    return label.startswith("@") or all(
        word[0].isupper() or word in ("de", "la", "von", "van", "der") for word in words
    )


def _is_heading(text: str, lines: list[_Line], index: int) -> bool:
    line = lines[index]
    if line.hashes:
        return True
    content = text[line.start : line.end]
    if line.listed or line.speaker is not None or len(content) > 80:
        return False
    if content.endswith(":") or _BOLD.fullmatch(content):
        return True
    label, colon, _ = content.partition(":")
    if content.endswith(TERMINAL) or index + 1 == len(lines) or (colon and label.strip().lower() in LABELS):
        return False
    return lines[index + 1].listed or lines[index + 1].after_blank


def _continues(text: str, first: _Line, line: _Line, following: _Line) -> bool:
    """Whether `following` continues the paragraph or bullet that begins with `first` and so far ends with `line`."""
    if following.after_blank or following.listed or following.hashes or following.speaker is not None:
        return False
    if first.bullet and following.indent > first.indent:
        return True
    first_word = text[following.start : following.end].split(maxsplit=1)[0]
    return line.end - line.start + 1 + len(first_word) > WRAPPED


def _spans(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the start and end of each sentence in text[start:end]."""
    for match in _END.finditer(text, start, end):
        if match.end() >= end or _ends_sentence(text, start, match, end):
            closed = match.end() - (len(match.group()) - len(match.group().rstrip()))
            yield from _cut(text, start, closed)
            start = match.end()
    yield from _cut(text, start, end)


def _ends_sentence(text: str, start: int, match: re.Match[str], end: int) -> bool:
    mark, following = match["mark"], text[match.end()]
    if mark is None:
        return True
    if mark != ".":
        return not (following.islower() and (match["close"] or mark in ("...", "…")))
    before = text[max(start, match.start() - 40) : match.start()]
    word_match = _LAST_WORD.search(before)
    word = word_match.group().lower() if word_match else ""
    if word in ABBREVIATIONS:
        return False
    if word in ALSO_WORDS or (len(word) == 1 and word.isalpha()):
        return _starts_sentence(text, match.end())
    if word.isdigit() and len(word) <= 2:
        return not _is_ordinal(text, start, before, word, match.end(), end)
    if re.fullmatch(r"\d{1,2}\.\d{1,2}", word):
        return following.isupper() and not text.startswith("Uhr", match.end())
    return not following.islower() or len(word) >= 4


def _starts_sentence(text: str, position: int) -> bool:
    """Whether the word at `position` is capitalized, though it is lower case within sentences."""
    following = WORD.match(text, position, position + 20)
    word = following.group() if following else ""
    return word.istitle() and any(word.lower() in words for words in STOP_WORDS.values())


def _is_ordinal(text: str, start: int, before: str, number: str, after: int, end: int) -> bool:
    """Whether "3." is an ordinal or a list number, and not the end of a sentence."""
    lead = before[: -len(number)].split()
    next_word = text[after : min(end, after + 20)].split()[0].strip(".,;:").lower()
    return not lead or next_word in MONTHS or text[after].islower() or lead[-1].lower() in _ARTICLES


def _cut(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Yields the span without surrounding blanks, in pieces of at most `LONGEST`, cut between words if possible."""
    while end - start > LONGEST:
        space = text.rfind(" ", start + LONGEST // 2, start + LONGEST)
        stop = space if space > 0 else start + LONGEST
        yield from _trim(text, start, stop)
        start = stop
    yield from _trim(text, start, end)


def _trim(text: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    content = text[start:end]
    if stripped := content.strip():
        start += len(content) - len(content.lstrip())
        yield start, start + len(stripped)
