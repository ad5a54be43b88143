"""Append-only tables: their triggers come back after every migration, and nothing starts without them."""

import uuid
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import DatabaseError, connection, migrations, models, transaction
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.executor import MigrationExecutor
from django.db.migrations.operations.base import Operation

from portal.audit import append_only
from portal.audit.append_only import AppendOnly, protect, registered, unprotected, writable
from portal.audit.append_only.protection import triggers_in_place
from portal.audit.append_only.triggers import existing
from portal.audit.trail import Actor, record
from portal.health.models import Worker
from portal.startup import refuse_unsafe_start
from tests.factories import finish, make_rollout

pytestmark = pytest.mark.django_db(transaction=True)
IS_SQLITE = connection.vendor == "sqlite"
FUNCTION = "CREATE OR REPLACE FUNCTION portal_append_only() RETURNS trigger LANGUAGE plpgsql"
only_sqlite = pytest.mark.skipif(not IS_SQLITE, reason="a way of SQLite")
only_postgres = pytest.mark.skipif(IS_SQLITE, reason="a way of PostgreSQL")

CHANGES: dict[str, Callable[[str, str], Operation]] = {
    "a field with a default": lambda model, _text: migrations.AddField(
        model, "extra", models.CharField(max_length=5, default="x")
    ),
    "a longer column": lambda model, text: migrations.AlterField(
        model, text, models.CharField(max_length=400)
    ),
    "a constraint": lambda model, text: migrations.AddConstraint(
        model, models.CheckConstraint(condition=~models.Q(**{text: "-"}), name=f"{model}_check")
    ),
    "a unique constraint": lambda model, text: migrations.AddConstraint(
        model, models.UniqueConstraint(fields=[text], name=f"{model}_once")
    ),
    "another name": lambda model, _text: migrations.RenameModel(model, f"{model}renamed"),
}


@pytest.fixture(autouse=True)
def _rows() -> Iterator[None]:
    """One event and one finished attempt, and in the end the triggers as they were."""
    with transaction.atomic():
        record("push.failed", actor=Actor("somebody"))
    finish(make_rollout().pushes.get(), state="failed", code="timed_out")
    yield
    call_command("migrate", verbosity=0)


@pytest.fixture
def editor() -> Iterator[BaseDatabaseSchemaEditor]:
    with connection.schema_editor() as editor:
        yield editor


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize(
    ("app", "model", "text"), [("audit", "auditevent", "hash"), ("rollouts", "attempt", "worker")]
)
def test_a_table_that_a_migration_rebuilt_is_protected_again(
    app: str, model: str, text: str, change: str
) -> None:
    before = MigrationExecutor(connection).loader.project_state()
    after = before.clone()
    operation = CHANGES[change](model, text)
    operation.state_forwards(app, after)
    for run, old, new in (
        (operation.database_forwards, before, after),
        (operation.database_backwards, after, before),
    ):
        with connection.schema_editor() as editor:
            run(app, editor, old, new)
    if IS_SQLITE:
        assert start_is_refused()
    call_command("migrate", verbosity=0)
    assert not start_is_refused()
    every_change_is_refused()


@only_sqlite
def test_the_trigger_on_insert_knows_a_new_unique_constraint() -> None:
    execute("CREATE UNIQUE INDEX audit_hash_once ON audit_auditevent (hash)")
    assert unprotected(connection) == ["audit_auditevent_no_insert"]
    call_command("migrate", verbosity=0)
    columns = "seq, at, actor_name, ip, action, target_type, target_id, target_name, details, request_id"
    with pytest.raises(DatabaseError, match="append-only"):
        execute(
            f"REPLACE INTO audit_auditevent ({columns}, prev_hash, hash) SELECT 99{columns[3:]}, prev_hash, "
            "hash FROM audit_auditevent"
        )
    execute("DROP INDEX audit_hash_once")


@only_sqlite
@pytest.mark.parametrize("table", ["audit_auditevent", "rollouts_attempt"])
def test_a_row_cannot_be_replaced_through_its_row_number(table: str) -> None:
    key = registered_model(table)._meta.pk.column
    columns = [each.column for each in registered_model(table)._meta.concrete_fields]
    other = "seq + 99" if key == "seq" else "'f' || substr(id, 2)"
    values = [other if each == key else f"{each} + 9" if each == "number" else each for each in columns]
    others = ", ".join(columns)
    with pytest.raises(DatabaseError, match="append-only"):
        execute(f"REPLACE INTO {table} (rowid, {others}) SELECT rowid, {', '.join(values)} FROM {table}")
    with pytest.raises(DatabaseError, match="append-only"):
        execute(f"UPDATE OR REPLACE {table} SET rowid = rowid + 1")


@only_sqlite
def test_an_unfinished_attempt_cannot_take_the_place_of_a_finished_one() -> None:
    finished = registered_model("rollouts_attempt").objects.get()
    add_unfinished_attempt(finished)
    with pytest.raises(DatabaseError, match="append-only"):
        execute(f"UPDATE OR REPLACE rollouts_attempt SET id = '{finished.pk.hex}' WHERE finished IS NULL")


@pytest.mark.parametrize("app", ["audit", "health", "rollouts"])
def test_migrating_one_app_protects_all(app: str) -> None:
    remove_a_trigger("rollouts_attempt")
    call_command("migrate", app, verbosity=0)
    every_change_is_refused()


@pytest.mark.slow
def test_migrating_back_and_forth_works() -> None:
    call_command("migrate", "rollouts", "0001", verbosity=0)
    call_command("migrate", "rollouts", "zero", verbosity=0)
    assert not start_is_refused()
    call_command("migrate", verbosity=0)
    assert existing(connection, "rollouts_attempt")
    assert not start_is_refused()


def test_a_migration_that_protects_can_be_printed_as_sql(capsys: pytest.CaptureFixture[str]) -> None:
    call_command("sqlmigrate", "audit", "0002")
    assert "CANNOT BE WRITTEN AS SQL" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("target", [("rollouts", "0016"), ("discovery", "0003")])
def test_between_two_migrations_everything_is_protected(target: tuple[str, str]) -> None:
    call_command("migrate", *target, verbosity=0)
    assert len(existing(connection, "rollouts_attempt")) == 3
    assert not start_is_refused()
    remove_a_trigger("rollouts_attempt")
    assert start_is_refused()
    call_command("migrate", verbosity=0)
    every_change_is_refused()


def test_a_migrate_that_is_refused_leaves_the_triggers() -> None:
    call_command("migrate", "rollouts", "0016", verbosity=0)
    Worker.objects.create(name="worker-1:12", concurrency=4)
    before = {table: existing(connection, table) for table in ("rollouts_attempt", "discovery_reading")}
    with pytest.raises(CommandError, match="workers are at work"):
        call_command("migrate", verbosity=0)
    assert before == {table: existing(connection, table) for table in before}
    Worker.objects.all().delete()


def test_migrating_again_changes_nothing() -> None:
    before = existing(connection, "audit_auditevent")
    call_command("migrate", verbosity=0)
    assert existing(connection, "audit_auditevent") == before


def test_nothing_starts_without_a_trigger(capsys: pytest.CaptureFixture[str]) -> None:
    remove_a_trigger("audit_auditevent")
    with pytest.raises(SystemExit):
        refuse_unsafe_start()
    assert "audit_auditevent_no_delete missing, disabled or changed" in capsys.readouterr().err


@only_sqlite
def test_a_trigger_of_the_right_name_alone_is_none() -> None:
    remove_a_trigger("audit_auditevent")
    execute("CREATE TRIGGER audit_auditevent_no_delete BEFORE DELETE ON audit_auditevent BEGIN SELECT 1; END")
    assert start_is_refused()


@only_postgres
@pytest.mark.parametrize(
    "statement",
    [
        "ALTER TABLE audit_auditevent DISABLE TRIGGER audit_auditevent_no_update",
        "ALTER TABLE audit_auditevent DISABLE TRIGGER ALL",
        "ALTER TABLE audit_auditevent ENABLE TRIGGER audit_auditevent_no_truncate",
        "ALTER TABLE rollouts_attempt ENABLE REPLICA TRIGGER rollouts_attempt_no_delete",
        f"{FUNCTION} AS $$ BEGIN RETURN NEW; END $$",
    ],
)
def test_a_disabled_trigger_or_another_function_stops_the_start(statement: str) -> None:
    execute(statement)
    assert start_is_refused()
    call_command("migrate", verbosity=0)
    assert not start_is_refused()
    every_change_is_refused()


@only_postgres
def test_a_trigger_with_another_condition_stops_the_start() -> None:
    execute("DROP TRIGGER audit_auditevent_no_update ON audit_auditevent")
    execute(
        "CREATE TRIGGER audit_auditevent_no_update BEFORE UPDATE ON audit_auditevent FOR EACH ROW "
        "WHEN (OLD.seq < 0) EXECUTE FUNCTION portal_append_only()"
    )
    execute("ALTER TABLE audit_auditevent ENABLE ALWAYS TRIGGER audit_auditevent_no_update")
    assert start_is_refused()


@only_postgres
def test_triggers_work_for_a_session_that_takes_itself_for_a_replica() -> None:
    with transaction.atomic():
        execute("SET LOCAL session_replication_role = replica")
        every_change_is_refused()


def test_a_data_migration_may_change_rows_once(editor: BaseDatabaseSchemaEditor) -> None:
    attempts = registered_model("rollouts_attempt").objects
    before = existing(connection, "rollouts_attempt")
    add_unfinished_attempt(attempts.get())
    with writable(editor, "rollouts_attempt"):
        attempts.update(output="scrubbed")
        attempts.filter(finished=None).delete()
        add_unfinished_attempt(attempts.get())  # with a foreign key that is still to be checked
    assert attempts.get(number=1).output == "scrubbed"
    assert existing(connection, "rollouts_attempt") == before
    every_change_is_refused()


def test_a_data_migration_that_fails_leaves_everything_protected() -> None:
    attempts = registered_model("rollouts_attempt").objects
    with (
        pytest.raises(ZeroDivisionError),
        connection.schema_editor() as editor,
        writable(editor, "rollouts_attempt"),
    ):
        assert attempts.update(output="scrubbed") / 0
    assert attempts.get().output == ""
    assert not start_is_refused()


def test_a_table_is_made_writable_in_a_transaction_only() -> None:
    with (
        connection.schema_editor(atomic=False) as editor,
        pytest.raises(RuntimeError, match="transaction"),
        writable(editor, "rollouts_attempt"),
    ):
        pass
    assert not start_is_refused()


def test_protecting_twice_is_harmless(editor: BaseDatabaseSchemaEditor) -> None:
    protect(editor, "audit_auditevent")
    protect(editor, "audit_auditevent")
    assert unprotected(connection) == []


def test_a_new_table_needs_its_registration_only() -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(append_only, "_registered", [AppendOnly(Worker)])
        assert start_is_refused()
        call_command("migrate", verbosity=0)
        worker = Worker.objects.create(name="one", concurrency=1)
        refused(worker.delete)
        with transaction.atomic():
            append_only.unprotect_all(connection)


def start_is_refused() -> bool:
    return [error.id for error in triggers_in_place(databases=["default"])] == ["audit.E002"]


def registered_model(table: str) -> Any:  # Any: a model without a common base of its managers
    return next(each.model for each in registered() if each.table == table)


def add_unfinished_attempt(like: Any) -> None:
    copied = {each.attname: getattr(like, each.attname) for each in like._meta.concrete_fields}
    type(like).objects.create(**copied | {"id": uuid.uuid4(), "number": 2, "finished": None})


def remove_a_trigger(table: str) -> None:
    execute(f"DROP TRIGGER {table}_no_delete" + ("" if IS_SQLITE else f" ON {table}"))
    assert start_is_refused()


def every_change_is_refused() -> None:
    for table, column in (("audit_auditevent", "action"), ("rollouts_attempt", "code")):
        assert registered_model(table).objects.exists()
        statements = [f"UPDATE {table} SET {column} = 'other'", f"DELETE FROM {table}"]
        statements.append(
            f"REPLACE INTO {table} SELECT * FROM {table}" if IS_SQLITE else f"TRUNCATE {table} CASCADE"
        )
        for statement in statements:
            refused(partial(execute, statement))


def refused(change: Callable[[], object]) -> None:
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        change()


def execute(statement: str) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement)
