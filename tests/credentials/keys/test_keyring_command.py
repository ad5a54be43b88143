"""`keyring check` and `keyring rotate`, and the system checks of the key ring."""

import json

import pytest
from django.core.checks import CheckMessage
from django.core.management import CommandError, call_command
from django.db import connection
from django.test.utils import CaptureQueriesContext
from pytest_django.fixtures import Settings

from credentials.keys.checks import matching_keyring, usable_keyring
from credentials.keys.keyring import UnreadableSecret, keyring, token_key_id
from credentials.keys.rekeying import BATCH, rotate
from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from credentials.services import add_secret
from portal.audit.models import AuditEvent
from portal.audit.trail import Actor
from portal.plaintext import Secret
from portal.private_files import random_key


@pytest.fixture
def secrets(actor: Actor) -> list[ClientSecret]:
    """Three secrets under the first key."""
    account = TechnicalAccount.objects.create(name="a", client_id="client")
    return [add_secret(account=account, plaintext=Secret(f"secret{n}"), actor=actor)[0] for n in range(3)]


def prepend_key(settings: Settings) -> str:
    """Make a new key the active one; return its id."""
    settings.KEYRING = f"{random_key()}\n{settings.KEYRING}"
    return keyring().active


def run(capsys: pytest.CaptureFixture[str], *args: str) -> dict[str, object]:
    call_command("keyring", *args, "--json")
    found: dict[str, object] = json.loads(capsys.readouterr().out)
    return found


def test_check_counts_the_secrets_of_each_key(
    secrets: list[ClientSecret], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    old = keyring().active
    new = prepend_key(settings)
    assert run(capsys, "check")["keys"] == [
        {"id": new, "active": True, "present": True, "secrets": 0},
        {"id": old, "active": False, "present": True, "secrets": 3},
    ]


def test_rotate_moves_every_secret_to_the_active_key(
    secrets: list[ClientSecret], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    new = prepend_key(settings)
    assert run(capsys, "rotate")["moved"] == 3
    assert {token_key_id(each.ciphertext) for each in ClientSecret.objects.all()} == {new}
    assert {open_version(each).reveal() for each in ClientSecret.objects.all()} == {
        "secret0",
        "secret1",
        "secret2",
    }
    assert AuditEvent.objects.get(action="keyring.rotated").details == {"key": new, "moved": 3, "failed": 0}


def test_rotate_again_does_nothing_and_records_nothing(
    secrets: list[ClientSecret], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    prepend_key(settings)
    run(capsys, "rotate")
    assert run(capsys, "rotate")["moved"] == 0
    assert AuditEvent.objects.filter(action="keyring.rotated").count() == 1


def test_a_dry_run_changes_nothing(
    secrets: list[ClientSecret], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    prepend_key(settings)
    assert run(capsys, "rotate", "--dry-run")["to_rotate"] == 3
    assert ClientSecret.objects.get(pk=secrets[0].pk).ciphertext == secrets[0].ciphertext


def test_a_secret_that_cannot_be_read_is_named_and_left_alone(
    secrets: list[ClientSecret], settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    ClientSecret.objects.filter(pk=secrets[0].pk).update(ciphertext=secrets[1].ciphertext)
    prepend_key(settings)
    with pytest.raises(SystemExit) as end:
        call_command("keyring", "rotate", "--json")
    found = json.loads(capsys.readouterr().out)
    assert end.value.code == 1
    assert (found["moved"], len(found["failed"]), len(found["unreadable"])) == (2, 1, 1)
    assert ClientSecret.objects.get(pk=secrets[0].pk).ciphertext == secrets[1].ciphertext


def test_a_rotation_that_breaks_off_is_simply_repeated(
    secrets: list[ClientSecret], settings: Settings, actor: Actor
) -> None:
    account = secrets[0].account
    for number in range(BATCH):
        add_secret(account=account, plaintext=Secret(f"more{number}"), actor=actor)
    new = prepend_key(settings)

    def break_off(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        rotate(actor=actor, progress=break_off)
    moved = [token_key_id(each.ciphertext) == new for each in ClientSecret.objects.all()]
    assert (moved.count(True), moved.count(False)) == (BATCH, 3)
    assert rotate(actor=actor).moved == 3


def test_an_unusable_ring_ends_the_command_with_its_reason(db: None, settings: Settings) -> None:
    settings.KEYRING = "short"
    with pytest.raises(CommandError, match="base64"):
        call_command("keyring", "check")


def ids(found: list[CheckMessage]) -> list[str | None]:
    return [each.id for each in found]


def test_the_start_is_refused_with_an_unusable_ring(settings: Settings) -> None:
    assert usable_keyring() == []
    settings.KEYRING = "nonsense"
    assert ids(usable_keyring()) == ["credentials.E001"]


def test_the_start_is_refused_when_stored_secrets_need_another_key(
    secrets: list[ClientSecret], settings: Settings
) -> None:
    assert matching_keyring(databases=["default"]) == []
    assert matching_keyring(databases=None) == []
    settings.KEYRING = random_key()
    found = matching_keyring(databases=["default"])
    assert ids(found) == ["credentials.E002"]
    assert "secret0" not in str(found)
    with pytest.raises(UnreadableSecret):
        open_version(secrets[0])


def rows_read() -> int:
    """How many rows the check reads at most: it asks for one at a time."""
    with CaptureQueriesContext(connection) as captured:
        assert matching_keyring(databases=["default"]) == []
    assert all(query["sql"].endswith(" LIMIT 1") for query in captured)
    return len(captured)


def test_the_check_reads_a_row_for_each_key_however_many_secrets_there_are(
    secrets: list[ClientSecret], settings: Settings, actor: Actor
) -> None:
    before = rows_read()
    for number in range(20):
        add_secret(account=secrets[0].account, plaintext=Secret(f"more{number}"), actor=actor)
    assert rows_read() == before == 2  # the second finds nothing
    prepend_key(settings)
    add_secret(account=secrets[0].account, plaintext=Secret("under the new key"), actor=actor)
    assert rows_read() == 3


def test_the_check_names_each_key_that_is_missing(
    secrets: list[ClientSecret], settings: Settings, actor: Actor
) -> None:
    old = keyring().active
    new = prepend_key(settings)
    newest, _ = add_secret(account=secrets[0].account, plaintext=Secret("under the new key"), actor=actor)
    both, settings.KEYRING = settings.KEYRING, random_key()
    found = matching_keyring(databases=["default"])
    assert ids(found) == ["credentials.E002"] * 2
    assert all(f"under key {key} " in str(found) for key in (old, new))
    settings.KEYRING = both
    ClientSecret.objects.filter(pk=newest.pk).update(ciphertext="")
    assert ids(matching_keyring(databases=["default"])) == ["credentials.E002"]


@pytest.mark.skipif(connection.vendor != "sqlite", reason="PostgreSQL's plan depends on the number of rows")
def test_the_check_finds_its_rows_by_an_index(secrets: list[ClientSecret]) -> None:
    with CaptureQueriesContext(connection) as captured:
        matching_keyring(databases=["default"])
    for query in captured.captured_queries:
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN QUERY PLAN {query['sql']}")
            plan = str(cursor.fetchall())
        assert "USING INDEX credentials_secret_per_key" in plan
        assert "TEMP B-TREE" not in plan
