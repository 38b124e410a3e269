"""The job that stores documents in object storage."""

from collections.abc import Callable, Generator
from functools import partial

from mesh.declarations.decorators import job
from mesh.documents import mirror
from mesh.documents.mirror import Tried
from mesh.execution.service import Service


class DocumentService(Service):
    """The rows that are mirrored as JSON documents."""

    name = "documents"

    @job(queue="documents", lease=60, every=60)
    def store_documents(self) -> Generator[Callable[[], dict[int, Tried]], dict[int, Tried], None]:
        """Store the documents of rows that changed, the oldest change first.

        Documents of rows that are gone are removed.
        """
        self.changed()
        batch = mirror.lease()
        if batch.documents:
            tried = yield partial(mirror.store, batch)
            if mirror.finish(batch, tried):
                self.defer(self.store_documents)
