import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Drops Django's indexes on foreign keys with which another index begins."""

    atomic = False

    dependencies = [
        ('notes', '0003_contacts'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0', migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS notes_note_author_id_e9645357',
                    'CREATE INDEX CONCURRENTLY notes_note_author_id_e9645357 ON notes_note (author_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='note',
                    name='author',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='notes', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
    ]
