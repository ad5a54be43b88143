"""Fixtures for every test: fast hashing, three people, and append-only tables that a test may empty."""

import logging
from collections.abc import Iterator

import pytest
from django.contrib.auth.models import Group, User
from django.core.management import call_command
from django.db import connection, transaction
from django.test import Client, TransactionTestCase
from pytest_django.fixtures import Settings
from pytest_django.plugin import DjangoDbBlocker

from portal.audit.append_only import unprotect_all
from portal.audit.chain import kept_head
from portal.audit.models import FIRST, AuditHead, seal
from portal.audit.trail import Actor
from portal.keys.known import record_keys, unrecorded
from portal.keys.models import KnownKey
from portal.processes.logs import Seldom

pytest_plugins = ["tests.services.fixtures"]


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
def _nothing_said_lately(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> None:
    """Some warnings pass once a minute, and tests are faster than that."""
    for name in settings.LOGGING["loggers"]:
        for each in logging.getLogger(name).filters:
            if isinstance(each, Seldom):
                monkeypatch.setattr(each, "_said", {})


@pytest.fixture(autouse=True)
def _no_kept_head(_plain_settings: None) -> None:
    """Let each test begin without a head that an earlier one kept."""
    kept_head.path().unlink(missing_ok=True)
    kept_head.process = kept_head._Process()


@pytest.fixture(scope="session")
def django_db_setup(django_db_setup: None, django_db_blocker: DjangoDbBlocker) -> None:
    """Forget the SSH key that the first migration made: tests have their own, and their workers record it."""
    with django_db_blocker.unblock():
        # There is none where no chosen test uses it: only the browser asked, before its loop begins.
        if KnownKey._meta.db_table in connection.introspection.table_names():
            KnownKey.objects.filter(name="ssh_key").delete()


@pytest.fixture(autouse=True, scope="session")
def _flush_may_empty_append_only_tables() -> Iterator[None]:
    """Let the flush after a transactional test empty the append-only tables, and lay the chain anew."""
    original = TransactionTestCase._fixture_teardown  # type: ignore[attr-defined]  # private, not in the stubs

    def teardown(self: TransactionTestCase) -> None:
        with transaction.atomic():
            unprotect_all(connection)
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
