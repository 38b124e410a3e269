"""Quotas: how many rows of a kind one user may have (`ROWS_PER_USER`).

A command declares what it creates (`@command(…, creates=Task)`), and a model declares who owns its rows
(`owner_field`). The host checks for room before the method runs. A command that creates many rows checks for all of
them itself (`Service.room_for`).

Counting is rare, and so cheap. After a count a process may create a tenth of what is left without counting again, so
that ten processes together stay within the quota. Near the quota, an advisory lock serializes the commands that create
rows of this kind for the user, and each of them counts. So the quota is exact.
"""

from collections import OrderedDict
from threading import Lock

from django.conf import settings
from django.db.models import Model
from prometheus_client import Counter

from mesh.errors import Conflict
from mesh.rows.visibility import MeshModel
from mesh.stores.postgres import fetch

_SHARE = 10  # after a count, a process may create one part in so many of what is left
_MOST_KEPT = 10_000  # allowances, one for each user and kind
_REFUSALS = Counter("meshwork_row_quota_refusals_total", "Commands refused for want of room for rows.", ["kind"])


class RowQuota(Conflict):
    code = "mesh.row_quota"


class _Allowances:
    """How many rows may be created before the next count, by user, kind and quota; the oldest entries are dropped."""

    def __init__(self) -> None:
        self._left: OrderedDict[tuple[str, int, int], int] = OrderedDict()
        self._lock = Lock()

    def take(self, key: tuple[str, int, int], rows: int) -> bool:
        with self._lock:
            left = self._left.get(key, 0)
            if left < rows:
                return False
            self._left[key] = left - rows
            return True

    def give(self, key: tuple[str, int, int], rows: int) -> None:
        with self._lock:
            self._left[key] = rows
            self._left.move_to_end(key)
            while len(self._left) > _MOST_KEPT:
                self._left.popitem(last=False)


_allowances = _Allowances()


def require_room(model: type[MeshModel], owner_id: int, rows: int = 1) -> None:
    """Raises RowQuota if `rows` more of this kind would exceed the user's quota. Call it within a transaction."""
    quota: int | None = settings.MESH["ROWS_PER_USER"]
    if quota is None or not owner_id or not rows:
        return
    key = (model._meta.label, owner_id, quota)
    if _allowances.take(key, rows):
        return
    left = quota - _count(model, owner_id, quota) - rows
    if left < _SHARE:
        fetch("SELECT pg_advisory_xact_lock(hashtextextended(%s, %s))", [f"mesh.quota:{model._meta.label}", owner_id])
        left = quota - _count(model, owner_id, quota) - rows
    if left < 0:
        _REFUSALS.labels(model._meta.model_name).inc()
        raise _refusal(model, quota, rows)
    _allowances.give(key, left // _SHARE)


def _count(model: type[MeshModel], owner_id: int, quota: int) -> int:
    """How many rows of this kind a user has, counting no further than the quota. Reads only the index on the owner."""
    field = model.owner_field
    number: int = model._base_manager.filter(**{field: owner_id}).order_by().values(field)[:quota].count()
    return number


def _refusal(model: type[Model], quota: int, rows: int) -> RowQuota:
    kind = str(model._meta.verbose_name_plural)
    more = "another one" if rows == 1 else f"{rows:,} more"
    return RowQuota(
        f"One user may have {quota:,} {kind} here, and there is no room for {more}. Delete what is not needed, or ask "
        "who runs this server for a higher ROWS_PER_USER.",
        kind=str(model._meta.model_name),
        quota=quota,
    )
