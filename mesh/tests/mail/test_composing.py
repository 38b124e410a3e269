"""Mails before they go: addresses, subjects on one line, both texts with their footer, attachments, servers."""

import base64
import random
from datetime import UTC, datetime
from typing import Any

import pytest

from mesh import Attachment
from mesh.mail.delivery import backend_of, message_of
from mesh.mail.messages import OutgoingMail, in_words
from mesh.models import Mail

AT = datetime(2030, 1, 1, 10, tzinfo=UTC)


def mail(**changes: Any) -> Mail:
    fields = {
        "key": "k",
        "recipient": "bob@example.com",
        "kind": "task_assigned",
        "subject": "Plan",
        "text": "Hello.\n",
        "html": "<p>Hello.</p>\n",
        "attachments": [],
        "message_id": "<1@example.com>",
        "unsubscribe_url": "",
        "created_at": AT,
    }
    return Mail(**{**fields, **changes})


def packed(filename: str, content: bytes, mimetype: str) -> dict[str, str]:
    return {"filename": filename, "mimetype": mimetype, "content": base64.b64encode(content).decode()}


def letter(to: str) -> OutgoingMail:
    return OutgoingMail(to, "task_assigned", "shared", {}, "k", ())


@pytest.mark.parametrize(
    "to",
    [
        "bob@example.com",
        "a+b.c@example.co.uk",
        "ü@exämple.com",
        "a@office.local",
        "x" * 242 + "@example.com",
        "o'neil@example.com",
    ],
)
def test_a_mail_goes_to_one_plain_address(to):
    assert letter(to).to == to


@pytest.mark.parametrize(
    "to",
    [
        "", "bob", "@example.com", "bob@", "a@b@c", "Bob <bob@example.com>", "a@example.com,b@example.com",
        "a@example.com b@example.com", "a@example.com\nBcc: c@example.com", "a\r@example.com", "a@example.com\n",
        '"a b"@example.com', "a@[127.0.0.1]", "a;b@example.com", "a\x00@example.com", "x" * 243 + "@example.com",
    ],
)  # fmt: skip
def test_what_is_not_one_plain_address_is_a_bug(to):
    with pytest.raises(ValueError, match="a mail goes to one plain address"):
        letter(to)


@pytest.mark.parametrize(
    ("time", "words"),
    [
        (AT, "Tuesday, 1 January 2030, 10:00 UTC"),
        (AT.replace(second=5), "Tuesday, 1 January 2030, 10:00:05 UTC"),
        (AT.replace(hour=0, day=31), "Thursday, 31 January 2030, 00:00 UTC"),
    ],
)
def test_a_time_in_words(time, words):
    assert in_words(time) == words


def test_a_message_is_the_same_at_every_try(settings):
    settings.EMAIL_FROM = "Meshwork <meshwork@example.com>"
    message = message_of(mail()).message()
    assert {name: message[name] for name in ("From", "To", "Subject", "Message-ID", "Date", "Auto-Submitted")} == {
        "From": "Meshwork <meshwork@example.com>",
        "To": "bob@example.com",
        "Subject": "Plan",
        "Message-ID": "<1@example.com>",
        "Date": "Tue, 01 Jan 2030 10:00:00 +0000",
        "Auto-Submitted": "auto-generated",
    }
    assert [part.get_content_type() for part in message.walk()] == ["multipart/alternative", "text/plain", "text/html"]
    assert "List-Unsubscribe" not in message


def test_a_kind_that_can_be_turned_off_says_where_for_programs_too():
    message = message_of(mail(unsubscribe_url="https://example.com/unsubscribe?token=a")).message()
    assert message["List-Unsubscribe"] == "<https://example.com/unsubscribe?token=a>"
    assert message["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"


def test_a_calendar_is_an_alternative_that_names_its_method_and_a_file():
    calendar = b"BEGIN:VCALENDAR\r\nEND:VCALENDAR\r\n"
    message = message_of(mail(attachments=[packed("invite.ics", calendar, "text/calendar; method=REQUEST")])).message()
    assert [part.get_content_type() for part in message.walk()] == [
        "multipart/mixed", "multipart/alternative", "text/plain", "text/html", "text/calendar", "application/ics",
    ]  # fmt: skip
    inline, file = list(message.walk())[-2:]
    assert (inline.get_param("method"), inline.get_param("charset")) == ("REQUEST", "utf-8")
    assert (file.get_filename(), file.get_payload(decode=True)) == ("invite.ics", calendar)


def test_another_file_is_attached_alone():
    message = message_of(mail(attachments=[packed("a.pdf", b"%PDF\x00", "application/pdf")])).message()
    *_, file = message.walk()
    assert (file.get_content_type(), file.get_filename(), file.get_payload(decode=True)) == (
        "application/pdf", "a.pdf", b"%PDF\x00",
    )  # fmt: skip


@pytest.mark.parametrize("seed", range(10))
def test_no_subject_and_no_text_makes_a_header_of_its_own(seed):
    """Subjects are on one line by then; a line break that came this far is refused, not sent."""
    dice = random.Random(seed)
    alphabet = "a é中\U0001f600:,<>@\"';=?_"
    subject = " ".join("".join(dice.choice(alphabet) for _ in range(dice.randrange(30))).split())
    text = "".join(dice.choice(alphabet + "\n") for _ in range(200))
    message = message_of(mail(subject=subject, text=f"Bcc: x@example.com\n{text}")).message()
    assert sorted(message.keys()) == sorted(
        ["Content-Type", "MIME-Version", "Subject", "From", "To", "Message-ID", "Date", "Auto-Submitted"]
    )
    with pytest.raises(ValueError, match="newline"):
        message_of(mail(subject=f"{subject}\nBcc: x@example.com")).message()


@pytest.mark.parametrize(
    ("url", "host", "port", "user", "password", "tls", "ssl"),
    [
        ("smtp://h", "h", 25, "", "", False, False),
        ("smtp://h:2525", "h", 2525, "", "", False, False),
        ("smtp://u:p@h?tls=1", "h", 587, "u", "p", True, False),
        ("smtp://u:p@h?tls=on", "h", 587, "u", "p", True, False),
        ("smtp://u:p@h?tls=TRUE", "h", 587, "u", "p", True, False),
        ("smtp://h?tls=0", "h", 25, "", "", False, False),
        ("smtps://u:p@h", "h", 465, "u", "p", False, True),
        ("smtps://h:1465?tls=1", "h", 1465, "", "", False, True),
        ("smtp://a%40b:c%2Fd%3A@h", "h", 25, "a@b", "c/d:", False, False),
        ("smtp://[::1]:25", "::1", 25, "", "", False, False),
    ],
)
def test_a_mail_server_is_what_its_address_says(url, host, port, user, password, tls, ssl):
    backend = backend_of(url)
    assert (backend.host, backend.port, backend.username, backend.password) == (host, port, user, password)
    assert (backend.use_tls, backend.use_ssl, backend.timeout) == (tls, ssl, 10.0)


@pytest.mark.parametrize(
    "url", ["", "h", "h:25", "http://h", "smtp://", "smtp:h", "smtp://h?ssl=1", "smtp://h?tls=1&x=2"]
)
def test_an_address_of_another_form_is_refused_with_what_is_right(url):
    with pytest.raises(ValueError, match=r"EMAIL_URL reads smtp://user:password@host:587\?tls=1 or smtps://"):
        backend_of(url)


def test_an_attachment_is_a_name_a_content_and_a_type():
    file = Attachment("a.txt", "text", "text/plain")
    assert (file.filename, file.content, file.mimetype) == ("a.txt", "text", "text/plain")
    with pytest.raises(AttributeError):
        file.filename = "b"  # type: ignore[misc]


def test_what_is_kept_of_a_mail_once_it_is_sent():
    """Nothing of one that opens an account: those cannot be turned off."""
    assert mail(unsubscribe_url="").remains() == {"text": "", "html": ""}
    assert mail(unsubscribe_url="https://example.com/unsubscribe").remains() == {}
    assert str(mail()) == "Plan → bob@example.com"
