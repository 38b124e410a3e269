"""Which sentences make the summary, and which language a text is in."""

from datetime import UTC, datetime

import pytest

from notes.extractive import LEAST, MOST, ExtractiveSummarizer
from notes.languages import language_of, scores

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)
FILLING = " ".join(f"The room number {n} has a chair and a lamp and a small green door." for n in range(12))


def summarize(text: str) -> str:
    return ExtractiveSummarizer().summarize(text, now=NOW).text


@pytest.mark.parametrize(
    ("sentence", "kept"),
    [
        ("We agreed to close the shop.", True),
        ("Wir haben beschlossen, den Laden zu schließen.", True),
        ("Se acordó cerrar la tienda.", True),
        ("Decision: the shop closes in May for good.", True),
        ("What do we do about the roof?", False),
        ("Good morning everyone and thanks for coming today to this.", False),
        ("Attendees: Anna, Bob, Eve and the others from the office.", False),
    ],
)
def test_decisions_stand_out_of_much_of_the_same(sentence, kept):
    assert (sentence in summarize(f"{FILLING} {sentence} {FILLING}")) is kept


def test_what_stands_under_decisions_is_kept_without_their_heading():
    summary = summarize(f"{FILLING}\n\n# Decisions\n\n- The shop closes.\n- Tom leaves.\n\n# Other\n\n{FILLING}")
    assert "The shop closes.\nTom leaves." in summary
    assert "Decisions" not in summary
    assert "Other" not in summary


@pytest.mark.parametrize(
    ("text", "summary"),
    [
        ("", ""),
        (" \n", ""),
        ("-", "-"),
        ("  x  ", "x"),
        ("# Only\n## Headings", "Only\nHeadings"),
        ("Anna: Yes. More.\nBob: No.\n- a bullet\nlast", "Anna: Yes. More.\nBob: No.\na bullet\nlast"),
        ("One line\r\nand two.", "One line\nand two."),
    ],
)
def test_short_texts_are_their_own_summary(text, summary):
    assert summarize(text) == summary


@pytest.mark.parametrize(("size", "most"), [(500, LEAST), (2_000, 600), (3_000, 900), (50_000, MOST)])
def test_the_length_is_a_share_of_the_texts_within_bounds(size, most):
    text = " ".join(f"Item{n} costs part{n} and weighs stone{n} today." for n in range(1_500))[:size]
    assert most / 2 < len(summarize(text)) <= most


@pytest.mark.parametrize(
    ("text", "language"),
    [
        ("Das Meeting war gut, we agreed.", "de"),
        ("¿Qué?", "es"),
        ("Größe", "de"),
        ("the der el", ""),
        ("", ""),
        ("OK 😀", ""),
        ("שלום", ""),
        ("x" * 5_000 + " das ist nicht gut", ""),
    ],
)
def test_the_language_of_mixed_short_and_strange_texts(text, language):
    assert language_of(text) == language
    assert language_of(text, "es") == (language or "es")
    assert language or len(set(scores(text).values())) == 1
