"""What installations desire, from what was decided before desires were kept."""

from django.apps.registry import Apps
from django.db import migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import F, Q

AT_ONCE = 500
USABLE = "usable"


def forwards(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Let an installation desire the version of its newest push, or what was proven if that was called off.

    Only a version that can still be used, of the account that the instance uses.
    """
    DesiredVersion = apps.get_model("credentials", "DesiredVersion")
    DesiredVersionChange = apps.get_model("credentials", "DesiredVersionChange")
    own = {"installation__instance__assignment__account": F("rollout__secret__account")}
    newest = apps.get_model("rollouts", "Push").objects.filter(
        Q(rollout__secret__state=USABLE), replaced=False, **own
    )
    counted = newest.exclude(state__in=["cancelled", "superseded"]).order_by("rollout__number")
    facts = {
        push.installation_id: {"version_id": push.rollout.secret_id, "push": push.pk, "since": push.requested}
        for push in counted.select_related("rollout").iterator()
    }
    proven = apps.get_model("rollouts", "ProvenWrite").objects.filter(
        Q(secret__state=USABLE), installation__instance__assignment__account=F("secret__account")
    )
    for write in proven.iterator():
        facts.setdefault(write.installation_id, {"version_id": write.secret_id})
    rows = [{"installation_id": pk, "why": "upgraded", **fact} for pk, fact in facts.items()]
    DesiredVersion.objects.bulk_create([DesiredVersion(**row) for row in rows], batch_size=AT_ONCE)
    for row in rows:
        row.pop("since", None)
    DesiredVersionChange.objects.bulk_create(
        [DesiredVersionChange(**row) for row in rows], batch_size=AT_ONCE
    )


class Migration(migrations.Migration):
    dependencies = [("credentials", "0004_goals"), ("rollouts", "0012_preparations")]

    operations = [migrations.RunPython(forwards, migrations.RunPython.noop)]
