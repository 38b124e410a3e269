from django.db import migrations, models


class Migration(migrations.Migration):

    dependencies = [
        ('mesh', '0006_documents'),
    ]

    operations = [
        migrations.AddField(
            model_name='mail',
            name='secret',
            field=models.BooleanField(db_default=False, default=False),
        ),
        migrations.CreateModel(
            name='MailCount',
            fields=[
                ('id', models.BigAutoField(auto_created=True, primary_key=True, serialize=False, verbose_name='ID')),
                ('owner', models.CharField(max_length=100)),
                ('day', models.DateField()),
                ('used', models.PositiveIntegerField()),
            ],
            options={
                'constraints': [models.UniqueConstraint(fields=('owner', 'day'), name='mesh_mailcount_once')],
            },
        ),
    ]
