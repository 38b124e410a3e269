import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models

#: Of orders that can still be paid; they are few.
SELLERS = """
UPDATE shop_order SET seller_id = sold.owner_id
FROM (
    SELECT shop_orderline.order_id, min(owner_id) AS owner_id
    FROM shop_order JOIN shop_orderline ON order_id = shop_order.id JOIN shop_product ON product_id = shop_product.id
    WHERE status IN ('PENDING', 'RESERVED', 'CONFIRMED')
    GROUP BY shop_orderline.order_id HAVING min(owner_id) = max(owner_id)
) AS sold
WHERE sold.order_id = shop_order.id
"""


class Migration(migrations.Migration):

    dependencies = [
        ('shop', '0001_initial'),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.AddField(
            model_name='order',
            name='seller',
            field=models.ForeignKey(db_constraint=False, db_index=False, editable=False, null=True, on_delete=django.db.models.deletion.PROTECT, related_name='sales', to=settings.AUTH_USER_MODEL),
        ),
        migrations.RunSQL(SELLERS, migrations.RunSQL.noop),
    ]
