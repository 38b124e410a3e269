"""The mesh's own tables: versions of cache tags, idempotency keys, jobs, the audit trail, mails, documents to store."""

from django.conf import settings
from django.db import models
from django.db.models.functions import Coalesce, Lower, Now


class Version(models.Model):
    """A cache tag's version: it grows with every change to what its cached answers show. `scope` is the tag."""

    scope = models.CharField(max_length=100, primary_key=True)
    number = models.BigIntegerField(default=1)


class IdempotencyKey(models.Model):
    """The stored answer of a command that succeeded under an Idempotency-Key, kept for 24 hours."""

    #: `user:7`, or `address:192.0.2.1` if nobody is signed in.
    owner = models.CharField(max_length=100)
    key = models.CharField(max_length=255)
    operation = models.CharField(max_length=100)
    #: HMAC over the operation and its arguments.
    fingerprint = models.BinaryField(max_length=32)
    #: The JSON answer; encrypted if it holds a credential.
    body = models.BinaryField()
    row_id = models.CharField(max_length=64, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False, db_index=True)

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "key"], name="mesh_idempotencykey_once")]


class JobStatus(models.TextChoices):
    """How far a background job is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


class Outbox(models.Model):
    """One background job, written in the transaction of the command that started it."""

    operation = models.CharField(max_length=100)
    arguments = models.JSONField(default=dict)
    queue = models.CharField(max_length=20)
    #: The user who started it; null for the system.
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL, models.PROTECT, null=True, blank=True, db_constraint=False, related_name="+"
    )
    request_id = models.CharField(max_length=128, blank=True, default="")
    status = models.CharField(max_length=7, choices=JobStatus.choices, default=JobStatus.WAITING)
    #: How often it was started. A run may write only while this is still its own number and its lease lasts.
    attempt = models.PositiveSmallIntegerField(default=0)
    due_at = models.DateTimeField(db_default=Now())
    lease_until = models.DateTimeField(null=True, blank=True)
    #: Seconds after which a run that has not finished counts as lost.
    lease = models.PositiveIntegerField(default=60)
    #: When it was last handed to the broker.
    sent_at = models.DateTimeField(null=True, blank=True)
    error = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    finished_at = models.DateTimeField(null=True, blank=True)
    #: Whether its run found nothing to do.
    idle = models.BooleanField(db_default=False, editable=False)

    class Meta:
        verbose_name = "job"
        indexes = [
            models.Index(fields=["due_at"], condition=models.Q(status="waiting"), name="mesh_outbox_waiting"),
            models.Index(fields=["lease_until"], condition=models.Q(status="running"), name="mesh_outbox_running"),
            models.Index(fields=["operation"], condition=models.Q(status="waiting"), name="mesh_outbox_operation"),
            models.Index(  # for the users' turns in a queue: 0 is the system
                "queue",
                Coalesce("actor_id", 0),
                "due_at",
                "id",
                condition=models.Q(status="waiting"),
                name="mesh_outbox_turns",
            ),
            models.Index(fields=["finished_at"], name="mesh_outbox_finished"),
            models.Index(fields=["operation"], condition=models.Q(idle=True), name="mesh_outbox_idle"),
        ]
        constraints = [
            models.CheckConstraint(condition=models.Q(status__in=JobStatus.values), name="mesh_outbox_status")
        ]

    def __str__(self) -> str:
        return f"{self.operation} {self.id}"


class PeriodicJob(models.Model):
    """When a periodic job was last begun: see `mesh/outbox/schedule.py`."""

    operation = models.CharField(max_length=100, primary_key=True)
    begun_at = models.DateTimeField()


class AuditEntry(models.Model):
    """One command: who called it, through which door, and its outcome."""

    at = models.DateTimeField(db_default=Now(), editable=False)
    actor = models.ForeignKey(
        settings.AUTH_USER_MODEL,
        models.PROTECT,
        null=True,
        blank=True,
        db_constraint=False,
        db_index=False,
        related_name="+",
    )
    #: The id of the API key that was used, also after it is deleted.
    key = models.BigIntegerField(null=True, blank=True)
    operation = models.CharField(max_length=100)
    door = models.CharField(max_length=20)
    #: The id of the row that the command created or changed, if the answer has one.
    row_id = models.CharField(max_length=64, blank=True, default="")
    #: `ok`, or the code of the refusal.
    outcome = models.CharField(max_length=64)
    request_id = models.CharField(max_length=128, blank=True, default="")
    address = models.CharField(max_length=64, blank=True, default="")

    class Meta:
        verbose_name_plural = "audit entries"
        indexes = [models.Index(fields=["actor", "-id"], name="mesh_auditentry_actor")]

    def __str__(self) -> str:
        return f"{self.operation} {self.outcome}"


class MailStatus(models.TextChoices):
    WAITING = "waiting"
    SENT = "sent"
    FAILED = "failed"
    #: Never sent: whom it was for had turned its kind off, or was deactivated, before it went.
    DROPPED = "dropped"


class Mail(models.Model):
    """One mail to one address: written with the change that it reports, sent by a job."""

    #: Identifies the change; each address gets one mail for a key.
    key = models.CharField(max_length=200)
    recipient = models.CharField(max_length=254)
    kind = models.CharField(max_length=40)
    subject = models.CharField(max_length=200)
    text = models.TextField(blank=True)
    html = models.TextField(blank=True)
    #: `[{filename, mimetype, content}]`, the content in base64.
    attachments = models.JSONField(default=list)
    message_id = models.CharField(max_length=255, unique=True)
    #: Where this kind can be turned off; empty if it cannot.
    unsubscribe_url = models.CharField(max_length=3000, blank=True, default="")
    #: Whether it holds a credential, such as a link to set a password.
    secret = models.BooleanField(default=False, db_default=False)
    status = models.CharField(max_length=7, choices=MailStatus.choices, default=MailStatus.WAITING)
    error = models.CharField(max_length=500, blank=True, default="")
    created_at = models.DateTimeField(db_default=Now(), editable=False)
    sent_at = models.DateTimeField(null=True, blank=True)

    class Meta:
        constraints = [
            models.UniqueConstraint("key", Lower("recipient"), name="mesh_mail_once"),
            models.CheckConstraint(condition=models.Q(status__in=MailStatus.values), name="mesh_mail_status"),
        ]

    def __str__(self) -> str:
        return f"{self.subject} → {self.recipient}"

    def remains(self) -> dict[str, str]:
        """The fields to clear once it is sent: the content, if it is secret or its kind cannot be turned off."""
        return {} if self.unsubscribe_url and not self.secret else {"text": "", "html": ""}


class MailCount(models.Model):
    """How many mails a user or an API key has caused on a day, in UTC: see `mesh/execution/mail_budget.py`."""

    #: `user:7` or `key:12`.
    owner = models.CharField(max_length=100)
    day = models.DateField()
    used = models.PositiveIntegerField()

    class Meta:
        constraints = [models.UniqueConstraint(fields=["owner", "day"], name="mesh_mailcount_once")]

    def __str__(self) -> str:
        return f"{self.owner} {self.day}: {self.used}"


class DocumentChange(models.Model):
    """A change of a row that has a document; written by a trigger, in the transaction of the change."""

    kind = models.CharField(max_length=20)
    uuid = models.UUIDField()
    at = models.DateTimeField(db_default=Now(), editable=False)


class WaitingDocument(models.Model):
    """A document that differs from its row; deleted once the document is stored."""

    kind = models.CharField(max_length=20)
    uuid = models.UUIDField()
    #: Grows with each change that is gathered.
    version = models.BigIntegerField()
    changed_at = models.DateTimeField()
    due_at = models.DateTimeField()
    #: The writer that holds the lease; nobody else may write until it expires.
    token = models.UUIDField(null=True, blank=True)
    lease_until = models.DateTimeField(null=True, blank=True)
    #: Until then a request may still take effect whose writer got no answer or lost its lease.
    unsure_until = models.DateTimeField(null=True, blank=True)
    #: How often storing it has failed in a row.
    attempt = models.PositiveIntegerField(default=0)
    error = models.CharField(max_length=500, blank=True, default="")

    class Meta:
        verbose_name = "waiting document"
        indexes = [models.Index(fields=["due_at"], name="mesh_waitingdocument_due")]
        constraints = [models.UniqueConstraint(fields=["kind", "uuid"], name="mesh_waitingdocument_once")]

    def __str__(self) -> str:
        return f"{self.kind}/{self.uuid}.json"
