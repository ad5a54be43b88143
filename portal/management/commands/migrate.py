"""`migrate`: Django's own, behind two doors: the portal's keys must fit, and no worker may be at work."""

from contextlib import nullcontext, suppress
from typing import Any

from django.core.management.base import CommandError
from django.core.management.commands.migrate import Command as Migrate
from django.db import DatabaseError, connections, transaction
from django.db.migrations.migration import Migration
from django.db.models.signals import pre_migrate
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.append_only import make_way, protect_all
from portal.checks import TAG
from portal.exit_status import REFUSED
from portal.health.models import Worker
from portal.keys.gate import gate
from portal.no_secrets import Command as SafeCommand
from portal.punctuation import some_of

SHOWN = 3  # workers


class Command(SafeCommand, Migrate):
    """It makes the keys of a new portal, on an empty database, and records which keys there are."""

    summary = gettext_lazy("Bring the database's tables up to date")

    def execute(self, *args: Any, **options: Any) -> str | None:  # Any: Django's signature
        if not options.get("skip_checks"):
            self.check(tags=[TAG])  # before the keys of an empty database are made: it may be the wrong one
        only_looks = options.get("plan") or options.get("check_unapplied")
        with nullcontext() if only_looks else gate.migrating():
            return super().execute(*args, **options)

    def handle(self, *args: Any, **options: Any) -> None:  # Any: Django's signature
        pre_migrate.connect(_before_migrations, dispatch_uid=__name__)
        try:
            super().handle(*args, **options)
        except BaseException:
            _protect_again(str(options["database"]))
            raise
        finally:
            pre_migrate.disconnect(dispatch_uid=__name__)


def _before_migrations(*, plan: list[tuple[Migration, bool]], using: str, **_: object) -> None:
    """See that tables may be changed, and let them be; for each app, and the first one does it."""
    if plan:
        _refuse_beside_workers(using)
        with transaction.atomic(using=using):
            make_way(connections[using])


def _protect_again(using: str) -> None:
    """Make the triggers of append-only tables as they must be, as far as migrations have come."""
    with suppress(DatabaseError), transaction.atomic(using=using):
        protect_all(connections[using])


def _refuse_beside_workers(using: str) -> None:
    """Raise `CommandError` if tables would change, in either direction, under a worker.

    It has code for the old ones, and could fail after the values went out. The tables of a first migration
    have no workers yet.
    """
    if Worker._meta.db_table not in connections[using].introspection.table_names():  # noqa: SLF001  # Django's API
        return
    names = list(Worker.objects.using(using).at_work().values_list("name", flat=True)[: SHOWN + 1])
    if names:
        shown = some_of(names[:SHOWN], len(names))
        raise CommandError(
            _(
                "The database was not changed: workers are at work (%s), and they know the old tables. Stop "
                "every web server, worker and scheduler, make a backup, and migrate again. A worker that was "
                "killed counts as at work for a minute."
            )
            % shown,
            returncode=REFUSED,
        )
