"""A real mail server for the tests, and what the mails that it took say."""

import asyncio
import contextlib
import email
import email.policy
from collections.abc import Callable, Iterator
from email.message import EmailMessage
from pathlib import Path
from typing import Any

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope

OK = "250 Taken"


def parsed(raw: bytes) -> EmailMessage:
    message = email.message_from_bytes(raw, policy=email.policy.SMTP)
    assert isinstance(message, EmailMessage)
    return message


class Sink(Controller):
    """Listens on a port of its own. Replies to each message with the next of `replies`, then with 250.

    A reply that is a number is a wait of so many seconds. `refuses` are the replies to single addresses;
    `login` are the name and password that it asks for; `on_answered` is called when a 250 has gone out.
    """

    def __init__(
        self, *replies: str | float, refuses: dict[str, str] | None = None, login: tuple[str, str] | None = None
    ) -> None:
        self.replies = list(replies)
        self.refuses = refuses or {}
        self.login = login
        self.on_answered: Callable[[], None] = lambda: None
        #: Every message that came whole, and those of them that were answered with 250.
        self.came: list[EmailMessage] = []
        self.taken: list[EmailMessage] = []
        self.recipients: list[str] = []
        super().__init__(handler=self, hostname="127.0.0.1", port=0)

    def factory(self) -> SMTP:
        sink = self

        class Server(SMTP):
            async def push(self, status: Any) -> None:
                await super().push(status)
                if status == OK:
                    sink.on_answered()

        return Server(
            self, auth_required=self.login is not None, auth_require_tls=False, authenticator=self._authenticated
        )

    def _authenticated(self, server: Any, session: Any, envelope: Any, mechanism: str, data: Any) -> AuthResult:
        return AuthResult(success=self.login == (data.login.decode(), data.password.decode()), handled=False)

    async def handle_RCPT(self, server: Any, session: Any, envelope: Envelope, address: str, options: Any) -> str:
        if address in self.refuses:
            return self.refuses[address]
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server: Any, session: Any, envelope: Envelope) -> str:
        message = parsed(bytes(envelope.content or b""))
        self.came.append(message)
        reply = self.replies.pop(0) if self.replies else OK
        if not isinstance(reply, str):
            await asyncio.sleep(reply)
            reply = OK
        if reply == OK:
            self.taken.append(message)
            self.recipients += envelope.rcpt_tos
        return reply

    @property
    def url(self) -> str:
        return f"smtp://127.0.0.1:{self.port}"

    def _trigger_server(self) -> None:
        self.port = self.server.sockets[0].getsockname()[1]  # type: ignore[union-attr]
        super()._trigger_server()


@contextlib.contextmanager
def listening(*replies: str | float, **options: Any) -> Iterator[Sink]:
    sink = Sink(*replies, **options)
    sink.start()
    try:
        yield sink
    finally:
        sink.stop()


def mails_in(folder: Path) -> list[EmailMessage]:
    """The mails in a DATA_DIR, oldest first."""
    files = sorted((folder / "mail").glob("*"), key=lambda path: int(path.stem.rpartition("-")[2]))
    return [parsed(path.read_bytes()) for path in files]


def texts_of(message: EmailMessage) -> tuple[str, str]:
    """The plain text and the HTML of a mail."""
    plain, html = message.get_body(("plain",)), message.get_body(("html",))
    assert plain is not None
    assert html is not None
    return plain.get_content().replace("\r\n", "\n"), html.get_content().replace("\r\n", "\n")
