"""Rollouts in preparation are a model of the room of rollouts: the tables stay as they are."""

from django.db import migrations


class Migration(migrations.Migration):
    dependencies = [("wizard", "0002_rollout_preparation")]

    operations = [
        migrations.SeparateDatabaseAndState(state_operations=[migrations.DeleteModel(name="Preparation")]),
    ]
