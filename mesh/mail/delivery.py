"""Sending one mail: over SMTP, or into a folder."""

import base64
import os
import smtplib
from email.utils import format_datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import structlog
from django.conf import settings
from django.core.mail import EmailMultiAlternatives
from django.core.mail.backends.smtp import EmailBackend

from mesh.models import Mail

log = structlog.get_logger(__name__)

TIMEOUT = 10.0  # seconds to wait for each answer of the mail server


class MailRefused(Exception):
    """The mail server refuses this mail for good (a 5xx answer)."""

    retryable = False


def deliver(mail: Mail) -> None:
    """Sends a mail, or writes it into the folder. Raises MailRefused, or OSError if a retry may help."""
    if settings.EMAIL_URL:
        _send(mail, backend_of(settings.EMAIL_URL))
    else:
        _store(mail, Path(settings.DATA_DIR) / "mail")


def backend_of(url: str) -> EmailBackend:
    """The mail server at `smtp://user:password@host:port?tls=1` or `smtps://…`. Raises ValueError.

    Does not use `environ.Env.email_url`: there `smtps` means STARTTLS, and it accepts folders and consoles too.
    """
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
    """The message as it is sent: the same at each try, except for its MIME boundaries."""
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
            # Calendars read the alternative. The file is for everyone else, with a type that calendars do not take
            # for a second invitation.
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
    message = f"{code} {reason.decode(errors='replace') if isinstance(reason, bytes) else reason}"
    return MailRefused(message) if code >= 500 else OSError(message)


def _close(backend: EmailBackend) -> None:
    """Closes the connection. Errors are only logged: whether the mail was sent is already decided."""
    try:
        backend.close()
    except (OSError, smtplib.SMTPException) as error:
        log.info("mail_server_left", error=str(error))


def _store(mail: Mail, folder: Path) -> None:
    """Writes one file for each mail; a second try overwrites it."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    path = folder / f"{mail.created_at:%Y%m%dT%H%M%S}-{mail.pk}.eml"
    draft = path.with_suffix(f".{os.getpid()}")
    message: Any = message_of(mail).message()
    draft.write_bytes(message.as_bytes(linesep="\r\n"))
    draft.replace(path)
