from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mesh', '0004_dropped_mail'),
    ]

    operations = [
        migrations.AddField(
            model_name='auditentry',
            name='key',
            field=models.BigIntegerField(blank=True, null=True),
        ),
    ]
