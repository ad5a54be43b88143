"""Rollouts in preparation come from the wizard's room: the tables stay as they are."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("rollouts", "0011_attention"),
        ("wizard", "0003_preparations_are_of_rollouts"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.SeparateDatabaseAndState(
            state_operations=[
                migrations.CreateModel(
                    name="Preparation",
                    fields=[
                        (
                            "id",
                            models.BigAutoField(
                                auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                            ),
                        ),
                        ("reason", models.CharField(blank=True, max_length=10)),
                        ("message", models.CharField(blank=True, max_length=250)),
                        ("changed", models.DateTimeField(auto_now=True)),
                        (
                            "account",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="preparations",
                                to="credentials.technicalaccount",
                            ),
                        ),
                        (
                            "installations",
                            models.ManyToManyField(
                                blank=True,
                                db_table="wizard_preparation_installations",
                                to="instances.installation",
                            ),
                        ),
                        (
                            "person",
                            models.ForeignKey(
                                on_delete=django.db.models.deletion.CASCADE,
                                related_name="+",
                                to=settings.AUTH_USER_MODEL,
                            ),
                        ),
                    ],
                    options={
                        "db_table": "wizard_preparation",
                        "default_permissions": (),
                        "constraints": [
                            models.UniqueConstraint(
                                fields=("account", "person"), name="wizard_preparation_once"
                            )
                        ],
                    },
                ),
            ]
        ),
    ]
