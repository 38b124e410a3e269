"""Where a test's documents are kept: a folder of its own, or a bucket."""

import pytest


@pytest.fixture
def folder(settings, tmp_path):
    """The documents that the folder holds, by name, when it is called."""
    settings.DOCUMENTS_DIR, settings.AWS_S3_BUCKET = tmp_path / "documents", ""

    def documents():
        files = (path for path in settings.DOCUMENTS_DIR.rglob("*") if path.is_file())
        return {str(path.relative_to(settings.DOCUMENTS_DIR)): path.read_bytes() for path in files}

    return documents


@pytest.fixture
def s3(settings):
    """A bucket of the test's own, which documents go to."""
    from mesh.tests.s3 import S3  # a second to import

    made = S3()
    for name, value in made.settings.items():
        setattr(settings, name, value)
    yield made
    made.close()


@pytest.fixture(params=["folder", "s3"])
def kept(request):
    """The documents that the folder, or S3, holds, by name, when it is called."""
    found = request.getfixturevalue(request.param)
    return found if request.param == "folder" else found.documents
