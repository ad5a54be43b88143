"""Protects finished attempts in the database."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from portal.audit.append_only import protect, unprotect


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    protect(schema_editor, "rollouts_attempt", unless_open="finished")


def backwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    unprotect(schema_editor, "rollouts_attempt")


class Migration(migrations.Migration):
    dependencies = [("rollouts", "0001_initial"), ("audit", "0002_append_only")]
    operations = [migrations.RunPython(forwards, backwards)]
