import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Drops Django's indexes on foreign keys with which another index begins."""

    atomic = False

    dependencies = [
        ('accounts', '0008_closed_addresses'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0', migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS accounts_session_user_id_d5aaed01',
                    'CREATE INDEX CONCURRENTLY accounts_session_user_id_d5aaed01 ON accounts_session (user_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='session',
                    name='user',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='sessions', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
    ]
