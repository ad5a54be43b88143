"""A password or client secret that is typed into the wrong field of the sign-in is kept nowhere in clear."""

import logging
import sqlite3
from contextlib import closing
from datetime import UTC, datetime, timedelta
from importlib import import_module
from pathlib import Path

import pytest
import requests
import time_machine
from django.apps import apps
from django.contrib.auth.models import Permission, User
from django.contrib.contenttypes.models import ContentType
from django.contrib.sessions.models import Session
from django.db import connection
from django.db.migrations.recorder import MigrationRecorder
from django.test import Client

from portal.people.models import FailedSignIns
from portal.people.signing_in.lock_out import FAILURE_LIMIT
from portal.short_lived import remove_expired
from tests.credentials.wizard.test_wizard_canary import everything_stored
from tests.portal.people.test_sign_in import PASSWORD, sign_in
from tests.security.secret_shapes import BODY, JWT_SECRET, SECRET
from tests.services.portal import Portal, content

TYPED = "Correct-Horse_Battery"
"""A password: nothing tells it from a name."""
LOGIN = "/login/"


def attempt(name: str) -> dict[str, object]:
    """Return a sign-in with the canary in every place of the request."""
    return {
        "data": {"username": name, "password": f"{TYPED} {BODY}", "extra": TYPED, "client_secret": SECRET},
        "headers": {"User-Agent": f"{TYPED} {SECRET}", "Referer": f"http://x/?q={TYPED}", "X-Canary": TYPED},
    }


def kept(caplog: pytest.LogCaptureFixture) -> str:
    sessions = [str(each.get_decoded()) for each in Session.objects.all()]
    lines = [str(vars(record)) + record.getMessage() for record in caplog.records]
    return "\n".join([everything_stored(), *sessions, caplog.text, *lines])


@pytest.mark.django_db
@pytest.mark.parametrize(
    "name", [TYPED, f"{TYPED} inside", TYPED.upper(), SECRET, JWT_SECRET, f"is {SECRET}?"]
)
def test_nothing_that_was_typed_is_kept(helpdesk: User, caplog: pytest.LogCaptureFixture, name: str) -> None:
    caplog.set_level(logging.DEBUG)
    client = Client()
    client.cookies["canary"] = TYPED
    for _ in range(FAILURE_LIMIT + 2):
        client.post(f"{LOGIN}?next=/&password={TYPED}&secret={SECRET}", **attempt(name))  # type: ignore[arg-type]
    places = kept(caplog).lower()
    assert FailedSignIns.objects.exists() == (BODY not in name)
    for canary in (TYPED, BODY):
        assert canary.lower() not in places


@pytest.mark.django_db
def test_a_client_secret_as_the_user_name_is_refused_at_its_field() -> None:
    response = Client().post(LOGIN, {"username": SECRET, "password": "x"})
    page = response.content.decode()
    assert "looks like a client secret" in page
    assert BODY not in page
    assert not FailedSignIns.objects.exists()


@pytest.mark.django_db
def test_a_password_may_look_like_anything(roles: None) -> None:
    User.objects.create_user("sam", password=SECRET)
    assert sign_in("sam", SECRET) == 302


@pytest.mark.django_db
def test_only_a_keyed_hash_and_a_counter_are_kept(helpdesk: User, settings: object) -> None:
    sign_in("henry", "wrong")
    sign_in("henry", "wrong")
    [row] = FailedSignIns.objects.values("address", "failures", "name_hash")
    assert (row["address"], row["failures"]) == ("10.0.0.1", 2)
    settings.SECRET_KEY = "another key, which is long enough for one"  # type: ignore[attr-defined]
    sign_in("henry", "wrong")
    assert FailedSignIns.objects.exclude(name_hash=row["name_hash"]).exists()


@pytest.mark.django_db
def test_tries_against_a_lock_do_not_prolong_it(helpdesk: User) -> None:
    began = datetime(2026, 3, 1, 12, tzinfo=UTC)
    with time_machine.travel(began, tick=False) as clock:
        for _ in range(FAILURE_LIMIT):
            sign_in("henry", "wrong")
        clock.shift(timedelta(minutes=14))
        assert [sign_in("henry", "wrong") for _ in range(20)] == [429] * 20
        assert sign_in("henry", PASSWORD) == 429
        clock.shift(timedelta(minutes=1))
        assert sign_in("henry", PASSWORD) == 302


@pytest.mark.django_db
def test_a_clock_that_is_set_back_does_not_lock_for_longer(helpdesk: User) -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        for _ in range(FAILURE_LIMIT):
            sign_in("henry", "wrong")
        clock.shift(timedelta(days=-1))
        assert sign_in("henry", PASSWORD) == 302


@pytest.mark.django_db
def test_counters_go_by_themselves(helpdesk: User) -> None:
    with time_machine.travel(datetime(2026, 3, 1, 12, tzinfo=UTC), tick=False) as clock:
        sign_in("henry", "wrong")
        clock.shift(timedelta(minutes=14))
        remove_expired()
        assert FailedSignIns.objects.exists()
        clock.shift(timedelta(minutes=1))
        remove_expired()
        assert not FailedSignIns.objects.exists()


@pytest.mark.slow
def test_a_running_portal_keeps_nothing_on_disk_either(tmp_path: Path) -> None:
    portal = Portal(tmp_path, {"BROKER_URL": "filesystem://localhost", "LOG_LEVEL": "DEBUG"})
    portal.prepare()
    with portal.web():
        browser = requests.Session()
        for _ in range(FAILURE_LIMIT + 1):
            browser.get(portal.url + LOGIN, timeout=30)
            found = attempt(TYPED)
            data = {**found["data"], "csrfmiddlewaretoken": browser.cookies["csrf"]}  # type: ignore[dict-item]
            answer = browser.post(
                f"{portal.url}{LOGIN}?password={TYPED}",
                data=data,
                headers=found["headers"],  # type: ignore[arg-type]
                timeout=30,
            )
        assert answer.status_code == 429
        files = [path for path in tmp_path.rglob("*") if path.is_file()]
        assert {"portal.sqlite3", "web.log"} <= {path.name for path in files}
        canaries = (TYPED.encode(), BODY.encode())
        assert [path for path in files if any(each in content(path) for each in canaries)] == []


# The tables of the former library


@pytest.mark.django_db(transaction=True)
def test_the_former_tables_go_with_the_upgrade() -> None:
    with connection.cursor() as cursor:
        cursor.execute("CREATE TABLE axes_accessattempt (id integer PRIMARY KEY, username varchar(255))")
        cursor.execute(
            "CREATE TABLE axes_accessattemptexpiration "
            "(access_attempt_id integer PRIMARY KEY REFERENCES axes_accessattempt (id))"
        )
        cursor.execute("INSERT INTO axes_accessattempt VALUES (1, %s)", [TYPED])
    kind = ContentType.objects.create(app_label="axes", model="accessattempt")
    Permission.objects.create(content_type=kind, codename="view_accessattempt", name="x")
    recorder = MigrationRecorder(connection)
    recorder.record_applied("axes", "0001_initial")
    migration = import_module("portal.people.migrations.0002_drop_axes")
    with connection.schema_editor() as editor:
        migration.drop(apps, editor)
    assert not [table for table in connection.introspection.table_names() if table.startswith("axes")]
    assert not ContentType.objects.filter(app_label="axes").exists()
    assert not Permission.objects.filter(codename="view_accessattempt").exists()
    assert not [name for app, name in recorder.applied_migrations() if app == "axes"]
    assert TYPED not in everything_stored()


@pytest.mark.slow
def test_nothing_of_them_is_left_in_the_unused_pages_of_the_file(tmp_path: Path) -> None:
    portal = Portal(tmp_path, {"BROKER_URL": "filesystem://localhost"})
    portal.manage("migrate", "people", "0001", "--verbosity", "0")
    portal.manage("migrate", "auth", "--verbosity", "0")
    file = tmp_path / "portal.sqlite3"
    with closing(sqlite3.connect(file)) as database:
        database.execute("PRAGMA secure_delete=OFF")
        database.execute("CREATE TABLE axes_accessattempt (id integer PRIMARY KEY, username text)")
        rows = [(number, f"{TYPED} {number}") for number in range(50_000)]  # more pages than are used again
        database.executemany("INSERT INTO axes_accessattempt VALUES (?, ?)", rows)
        database.execute("DELETE FROM axes_accessattempt WHERE id > 100")  # as each good sign-in did
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert f"{TYPED} 40000".encode() in file.read_bytes()
    portal.prepare()
    assert [
        path for path in tmp_path.iterdir() if path.is_file() and TYPED.encode() in path.read_bytes()
    ] == []
