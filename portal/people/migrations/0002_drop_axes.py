"""Removes the tables of django-axes, which had kept in clear whatever was typed as a user name."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.recorder import MigrationRecorder

TABLES = (
    "axes_accessattemptexpiration",  # before the table that it refers to
    "axes_accessattempt",
    "axes_accessfailurelog",
    "axes_accesslog",
)


def drop(apps: Apps, editor: BaseDatabaseSchemaEditor) -> None:
    connection = editor.connection
    present = connection.introspection.table_names()
    for table in TABLES:
        if table in present:
            editor.execute(editor.sql_delete_table % {"table": editor.quote_name(table)})
    apps.get_model("contenttypes", "ContentType").objects.filter(app_label="axes").delete()
    MigrationRecorder(connection).migration_qs.filter(app="axes").delete()


class Migration(migrations.Migration):
    dependencies = [
        ("people", "0001_failed_sign_ins"),
        ("auth", "0012_alter_user_first_name_max_length"),
        ("contenttypes", "0002_remove_content_type_name"),
    ]

    operations = [migrations.RunPython(drop, migrations.RunPython.noop)]
