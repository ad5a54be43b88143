"""The gate in front of every write, in this process: what passes, what does not, and what it costs then."""

import json
import threading
from collections.abc import Iterator
from contextlib import suppress
from io import StringIO
from pathlib import Path

import pytest
from django.core.management import CommandError, call_command
from django.db import OperationalError, connection, connections, transaction
from pytest_django.fixtures import Settings

from credentials.keys.checks import matching_keyring
from credentials.keys.rekeying import rotate
from credentials.models import ClientSecret
from instances.reaching import portal_key
from portal.audit.models import AuditEvent
from portal.audit.signing import sshsig
from portal.audit.signing.signing_key import signing_key
from portal.audit.trail import Actor, record
from portal.health.models import Worker
from portal.keys import known, registry
from portal.keys.gate import READS, Gate, gate
from portal.keys.known import KeysRefused, NotRecorded
from portal.keys.models import KnownKey
from portal.private_files import random_key
from tests.factories import make_account

SECRETS = ["audit_key", "fingerprint_key", "keyring", "secret_key"]


@pytest.fixture
def closed(db: None) -> Iterator[Gate]:
    """A gate before this thread's connection, as in a process that has just started."""
    new = Gate()
    new.close()
    yield new
    new._open()
    for each in connections.all(initialized_only=True):
        each.execute_wrappers[:] = [wrapper for wrapper in each.execute_wrappers if wrapper != new._pass]


@transaction.atomic  # a refusal must not take the test's own transaction with it
def write() -> None:
    Worker.objects.create(name="somebody", concurrency=1)


def another_key(settings: Settings, name: str) -> None:
    setattr(settings, name.upper(), random_key())


@pytest.mark.parametrize(
    "statement",
    [
        "INSERT INTO a VALUES (1)", "UPDATE a SET b = 1", "DELETE FROM a", "CREATE TABLE a (b)", "TRUNCATE a",
        "WITH a AS (DELETE FROM b RETURNING c) SELECT * FROM a", "EXPLAIN ANALYZE DELETE FROM a",
        "REPLACE INTO a VALUES (1)", "/* SELECT */ DELETE FROM a", "COPY a FROM stdin", "DO $$ BEGIN END $$",
        "SELECTED", "", "CALL a()", "DROP TABLE a", "ALTER TABLE a ADD b int", "VACUUM", "LOCK TABLE a",
    ],
)  # fmt: skip
def test_what_is_not_known_to_read_counts_as_a_write(statement: str) -> None:
    assert not READS.match(statement)


@pytest.mark.parametrize("name", SECRETS)
def test_no_row_is_written_under_another_key(closed: Gate, settings: Settings, name: str) -> None:
    own = registry.configured(name.upper())
    another_key(settings, name)
    assert Worker.objects.count() == 0  # reading is allowed
    with pytest.raises(KeysRefused, match=name.upper()):
        write()
    assert Worker.objects.count() == 0
    setattr(settings, name.upper(), own)
    write()
    assert Worker.objects.count() == 1


@pytest.mark.parametrize("name", SECRETS)
def test_no_row_is_written_without_a_key(closed: Gate, settings: Settings, name: str) -> None:
    setattr(settings, name.upper(), "")
    with pytest.raises(KeysRefused, match=f"{name.upper()} is missing: .*{name}"):
        write()


def test_two_keys_in_each_others_place_are_noticed(closed: Gate, settings: Settings) -> None:
    settings.AUDIT_KEY, settings.FINGERPRINT_KEY = settings.FINGERPRINT_KEY, settings.AUDIT_KEY
    with pytest.raises(KeysRefused) as refused:
        write()
    assert {line.split()[0] for line in str(refused.value).splitlines()} == {"AUDIT_KEY", "FINGERPRINT_KEY"}


def test_a_message_gives_no_key_away(closed: Gate, settings: Settings) -> None:
    another_key(settings, "audit_key")
    with pytest.raises(KeysRefused) as refused:
        write()
    assert settings.AUDIT_KEY[:8] not in str(refused.value)


def test_the_gate_costs_nothing_once_it_is_open(closed: Gate) -> None:
    assert closed._pass in connection.execute_wrappers
    write()
    assert closed._pass not in connection.execute_wrappers
    assert gate._pass not in connection.execute_wrappers  # the one of this process opened long ago


def test_a_database_without_recorded_keys_is_not_written_to(closed: Gate) -> None:
    closed._trusted = threading.get_ident()
    KnownKey.objects.filter(name="audit_key").delete()
    closed._trusted = None
    with pytest.raises(NotRecorded, match=r"manage\.py migrate"):
        write()


def test_a_database_that_goes_away_during_the_comparison_leaves_the_gate_closed(
    closed: Gate, monkeypatch: pytest.MonkeyPatch
) -> None:
    def away() -> known.Known:
        raise OperationalError("away")

    monkeypatch.setattr(known, "known_keys", away)
    with pytest.raises(OperationalError):
        write()
    assert not closed.is_open
    monkeypatch.undo()
    write()
    assert closed.is_open


def test_a_write_in_a_transaction_is_refused_and_the_transaction_goes_on(
    closed: Gate, settings: Settings
) -> None:
    own = settings.AUDIT_KEY
    another_key(settings, "audit_key")
    with transaction.atomic():
        with pytest.raises(KeysRefused):
            write()
        settings.AUDIT_KEY = own
        write()
    assert Worker.objects.count() == 1


@pytest.mark.django_db(transaction=True)
def test_threads_that_write_at_once_compare_once(closed: Gate, monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[int] = []
    original = known.known_keys

    def counted() -> known.Known:
        compared.append(threading.get_ident())
        return original()

    monkeypatch.setattr(known, "known_keys", counted)
    start = threading.Barrier(6)

    def write_in_thread(number: int) -> None:
        start.wait(10)
        Worker.objects.create(name=str(number), concurrency=1)
        connection.close()

    threads = [threading.Thread(target=write_in_thread, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert Worker.objects.count() == 6
    assert len(compared) == 1


def test_a_ring_with_a_new_active_key_fits_and_one_without_the_recorded_key_does_not(
    closed: Gate, settings: Settings, actor: Actor
) -> None:
    old = settings.KEYRING
    new = random_key()
    settings.KEYRING = f"{new}\n{old}"
    assert known.problems() == []
    rotate(actor=actor)  # there is no secret yet, and still every process needs the new key from now on
    assert known.problems() == []
    assert AuditEvent.objects.filter(action="keyring.rotated").count() == 1
    settings.KEYRING = old
    assert [line.split()[0] for line in known.problems()] == ["KEYRING"]
    settings.KEYRING = new
    assert known.problems() == []


def test_a_key_is_replaced_on_purpose_alone_and_the_history_says_so(db: None, settings: Settings) -> None:
    another_key(settings, "secret_key")
    assert "manage.py keys accept secret_key" in "".join(known.problems())
    call_command("keys", "accept", "secret_key")
    assert known.problems() == []
    event = AuditEvent.objects.get(action="key.accepted")
    assert (event.details["key"], event.details["before"] != event.details["after"]) == ("secret_key", True)


def test_a_key_ring_that_does_not_open_the_secrets_is_not_accepted(db: None, settings: Settings) -> None:
    make_account()
    another_key(settings, "keyring")
    with pytest.raises(KeysRefused, match="cannot be decrypted"):
        call_command("keys", "accept", "keyring")


def test_an_audit_key_is_not_replaced_without_the_former_one(
    db: None, settings: Settings, actor: Actor
) -> None:
    with transaction.atomic():
        record("test.done", actor=actor)
    another_key(settings, "audit_key")
    with pytest.raises(CommandError, match="does not verify"):
        call_command("keys", "accept", "audit_key")
    with pytest.raises(CommandError, match="invalid choice"):
        call_command("restore", "FILE", "--accept", "audit_key")


def test_a_lost_fingerprint_key_is_replaced_by_opening_the_secrets(db: None, settings: Settings) -> None:
    secret = make_account()
    another_key(settings, "fingerprint_key")
    call_command("keys", "accept", "fingerprint_key")
    assert known.problems() == []
    assert matching_keyring(databases=["default"]) == []
    assert not ClientSecret.objects.filter(fingerprint=secret.fingerprint).exists()


def test_the_list_fails_while_a_key_does_not_fit(
    db: None, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    portal_key.make_if_none()
    KnownKey.objects.get_or_create(name="ssh_key", defaults={"fingerprint": portal_key.fingerprint()})
    call_command("keys", "list")
    another_key(settings, "fingerprint_key")
    with pytest.raises(CommandError, match="FINGERPRINT_KEY"):
        call_command("keys", "list")
    assert "fingerprint_key: another key" in capsys.readouterr().out


def test_another_audit_key_is_not_reported_as_tampering(db: None, settings: Settings) -> None:
    another_key(settings, "audit_key")
    with pytest.raises(KeysRefused, match="AUDIT_KEY"):
        call_command("verify_audit")


# The signing key, which is made late and which few processes hold


@pytest.fixture
def signing(settings: Settings, tmp_path: Path, db: None) -> Path:
    """The file of the signing key of a portal that has signed something."""
    settings.SIGNING_KEY_PATH = tmp_path / "signing_key"
    KnownKey.objects.filter(name="signing_key").delete()
    signing_key()
    return tmp_path / "signing_key"


@pytest.mark.parametrize("text", [sshsig.make_key(), "what is no key\n", ""])
def test_no_row_is_written_with_another_signing_key(signing: Path, closed: Gate, text: str) -> None:
    own = signing.read_text()
    signing.write_text(text)
    with pytest.raises(KeysRefused, match="SIGNING_KEY_PATH is not the key of this portal"):
        write()
    signing.write_text(own)
    write()
    assert Worker.objects.count() == 1


def test_without_the_signing_key_the_portal_works(signing: Path, closed: Gate) -> None:
    signing.unlink()
    write()
    assert Worker.objects.count() == 1


def test_what_is_no_key_is_never_recorded_as_the_signing_key(signing: Path) -> None:
    KnownKey.objects.filter(name="signing_key").delete()
    signing.write_text("what is no key")
    problems = [text for key in registry.registered() for text in key.evidence()]
    assert problems == [f"The signing key in {signing} is of no use."]


@pytest.mark.parametrize("command", [("keys", "accept", "signing_key"), ("evidence", "--accept-key")])
def test_another_signing_key_is_accepted_on_purpose(
    signing: Path, closed: Gate, monkeypatch: pytest.MonkeyPatch, command: tuple[str, ...]
) -> None:
    former = signing_key().fingerprint
    signing.write_text(sshsig.make_key())
    for module in ("portal.management.commands.keys", "credentials.evidence.management.commands.evidence"):
        monkeypatch.setattr(f"{module}.gate", closed)
    call_command(*command, stdout=StringIO())
    row = KnownKey.objects.get(name="signing_key")
    assert row.fingerprint == signing_key().fingerprint != former
    event = AuditEvent.objects.get(action="key.accepted")
    assert event.details == {"key": "signing_key", "before": former, "after": row.fingerprint}


def test_a_portal_that_never_signed_lacks_no_signing_key(
    settings: Settings, tmp_path: Path, db: None
) -> None:
    settings.SIGNING_KEY_PATH = tmp_path / "signing_key"
    KnownKey.objects.filter(name="signing_key").delete()
    assert line_of("signing_key")["state"] == "not made yet"
    signing_key()
    assert line_of("signing_key")["state"] == "fits"
    (tmp_path / "signing_key").unlink()
    assert line_of("signing_key")["state"] == "missing"


def line_of(name: str) -> dict[str, object]:
    out = StringIO()
    with suppress(CommandError):  # there is no SSH key here
        call_command("keys", "list", "--json", stdout=out)
    return next(each for each in json.loads(out.getvalue())["keys"] if each["name"] == name)
