"""The test's own look at the database: plain statements, whether somebody waits for a lock, all rows of people."""

import time
from typing import Any

from django.apps import apps
from django.db import connection

from mesh.rows.visibility import MeshModel


def sql(statement: str, *params: Any) -> list[Any]:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)
        return cursor.fetchall() if cursor.description else []


def wait_for_a_lock() -> None:
    deadline = time.monotonic() + 4
    while time.monotonic() < deadline:
        sql("SELECT pg_stat_clear_snapshot()")
        if sql("SELECT 1 FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"):
            return
        time.sleep(0.01)
    raise AssertionError("nobody waits for a lock")


def everything() -> dict[str, list[Any]]:
    """All rows that belong to people, and the versions: what a refusal must leave as it was."""
    models = [model for model in apps.get_models() if issubclass(model, MeshModel)]
    models.append(apps.get_model("mesh", "Version"))
    models.append(apps.get_model("mesh", "IdempotencyKey"))
    return {model._meta.label: list(model._base_manager.order_by("pk").values()) for model in models}
