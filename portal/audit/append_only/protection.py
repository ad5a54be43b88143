"""Keeps append-only tables append-only: triggers anew after every migrate, and no start without them."""

from collections.abc import Sequence

from django.apps import AppConfig, apps
from django.core.checks import CheckMessage, Error, Tags, register
from django.db import DatabaseError, connections, transaction
from django.db.models.signals import post_migrate
from django.dispatch import receiver

from portal.audit.append_only import protect_all, unprotected


@receiver(post_migrate)
def make_triggers(sender: AppConfig, using: str, **_: object) -> None:
    """Make lost triggers anew, once all apps are through: on SQLite, a rebuilt table has none."""
    if sender == [each for each in apps.get_app_configs() if each.models_module][-1]:
        with transaction.atomic(using=using):
            protect_all(connections[using])


@register(Tags.database, deploy=True)  # not for `migrate`, which is what brings them back
def triggers_in_place(databases: Sequence[str] | None = None, **_: object) -> list[CheckMessage]:
    """Refuse a database in which a row of an append-only table could be changed or removed."""
    return [error for alias in databases or () for error in _errors(alias)]


def _errors(alias: str) -> list[CheckMessage]:
    try:
        names = unprotected(connections[alias])
    except DatabaseError:
        return []  # a database that does not answer is another check's finding
    if not names:
        return []
    return [
        Error(
            f"Append-only tables are not protected: {', '.join(names)} missing, disabled or changed.",
            hint="Find out who changed the database. `manage.py migrate` makes these triggers anew, and "
            "`manage.py verify_audit` shows whether the history was changed meanwhile.",
            id="audit.E002",
        )
    ]
