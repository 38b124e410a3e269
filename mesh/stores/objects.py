"""Object storage for documents: a folder, or S3 and compatible services."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from tempfile import NamedTemporaryFile
from typing import Any, Protocol

from django.conf import settings
from django.core.files.base import ContentFile

TIMEOUT = 10.0  # seconds to wait for an answer of S3
_CONNECT_TIMEOUT = 3.0


class StorageUnavailable(OSError):
    """S3 cannot be reached, or refuses the request."""


class StorageTimeout(StorageUnavailable):
    """S3 got a request and did not answer: the request may still take effect."""


class Storage(Protocol):
    """Stores documents by name, such as `tasks/0199….json`. All methods raise OSError on failure."""

    def put(self, name: str, body: bytes) -> None:
        """Stores a document, replacing an older one, atomically."""

    def get(self, name: str) -> bytes | None:
        """The content of a document; None if there is none."""

    def remove(self, name: str) -> None:
        """Removes a document, if it exists."""

    def names(self, kind: str) -> Iterator[str]:
        """The names of everything under `kind/`, in any order, also of files that are not ours."""


def storage() -> Storage:
    """The storage that the settings name."""
    if not settings.AWS_S3_BUCKET:
        return Folder(Path(settings.DOCUMENTS_DIR))
    with _making:
        return _s3(
            settings.AWS_S3_BUCKET,
            settings.AWS_ENDPOINT_URL,
            settings.AWS_REGION,
            settings.AWS_ACCESS_KEY_ID,
            settings.AWS_SECRET_ACCESS_KEY,
        )


_making = threading.Lock()


class Folder:
    """A file for each document."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def put(self, name: str, body: bytes) -> None:
        path = self._root / name
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        with NamedTemporaryFile(dir=path.parent, prefix=".", delete=False) as draft:
            try:
                draft.write(body)
                draft.flush()
                os.fsync(draft.fileno())
                os.replace(draft.name, path)
            except BaseException:
                os.unlink(draft.name)
                raise

    def get(self, name: str) -> bytes | None:
        try:
            return (self._root / name).read_bytes()
        except FileNotFoundError:
            return None

    def remove(self, name: str) -> None:
        (self._root / name).unlink(missing_ok=True)

    def names(self, kind: str) -> Iterator[str]:
        folder = self._root / kind
        if folder.is_dir():
            with os.scandir(folder) as entries:
                yield from (f"{kind}/{entry.name}" for entry in entries if entry.is_file())


@lru_cache(maxsize=1)
def _s3(bucket: str, endpoint: str, region: str, key: str, secret: str) -> Storage:
    """Made once for each process, since that takes a second, and to reuse its connections."""
    from boto3.s3.transfer import TransferConfig
    from botocore.config import Config
    from storages.backends.s3 import S3Storage

    config = Config(
        signature_version="s3v4",
        connect_timeout=_CONNECT_TIMEOUT,
        read_timeout=TIMEOUT,
        retries={"total_max_attempts": 1},  # the job tries again
        # Compatible services do not know S3's newer checksums.
        request_checksum_calculation="when_required",
        response_checksum_validation="when_required",
    )
    return _S3(
        S3Storage(
            bucket_name=bucket,
            endpoint_url=endpoint or None,
            region_name=region,
            access_key=key or None,
            secret_key=secret or None,
            object_parameters={"ContentType": "application/json"},
            client_config=config,
            transfer_config=TransferConfig(use_threads=False),
        )
    )


class _S3:
    """An object for each document."""

    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._bucket = backend.bucket

    def put(self, name: str, body: bytes) -> None:
        with _translate_errors():
            self._backend.save(name, ContentFile(body))

    def get(self, name: str) -> bytes | None:
        with _translate_errors():
            try:
                body: bytes = self._bucket.Object(name).get()["Body"].read()
                return body
            except self._bucket.meta.client.exceptions.NoSuchKey:
                return None

    def remove(self, name: str) -> None:
        with _translate_errors():
            self._backend.delete(name)

    def names(self, kind: str) -> Iterator[str]:
        with _translate_errors():
            yield from (item.key for item in self._bucket.objects.filter(Prefix=f"{kind}/"))


@contextmanager
def _translate_errors() -> Iterator[None]:
    """Turns the errors of S3's client into StorageUnavailable or StorageTimeout."""
    from botocore import exceptions as raised

    try:
        yield
    except (raised.ConnectionClosedError, raised.ReadTimeoutError) as error:
        raise StorageTimeout(str(error)) from error
    except (raised.BotoCoreError, raised.ClientError) as error:
        raise StorageUnavailable(str(error)) from error
