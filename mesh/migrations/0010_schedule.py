from django.db import migrations, models


class Migration(migrations.Migration):
    """The relay keeps the schedule of periodic jobs, in place of Celery's beat."""

    dependencies = [("mesh", "0009_idle_jobs")]

    operations = [
        migrations.CreateModel(
            name="PeriodicJob",
            fields=[
                ("operation", models.CharField(max_length=100, primary_key=True, serialize=False)),
                ("begun_at", models.DateTimeField()),
            ],
        ),
    ]
