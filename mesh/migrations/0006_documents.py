import django.db.models.functions.datetime
from django.db import migrations, models

#: What every table that has documents tells of its changes, by a trigger of its own: see mesh/documents.py.
FUNCTION = """
CREATE FUNCTION mesh_document_changed() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF TG_OP <> 'DELETE' THEN
        INSERT INTO mesh_documentchange (kind, uuid) VALUES (TG_ARGV[0], NEW.uuid);
    END IF;
    IF TG_OP = 'DELETE' OR TG_OP = 'UPDATE' AND OLD.uuid <> NEW.uuid THEN
        INSERT INTO mesh_documentchange (kind, uuid) VALUES (TG_ARGV[0], OLD.uuid);
    END IF;
    RETURN NULL;
END $$
"""


class Migration(migrations.Migration):

    dependencies = [
        ('mesh', '0005_auditentry_key'),
    ]

    operations = [
        migrations.CreateModel(
            name='DocumentChange',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=20)),
                ('uuid', models.UUIDField()),
                ('at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
            ],
        ),
        migrations.CreateModel(
            name='WaitingDocument',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('kind', models.CharField(max_length=20)),
                ('uuid', models.UUIDField()),
                ('version', models.BigIntegerField()),
                ('changed_at', models.DateTimeField()),
                ('due_at', models.DateTimeField()),
                ('token', models.UUIDField(blank=True, null=True)),
                ('lease_until', models.DateTimeField(blank=True, null=True)),
                ('unsure_until', models.DateTimeField(blank=True, null=True)),
                ('attempt', models.PositiveIntegerField(default=0)),
                ('error', models.CharField(blank=True, default='', max_length=500)),
            ],
            options={
                'verbose_name': 'waiting document',
                'indexes': [models.Index(fields=['due_at'], name='mesh_waitingdocument_due')],
                'constraints': [models.UniqueConstraint(fields=('kind', 'uuid'), name='mesh_waitingdocument_once')],
            },
        ),
        migrations.RunSQL(FUNCTION, 'DROP FUNCTION mesh_document_changed'),
    ]
