import django.contrib.postgres.fields
import django.db.models.deletion
import django.db.models.functions.datetime
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('accounts', '0005_contacts'),
    ]

    operations = [
        migrations.CreateModel(
            name='ApiKey',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('name', models.CharField(max_length=100)),
                ('prefix', models.CharField(max_length=11)),
                ('key_hash', models.CharField(max_length=64, unique=True)),
                ('scopes', django.contrib.postgres.fields.ArrayField(base_field=models.CharField(max_length=100), size=None)),
                ('approval', models.CharField(choices=[('never', 'Never'), ('risky', 'Risky'), ('always', 'Always')], default='never', max_length=6)),
                ('expires_at', models.DateTimeField(blank=True, null=True)),
                ('last_used_at', models.DateTimeField(blank=True, null=True)),
                ('created_at', models.DateTimeField(db_default=django.db.models.functions.datetime.Now(), editable=False)),
                ('user', models.ForeignKey(db_index=False, on_delete=django.db.models.deletion.CASCADE, related_name='api_keys', to=settings.AUTH_USER_MODEL)),
            ],
            options={
                'verbose_name': 'API key',
                'indexes': [models.Index(fields=['user', '-id'], name='accounts_apikey_user')],
                'constraints': [models.CheckConstraint(condition=models.Q(('name', ''), _negated=True), name='accounts_apikey_name'), models.CheckConstraint(condition=models.Q(('key_hash__regex', '^[0-9a-f]{64}$')), name='accounts_apikey_hash'), models.CheckConstraint(condition=models.Q(('scopes__len__range', (1, 50))), name='accounts_apikey_scopes'), models.CheckConstraint(condition=models.Q(('approval__in', ['never', 'risky', 'always'])), name='accounts_apikey_approval')],
            },
        ),
    ]
