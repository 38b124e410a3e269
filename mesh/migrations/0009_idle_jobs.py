import django.db.models.deletion
from django.conf import settings
from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):
    """Marks runs that found nothing to do; drops Django's index on a foreign key with which another one begins."""

    atomic = False

    dependencies = [
        ('mesh', '0008_outbox_turns'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0', migrations.RunSQL.noop),
        migrations.AddField(
            model_name='outbox',
            name='idle',
            field=models.BooleanField(db_default=False, editable=False),
        ),
        AddIndexConcurrently(
            model_name='outbox',
            index=models.Index(condition=models.Q(('idle', True)), fields=['operation'], name='mesh_outbox_idle'),
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS mesh_auditentry_actor_id_625db785',
                    'CREATE INDEX CONCURRENTLY mesh_auditentry_actor_id_625db785 ON mesh_auditentry (actor_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='auditentry',
                    name='actor',
                    field=models.ForeignKey(db_index=False, blank=True, db_constraint=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
    ]
