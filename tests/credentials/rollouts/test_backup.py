"""Backup and restore on both databases: the audit chain holds, and containers take pushes again."""

import json
import secrets
import shutil
import sqlite3
import stat
import subprocess
import threading
import uuid
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import connection, transaction

from credentials.rollouts.models import Push
from portal import backup
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor, record
from portal.sandbox.config_files import Shape
from portal.sandbox.console import ConsoleAccount
from portal.sandbox.container import Container, make_container, read_account
from portal.sandbox.ssh_server import SSHServer
from tests.credentials.rollouts.conftest import MakeSite, Start, deliver_all
from tests.factories import finish, make_rollout
from tests.services.portal import Portal
from tests.services.programs import require

HEADER = "instance,container,address,port,login,become,install_root,host_key"


@dataclass
class World:
    """One container, and the portals that know it, each with a database of its own."""

    portal: Portal
    container: Container
    first: ConsoleAccount = field(default_factory=ConsoleAccount)
    second: ConsoleAccount = field(default_factory=ConsoleAccount)

    def held(self) -> str:
        """The secret in the container's file."""
        secret = read_account(self.container, "prod1").secret
        assert secret
        return secret.reveal()

    def add(self, name: str, console: ConsoleAccount) -> None:
        self.portal.manage(
            "add_account", name, "--from-json", "-", "--no-check", stdin=console.download_json()
        )
        self.portal.manage("assign", name, "prod1")


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.slow)])
def environment(request: pytest.FixtureRequest) -> dict[str, str]:
    """Where the first portal keeps its rows."""
    if request.param == "sqlite":
        return {}
    request.getfixturevalue("postgres_server")
    return {"DATABASE_URL": new_database(request)}


def new_database(request: pytest.FixtureRequest) -> str:
    postgres = request.getfixturevalue("postgres_server")
    url: str = postgres.create_database(f"backup_{uuid.uuid4().hex[:8]}")
    return url


@pytest.fixture
def world(tmp_path: Path, environment: dict[str, str]) -> Iterator[World]:
    portal = make_portal(tmp_path / "old", environment)
    portal.prepare()
    container = make_container(tmp_path / "container", instances={"prod1": Shape.PLAIN})
    with SSHServer(environment=container.environment, authorized_keys=[portal.public_key]) as server:
        place = f"{server.address},{server.port},neolane,none,{container.install_root},{server.fingerprint}"
        inventory = tmp_path / "inventory.csv"
        inventory.write_text(f"{HEADER}\nprod1,mkt-1,{place}\n")
        portal.manage("import_inventory", str(inventory))
        portal.manage("trust_host_key", "mkt-1", "--fingerprint", server.fingerprint)
        yield World(portal, container)


def make_portal(home: Path, environment: dict[str, str]) -> Portal:
    home.mkdir(mode=0o700)
    return Portal(home, {"BROKER_URL": "filesystem://localhost", **environment})


@pytest.mark.slow
@pytest.mark.parametrize("environment", ["sqlite", "postgresql"], indirect=True)
@pytest.mark.timeout(240)
def test_a_restored_portal_verifies_its_history_and_pushes_to_containers_that_saw_more(
    world: World, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    old = world.portal
    world.add("Triggers", world.first)
    with old.worker("before"):
        old.rollout("Triggers")
    old.manage("rollout", "Triggers", "--unconfirmed")  # still queued when the copy is made
    options = ["--with-keys", str(tmp_path / "safe"), "--json"]
    saved = json.loads(old.manage("backup", str(tmp_path / "copies"), *options))
    with old.worker("after"):  # what happens now is lost to the copy, and known to the container
        old.rollout("Triggers")
        world.add("Campaign", world.second)
        assert old.rollout("Campaign") == {("prod1", "mkt-1"): ("succeeded", "")}
    lost = json.loads(old.manage("verify_audit", "--json"))["head"]
    copies = [saved["database"], *Path(saved["keys"]).iterdir()]
    assert {stat.S_IMODE(Path(path).stat().st_mode) for path in copies} == {0o600}

    is_sqlite = "sqlite" in old.environment["DATABASE_URL"]
    new = make_portal(tmp_path / "new", {} if is_sqlite else {"DATABASE_URL": new_database(request)})
    shutil.copytree(saved["keys"], new.home / "keys")
    new.manage("restore", saved["database"])
    new.manage("verify_audit", "--expect-head", saved["head"])
    new.manage("verify_audit", "--expect-head", lost, fails=True)
    with new.worker():
        assert world.held() == world.second.secrets[-1].reveal()  # nothing went on by itself
        assert new.rollout("Triggers") == {("prod1", "mkt-1"): ("succeeded", "")}
    assert world.held() == world.first.secrets[-1].reveal()
    new.manage("verify_audit", "--expect-head", saved["head"])


FILL = """
from datetime import timedelta
from django.contrib.sessions.models import Session
from django.db import connection
from django.utils import timezone
from credentials.models import Inquiry, TechnicalAccount
from credentials.services import add_secret
from instances.models import PendingUpload
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.keys.models import KeyHolder
from portal.people.models import FailedSignIns, ProxySign, SignInTally
soon = timezone.now() + timedelta(hours=1)
for n in range(40):
    Session.objects.create(session_key=f"passing-session-{n}", session_data="passing" * 200, expire_date=soon)
    FailedSignIns.objects.create(name_hash=f"passing-failure-{n}", address="::1", last=timezone.now())
    PendingUpload.objects.create(owner=n, content=b"passing-upload" * 200)
    SignInTally.objects.create(began=timezone.now(), address=f"passing-{n}")
account = TechnicalAccount.objects.create(name="Triggers", client_id="0" * 32)
version, _is_new = add_secret(account=account, plaintext=Secret("p8e-of-this-test"), actor=Actor("alice"))
Inquiry.objects.create(version=version, asked_by="passing")
KeyHolder.objects.create(name="passing")
ProxySign.objects.create(sign="header", peer="passing", last=timezone.now())
if connection.vendor == "sqlite":
    connection.cursor().execute("PRAGMA secure_delete=OFF")
Session.objects.filter(session_key__contains="-1").delete()
PendingUpload.objects.filter(owner__lt=20).delete()
"""
COUNT = """
from portal.short_lived import short_lived
print("counted", *(model.objects.count() for model in short_lived()))
"""


def counts(portal: Portal) -> list[int]:
    [line] = [line for line in portal.manage("shell", "-c", COUNT).splitlines() if line.startswith("counted")]
    return [int(number) for number in line.split()[1:]]


def readable(copy: Path) -> bytes:
    """Return what is in a copy; PostgreSQL's are compressed."""
    if copy.suffix == ".sqlite3":
        return copy.read_bytes()
    command = [str(require("pg_restore")), "--file=-", str(copy)]
    return subprocess.run(command, check=True, capture_output=True).stdout


@pytest.mark.timeout(240)
def test_a_copy_holds_no_live_sessions_nor_anything_like_them(
    tmp_path: Path, environment: dict[str, str], request: pytest.FixtureRequest
) -> None:
    portal = make_portal(tmp_path / "old", environment)
    portal.prepare()
    portal.manage("shell", "-c", FILL)
    assert all(counts(portal))
    saved = Path(json.loads(portal.manage("backup", str(tmp_path / "copies"), "--json"))["database"])
    content = readable(saved)
    assert b"audit_auditevent" in content
    assert b"passing" not in content
    assert [path.name for path in saved.parent.iterdir()] == [saved.name]
    is_sqlite = "sqlite" in portal.environment["DATABASE_URL"]
    new = make_portal(tmp_path / "new", {} if is_sqlite else {"DATABASE_URL": new_database(request)})
    shutil.copytree(portal.home / "keys", new.home / "keys")
    new.manage("restore", str(saved))
    assert not any(counts(new))


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_sessions_in_a_copy_of_your_own_end_with_the_restore(tmp_path: Path) -> None:
    portal = make_portal(tmp_path / "old", {})
    portal.prepare()
    portal.manage("shell", "-c", FILL)
    with closing(sqlite3.connect(portal.home / "portal.sqlite3")) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    new = make_portal(tmp_path / "new", {})
    shutil.copytree(portal.home / "keys", new.home / "keys")
    new.manage("restore", str(portal.home / "portal.sqlite3"))
    assert not any(counts(new))


@pytest.mark.slow
def test_a_database_that_holds_something_is_not_overwritten(tmp_path: Path) -> None:
    portal = make_portal(tmp_path / "home", {})
    portal.prepare()
    saved = json.loads(portal.manage("backup", str(tmp_path / "copies"), "--json"))
    portal.manage("verify_audit", "--record")  # something that the copy does not have
    before = portal.manage("verify_audit", "--json")
    portal.manage("restore", saved["database"], fails=True)
    assert portal.manage("verify_audit", "--json") == before


@pytest.mark.slow
def test_a_damaged_copy_and_a_foreign_key_ring_are_refused(tmp_path: Path) -> None:
    portal = make_portal(tmp_path / "home", {})
    portal.prepare()
    account = ConsoleAccount()
    portal.manage("add_account", "A", "--from-json", "-", "--no-check", stdin=account.download_json())
    saved = Path(json.loads(portal.manage("backup", str(tmp_path / "copies"), "--json"))["database"])
    damaged = tmp_path / "damaged.sqlite3"
    damaged.write_bytes(saved.read_bytes()[:20_000])
    empty = make_portal(tmp_path / "empty", {})
    empty.manage("restore", str(damaged), fails=True)
    empty.manage("restore", str(saved), fails=True)  # with keys of its own


@pytest.mark.django_db
def test_keys_go_nowhere_near_the_database(tmp_path: Path) -> None:
    for database, keys in (("a", "a"), ("a", "a/keys"), ("a/copies", "a")):
        with pytest.raises(CommandError, match="another folder"):
            call_command("backup", tmp_path / database, with_keys=tmp_path / keys)
    assert not (tmp_path / "a").exists()


@pytest.mark.django_db(transaction=True)
def test_what_was_open_in_the_copy_is_not_sent(make_site: MakeSite, start: Start, actor: Actor) -> None:
    site = make_site()
    before = site.secret()
    rollout = start(site)
    with transaction.atomic():
        backup.restored.send(sender=None, actor=actor)
    deliver_all(site)
    assert (rollout.pushes.get().state, site.secret()) == ("cancelled", before)


@pytest.mark.django_db
def test_an_unknown_push_stays_unknown_and_is_not_sent_again(actor: Actor) -> None:
    push = make_rollout().pushes.get()
    finish(push, state="unknown", code="no_report")
    backup.restored.send(sender=None, actor=actor)
    push.refresh_from_db()
    assert (push.state, push.tries) == ("unknown", Push.NO_MORE_TRIES)


@pytest.mark.django_db(transaction=True)
@pytest.mark.skipif(connection.vendor != "sqlite", reason="SQLite's own way of copying")
def test_a_copy_is_whole_while_others_write(tmp_path: Path) -> None:
    for number in range(200):
        make_event(number)
    ended = threading.Event()

    def write() -> None:
        while not ended.is_set():
            make_event(secrets.randbelow(1000))
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        copies = [backup.save_database(tmp_path / str(number)) for number in range(3)]
    finally:
        ended.set()
        writer.join(30)
    assert AuditEvent.objects.count() > 200
    for copy in copies:
        with closing(sqlite3.connect(copy)) as database:
            count, last = database.execute("SELECT count(*), max(seq) FROM audit_auditevent").fetchone()
            (head,) = database.execute("SELECT seq FROM audit_audithead").fetchone()
        assert count == last == head >= 200
        assert [path.name for path in copy.parent.iterdir()] == [copy.name]


@transaction.atomic
def make_event(number: int) -> None:
    record("history.read", actor=Actor("a test"), details={"number": number})
