"""Gives the model its name; the table keeps its own, so the database does nothing."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("meetings", "0005_prefix_indexes")]

    operations = [
        migrations.AlterModelTable("attendee", "meetings_attendee"),
        migrations.RenameModel("Attendee", "Invitee"),
    ]
