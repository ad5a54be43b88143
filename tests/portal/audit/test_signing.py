"""Signed heads and the signing key: signatures that OpenSSH takes, one key a portal, one head a day."""

import logging
import subprocess
from datetime import timedelta
from pathlib import Path

import pytest
import time_machine
from django.db import DatabaseError, connection, transaction
from django.utils import timezone
from pytest_django.fixtures import Settings

from portal.audit.append_only import without_triggers
from portal.audit.models import AuditEvent, AuditHead, SignedHead
from portal.audit.signing import sshsig
from portal.audit.signing.heads import NAMESPACE, NotSealed, head_text, sign_daily, sign_head, signed_at
from portal.audit.signing.signing_key import accept_key, signing_key
from portal.audit.trail import PORTAL, record
from portal.keys.known import KeysRefused

pytestmark = pytest.mark.django_db


@pytest.fixture(autouse=True)
def _own_key(settings: Settings, tmp_path: Path) -> None:
    settings.SIGNING_KEY_PATH = tmp_path / "keys" / "signing_key"


def note() -> AuditEvent:
    with transaction.atomic():
        return record("push.retried", actor=PORTAL)


def put(text: str) -> None:
    path = Path(signing_key_path())
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)


def signing_key_path() -> str:
    from django.conf import settings

    return str(settings.SIGNING_KEY_PATH)


@pytest.mark.parametrize("message", [b"", b"1:ab\n", b"\0\xff" * 70_000])
def test_openssh_accepts_a_signature_for_its_namespace_alone(tmp_path: Path, message: bytes) -> None:
    key = sshsig.load_key(sshsig.make_key())
    (tmp_path / "sig").write_text(key.sign(message, namespace="one"))
    (tmp_path / "signers").write_text(f"portal {key.public}\n")

    def verdict(namespace: str, text: bytes) -> int:
        command = [
            "ssh-keygen",
            "-Y",
            "verify",
            "-f",
            "signers",
            "-I",
            "portal",
            "-n",
            namespace,
            "-s",
            "sig",
        ]
        return subprocess.run(command, cwd=tmp_path, input=text, capture_output=True, check=False).returncode

    assert verdict("one", message) == 0
    assert verdict("two", message) != 0
    assert verdict("one", message + b"!") != 0


def test_openssh_reads_the_key_and_has_the_same_fingerprint(tmp_path: Path) -> None:
    key = signing_key()
    done = subprocess.run(
        ["ssh-keygen", "-l", "-f", signing_key_path()], capture_output=True, text=True, check=True
    )
    assert done.stdout.split()[1] == key.fingerprint


def test_the_key_is_made_once_for_this_user_alone() -> None:
    first = signing_key()
    assert signing_key().fingerprint == first.fingerprint
    assert Path(signing_key_path()).stat().st_mode & 0o777 == 0o600


def test_a_lost_key_is_not_replaced_by_itself() -> None:
    signing_key()
    Path(signing_key_path()).unlink()
    with pytest.raises(KeysRefused, match="Restore it from the backup of the keys"):
        signing_key()
    assert not Path(signing_key_path()).exists()


def test_another_key_is_refused_until_somebody_accepts_it() -> None:
    former = signing_key()
    put(sshsig.make_key())
    with pytest.raises(KeysRefused, match="evidence --accept-key"):
        signing_key()
    newer = accept_key(actor=PORTAL)
    assert signing_key().fingerprint == newer.fingerprint != former.fingerprint
    event = AuditEvent.objects.get(action="key.accepted")
    assert event.details == {"key": "signing_key", "before": former.fingerprint, "after": newer.fingerprint}


@pytest.mark.parametrize("text", ["no key", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END"])
def test_what_is_no_key_is_refused(text: str) -> None:
    put(text)
    with pytest.raises(KeysRefused, match="of no use"):
        signing_key()


def test_a_signed_head_is_that_of_the_history() -> None:
    event = note()
    row = sign_head()
    assert row
    assert (row.seq, row.hash) == (event.seq, event.hash)
    message = head_text(row.seq, row.hash, signed_at(SignedHead.objects.get())).encode()
    assert sshsig.is_signed(message, row.signature, namespace=NAMESPACE, public=row.public_key)
    assert not sshsig.is_signed(message + b" ", row.signature, namespace=NAMESPACE, public=row.public_key)
    assert sign_head() == row


def test_nothing_is_signed_before_the_first_event() -> None:
    assert sign_head() is None


def test_a_head_that_the_portal_did_not_seal_is_not_signed(caplog: pytest.LogCaptureFixture) -> None:
    note()
    AuditHead.objects.update(seal="0" * 64)
    with pytest.raises(NotSealed):
        sign_head()
    sign_daily()
    assert "it was changed by hand" in caplog.text


def test_the_head_is_signed_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    now = timezone.now()
    for hours in (0, 1, 12, 22, 24, 25):
        with time_machine.travel(now + timedelta(hours=hours), tick=False):
            note()
            sign_daily()
    assert list(SignedHead.objects.order_by("seq").values_list("seq", flat=True)) == [1, 5]
    assert f"5:{AuditEvent.objects.get(seq=5).hash}" in caplog.text


def test_a_signed_head_cannot_be_changed_or_removed() -> None:
    note()
    sign_head()
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        SignedHead.objects.update(seq=2)
    with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
        SignedHead.objects.all().delete()
    with transaction.atomic(), without_triggers(connection, "audit_signedhead"):
        SignedHead.objects.all().delete()
