from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("discovery", "0003_proposals"),
    ]

    operations = [
        # Without a default first: of earlier readings it is not known, and NULL says so.
        migrations.AddField(
            model_name="reading",
            name="seen",
            field=models.JSONField(null=True),
        ),
        migrations.AlterField(
            model_name="reading",
            name="seen",
            field=models.JSONField(default=list, null=True),
        ),
        migrations.AddField(
            model_name="observation",
            name="is_only_read",
            field=models.BooleanField(default=False),
        ),
    ]
