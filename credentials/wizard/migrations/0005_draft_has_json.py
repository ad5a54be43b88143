"""Drafts that go by the console's JSON file; those of today go step by step, and stay where they are."""

from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [("wizard", "0004_codes_alone")]

    operations = [
        migrations.AddField(
            model_name="draft",
            name="has_json",
            field=models.BooleanField(db_default=False, default=False),
        ),
    ]
