"""Fixtures for every test: fast hashing, three people, and append-only tables that a test may empty."""

import contextvars
import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from django.contrib.auth.management import create_permissions
from django.contrib.auth.models import Group, Permission, User
from django.contrib.contenttypes.management import create_contenttypes
from django.contrib.contenttypes.models import ContentType
from django.core.management import call_command
from django.db import connection, transaction
from django.db.models.signals import post_migrate
from django.test import Client, TransactionTestCase
from django.utils import translation
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from credentials import inquiries
from credentials.home import counting
from portal.audit.append_only import unprotect_all
from portal.audit.chain import kept_head
from portal.audit.models import FIRST, AuditHead, seal
from portal.audit.trail import Actor
from portal.keys.known import record_keys, unrecorded
from portal.keys.models import KnownKey
from portal.processes.logs import Seldom
from tests.services.migrated import begin_anew, put_migrated_database

pytest_plugins = ["tests.services.fixtures"]
os.environ.pop("LANGUAGE", None)
os.environ["LC_ALL"] = "C.UTF-8"  # commands speak the language of whoever runs the tests otherwise


@pytest.fixture(autouse=True)
def _plain_settings(settings: Settings) -> None:
    """Fast password hashes, no manifest of static files, and no way to Adobe."""
    settings.PASSWORD_HASHERS = ["django.contrib.auth.hashers.MD5PasswordHasher"]
    settings.STORAGES = {
        "default": {"BACKEND": "django.core.files.storage.InMemoryStorage"},
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
    settings.ALLOW_LOOPBACK_TARGETS = True
    settings.IMS_BASE_URL = "https://127.0.0.1:1"  # nobody answers there, and never Adobe itself


@pytest.fixture(autouse=True)
def _questions_are_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Do what a worker does for questions to Adobe, where no worker runs: at once, and not as the request."""
    monkeypatch.setattr(
        inquiries, "ring", lambda: contextvars.Context().run(inquiries.work, threading.Event())
    )


@pytest.fixture(autouse=True)
def _nothing_said_lately(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some warnings pass once a minute, and tests are faster than that."""
    for name in settings.LOGGING["loggers"]:
        for each in logging.getLogger(name).filters:
            if isinstance(each, Seldom):
                monkeypatch.setattr(each, "_said", {})


@pytest.fixture(autouse=True)
def _counted_each_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Keep no count, however long it takes on a busy machine."""
    counting.everything.forget()
    monkeypatch.setattr(counting, "WORTH", float("inf"))


@pytest.fixture(autouse=True)
def _no_language_left() -> Iterator[None]:
    """Let each test begin without a language: a request leaves the one of its browser in its thread."""
    yield
    translation.deactivate()


@pytest.fixture(autouse=True)
def _no_kept_head(_plain_settings: None) -> None:
    """Let each test begin without a head that an earlier one kept."""
    kept_head.path().unlink(missing_ok=True)
    kept_head.process = kept_head._Process()


@pytest.fixture(scope="session")
def django_db_keepdb(django_db_modify_db_settings: None) -> bool:
    """Let SQLite begin with tables that were made before; `migrate` then has nothing left to do."""
    if connection.vendor != "sqlite":
        return False
    name = connection.settings_dict["TEST"]["NAME"]
    for each in (f"{name}-wal", f"{name}-shm"):
        Path(each).unlink(missing_ok=True)
    put_migrated_database(Path(name))
    begin_anew(name)
    return True


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Forget the SSH key that the first migration made: tests have their own, and their workers record it."""
    with django_db_blocker.unblock():
        # There is none where no chosen test uses it: only the browser asked, before its loop begins.
        if KnownKey._meta.db_table in connection.introspection.table_names():
            KnownKey.objects.filter(name="ssh_key").delete()


@contextmanager
def _types_and_permissions_kept() -> Iterator[None]:
    """Leave what is the same after each flush: to make it again takes longer than many a test."""
    introspection, kept = connection.introspection, {ContentType._meta.db_table, Permission._meta.db_table}
    names = introspection.django_table_names
    makers = [
        (create_contenttypes, None),
        (create_permissions, "django.contrib.auth.management.create_permissions"),
    ]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            introspection,
            "django_table_names",
            lambda *given, **named: [each for each in names(*given, **named) if each not in kept],
        )
        gone = [each for each in makers if post_migrate.disconnect(each[0], dispatch_uid=each[1])]
        try:
            yield
        finally:
            for maker, name in gone:
                post_migrate.connect(maker, dispatch_uid=name)


@pytest.fixture(autouse=True, scope="session")
def _flush_may_empty_append_only_tables() -> Iterator[None]:
    """Let the flush after a transactional test empty the append-only tables, and lay the chain anew."""
    original = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # private, not in the stubs

    def teardown(self: TransactionTestCase) -> None:
        with transaction.atomic():
            unprotect_all(connection)
        with _types_and_permissions_kept():
            original(self)  # it ends with post_migrate, which protects them again
        # What migrate did, for processes that a test starts on its database.
        record_keys([key for key in unrecorded({}) if not key.is_optional])
        AuditHead.objects.create(pk=1, seq=0, hash=FIRST, seal=seal(f"head|0|{FIRST}"))

    patch = pytest.MonkeyPatch()
    patch.setattr(TransactionTestCase, "_fixture_teardown", teardown)
    yield
    patch.undo()


@pytest.fixture
def roles(db: None) -> None:
    call_command("sync_roles", verbosity=0)


def _person(name: str, role: str) -> User:
    person = User.objects.create_user(name, password="a long enough password")
    person.groups.add(Group.objects.get(name=role))
    return person


@pytest.fixture
def admin(roles: None) -> User:
    return _person("alice", "Admin")


@pytest.fixture
def helpdesk(roles: None) -> User:
    return _person("henry", "Helpdesk")


@pytest.fixture
def auditor(roles: None) -> User:
    return _person("astrid", "Auditor")


@pytest.fixture
def actor(admin: User) -> Actor:
    """The admin, acting."""
    return Actor(admin.username, admin)


@pytest.fixture
def as_admin(admin: User) -> Client:
    return _client(admin)


@pytest.fixture
def as_helpdesk(helpdesk: User) -> Client:
    return _client(helpdesk)


@pytest.fixture
def as_auditor(auditor: User) -> Client:
    return _client(auditor)


def _client(person: User) -> Client:
    client = Client()
    client.force_login(person)
    return client
