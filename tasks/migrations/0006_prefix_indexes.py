import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Drops Django's indexes on foreign keys with which another index begins."""

    atomic = False

    dependencies = [
        ('tasks', '0005_assigned_by'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0', migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS tasks_project_owner_id_ce07be61',
                    'CREATE INDEX CONCURRENTLY tasks_project_owner_id_ce07be61 ON tasks_project (owner_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='project',
                    name='owner',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='projects', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS tasks_task_assignee_id_2c3ca866',
                    'CREATE INDEX CONCURRENTLY tasks_task_assignee_id_2c3ca866 ON tasks_task (assignee_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='task',
                    name='assignee',
                    field=models.ForeignKey(db_index=False, blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='assigned_tasks', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS tasks_task_creator_id_ca3b6762',
                    'CREATE INDEX CONCURRENTLY tasks_task_creator_id_ca3b6762 ON tasks_task (creator_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='task',
                    name='creator',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='created_tasks', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
    ]
