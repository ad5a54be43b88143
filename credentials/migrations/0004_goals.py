"""The version that was current becomes the goal of its account, if the account is in use."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Take the usable version in the first place over, which 0003 gave to the one that was current."""
    versions = apps.get_model("credentials", "ClientSecret").objects.filter(
        state="usable", slot=1, account__state="active"
    )
    GoalChange = apps.get_model("credentials", "GoalChange")
    accounts = apps.get_model("credentials", "TechnicalAccount").objects
    for version in versions.iterator():
        accounts.filter(pk=version.account_id).update(goal=version)
        GoalChange.objects.create(account_id=version.account_id, version=version, why="upgraded")


class Migration(migrations.Migration):
    dependencies = [("credentials", "0003_versions_and_goals")]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
