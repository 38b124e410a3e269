import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

#: Where nobody is written down, the creator has assigned it: who stays a member is thus whom the owner gave a task. An
#: ADMIN acts for the owner.
BY_ADMINS = """
UPDATE tasks_task SET assigned_by_id = tasks_project.owner_id FROM tasks_project, accounts_user
WHERE tasks_project.id = tasks_task.project_id AND accounts_user.id = tasks_task.creator_id
    AND accounts_user.role = 'ADMIN' AND tasks_task.assignee_id IS NOT NULL
    AND tasks_project.owner_id <> tasks_task.creator_id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tasks', '0004_documents'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='task',
            name='assigned_by',
            field=models.ForeignKey(db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='+', to=settings.AUTH_USER_MODEL),
        ),
        migrations.RunSQL(BY_ADMINS, migrations.RunSQL.noop),
    ]
