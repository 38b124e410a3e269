"""The job that sends mails."""

from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial

from django.db.models.functions import Now

from mesh.declarations.decorators import job
from mesh.declarations.identity import identity
from mesh.execution import mail_budget
from mesh.execution.service import Service
from mesh.mail.delivery import deliver
from mesh.models import Mail, MailStatus

KEEP_SENT_DAYS = 90


class MailService(Service):
    """Mails on their way to the mail server."""

    name = "mails"

    @job(queue="mail", attempts=30, lease=180, gave_up="mail_failed")
    def send_mail(self, *, id: int) -> Generator[Callable[[], None], None, None]:
        """Send one mail.

        A mail server that does not take it is asked again, for about four hours. A mail whose recipient has turned its
        kind off by now is dropped.
        """
        self.changed()
        mail = Mail.objects.filter(pk=id, status__in=(MailStatus.WAITING, MailStatus.FAILED)).first()
        if mail is None:
            return
        if not identity().wants_mail([(mail.recipient, mail.kind)])[0]:
            Mail.objects.filter(pk=id).update(status=MailStatus.DROPPED, error="", **mail.remains())
            return
        yield partial(deliver, mail)
        Mail.objects.filter(pk=id).update(status=MailStatus.SENT, error="", sent_at=Now(), **mail.remains())

    def mail_failed(self, *, id: int, error: str) -> None:
        """The mail was tried for the last time, or refused."""
        self.changed()
        Mail.objects.filter(pk=id).exclude(status=MailStatus.SENT).update(status=MailStatus.FAILED, error=error)

    @job(queue="mail", every=3600)
    def prune_mails(self) -> None:
        """Delete mails that were sent or dropped 90 days ago, and the mail budgets of past days."""
        long_ago = Now() - timedelta(days=KEEP_SENT_DAYS)
        Mail.objects.filter(status=MailStatus.SENT, sent_at__lt=long_ago).delete()
        Mail.objects.filter(status=MailStatus.DROPPED, created_at__lt=long_ago).delete()
        mail_budget.prune()
        self.changed()
