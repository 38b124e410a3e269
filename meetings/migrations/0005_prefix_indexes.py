import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    """Drops Django's indexes on foreign keys with which another index begins."""

    atomic = False

    dependencies = [
        ('meetings', '0004_documents'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0', migrations.RunSQL.noop),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS meetings_attendee_meeting_id_7f19274c',
                    'CREATE INDEX CONCURRENTLY meetings_attendee_meeting_id_7f19274c ON meetings_attendee (meeting_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='attendee',
                    name='meeting',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='attendees', to='meetings.meeting'),
                )
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS meetings_attendee_user_id_f8b8af1c',
                    'CREATE INDEX CONCURRENTLY meetings_attendee_user_id_f8b8af1c ON meetings_attendee (user_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='attendee',
                    name='user',
                    field=models.ForeignKey(db_index=False, blank=True, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='invitations', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
        migrations.SeparateDatabaseAndState(
            [
                migrations.RunSQL(
                    'DROP INDEX CONCURRENTLY IF EXISTS meetings_meeting_organizer_id_91f9211b',
                    'CREATE INDEX CONCURRENTLY meetings_meeting_organizer_id_91f9211b ON meetings_meeting (organizer_id)',
                )
            ],
            [
                migrations.AlterField(
                    model_name='meeting',
                    name='organizer',
                    field=models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.PROTECT, related_name='organized_meetings', to=settings.AUTH_USER_MODEL),
                )
            ],
        ),
    ]
