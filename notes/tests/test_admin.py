"""Notes in the admin: everyone's, changed through operations alone, with what was found in them."""

import pytest
from django.test import Client

from accounts.tests.assertions import nothing_changes
from accounts.tests.browser import submit, text_of
from mesh.models import AuditEntry, Outbox
from notes.models import ActionItem, Note

NOTES = "/admin/notes/note/"


@pytest.fixture
def site(ada):
    client = Client()
    client.force_login(ada.user)
    return client


@pytest.fixture
def make(alice):
    def made(text="Text", author=alice, **fields):
        return Note.objects.create(author=author.user, raw_text=text, **fields)

    return made


def act(site, action, *notes, **fields):
    """The words of the list after an action on its rows."""
    sent = {"action": action, "_selected_action": [str(note.pk) for note in notes], **fields}
    return text_of(site.post(NOTES, sent, follow=True))


def audited():
    """The operations that came through the admin, and what became of them."""
    return list(AuditEntry.objects.filter(door="admin").order_by("pk").values_list("operation", "outcome", "row_id"))


def titles(page):
    return [note.title() for note in page.context["cl"].result_list]


def errors_of(response):
    return response.context["adminform"].form.errors


def test_everyones_notes_are_listed_newest_first_and_found(site, make, alice, bob):
    meeting = alice.api.post("/meetings", {"title": "Kickoff", "scheduled_time": "2026-01-05"}).json["id"]
    contact = alice.api.post("/contacts", {"name": "Ann", "email": "ann@example.com", "company": "Acme"}).json["id"]
    make("One\r\nmore", meeting_id=meeting)
    make("Two", contact_id=contact, status="failed", error="Took too long.")
    make("Three", author=bob, summary="Third.\nMore.", status="done")
    make("Four", author=bob, status="processing")
    assert titles(site.get(NOTES)) == ["Four", "Third.", "Two", "One"]
    for query, found in {
        "status__exact=queued": ["One"], "status__exact=failed": ["Two"], "status__exact=none": [],
        f"author__id__exact={bob.id}": ["Four", "Third."], "q=three": ["Third."], "q=third": ["Third."],
        "q=bob%40example.com": ["Four", "Third."], "q=KICKOFF": ["One"], "q=ann": ["Two"], "q=nothing": [],
        "q=four&status__exact=processing": ["Four"], "q=four&status__exact=done": [],
    }.items():  # fmt: skip
        assert titles(site.get(f"{NOTES}?{query}")) == found, query


def test_a_note_is_shown_with_its_summary_items_and_error(site, make, alice):
    task = alice.api.post("/tasks", {"title": "Ring them"}).json["id"]
    note = make(
        "<b>Maria</b> calls.", summary="Calls & more.", status="failed", error="The model's server answered 500."
    )
    ActionItem.objects.create(note=note, title="Call", assignee="Maria", quote="<b>Maria</b> calls.", task_id=task)
    page = site.get(f"{NOTES}{note.pk}/change/")
    shown = text_of(page)
    for text in ("Calls & more.", "The model's server answered 500.", "Call", "Maria", "Ring them", "failed", "Alice"):
        assert text in shown, text
    assert b"<b>Maria</b> calls." not in page.content
    assert errors_of(page) == {}


def test_action_items_are_only_shown(site, make):
    note = make("Text")
    item = ActionItem.objects.create(note=note, title="Call", quote="Text")
    sent = {"action_items-TOTAL_FORMS": "1", "action_items-INITIAL_FORMS": "1", "action_items-0-id": str(item.pk)}
    sent |= {"action_items-0-note": str(note.pk), "action_items-0-title": "Taken", "action_items-0-DELETE": "on"}
    with nothing_changes():
        response = submit(site, f"{NOTES}{note.pk}/change/", "note_form", **sent)
        assert response.status_code == 302


@pytest.mark.parametrize("field", ["author", "status", "summary", "error", "revision", "created_at"])
def test_what_an_operation_does_not_take_is_not_read(site, make, ada, field):
    note = make("Text")
    with nothing_changes():
        assert submit(site, f"{NOTES}{note.pk}/change/", "note_form", **{field: str(ada.id)}).status_code == 302


def test_who_adds_a_note_is_its_author_and_its_summary_is_queued(site, ada, alice):
    contact = alice.api.post("/contacts", {"name": "Ann", "email": "ann@example.com", "company": "Acme"}).json["id"]
    sent = {"raw_text": " One\r\n\r\nTwo \r\n", "contact": str(contact), "author": str(alice.id)}
    assert submit(site, f"{NOTES}add/", "note_form", **sent).status_code == 302
    note = Note.objects.get()
    assert (note.author_id, note.raw_text, note.contact_id, note.status) == (
        ada.id, " One\n\nTwo \n", contact, "queued",
    )  # fmt: skip
    assert audited() == [("add_note", "ok", str(note.pk))]
    assert list(Outbox.objects.values_list("operation", flat=True)) == ["summarize_note"]


def test_a_text_of_no_or_too_many_characters_is_refused_beside_its_field(site, make):
    note = make("Text")
    with nothing_changes():
        for path in (f"{NOTES}add/", f"{NOTES}{note.pk}/change/"):
            for text in ("", "x" * 100_001):
                response = submit(site, path, "note_form", raw_text=text)
                assert response.status_code == 200
                assert errors_of(response).keys() == {"raw_text"}
    assert audited() == []


def test_another_text_is_summarized_again_and_another_meeting_is_not(site, make, alice):
    meeting = alice.api.post("/meetings", {"title": "M", "scheduled_time": "2026-01-05"}).json["id"]
    note = make("Text", status="done", summary="Short")
    path = f"{NOTES}{note.pk}/change/"
    assert submit(site, path, "note_form", meeting=str(meeting)).status_code == 302
    note.refresh_from_db()
    assert (note.meeting_id, note.status, note.revision) == (meeting, "done", 1)
    assert submit(site, path, "note_form", raw_text="Other").status_code == 302
    note.refresh_from_db()
    assert (note.raw_text, note.status, note.revision, note.summary) == ("Other", "queued", 2, "Short")
    assert audited() == [("update_note", "ok", str(note.pk))] * 2


def test_summarizing_again_queues_all_that_were_chosen(site, make, bob):
    failed, done = make("One", status="failed", error="No."), make("Two", author=bob, status="done", summary="2")
    other = make("Three", status="done")
    assert "To be summarized again: 2." in act(site, "summarize", failed, done)
    for note in (failed, done, other):
        note.refresh_from_db()
    assert [(n.status, n.error, n.revision) for n in (failed, done, other)] == [
        ("queued", None, 2), ("queued", None, 2), ("done", None, 1),
    ]  # fmt: skip
    jobs = Outbox.objects.filter(operation="summarize_note").order_by("pk")
    assert [job.arguments for job in jobs] == [{"id": note.pk, "revision": 2} for note in (failed, done)]
    assert audited() == [("summarize_again", "ok", str(failed.pk)), ("summarize_again", "ok", str(done.pk))]


def test_deleting_asks_first_and_takes_the_items_along(site, make, alice):
    note, kept = make("One"), make("Two")
    ActionItem.objects.create(note=note, title="Call", quote="One")
    with nothing_changes():
        asked = act(site, "delete_selected", note)
    assert "One" in asked
    assert "Deleted: 1." in act(site, "delete_selected", note, post="yes")
    assert list(Note.objects.all()) == [kept]
    assert not ActionItem.objects.exists()
    assert [(operation, outcome) for operation, outcome, _ in audited()] == [("delete_note", "ok")]
    assert alice.api.get(f"/notes/{note.pk}").status == 404


def test_only_admins_come_in(make, alice, bob):
    note = make("Text")
    for person in (None, alice, bob):
        client = Client()
        if person:
            client.force_login(person.user)
        with nothing_changes():
            for path in (NOTES, f"{NOTES}add/", f"{NOTES}{note.pk}/change/", f"{NOTES}{note.pk}/delete/"):
                assert client.get(path).status_code == 302
                assert client.post(path, {"post": "yes", "raw_text": "x"}).status_code == 302
