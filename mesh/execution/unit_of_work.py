"""What one run of a command did, collected until the flush at the end of its transaction."""

from mesh.mail.messages import OutgoingMail
from mesh.outbox.jobs import Job
from mesh.rows.visibility import MeshModel


class Work:
    """What one run of a command did: changed cache tags, jobs, mails, and whether it declared its changes."""

    def __init__(self) -> None:
        self.cache_tags: set[str] = set()
        self.jobs: list[Job] = []
        self.outgoing_mails: list[OutgoingMail] = []
        #: `{to, subject}` of each mail, for the answer of a dry run.
        self.mails: list[dict[str, str]] = []
        #: How many mails its jobs will write to addresses other than the actor's own.
        self.mails_to_come = 0
        #: How many of them are owed: they are counted, but never refused.
        self.mails_owed = 0
        #: Whether any changed row has a document.
        self.documents = False
        #: Changed rows whose audience may still grow until the versions are raised.
        self.open_rows: list[MeshModel] = []
        self.declared = False

    @property
    def to_write(self) -> bool:
        """Whether the flush has anything to write."""
        return bool(self.cache_tags or self.jobs or self.outgoing_mails or self.documents)

    def reset(self) -> None:
        """After the flush: what comes now belongs to the next transaction."""
        self.cache_tags, self.jobs, self.outgoing_mails, self.open_rows, self.documents = set(), [], [], [], False
