from django.contrib.postgres.operations import AddIndexConcurrently
from django.db import migrations, models


class Migration(migrations.Migration):

    atomic = False

    dependencies = [
        ('shop', '0002_seller'),
    ]

    operations = [
        migrations.RunSQL('SET statement_timeout = 0', migrations.RunSQL.noop),
        AddIndexConcurrently(
            model_name='order',
            index=models.Index(condition=models.Q(('seller__isnull', False)), fields=['seller', '-id'], name='shop_order_seller'),
        ),
    ]
