from django.db import migrations

#: Rows that are there already are to be stored, too.
TRIGGER = """
CREATE TRIGGER meetings_call_document AFTER INSERT OR UPDATE OR DELETE ON meetings_call
FOR EACH ROW EXECUTE FUNCTION mesh_document_changed('calls');
INSERT INTO mesh_documentchange (kind, uuid) SELECT 'calls', uuid FROM meetings_call
"""


class Migration(migrations.Migration):

    dependencies = [
        ('meetings', '0003_contacts'),
        ('mesh', '0006_documents'),
    ]

    operations = [migrations.RunSQL(TRIGGER, 'DROP TRIGGER meetings_call_document ON meetings_call')]
