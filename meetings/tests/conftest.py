import pytest

from mesh.models import Mail
from mesh.tests.jobs import run_jobs


@pytest.fixture
def mails():
    """The mails since it was called last, with those that wait for their job, as (address, kind, subject)."""
    seen = 0

    def new():
        nonlocal seen
        run_jobs("mail_invitations")
        rows = list(Mail.objects.filter(pk__gt=seen).order_by("pk"))
        seen = rows[-1].pk if rows else seen
        return [(row.recipient, row.kind, row.subject) for row in rows]

    return new
