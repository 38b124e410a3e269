"""How notes are set out: lines, bullets, boxes, headings, labels, chats, quotations, scripts, ends of sentences."""

from datetime import UTC, datetime

import pytest

from notes.extractive import ExtractiveSummarizer
from notes.sentences import LONGEST, Sentence, sentences

NOW = datetime(2026, 3, 4, 10, tzinfo=UTC)


def texts(text: str) -> list[str]:
    return [sentence.text for sentence in sentences(text)]


def items(text: str) -> list[tuple[str, str | None]]:
    return [(item.title, item.assignee) for item in ExtractiveSummarizer().summarize(text, now=NOW).action_items]


@pytest.mark.parametrize(
    "text",
    ["", "   ", "\n\r\n\t", "---\n***\n===", "- \n* \n+", "> \n>\n> >", "* * *", "- [ ]", "•", "Anna:"],
)
def test_what_holds_no_words_has_no_sentences(text):
    assert texts(text) == []


@pytest.mark.parametrize(
    "end", ["\n", "\r\n", "\r", "\u2028", "\x85", "\n\n", "\r\n\r\n", "\n---\n", "\n-- \n", "\n>\n"]
)
def test_lines_end_as_on_any_system(end):
    assert texts(f"First one{end}Second one{end}") == ["First one", "Second one"]


@pytest.mark.parametrize(
    "bullet",
    ["-", "*", "+", "•", "–", "—", "·", "‣", "◦", "●", "○", "»", ">", "->", "→", "1.", "2)", "10.", "a)", "> -"],
)
def test_bullets(bullet):
    assert sentences(f"{bullet} call Bob") == [Sentence("call Bob", bullet=True, paragraph=1)]


@pytest.mark.parametrize("line", ["-call Bob", "1.call Bob", "100. call Bob", "ab) call Bob", "#call Bob"])
def test_what_only_looks_like_a_bullet(line):
    assert not any(sentence.bullet or sentence.heading for sentence in sentences(line))


@pytest.mark.parametrize(
    ("box", "done"),
    [
        ("[ ]", False), ("[]", False), ("☐", False), ("- [ ]", False), ("[x]", True), ("[X]", True), ("[✓]", True),
        ("[✔]", True), ("☑", True), ("✅", True), ("* [x]", True), ("[y]", None), ("-", None),
    ],
)  # fmt: skip
def test_check_boxes(box, done):
    [sentence] = sentences(f"{box} call Bob")
    assert sentence.done is done


@pytest.mark.parametrize(
    ("line", "speaker"),
    [
        ("Anna: so it is.", "Anna"),
        ("Anna : so it is.", "Anna"),
        ("**Anna:** so it is.", "Anna"),
        ("**Anna**: so it is.", "Anna"),
        ("> Anna: so it is.", "Anna"),
        ("@anna: so it is.", "anna"),
        ("Dr. Müller: so it is.", "Dr. Müller"),
        ("O'Neill: so it is.", "O'Neill"),
        ("Müller-Lüdenscheidt: so it is.", "Müller-Lüdenscheidt"),
        ("Anna de la Cruz: so it is.", "Anna de la Cruz"),
        ("Anna (10:02): so it is.", "Anna"),
        ("Anna [Host]: so it is.", "Anna"),
        ("[10:02:33] Anna: so it is.", "Anna"),
        ("(10:02) - Anna: so it is.", "Anna"),
        ("10:02 AM Anna: so it is.", "Anna"),
        ("00:00:01.200 Anna: so it is.", "Anna"),
    ],
)
def test_speakers(line, speaker):
    assert [(sentence.speaker, sentence.text) for sentence in sentences(line)] == [(speaker, "so it is.")]


@pytest.mark.parametrize(
    "line",
    ["TODO: so it is.", "Decision: so it is.", "the thing: so it is.", "Nächste Schritte: so it is.", "http://x.y: z"],
)
def test_what_stands_before_a_colon_and_is_nobody(line):
    assert [(sentence.speaker, sentence.text) for sentence in sentences(line)] == [(None, line)]


@pytest.mark.parametrize(
    ("text", "headings"),
    [
        ("# One\n## Two\n###### Six\n####### seven", ["One", "Two", "Six"]),
        ("Agenda\n=====\nWe met.", ["Agenda"]),
        ("**Agenda**\nWe met.", ["**Agenda**"]),
        ("Our agenda:\nWe met.", ["Our agenda:"]),
        ("Agenda\n- one", ["Agenda"]),
        ("Agenda\n\nWe met.", ["Agenda"]),
        ("Agenda\nWe met.", []),
        ("We met.\n\nThen we left.", []),
        ("Place: Vienna\n\nWe met.", []),
        ("x" * 81 + "\n\nWe met.", []),
    ],
)
def test_headings(text, headings):
    assert [sentence.text for sentence in sentences(text) if sentence.heading] == headings


def test_a_section_ends_with_its_first_paragraph_or_its_list():
    text = "## Tasks\n\nIn it.\n\nNot in it.\n\nNext steps:\n- also in it\n- and this\n\nNot this."
    assert [(s.text, s.section) for s in sentences(text) if not s.heading] == [
        ("In it.", "Tasks"),
        ("Not in it.", ""),
        ("also in it", "Next steps"),
        ("and this", "Next steps"),
        ("Not this.", ""),
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('She said "Stop." Then she left.', ['She said "Stop."', "Then she left."]),
        ("„Halt.“ Dann ging sie.", ["„Halt.“", "Dann ging sie."]),
        ("»Halt.« Dann ging sie.", ["»Halt.«", "Dann ging sie."]),
        ("«Vale.» Luego salió.", ["«Vale.»", "Luego salió."]),
        ("‘Stop.’ Then she left.", ["‘Stop.’", "Then she left."]),
        ("„Nein!“ rief er. Dann ging er.", ["„Nein!“ rief er.", "Dann ging er."]),
        ('"Really?" he asked. Yes.', ['"Really?" he asked.', "Yes."]),
        ("He agreed (in part.) Then he left.", ["He agreed (in part.)", "Then he left."]),
        ("We bought *it.* Then we left.", ["We bought *it.*", "Then we left."]),
    ],
)
def test_a_quotation_ends_its_sentence(text, expected):
    assert texts(text) == expected


@pytest.mark.parametrize(
    "sentence",
    [
        "It was 5 p.m. when we met.", "Version 2.10.3 is out.", "Um 10.30 Uhr beginnt es.", "No. 5 is alive.",
        "Siehe Art. 5 und Nr. 3.", "La Dra. Ruiz y el Sr. López vinieron.", "EE.UU. y p. ej. Francia.",
        "Tom met J. R. R. Tolkien.", "Acme Ltd. sells it.", "Er kommt am 12. Mai.", "Well… yes.", "Wait... what?",
        "See [it](http://a.b/c.d).", "It is at www.example.com now.",
    ],
)  # fmt: skip
def test_what_ends_no_sentence(sentence):
    assert texts(f"{sentence} Then we left.") == [sentence, "Then we left."]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("שלום עולם. מה שלומך? טוב!", ["שלום עולם.", "מה שלומך?", "טוב!"]),
        ("مرحبا. كيف حالك؟ بخير.", ["مرحبا.", "كيف حالك؟", "بخير."]),
        ("यह वाक्य है। दूसरा।", ["यह वाक्य है।", "दूसरा।"]),
        ("これは文です。次！終わり？はい", ["これは文です。", "次！", "終わり？", "はい"]),
        ("👍 Great! 🎉 We won. 😀", ["👍 Great!", "🎉 We won.", "😀"]),
        ("¡Hola! ¿Qué tal? Bien.", ["¡Hola!", "¿Qué tal?", "Bien."]),
    ],
)
def test_other_scripts(text, expected):
    assert texts(text) == expected


def test_what_never_ends_is_cut_between_words_or_else_anywhere():
    assert [len(part) for part in texts("x" * (2 * LONGEST + 3))] == [LONGEST, LONGEST, 3]
    parts = texts("word " * 250)
    assert [len(part) for part in parts] == [499, 494, 254]
    assert " ".join(parts) == " ".join(["word"] * 250)


def test_plain_is_one_line_without_emphasis():
    [sentence] = sentences("- **Anna** will\n  send `it` by _Friday_, see snake_case and 2*3.")
    assert sentence.text == "**Anna** will\n  send `it` by _Friday_, see snake_case and 2*3."
    assert sentence.plain == "Anna will send it by Friday, see snake_case and 2*3."


@pytest.mark.parametrize(
    "bullet",
    [
        "Anna: book flights", "Anna – book flights", "Anna | book flights", "book flights (Anna)",
        "book flights [Anna]", "book flights – Anna", "book flights -> Anna", "book flights, Anna",
        "book flights (owner: Anna)",
        "**Anna**: book flights", "Anna to book flights", "[ ] book flights (Anna)", "Anna will book flights",
        "book flights (Anna, by Friday)", "book flights by Friday (5pm) – Anna",
    ],
)  # fmt: skip
def test_whose_bullet_it_is(bullet):
    assert items(f"Next steps:\r\n\r\n- {bullet}\r\n") == [("Book flights", "Anna")]


@pytest.mark.parametrize(
    ("bullet", "title", "who"),
    [
        ("Folien machen – Anna", "Folien machen", "Anna"),
        ("Folien machen, Anna", "Folien machen", "Anna"),
        ("Folien machen @anna", "Folien machen", "anna"),
        ("Folien machen (verantwortlich: Anna)", "Folien machen", "Anna"),
        ("firmar el contrato – Ana", "Firmar el contrato", "Ana"),
        ("firmar el contrato (responsable: Ana)", "Firmar el contrato", "Ana"),
        ("Anna and Bob: book flights", "Book flights", "Anna and Bob"),
        ("Anna, Bob & Eve: book flights", "Book flights", "Anna, Bob & Eve"),
        ("call the bank @anna @bob", "Call the bank @bob", "anna"),
    ],
)
def test_whose_bullet_it_is_under_no_heading(bullet, title, who):
    assert items(f"- {bullet}") == [(title, who)]


@pytest.mark.parametrize(
    ("label", "who"),
    [
        ("TODO:", None), ("To-do:", None), ("Action item:", None), ("Action required:", None), ("Next step:", None),
        ("Follow-up -", None), ("Reminder:", None), ("Don't forget:", None), ("TODO (Anna):", "Anna"),
        ("To-do for Anna:", "Anna"), ("Task Anna:", "Anna"), ("Aufgabe für Anna:", "Anna"),
        ("Tarea para Anna:", "Anna"),
        ("Próximo paso:", None), ("Nächster Schritt:", None), ("Maßnahme:", None), ("Recordatorio:", None),
    ],
)  # fmt: skip
def test_labels_of_tasks(label, who):
    assert items(f"{label} book flights") == [("Book flights", who)]


@pytest.mark.parametrize("what", ["none", "None.", "TBD", "n/a", "do it", "Keine", "das machen", "ninguna", "hacerlo"])
def test_a_label_without_a_task(what):
    assert items(f"TODO: {what}") == []


@pytest.mark.parametrize(
    "text",
    [
        "## Done\n- book flights\n- pay the rent", "Erledigt:\n- Folien machen", "Hecho\n- firmar el contrato",
        "- book flights (done)", "- book flights ✓ done", "- ~~book flights~~", "- Done: book flights",
        "- Folien machen: erledigt", "- firmar el contrato – hecho", "- [x] book flights by Friday",
    ],
)  # fmt: skip
def test_what_is_done_is_nothing_to_do(text):
    assert items(text) == []


@pytest.mark.parametrize(
    ("chat", "title"),
    [
        ("Anna: Can you call the bank?\nBob: Will do.", "Call the bank"),
        ("**Anna:** Who calls the bank?\n**Bob:** Sure.", "Call the bank"),
        ("Anna: Wer macht die Folien?\nBob: Mache ich.", "Die Folien machen"),
        ("Anna: Kannst du die Folien machen?\nBob: Klar.", "Die Folien machen"),
        ("Ana: ¿Quién mira el contrato?\nBob: Me encargo.", "Mirar el contrato"),
        ("[10:02] Anna: Who calls the bank?\n[10:03] Eve: Hm.\n[10:04] Bob: I can do it.", "Call the bank"),
    ],
)
def test_who_says_yes_in_any_language(chat, title):
    assert items(chat) == [(title, "Bob")]


def test_a_yes_that_comes_late_is_not_to_the_question():
    chat = "Anna: Who does the flyers?\nBob: It rains.\nEve: No.\nTom: Hm.\nMax: Sure."
    assert items(chat) == []


def test_the_frame_of_a_mail_is_no_task_and_its_marks_are_not_in_the_summary():
    mail = "Hi all,\n\n> Who?\n>\n> - \nTom will call the bank by Friday.\n\nThanks,\nMaria\n-- \nMaria Huber\nSales"
    summary = ExtractiveSummarizer().summarize(mail, now=NOW)
    assert [(item.title, item.assignee) for item in summary.action_items] == [("Call the bank", "Tom")]
    assert not {">", "-", "--"} & set(summary.text.split())
