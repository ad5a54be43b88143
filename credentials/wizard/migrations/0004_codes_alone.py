"""Drafts keep the codes of what is doubtful; the sentences, in the language of that day, are left out."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


def keep_codes(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Can be repeated: what has no sentence stays as it is."""
    for draft in apps.get_model("wizard", "Draft").objects.all():
        for name in ("cautions", "confirmed"):
            kept = [{"field": each["field"], "code": each["code"]} for each in getattr(draft, name)]
            setattr(draft, name, kept)
        draft.save(update_fields=["cautions", "confirmed"])  # not `changed`, which forms compare


class Migration(migrations.Migration):
    dependencies = [("wizard", "0003_preparations_are_of_rollouts")]

    operations = [migrations.RunPython(keep_codes, migrations.RunPython.noop)]
