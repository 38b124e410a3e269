"""The mail budget: how many mails a day a user, and an API key, may cause to other people's addresses.

It is counted in Postgres, in the transaction of the command that causes the mails, so a rollback takes the count back.
A command is charged for the mails it writes (`mesh/execution/transaction.py`) and for those its jobs will write
(`Service.will_mail`). Jobs are not charged again. Mails that the system sends by itself, such as reminders, are free.
"""

from django.conf import settings

from mesh.declarations.actors import Actor
from mesh.errors import RateLimited
from mesh.stores.postgres import fetch

ADMINS_TIMES = 10  # an ADMIN's budget, as a multiple of an AGENT's
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
    """Counts mails that the actor causes today, for the user and for the API key, if any.

    If all of them are `owed`, they are counted but never refused. Otherwise somebody could register so many people for
    an event that its owner could not cancel it, for lack of budget to tell them.

    Returns `{limit, used}` of whichever has less left, these mails included; None if there is no limit.
    Raises MailBudgetSpent; the caller must then roll back, which takes the count back.
    """
    per_day = settings.MESH["MAILS_PER_DAY"]
    if per_day is None or not actor.id:
        return None
    limits = {f"user:{actor.id}": per_day * (ADMINS_TIMES if actor.is_admin else 1)}
    if actor.key_id is not None:
        limits[f"key:{actor.key_id}"] = per_day
    counts = fetch(_CHARGE, [count, list(limits)])
    owner, used, seconds = min(counts, key=lambda row: limits[row[0]] - row[1])
    budget = {"limit": limits[owner], "used": used}
    if count > owed and used > limits[owner]:
        spender = "this API key" if owner.startswith("key:") else "you"
        raise MailBudgetSpent(
            f"This would send {count:,} mails. Of the {limits[owner]:,} a day that {spender} may send,"
            f" {used - count:,} are used. Send fewer, or wait for the next day (in UTC); whoever runs this server can"
            " raise MAILS_PER_DAY.",
            retry_after=max(1, seconds),
            **(budget | {"used": used - count}),
        )
    return budget


def prune() -> None:
    """Deletes the counts of days before KEEP_DAYS ago."""
    fetch(_PRUNE, [KEEP_DAYS])
