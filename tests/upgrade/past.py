"""A database as an earlier release left it: its rows are loaded into its own tables, and migrated to today's.

`files/past.json` was written by that release's own code: its services, wizard and settlement made the rows.
It names the migrations of that release, the end of its chain, and what its commands answered.
"""

import json
from functools import cache
from pathlib import Path
from typing import Any

from django.apps.registry import Apps
from django.core.management import call_command
from django.core.management.color import no_style
from django.db import connection, models, transaction
from django.db.migrations.executor import MigrationExecutor
from pytest_django.fixtures import Settings

from portal.audit.append_only import make_way, protect_all, unprotect_all

FILES = Path(__file__).parent / "files"
Rows = list[tuple[object, ...]]


@cache
def past() -> dict[str, Any]:  # Any: plain JSON values
    """Return the file: `migrations`, `head`, `answers`, `open`, and `tables` by model of that time."""
    found: dict[str, Any] = json.loads((FILES / "past.json").read_text())
    return found


def hold_its_keys(settings: Settings) -> None:
    """Give this process the keys under which the rows were encrypted and sealed."""
    keys = json.loads((FILES / "test_keys.json").read_text())
    settings.KEYRING, settings.AUDIT_KEY = keys["keyring"], keys["audit_key"]
    settings.FINGERPRINT_KEY = keys["fingerprint_key"]


class Past:
    """The test database as it was: tables, rows and triggers of that release."""

    def __init__(self) -> None:
        targets = [tuple(each) for each in past()["migrations"]]
        with transaction.atomic():
            make_way(connection)
        executor = MigrationExecutor(connection)
        executor.migrate(targets)
        graph = MigrationExecutor(connection).loader
        django_own = [key for key in graph.graph.leaf_nodes() if key[0] in ("auth", "contenttypes")]
        self.apps: Apps = graph.project_state([*targets, *django_own]).apps
        self.models = {label: self._model(label) for label in past()["tables"]}
        with transaction.atomic():
            unprotect_all(connection)
            self._load()
            protect_all(connection)

    def _model(self, label: str) -> type[models.Model]:
        """Return a model of that time; such a model can be written to with the moments it had."""
        every = self.apps.get_models(include_auto_created=True)
        model = next(each for each in every if each._meta.label_lower == label)
        for field in model._meta.local_fields:
            for automatic in ("auto_now", "auto_now_add"):
                if hasattr(field, automatic):
                    setattr(field, automatic, False)
        return model

    def _load(self) -> None:
        with connection.cursor() as cursor:
            for model in self.models.values():
                cursor.execute(f"DELETE FROM {model._meta.db_table}")
        for label, model in self.models.items():
            names = past()["tables"][label]["fields"]
            rows = [model(**dict(zip(names, row, strict=True))) for row in self.written(label)]
            model._default_manager.bulk_create(rows)
        with connection.cursor() as cursor:
            for statement in connection.ops.sequence_reset_sql(no_style(), list(self.models.values())):
                cursor.execute(statement)

    def written(self, label: str) -> Rows:
        """Return the rows of a table as the release wrote them, in Python's types."""
        model, table = self.models[label], past()["tables"][label]
        fields = [_by_column(model, name) for name in table["fields"]]
        return [
            tuple(_python(field, value) for field, value in zip(fields, row, strict=True))
            for row in table["rows"]
        ]

    def present(self, label: str) -> Rows:
        """Return the rows of the same table as it is now, in the columns of that time."""
        names = past()["tables"][label]["fields"]
        return list(self.models[label]._default_manager.order_by("pk").values_list(*names))

    def count(self, label: str) -> int:
        return self.models[label]._default_manager.count()


def _by_column(model: type[models.Model], name: str) -> "models.Field[Any, Any]":
    return next(field for field in model._meta.local_fields if field.attname == name)


def _python(field: "models.Field[Any, Any]", value: object) -> object:
    if isinstance(field, models.JSONField):
        return value
    return getattr(field, "target_field", field).to_python(value)


def upgrade() -> None:
    """Do what the handbook says: `migrate`, then `sync_roles`."""
    call_command("migrate", "--skip-checks", verbosity=0)
    call_command("sync_roles", verbosity=0)
