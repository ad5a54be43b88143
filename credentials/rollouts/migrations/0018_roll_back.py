from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rollouts", "0017_output_removed"),
    ]

    operations = [
        migrations.AlterField(
            model_name="rollout",
            name="reason",
            field=models.CharField(
                choices=[
                    ("new", "New account"),
                    ("rotation", "Rotation"),
                    ("migration", "Migration from JWT"),
                    ("repair", "Repair"),
                    ("roll_back", "Roll back"),
                ],
                max_length=10,
                verbose_name="reason",
            ),
        ),
    ]
