from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rollouts", "0016_confirmed_versions"),
    ]

    operations = [
        migrations.AddField(
            model_name="attempt",
            name="output_removed",
            field=models.DateTimeField(null=True, verbose_name="output removed"),
        ),
    ]
