"""Plans of Postgres that are right and unlikely, until a table's statistics make them likely."""

from collections.abc import Iterator
from contextlib import contextmanager

from mesh.tests.database import sql

_OFF = ("hashjoin", "mergejoin", "hashagg", "sort", "material")


@contextmanager
def repeating_plans() -> Iterator[None]:
    """What `IN (SELECT …)` holds is run again for each row that is compared with it."""
    settings = {"plan_cache_mode": "force_custom_plan"} | {f"enable_{way}": "off" for way in _OFF}
    for name, value in settings.items():
        sql(f"SET {name} = {value}")
    try:
        yield
    finally:
        for name in settings:
            sql(f"RESET {name}")
