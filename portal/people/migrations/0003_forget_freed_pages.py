"""Writes SQLite's file anew: what had been removed before could still be read in its unused pages."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def vacuum(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    if editor.connection.vendor == "sqlite":
        editor.execute("VACUUM")


class Migration(migrations.Migration):
    atomic = False  # SQLite does it outside of transactions alone
    dependencies = [("people", "0002_drop_axes")]

    operations = [migrations.RunPython(vacuum, migrations.RunPython.noop, atomic=False)]
