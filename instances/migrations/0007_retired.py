from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("instances", "0006_other_portals"),
    ]

    operations = [
        migrations.RemoveConstraint(
            model_name="container",
            name="instances_container_address_port",
        ),
        migrations.RemoveConstraint(
            model_name="container",
            name="instances_container_behind_jump",
        ),
        migrations.AddField(
            model_name="container",
            name="retired",
            field=models.DateTimeField(editable=False, null=True, verbose_name="retired"),
        ),
        migrations.AddField(
            model_name="container",
            name="retired_by",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=150,
                verbose_name="retired by",
            ),
        ),
        migrations.AddField(
            model_name="container",
            name="retired_reason",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=250, verbose_name="reason"
            ),
        ),
        migrations.AddField(
            model_name="installation",
            name="retired",
            field=models.DateTimeField(editable=False, null=True, verbose_name="retired"),
        ),
        migrations.AddField(
            model_name="installation",
            name="retired_by",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=150,
                verbose_name="retired by",
            ),
        ),
        migrations.AddField(
            model_name="installation",
            name="retired_reason",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=250, verbose_name="reason"
            ),
        ),
        migrations.AddField(
            model_name="instance",
            name="retired",
            field=models.DateTimeField(editable=False, null=True, verbose_name="retired"),
        ),
        migrations.AddField(
            model_name="instance",
            name="retired_by",
            field=models.CharField(
                blank=True,
                db_default="",
                default="",
                editable=False,
                max_length=150,
                verbose_name="retired by",
            ),
        ),
        migrations.AddField(
            model_name="instance",
            name="retired_reason",
            field=models.CharField(
                blank=True, db_default="", default="", editable=False, max_length=250, verbose_name="reason"
            ),
        ),
        migrations.AddConstraint(
            model_name="container",
            constraint=models.UniqueConstraint(
                condition=models.Q(("jump_host", None), ("retired", None)),
                fields=("address", "port"),
                name="instances_container_address_port",
            ),
        ),
        migrations.AddConstraint(
            model_name="container",
            constraint=models.UniqueConstraint(
                condition=models.Q(("retired", None)),
                fields=("jump_host", "address", "port"),
                name="instances_container_behind_jump",
            ),
        ),
        migrations.AddConstraint(
            model_name="container",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("retired", None), models.Q(("retired_reason", ""), _negated=True), _connector="OR"
                ),
                name="instances_container_retired_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="installation",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("retired", None), models.Q(("retired_reason", ""), _negated=True), _connector="OR"
                ),
                name="instances_installation_retired_why",
            ),
        ),
        migrations.AddConstraint(
            model_name="instance",
            constraint=models.CheckConstraint(
                condition=models.Q(
                    ("retired", None), models.Q(("retired_reason", ""), _negated=True), _connector="OR"
                ),
                name="instances_instance_retired_why",
            ),
        ),
    ]
