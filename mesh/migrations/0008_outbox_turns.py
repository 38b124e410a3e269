"""The users' turns in a queue are found by an index."""

from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models
from django.db.models.functions import Coalesce


class Migration(migrations.Migration):
    atomic = False
    dependencies = [("mesh", "0007_mail_budget")]
    operations = [
        AddIndexConcurrently(
            "outbox",
            models.Index(
                "queue",
                Coalesce("actor_id", 0),
                "due_at",
                "id",
                condition=models.Q(status="waiting"),
                name="mesh_outbox_turns",
            ),
        ),
    ]
