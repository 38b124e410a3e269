"""Mails as rows, rendered and written in the transaction of the change that they report."""

import base64
import re
import unicodedata
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from email.utils import parseaddr
from functools import cache
from typing import Any

import msgspec
from django.conf import settings
from django.template import Context, Template, engines
from django.utils import dateformat

from mesh.declarations.fields import plain_address
from mesh.declarations.identity import identity
from mesh.stores.postgres import fetch

_MAX_SUBJECT = 200


@dataclass(frozen=True)
class Attachment:
    """A file attached to a mail. The `mimetype` of a calendar includes its method: `text/calendar; method=REQUEST`."""

    filename: str
    content: str | bytes
    mimetype: str


@dataclass(frozen=True, slots=True)
class OutgoingMail:
    """A mail that is not yet written: see `Service.mail`. Raises ValueError unless `to` is one plain address."""

    to: str
    kind: str
    template: str
    context: Mapping[str, Any] | Callable[[], Mapping[str, Any]]
    key: str
    attachments: Sequence[Attachment]
    secret: bool = False

    def __post_init__(self) -> None:
        try:
            plain_address(self.to)
        except ValueError:
            raise ValueError("a mail goes to one plain address") from None


def write(mails: Sequence[OutgoingMail]) -> list[tuple[int, str, str]]:
    """Writes mails, except those already written and those the recipient does not want.

    Returns (id, address, subject)s.
    """
    are_wanted = identity().wants_mail([(mail.to, mail.kind) for mail in mails])
    return _write([mail for mail, is_wanted in zip(mails, are_wanted, strict=True) if is_wanted])


def preview(mails: Sequence[OutgoingMail]) -> list[tuple[int, str, str]]:
    """Like `write`, for a transaction that will be rolled back; returns all mails.

    So a dry run does not reveal whether a mail is wanted, or was already written.
    """
    other = uuid.uuid4().hex
    return _write([replace(mail, key=f"{mail.key}:{other}") for mail in mails])


def _write(mails: Sequence[OutgoingMail]) -> list[tuple[int, str, str]]:
    if not mails:
        return []
    paths = identity().unsubscribe_paths([(mail.to, mail.kind) for mail in mails])
    rows = [_row(mail, path) for mail, path in zip(mails, paths, strict=True)]
    return fetch(_INSERT, [[row[name] for row in rows] for name in _COLUMNS])


#: Each is passed as text: the attachments as JSON, `secret` as `true` or `false`.
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


def _row(mail: OutgoingMail, path: str) -> dict[str, str]:
    unsubscribe_url = f"{settings.SITE_URL}{path}" if path else ""
    shown = {"recipient": mail.to, "site_url": settings.SITE_URL, "unsubscribe_url": unsubscribe_url}
    context = mail.context() if callable(mail.context) else mail.context
    subject, text, html = _rendered(mail.template, {**context, **shown})
    return {
        "key": mail.key,
        "recipient": mail.to,
        "kind": mail.kind,
        "subject": subject,
        "text": text,
        "html": html,
        "attachments": msgspec.json.encode([_packed(attachment) for attachment in mail.attachments]).decode(),
        "message_id": f"<{uuid.uuid4().hex}@{_domain()}>",
        "unsubscribe_url": unsubscribe_url,
        "secret": "true" if mail.secret else "false",
    }


def in_words(time: datetime) -> str:
    """A time for people to read: `Monday, 5 January 2099, 10:00 UTC`."""
    return dateformat.format(time, "l, j F Y, H:i:s" if time.second else "l, j F Y, H:i") + " UTC"


def _packed(attachment: Attachment) -> dict[str, str]:
    content = attachment.content.encode() if isinstance(attachment.content, str) else attachment.content
    mimetype = re.sub(r"\s*;\s*charset=[^;]*", "", attachment.mimetype)  # Django adds the charset of texts itself
    packed = {
        "filename": attachment.filename,
        "mimetype": mimetype,
        "content": base64.b64encode(content).decode(),
    }
    if any(unicodedata.category(char) == "Cc" for char in attachment.filename + mimetype):
        raise ValueError("an attachment's name and type hold no control characters")
    return packed


def _rendered(template: str, context: dict[str, Any]) -> tuple[str, str, str]:
    """Subject, text and HTML. The subject is rendered separately, so that no value of the context can end its line."""
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
