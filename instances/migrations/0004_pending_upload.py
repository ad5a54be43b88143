import shutil
import uuid
from pathlib import Path

import django.utils.timezone
from django.apps.registry import Apps
from django.conf import settings
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def remove_files(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    """Remove the files in which uploads were kept before: they stayed until the next upload."""
    shutil.rmtree(Path(settings.PORTAL_HOME) / "imports", ignore_errors=True)


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0003_jump_hosts"),
    ]

    operations = [
        migrations.CreateModel(
            name="PendingUpload",
            fields=[
                (
                    "id",
                    models.UUIDField(default=uuid.uuid4, editable=False, primary_key=True, serialize=False),
                ),
                ("owner", models.PositiveBigIntegerField()),
                ("content", models.BinaryField()),
                ("kept", models.DateTimeField(default=django.utils.timezone.now)),
            ],
            options={
                "default_permissions": (),
                "indexes": [models.Index(fields=["kept"], name="upload_by_time")],
            },
        ),
        migrations.RunPython(remove_files, migrations.RunPython.noop),
    ]
