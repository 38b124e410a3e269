"""The budget of mails: how many a day a user, and an API key, may cause to others' addresses.

Counted in Postgres, in the transaction of the command that causes them, and so taken back with it. A command is charged
for what it writes (`mesh/host.py`) and for what its jobs will write (`Service.will_mail`); jobs are not charged again,
and what the system does by itself, such as reminding, is free.
"""

from django.conf import settings

from mesh.declarations.actors import Actor
from mesh.errors import RateLimited
from mesh.stores.postgres import fetch

ADMINS_TIMES = 10  # an ADMIN's budget beside an AGENT's
KEEP_DAYS = 7

_CHARGE = """
INSERT INTO mesh_mailcount (owner, day, used)
SELECT owner, (now() AT TIME ZONE 'UTC')::date, %s FROM unnest(%s::text[]) AS owner ORDER BY owner
ON CONFLICT (owner, day) DO UPDATE SET used = mesh_mailcount.used + excluded.used
RETURNING owner, used, ceil(extract(epoch FROM day + 1 - now() AT TIME ZONE 'UTC'))::int
"""
_PRUNE = "DELETE FROM mesh_mailcount WHERE day < (now() AT TIME ZONE 'UTC')::date - %s"


class MailBudgetSpent(RateLimited):
    code, title = "mesh.mail_budget", "Too many mails"


def charge(actor: Actor, count: int, *, owed: int = 0) -> dict[str, int] | None:
    """Counts mails that the actor causes today, for the user and for the API key that asks.

    Where all of them are `owed` they are counted and not refused: who may not tell people that an event is cancelled
    could not cancel it, and whoever registered enough people for it would have seen to that.

    Returns `{limit, used}` of the one with less left, these mails among those used; None where there is no limit.
    Raises MailBudgetSpent: the transaction must end, which takes the count back.
    """
    per_day = settings.MESH["MAILS_PER_DAY"]
    if per_day is None or not actor.id:
        return None
    limits = {f"user:{actor.id}": per_day * (ADMINS_TIMES if actor.is_admin else 1)}
    if actor.key_id is not None:
        limits[f"key:{actor.key_id}"] = per_day
    counted = fetch(_CHARGE, [count, list(limits)])
    owner, used, seconds = min(counted, key=lambda row: limits[row[0]] - row[1])
    budget = {"limit": limits[owner], "used": used}
    if count > owed and used > limits[owner]:
        whose = "this API key" if owner.startswith("key:") else "you"
        raise MailBudgetSpent(
            f"This would send {count:,} mails. Of the {limits[owner]:,} a day that {whose} may send,"
            f" {used - count:,} are used. Send fewer, or wait for the next day (in UTC); whoever runs this server can"
            " raise MAILS_PER_DAY.",
            retry_after=max(1, seconds),
            **(budget | {"used": used - count}),
        )
    return budget


def prune() -> None:
    """Forgets the counts of days gone by."""
    fetch(_PRUNE, [KEEP_DAYS])
