from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0011_contact_teams"),
    ]

    operations = [
        migrations.AlterField(
            model_name="contact",
            name="environment",
            field=models.CharField(
                choices=[
                    ("development", "Development"),
                    ("stage", "Stage"),
                    ("production", "Production"),
                    ("campaign", "Campaign team"),
                    ("network", "Network team"),
                    ("operators", "People who run the portal"),
                    ("security", "Security team"),
                ],
                max_length=12,
                unique=True,
                verbose_name="for",
            ),
        ),
    ]
