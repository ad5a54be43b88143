"""What waits for a person is asked per installation; since when a push is unknown; what became of retries."""

from django.apps.registry import Apps
from django.db import migrations, models
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.models import Max, OuterRef, Q, Subquery


def since_the_last_report(apps: Apps, schema_editor: BaseDatabaseSchemaEditor) -> None:
    """Pushes that are unknown now are so since the values were last sent."""
    sent = apps.get_model("rollouts", "Attempt").objects.filter(push=OuterRef("pk"), kind="push").order_by()
    last = sent.values("push").annotate(last=Max("finished")).values("last")
    pushes = apps.get_model("rollouts", "Push").objects.filter(state="unknown")
    pushes.update(unknown_since=Subquery(last))


class Migration(migrations.Migration):
    dependencies = [
        ("rollouts", "0010_causes_told_apart"),
    ]

    operations = [
        migrations.AddField(
            model_name="push",
            name="retried",
            field=models.DateTimeField(null=True, verbose_name="retried"),
        ),
        migrations.AddField(
            model_name="push",
            name="unknown_since",
            field=models.DateTimeField(null=True, verbose_name="unknown since"),
        ),
        migrations.AddIndex(
            model_name="push",
            index=models.Index(
                condition=Q(replaced=False, state__in=["cancelled", "superseded"]),
                fields=["state", "installation"],
                name="push_called_off",
            ),
        ),
        migrations.AddIndex(
            model_name="push",
            index=models.Index(condition=Q(retried__isnull=False), fields=["finished"], name="push_retried"),
        ),
        migrations.RunPython(since_the_last_report, migrations.RunPython.noop, elidable=True),
    ]
