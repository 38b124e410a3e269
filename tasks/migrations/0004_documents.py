from django.db import migrations

#: Rows that are there already are to be stored, too.
TRIGGER = """
CREATE TRIGGER tasks_task_document AFTER INSERT OR UPDATE OR DELETE ON tasks_task
FOR EACH ROW EXECUTE FUNCTION mesh_document_changed('tasks');
INSERT INTO mesh_documentchange (kind, uuid) SELECT 'tasks', uuid FROM tasks_task
"""


class Migration(migrations.Migration):

    dependencies = [
        ('tasks', '0003_contacts'),
        ('mesh', '0006_documents'),
    ]

    operations = [migrations.RunSQL(TRIGGER, 'DROP TRIGGER tasks_task_document ON tasks_task')]
