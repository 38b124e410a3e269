"""Messages: what they look like, and that nothing people wrote becomes a header or markup."""

import base64
from types import SimpleNamespace

import pytest

from mesh import Attachment
from mesh.declarations.actors import SYSTEM
from mesh.declarations.invocation import Invocation
from mesh.execution import flush
from mesh.execution.service import Service
from mesh.execution.unit_of_work import Work
from mesh.mail.delivery import backend_of, message_of
from mesh.models import Mail, Outbox
from mesh.tests.jobs import due_now, run_jobs
from mesh.tests.mail_server import listening, mails_in, parsed, texts_of

TASK = {"title": "Call the bank", "description": "", "due_date": None, "project": None}


@pytest.fixture
def sink(settings):
    with listening() as sink:
        settings.EMAIL_URL = sink.url
        yield sink


@pytest.fixture
def folder(settings, tmp_path):
    settings.EMAIL_URL, settings.DATA_DIR = "", tmp_path
    return tmp_path


def written(**changes):
    """One mail, written as a command writes it."""
    fields = {
        "to": "bob@example.com",
        "kind": "task_assigned",
        "template": "task_assigned",
        "context": {"task": SimpleNamespace(**TASK), "who": "Alice"},
        "key": "task_assigned:1",
    }
    call, work = Invocation("", SYSTEM, {}), Work()
    Service(SYSTEM, invocation=call, work=work).mail(**{**fields, **changes})
    flush.flush(call, work, {})


def assign(alice, bob, title="Call the bank", **headers):
    answer = alice.api.post("/tasks", {"title": title, "assignee_id": bob.id}, **headers)
    assert answer.status in (200, 201), answer
    return answer


def test_what_it_looks_like(alice, bob, sink):
    assign(alice, bob)
    run_jobs()
    message, mail = sink.taken[0], Mail.objects.get()
    assert message["From"] == "Meshwork <meshwork@localhost>"
    assert message["To"] == "bob@example.com"
    assert message["Message-ID"] == mail.message_id
    assert message["Date"].datetime == mail.created_at.replace(microsecond=0)
    assert message["Auto-Submitted"] == "auto-generated"
    assert message["List-Unsubscribe"].strip() == f"<{mail.unsubscribe_url}>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/alternative",
        "text/plain",
        "text/html",
    ]
    text, html = texts_of(message)
    assert text == (
        "Alice gave you a task.\n\nCall the bank\n\n-- \n"
        f"Sent by Meshwork at http://localhost:8000 to bob@example.com.\n"
        f"Unsubscribe: {mail.unsubscribe_url}\n"
    )
    assert mail.unsubscribe_url.startswith("http://localhost:8000/unsubscribe?token=")
    assert '<p style="margin:0 0 12px;">Alice gave you a task.</p>' in html
    assert "prefers-color-scheme: dark" in html


def test_what_people_wrote_is_escaped_in_html_alone(db, folder):
    written(context={"task": SimpleNamespace(**TASK | {"title": "<b>Q&A</b>"}), "who": "O'Hara <x>"})
    mail = Mail.objects.get()
    assert mail.subject == "A task for you: <b>Q&A</b>"
    assert mail.text.startswith("O'Hara <x> gave you a task.\n\n<b>Q&A</b>\n")
    assert "O&#x27;Hara &lt;x&gt; gave you a task." in mail.html
    assert "<b>" not in mail.html


@pytest.mark.parametrize(
    "sneak", ["\r\nBcc: eve@example.com", "\nBcc: eve@example.com", "\r\n\r\nHello", "\x85Bcc: e@x.y"]
)
def test_no_line_end_reaches_a_header(alice, bob, sink, sneak):
    alice.api.patch("/users/me", {"name": f"Alice{sneak}"})
    assign(alice, bob, title=f"Pay{sneak}")
    run_jobs()
    message = sink.taken[0]
    assert message["Subject"] == "A task for you: Pay " + " ".join(sneak.split())
    assert "Bcc" not in message
    assert sink.recipients == ["bob@example.com"]
    assert [part.get_content_type() for part in message.walk()][1:] == ["text/plain", "text/html"]


@pytest.mark.parametrize(
    "address",
    [
        "bob@example.com\r\nBcc: eve@example.com",
        "bob@example.com\n",
        "bob@example.com, eve@example.com",
        "Bob <b@x.y>",
        "",
    ],
)
def test_an_address_is_one_plain_address(db, address):
    with pytest.raises(ValueError, match="one plain address"):
        written(to=address)
    assert Mail.objects.count() == 0


def test_an_attachments_name_holds_no_line_end(db):
    with pytest.raises(ValueError, match="control characters"):
        written(attachments=[Attachment("a\r\nX: y.ics", "BEGIN", "text/calendar")])


def test_a_subject_is_cut_and_may_be_in_any_script(alice, bob, sink):
    assign(alice, bob, title="Ж" * 200)
    run_jobs()
    assert sink.taken[0]["Subject"].strip() == "A task for you: " + "Ж" * 183 + "…"
    assert len(Mail.objects.get().subject) == 200


def test_a_calendar_goes_as_an_alternative_and_as_a_file(db, sink):
    calendar = "BEGIN:VCALENDAR\r\nSUMMARY:Größe\r\nEND:VCALENDAR\r\n"
    written(attachments=[Attachment("invite.ics", calendar, "text/calendar; method=REQUEST; charset=utf-8")])
    [mail] = Mail.objects.all()
    with backend_of(sink.url) as backend:
        backend.send_messages([message_of(mail)])
    message = sink.taken[0]
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed",
        "multipart/alternative",
        "text/plain",
        "text/html",
        "text/calendar",
        "application/ics",
    ]
    inline, file = (part for part in message.walk() if part.get_content_type() in ("text/calendar", "application/ics"))
    assert inline["Content-Type"] == 'text/calendar; method="REQUEST"; charset="utf-8"'
    assert inline.get_content().replace("\r\n", "\n") == calendar.replace("\r\n", "\n")
    assert file.get_filename() == "invite.ics"
    assert file.get_content() == calendar.encode()
    assert base64.b64decode(mail.attachments[0]["content"]) == calendar.encode()


def test_without_a_server_it_is_one_file_in_a_folder(alice, bob, folder):
    assign(alice, bob)
    run_jobs()
    mail = Mail.objects.get()
    [path] = (folder / "mail").iterdir()
    assert path.name == f"{mail.created_at:%Y%m%dT%H%M%S}-{mail.pk}.eml"
    assert parsed(path.read_bytes())["Message-ID"] == mail.message_id
    Mail.objects.update(status="waiting")
    Outbox.objects.update(status="waiting")
    due_now()
    run_jobs()
    assert len(mails_in(folder)) == 1


def test_the_addresses_of_mail_servers():
    def told(url):
        backend = backend_of(url)
        return backend.host, backend.port, backend.username, backend.password, backend.use_tls, backend.use_ssl

    assert told("smtp://mail.example.com") == ("mail.example.com", 25, "", "", False, False)
    assert told("smtp://u%40x.y:p%2Fw@h?tls=1") == ("h", 587, "u@x.y", "p/w", True, False)
    assert told("smtp://u:p@h:2525?tls=off") == ("h", 2525, "u", "p", False, False)
    assert told("smtps://u:p@h") == ("h", 465, "u", "p", False, True)
    assert backend_of("smtp://h").timeout == 10.0
    for url in ("http://h", "smtp://", "smtp://h?starttls=1", "h:25"):
        with pytest.raises(ValueError, match="EMAIL_URL reads"):
            backend_of(url)


def test_an_admin_sees_the_list_but_not_what_a_mail_says(ada, alice, bob, client):
    assign(alice, bob)
    mail = Mail.objects.get()
    client.force_login(ada.user, "accounts.credentials.AdminBackend")
    assert "A task for you: Call the bank" in client.get("/admin/mesh/mail/").content.decode()
    shown = client.get(f"/admin/mesh/mail/{mail.pk}/change/").content.decode()
    assert mail.message_id.strip("<>") in shown
    assert "gave you a task" not in shown
    assert client.get("/admin/mesh/mail/add/").status_code == 403
    assert client.post(f"/admin/mesh/mail/{mail.pk}/delete/", {"post": "yes"}).status_code == 403
