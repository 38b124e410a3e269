import pytest

from mesh.models import Mail


@pytest.fixture
def mails():
    """The mails since it was called last, as (address, kind, subject)."""
    seen = 0

    def new():
        nonlocal seen
        rows = list(Mail.objects.filter(pk__gt=seen).order_by("pk"))
        seen = rows[-1].pk if rows else seen
        return [(row.recipient, row.kind, row.subject) for row in rows]

    return new
