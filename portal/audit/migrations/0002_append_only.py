"""Protects the audit trail in the database, and lays the beginning of its chain."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor

from portal.audit.append_only import protect, unprotect
from portal.audit.models import FIRST, seal


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    apps.get_model("audit", "AuditHead").objects.create(pk=1, seq=0, hash=FIRST, seal=seal(f"head|0|{FIRST}"))
    protect(schema_editor, "audit_auditevent")


def backwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    unprotect(schema_editor, "audit_auditevent")


class Migration(migrations.Migration):
    dependencies = [("audit", "0001_initial")]
    operations = [migrations.RunPython(forwards, backwards)]
