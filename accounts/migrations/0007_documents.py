from django.db import migrations

#: Rows that are there already are to be stored, too.
TRIGGER = """
CREATE TRIGGER accounts_contact_document AFTER INSERT OR UPDATE OR DELETE ON accounts_contact
FOR EACH ROW EXECUTE FUNCTION mesh_document_changed('users');
INSERT INTO mesh_documentchange (kind, uuid) SELECT 'users', uuid FROM accounts_contact
"""


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0006_api_keys'),
        ('mesh', '0006_documents'),
    ]

    operations = [migrations.RunSQL(TRIGGER, 'DROP TRIGGER accounts_contact_document ON accounts_contact')]
