"""Locks by browser and by purpose, sums of failures for the history, and signs of a proxy."""

import django.db.models.deletion
from django.conf import settings
from django.db import migrations, models


class Migration(migrations.Migration):
    dependencies = [
        ("people", "0003_forget_freed_pages"),
        migrations.swappable_dependency(settings.AUTH_USER_MODEL),
    ]

    operations = [
        migrations.CreateModel(
            name="ProxySign",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                (
                    "sign",
                    models.CharField(
                        choices=[
                            ("header", "A request came with the headers of a proxy"),
                            ("loopback", "Requests come from this machine itself"),
                        ],
                        max_length=10,
                        unique=True,
                    ),
                ),
                ("peer", models.CharField(max_length=45)),
                ("last", models.DateTimeField()),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.CreateModel(
            name="SignInTally",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("began", models.DateTimeField()),
                ("name", models.CharField(blank=True, max_length=150)),
                ("address", models.CharField(blank=True, max_length=45)),
                ("failures", models.PositiveIntegerField(default=0)),
                ("refused", models.PositiveIntegerField(default=0)),
                ("locks", models.PositiveIntegerField(default=0)),
                ("recorded", models.PositiveIntegerField(default=0)),
            ],
            options={
                "default_permissions": (),
            },
        ),
        migrations.RemoveConstraint(
            model_name="failedsignins",
            name="people_failedsignins_once",
        ),
        migrations.AddField(
            model_name="failedsignins",
            name="device",
            field=models.CharField(blank=True, db_default="", default="", max_length=32),
        ),
        migrations.AddField(
            model_name="failedsignins",
            name="purpose",
            field=models.CharField(
                choices=[("sign_in", "Sign-in"), ("password", "Change of one's own password")],
                db_default="sign_in",
                default="sign_in",
                max_length=10,
            ),
        ),
        migrations.AddField(
            model_name="failedsignins",
            name="refused",
            field=models.PositiveIntegerField(db_default=0, default=0),
        ),
        migrations.AddField(
            model_name="failedsignins",
            name="user",
            field=models.ForeignKey(
                null=True,
                on_delete=django.db.models.deletion.CASCADE,
                related_name="+",
                to=settings.AUTH_USER_MODEL,
            ),
        ),
        migrations.AddIndex(
            model_name="failedsignins",
            index=models.Index(fields=["address"], name="people_failed_by_address"),
        ),
        migrations.AddConstraint(
            model_name="failedsignins",
            constraint=models.UniqueConstraint(
                fields=("purpose", "name_hash", "address", "device"), name="people_failedsignins_unique"
            ),
        ),
        migrations.AddConstraint(
            model_name="signintally",
            constraint=models.UniqueConstraint(
                fields=("began", "name", "address"), name="people_signintally_unique"
            ),
        ),
    ]
