"""How good the summarizer is on labelled notes: `python benchmarks/summaries/run.py`.

Action items: a found one matches a labelled one of its note when the words of their titles, without stop words and
without their endings, agree by an F1 of 0.5 or more; each is matched at most once, the best pairs first. Assignee and
due date are compared exactly, among the matched. Summaries: ROUGE-L F1 against the reference, on words, beside the
note's first three sentences. `--errors` shows what went wrong in the notes that are not held out.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

import yaml

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from notes.extractive import ExtractiveSummarizer
from notes.languages import STOP_WORDS
from notes.sentences import sentences
from notes.summarizer import ActionItem

NOTES = Path(__file__).with_name("notes.yaml")
SAME_TITLE = 0.5
_STOP = STOP_WORDS["en"] | STOP_WORDS["de"] | STOP_WORDS["es"]


@dataclass
class Figures:
    notes: int = 0
    found: int = 0
    labelled: int = 0
    matched: int = 0
    assignees: int = 0
    due_dates: int = 0
    rouge: list[float] = field(default_factory=list)
    baseline: list[float] = field(default_factory=list)

    def add(
        self, note: dict[str, Any], text: str, items: Sequence[ActionItem], pairs: Sequence[tuple[Any, ActionItem]]
    ) -> None:
        self.notes += 1
        self.found += len(items)
        self.labelled += len(note["action_items"])
        self.matched += len(pairs)
        self.assignees += sum(label["assignee"] == item.assignee for label, item in pairs)
        self.due_dates += sum(due_of(label) == item.due_date for label, item in pairs)
        self.rouge.append(rouge_l(text, note["summary"]))
        self.baseline.append(rouge_l(first_three(note["text"]), note["summary"]))

    def row(self) -> str:
        precision = self.matched / self.found if self.found else 0.0
        recall = self.matched / self.labelled if self.labelled else 0.0
        f1 = 2 * precision * recall / (precision + recall) if self.matched else 0.0
        who, when = (right / (self.matched or 1) for right in (self.assignees, self.due_dates))
        rouge, baseline = (sum(scores) / len(scores) for scores in (self.rouge, self.baseline))
        return (
            f"{self.notes:5} {self.labelled:6}   {precision:9.2f} {recall:6.2f} {f1:5.2f}   {who:8.2f} {when:8.2f}   "
            f"{rouge:7.3f} {baseline:8.3f}"
        )


def words(text: str) -> list[str]:
    return re.findall(r"[^\W_]+", text.lower())


def rouge_l(text: str, reference: str) -> float:
    """F1 of the longest common subsequence of words."""
    one, other = words(text), words(reference)
    lengths = [0] * (len(other) + 1)
    for word in one:
        diagonal = 0
        for index, against in enumerate(other, 1):
            diagonal, lengths[index] = (
                lengths[index],
                diagonal + 1 if word == against else max(lengths[index], lengths[index - 1]),
            )
    return 2 * lengths[-1] / (len(one) + len(other)) if one or other else 1.0


def first_three(text: str) -> str:
    return " ".join(sentence.text for sentence in [s for s in sentences(text) if not s.heading][:3])


def likeness(one: str, other: str) -> float:
    """F1 of two titles' words without stop words, compared by their first five letters."""
    first, second = ({word[:5] for word in words(title) if word not in _STOP} for title in (one, other))
    common = len(first & second)
    return 2 * common / (len(first) + len(second)) if common else 0.0


def matches(labels: Sequence[dict[str, Any]], items: Sequence[ActionItem]) -> list[tuple[dict[str, Any], ActionItem]]:
    """The pairs of labelled and found items, the likest first."""
    ranked = sorted(
        (
            (likeness(label["title"], item.title), i, j)
            for i, label in enumerate(labels)
            for j, item in enumerate(items)
        ),
        key=lambda pair: (-pair[0], pair[1:]),
    )
    left, right, pairs = set(range(len(labels))), set(range(len(items))), []
    for score, i, j in ranked:
        if score >= SAME_TITLE and i in left and j in right:
            left.remove(i)
            right.remove(j)
            pairs.append((labels[i], items[j]))
    return pairs


def due_of(label: dict[str, Any]) -> datetime | None:
    return datetime.fromisoformat(label["due"]) if label["due"] else None


def show_errors(
    note: dict[str, Any], text: str, items: Sequence[ActionItem], pairs: Sequence[tuple[Any, ActionItem]]
) -> None:
    ours, baseline = (rouge_l(summary, note["summary"]) for summary in (text, first_three(note["text"])))
    print(f"\n{note['id']}  {ours:.2f} / {baseline:.2f}")
    print(f"  {text}")
    for label in note["action_items"]:
        if not any(label is matched for matched, _ in pairs):
            print(f"  missed: {label}")
    for item in items:
        if not any(item is matched for _, matched in pairs):
            print(f"  wrong: {item}")
    for label, item in pairs:
        if label["assignee"] != item.assignee or due_of(label) != item.due_date:
            print(f"  differs: {label} {item.assignee} {item.due_date}")


def table(notes: Iterable[tuple[dict[str, Any], str, list[ActionItem], list[Any]]], title: str) -> None:
    groups: dict[str, Figures] = {}
    for note, *result in notes:
        for group in (note["language"], "all"):
            groups.setdefault(group, Figures()).add(note, *result)
    print(f"\n{title:8}  notes  items   precision recall    F1   assignee due date   ROUGE-L  first 3")
    for group in sorted(groups, key=lambda name: (name == "all", name)):
        print(f"{group:8}  {groups[group].row()}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--errors", action="store_true", help="what went wrong in the notes that are not held out")
    parser.add_argument("--tuning", action="store_true", help="without the held-out notes")
    options = parser.parse_args()
    results = []
    for note in yaml.safe_load(NOTES.read_text(encoding="utf-8")):
        if options.tuning and note.get("held_out"):
            continue
        summary = ExtractiveSummarizer().summarize(note["text"], now=note["now"])
        pairs = matches(note["action_items"], summary.action_items)
        results.append((note, summary.text, summary.action_items, pairs))
        if options.errors and not note.get("held_out"):
            show_errors(note, summary.text, summary.action_items, pairs)
    table((result for result in results if not result[0].get("held_out")), "tuned on")
    if not options.tuning:
        table((result for result in results if result[0].get("held_out")), "held out")


if __name__ == "__main__":
    main()
