"""Mail: written in the transaction of the change that it tells of, sent by a job (`mesh/services.py`).

A mail's templates are `mail/<template>.txt`, whose first line is `Subject: …` and stands alone, and
`mail/<template>.html`, which extends `mail/base.html`. The footer of the text is added here.
"""

import base64
import os
import re
import smtplib
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import format_datetime, parseaddr
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import msgspec
import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend
from django.template import Context, Template, engines
from django.utils import dateformat

from mesh.call import identity
from mesh.database import fetch
from mesh.models import Mail

log = structlog.get_logger(__name__)

TIMEOUT = 10.0  # seconds that each answer of the mail server may take
_MAX_SUBJECT = 200
_PART = r"[^\s\x00-\x1f\x7f<>()\[\]\\,;:\"@]+"
_ADDRESS = re.compile(f"(?=.{{1,254}}$){_PART}@{_PART}")


@dataclass(frozen=True)
class Attachment:
    """A file that goes with a mail; a calendar's `mimetype` names its method: `text/calendar; method=REQUEST`."""

    filename: str
    content: str | bytes
    mimetype: str


@dataclass(frozen=True, slots=True)
class Letter:
    """A mail that a command or job asked for, not yet written: see `Service.mail`."""

    to: str
    kind: str
    template: str
    context: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    key: str
    attachments: Sequence[Attachment]
    secret: bool = False

    def __post_init__(self) -> None:
        if _ADDRESS.fullmatch(self.to) is None:
            raise ValueError("a mail goes to one plain address")


class MailRefused(Exception):
    """The mail server will not take this mail, however often it is asked."""

    retryable = False


def write(letters: Sequence[Letter]) -> list[tuple[int, str, str]]:
    """Writes mails: the id, address and subject of each, without those written before and those nobody wants."""
    wanted = identity().wants_mail([(letter.to, letter.kind) for letter in letters])
    return _write([letter for letter, wants in zip(letters, wanted, strict=True) if wants])


def foretell(letters: Sequence[Letter]) -> list[tuple[int, str, str]]:
    """The same for a transaction that will be rolled back, of all of them: who is foretold a mail does not learn
    whether it is wanted, or was written before."""
    other = uuid.uuid4().hex
    return _write([replace(letter, key=f"{letter.key}:{other}") for letter in letters])


def _write(letters: Sequence[Letter]) -> list[tuple[int, str, str]]:
    if not letters:
        return []
    paths = identity().unsubscribe_paths([(letter.to, letter.kind) for letter in letters])
    rows = [_row(letter, path) for letter, path in zip(letters, paths, strict=True)]
    return fetch(_INSERT, [[row[name] for row in rows] for name in _COLUMNS])


#: A text each; the attachments' is JSON, whether it is secret `true` or `false`.
_COLUMNS = (
    "key", "recipient", "kind", "subject", "text", "html", "attachments", "message_id", "unsubscribe_url", "secret",
)  # fmt: skip
_VALUES = ", ".join(_COLUMNS).replace("attachments", "attachments::jsonb").replace("secret", "secret::boolean")
_INSERT = (
    f"INSERT INTO mesh_mail ({', '.join(_COLUMNS)}, status, error)"  # noqa: S608  (names of ours)
    f" SELECT {_VALUES}, 'waiting', ''"
    f" FROM unnest({', '.join(['%s::text[]'] * len(_COLUMNS))}) AS mail ({', '.join(_COLUMNS)})"
    " ON CONFLICT DO NOTHING RETURNING id, recipient, subject"
)


def _row(letter: Letter, path: str) -> dict[str, str]:
    unsubscribe_url = f"{settings.SITE_URL}{path}" if path else ""
    shown = {"recipient": letter.to, "site_url": settings.SITE_URL, "unsubscribe_url": unsubscribe_url}
    context = letter.context() if callable(letter.context) else letter.context
    subject, text, html = _rendered(letter.template, {**context, **shown})
    return {
        "key": letter.key,
        "recipient": letter.to,
        "kind": letter.kind,
        "subject": subject,
        "text": text,
        "html": html,
        "attachments": msgspec.json.encode([_packed(attachment) for attachment in letter.attachments]).decode(),
        "message_id": f"<{uuid.uuid4().hex}@{_domain()}>",
        "unsubscribe_url": unsubscribe_url,
        "secret": "true" if letter.secret else "false",
    }


def deliver(mail: Mail) -> None:
    """Sends a mail, or puts it into the folder. Raises MailRefused, or OSError where it may be tried again."""
    if settings.EMAIL_URL:
        _send(mail, backend_of(settings.EMAIL_URL))
    else:
        _store(mail, Path(settings.DATA_DIR) / "mail")


def in_words(time: datetime) -> str:
    """A time as people read it: `Monday, 5 January 2099, 10:00 UTC`."""
    return dateformat.format(time, "l, j F Y, H:i:s" if time.second else "l, j F Y, H:i") + " UTC"


def backend_of(url: str) -> EmailBackend:
    """The mail server at `smtp://user:password@host:port?tls=1` or `smtps://…`. Raises ValueError."""
    parts = urlsplit(url)
    options = parse_qs(parts.query, strict_parsing=bool(parts.query))
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or options.keys() - {"tls"}:
        raise ValueError("EMAIL_URL reads smtp://user:password@host:587?tls=1 or smtps://user:password@host:465")
    tls = options.get("tls", ["0"])[-1].lower() in ("1", "on", "true", "yes")
    secure = parts.scheme == "smtps"
    return EmailBackend(
        host=parts.hostname,
        port=parts.port or (465 if secure else 587 if tls else 25),
        username=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        use_tls=tls and not secure,
        use_ssl=secure,
        timeout=TIMEOUT,
    )


def message_of(mail: Mail) -> EmailMultiAlternatives:
    """The message as it travels, the same at every try but for its boundaries."""
    headers = {
        "Message-ID": mail.message_id,
        "Date": format_datetime(mail.created_at),
        "Auto-Submitted": "auto-generated",
    }
    if mail.unsubscribe_url:
        headers["List-Unsubscribe"] = f"<{mail.unsubscribe_url}>"
        headers["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    message = EmailMultiAlternatives(mail.subject, mail.text, settings.EMAIL_FROM, [mail.recipient], headers=headers)
    message.attach_alternative(mail.html, "text/html")
    for packed in mail.attachments:
        content, mimetype = base64.b64decode(packed["content"]), packed["mimetype"]
        if mimetype.startswith("text/calendar"):
            # What calendars look for is the alternative; the file is for everyone else, under a type they do not
            # take for a second invitation.
            message.attach_alternative(content.decode(), mimetype)
            mimetype = "application/ics"
        message.attach(packed["filename"], content, mimetype)
    return message


def _send(mail: Mail, backend: EmailBackend) -> None:
    try:
        backend.open()
        backend.send_messages([message_of(mail)])
    except smtplib.SMTPRecipientsRefused as error:
        code, reason = next(iter(error.recipients.values()))
        raise _refusal(code, reason) from None
    except smtplib.SMTPDataError as error:
        raise _refusal(error.smtp_code, error.smtp_error) from None
    finally:
        _close(backend)


def _refusal(code: int, reason: bytes | str) -> Exception:
    said = f"{code} {reason.decode(errors='replace') if isinstance(reason, bytes) else reason}"
    return MailRefused(said) if code >= 500 else OSError(said)


def _close(backend: EmailBackend) -> None:
    """Whatever happens at the farewell, the mail's fate is decided."""
    try:
        backend.close()
    except (OSError, smtplib.SMTPException) as error:
        log.info("mail_server_left", error=str(error))


def _store(mail: Mail, folder: Path) -> None:
    """One file a mail: a second try writes the same one."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{mail.created_at:%Y%m%dT%H%M%S}-{mail.pk}.eml"
    draft = path.with_suffix(f".{os.getpid()}")
    message: Any = message_of(mail).message()
    draft.write_bytes(message.as_bytes(linesep="\r\n"))
    draft.replace(path)


def _packed(attachment: Attachment) -> dict[str, str]:
    content = attachment.content.encode() if isinstance(attachment.content, str) else attachment.content
    mimetype = re.sub(r"\s*;\s*charset=[^;]*", "", attachment.mimetype)  # texts are UTF-8, and say so
    packed = {
        "filename": attachment.filename,
        "mimetype": mimetype,
        "content": base64.b64encode(content).decode(),
    }
    if any(unicodedata.category(char) == "Cc" for char in attachment.filename + mimetype):
        raise ValueError("an attachment's name and type hold no control characters")
    return packed


def _rendered(template: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML. The subject is rendered alone, so that no value of the context can end its line."""
    engine = engines["django"].engine  # type: ignore[attr-defined]
    first, _, rest = engine.get_template(f"mail/{template}.txt").source.partition("\n")
    if not first.startswith("Subject: "):
        raise ValueError(f"mail/{template}.txt must begin with `Subject: `")
    plain = Context(context, autoescape=False)
    subject = _one_line(_compiled(first.removeprefix("Subject: ")).render(plain))
    context["subject"] = subject
    plain = Context(context, autoescape=False)
    text = _compiled(rest).render(plain).strip() + "\n\n" + engine.get_template("mail/footer.txt").render(plain)
    html: str = engine.get_template(f"mail/{template}.html").render(Context(context))
    return subject, text, html


@cache
def _compiled(source: str) -> Template:
    return Template(source)


def _one_line(text: str) -> str:
    printable = "".join(" " if unicodedata.category(char) in ("Cc", "Zl", "Zp") else char for char in text)
    line = " ".join(printable.split())
    return line if len(line) <= _MAX_SUBJECT else line[: _MAX_SUBJECT - 1] + "…"


def _domain() -> str:
    return parseaddr(settings.EMAIL_FROM)[1].rpartition("@")[2] or "localhost"
