import django.db.models.functions.datetime
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("discovery", "0001_seeing"),
    ]

    operations = [
        migrations.AddField(
            model_name="observation",
            name="is_milestone",
            field=models.BooleanField(default=True),
        ),
        migrations.AddIndex(
            model_name="observation",
            index=models.Index(
                condition=models.Q(("is_milestone", True)),
                fields=["installation", "at"],
                name="observation_milestones",
            ),
        ),
        migrations.CreateModel(
            name="Dismissal",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("proposal", models.CharField(max_length=16, unique=True)),
                (
                    "kind",
                    models.CharField(
                        choices=[
                            ("create_instance", "Unknown instance"),
                            ("add_installation", "Not listed there"),
                            ("gone", "File gone"),
                            ("organization_empty", "Empty organization"),
                            ("builds_mixed", "Mixed builds"),
                            ("build_changed", "Build changed"),
                            ("build_old", "Build below 7.4.1"),
                            ("jwt_present", "JWT still there"),
                        ],
                        max_length=20,
                    ),
                ),
                ("reason", models.CharField(max_length=200, verbose_name="reason")),
                ("left_by", models.CharField(max_length=150, verbose_name="left by")),
                (
                    "at",
                    models.DateTimeField(
                        db_default=django.db.models.functions.datetime.Now(), verbose_name="left"
                    ),
                ),
            ],
            options={
                "ordering": ["-at"],
                "default_permissions": (),
            },
        ),
    ]
