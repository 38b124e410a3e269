"""The mesh's own operations: mails and documents on their way, and what the cache saves."""

from collections.abc import Callable, Generator
from datetime import timedelta
from functools import partial
from typing import Self

from django.db.models.functions import Now
from pydantic import Field

from mesh import documents, mail_budget
from mesh.cache import lookups
from mesh.call import identity
from mesh.declarations import admins, job, query
from mesh.documents import Tried
from mesh.mail import deliver
from mesh.models import Mail, MailStatus
from mesh.schemas import Out
from mesh.service import Service, registry

KEEP_SENT_DAYS = 90


class MailService(Service):
    """Mails on their way."""

    name = "mails"

    @job(queue="mail", attempts=30, lease=180, gave_up="mail_failed")
    def send_mail(self, *, id: int) -> Generator[Callable[[], None], None, None]:
        """Send a mail that was written; a server that does not take it is asked again, for about four hours."""
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
        """Remove mails that were sent, or dropped, three months ago, and the counts of days gone by."""
        long_ago = Now() - timedelta(days=KEEP_SENT_DAYS)
        Mail.objects.filter(status=MailStatus.SENT, sent_at__lt=long_ago).delete()
        Mail.objects.filter(status=MailStatus.DROPPED, created_at__lt=long_ago).delete()
        mail_budget.prune()
        self.changed()


class DocumentService(Service):
    """Rows mirrored as documents."""

    name = "documents"

    @job(queue="documents", lease=60, every=60)
    def store_documents(self) -> Generator[Callable[[], dict[int, Tried]], dict[int, Tried], None]:
        """Store the documents of rows that changed, oldest change first; remove those of rows that are gone."""
        self.changed()
        batch = documents.lease()
        if batch.documents:
            tried = yield partial(documents.store, batch)
            if documents.settle(batch, tried):
                self.defer(self.store_documents)


class LookupsOut(Out):
    """How often an answer was found in the cache."""

    hits: int
    misses: int
    ratio: float | None = Field(description="Hits over all; null where nothing was looked up.")

    @classmethod
    def counted(cls, hits: int, misses: int) -> Self:
        return cls(hits=hits, misses=misses, ratio=round(hits / (hits + misses), 4) if hits + misses else None)


class CacheStatsOut(Out):
    """What the cache saves, since this server was started."""

    hits: int
    misses: int
    ratio: float | None
    operations: dict[str, LookupsOut] = Field(description="The same for each operation whose answers are cached.")


class CacheService(Service):
    """The cache of answers."""

    name = "cache"

    @query("GET /cache/stats", allow=admins)
    def get_cache_stats(self) -> CacheStatsOut:
        """Show how often answers were found in the cache, in all and for each operation."""
        counts = lookups()
        cached = sorted(name for name, operation in registry.operations.items() if operation.declaration.ttl)
        operations = {name: LookupsOut.counted(counts[name, "hit"], counts[name, "miss"]) for name in cached}
        hits, misses = (sum(getattr(one, result) for one in operations.values()) for result in ("hits", "misses"))
        return CacheStatsOut(**LookupsOut.counted(hits, misses).model_dump(), operations=operations)
