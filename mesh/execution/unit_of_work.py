"""What one run of a command did, until it is written at the end of its transaction."""

from typing import TYPE_CHECKING

from mesh.mail.messages import OutgoingMail
from mesh.outbox.jobs import Job
from mesh.rows.visibility import MeshModel

if TYPE_CHECKING:
    pass


class Work:
    """What one run of a command did: the cache tags it changed, and whether it said so."""

    def __init__(self) -> None:
        self.cache_tags: set[str] = set()
        self.jobs: list[Job] = []
        self.outgoing_mails: list[OutgoingMail] = []
        #: `{to, subject}` of each mail, as a dry run tells them.
        self.mails: list[dict[str, str]] = []
        #: How many mails its jobs will write, to addresses other than the actor's own.
        self.mails_to_come = 0
        #: How many of them are owed, so that they are counted, and never refused.
        self.mails_owed = 0
        #: Whether rows changed that have documents.
        self.documents = False
        #: Changed rows whose audience may grow until the versions are raised.
        self.open_rows: list[MeshModel] = []
        self.declared = False

    @property
    def to_write(self) -> bool:
        """Whether there is something that is written at the end of the transaction."""
        return bool(self.cache_tags or self.jobs or self.outgoing_mails or self.documents)

    def reset(self) -> None:
        """All of it is written; what comes now belongs to the next transaction."""
        self.cache_tags, self.jobs, self.outgoing_mails, self.open_rows, self.documents = set(), [], [], [], False
