import uuid

import django.db.models.deletion
from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def make_identity(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Give this portal its id."""
    apps.get_model("instances", "PortalIdentity").objects.create(pk=1, value=uuid.uuid4().hex)


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0005_key_scans"),
    ]

    operations = [
        migrations.CreateModel(
            name="PortalIdentity",
            fields=[
                ("id", models.PositiveSmallIntegerField(default=1, primary_key=True, serialize=False)),
                ("value", models.CharField(max_length=32)),
            ],
            options={
                "default_permissions": (),
                "constraints": [
                    models.CheckConstraint(condition=models.Q(("id", 1)), name="portal_identity_once")
                ],
            },
        ),
        migrations.CreateModel(
            name="OtherPortal",
            fields=[
                (
                    "installation",
                    models.OneToOneField(
                        on_delete=django.db.models.deletion.CASCADE,
                        primary_key=True,
                        related_name="other_portal",
                        serialize=False,
                        to="instances.installation",
                    ),
                ),
                ("last", models.CharField(max_length=64)),
                ("seen", models.DateTimeField(verbose_name="seen")),
                ("taken_over", models.CharField(blank=True, max_length=64)),
            ],
            options={"default_permissions": ()},
        ),
        migrations.RunPython(make_identity, migrations.RunPython.noop),
    ]
