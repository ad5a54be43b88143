"""The portal's own SSH key."""

import stat
import subprocess
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from instances import portal_key, ssh
from portal.home import key_file
from portal.keys.known import KeysRefused
from portal.keys.models import KnownKey
from tests.services.fixtures import StartOpenSSH
from tests.services.programs import require


@pytest.fixture
def key_path(tmp_path: Path, settings: Settings) -> Path:
    path = tmp_path / "keys" / "ssh_key"
    settings.SSH_KEY_PATH = path
    return path


@pytest.fixture
def own_key(key_path: Path) -> Path:
    key_file(key_path, ssh.generate_private_key)
    return key_path


@pytest.mark.django_db
def test_a_portal_without_a_key_gets_one_that_only_its_owner_can_read(key_path: Path) -> None:
    portal_key.make_if_none()
    line = portal_key.public_line()
    assert stat.S_IMODE(key_path.stat().st_mode) == 0o600
    assert KnownKey.objects.get(name="ssh_key").fingerprint == portal_key.fingerprint()
    portal_key.make_if_none()
    assert portal_key.public_line() == line


@pytest.mark.django_db
def test_a_portal_that_has_a_key_gets_no_second_one(key_path: Path) -> None:
    portal_key.make_if_none()
    key_path.unlink()
    with pytest.raises(KeysRefused, match="ssh_key"):
        portal_key.make_if_none()
    assert not key_path.exists()


def test_looking_at_the_key_makes_none(key_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        portal_key.public_line()
    assert not key_path.exists()


def test_public_line_and_fingerprint_are_those_that_openssh_computes(own_key: Path) -> None:
    key_path = own_key
    line, fingerprint = portal_key.public_line(), portal_key.fingerprint()
    derived = subprocess.run(
        [require("ssh-keygen"), "-y", "-f", key_path], check=True, capture_output=True, text=True
    )
    assert derived.stdout.split()[:2] == line.split()[:2]
    listed = subprocess.run(
        [require("ssh-keygen"), "-l", "-f", key_path], check=True, capture_output=True, text=True
    )
    assert listed.stdout.split()[1] == fingerprint


def test_a_key_file_of_the_operators_own_is_used(key_path: Path) -> None:
    key_path.parent.mkdir()
    subprocess.run([require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "", "-f", key_path], check=True)
    assert portal_key.public_line().startswith("ssh-ed25519 ")


@pytest.mark.parametrize("passphrase", ["not a key at all", "encrypted"])
def test_a_file_that_holds_no_usable_key_is_refused(key_path: Path, passphrase: str) -> None:
    key_path.parent.mkdir()
    if passphrase == "encrypted":
        subprocess.run(
            [require("ssh-keygen"), "-q", "-t", "ed25519", "-N", "a passphrase", "-f", key_path], check=True
        )
    else:
        key_path.write_text(passphrase)
    with pytest.raises(ssh.UnusableKey):
        portal_key.private_key()


def test_the_line_for_authorized_keys_opens_a_real_openssh_server(
    own_key: Path, start_openssh: StartOpenSSH
) -> None:
    server = start_openssh()
    account = server.accounts[0]
    server.authorize(account, portal_key.authorized_line())
    target = ssh.Target(server.host, server.port, account, tuple(key.line for key in server.host_keys))
    policy = ssh.AddressPolicy(allow_loopback=True)
    with ssh.Connection.open(target, key=portal_key.private_key(), policy=policy) as connection:
        assert connection.host_key == server.host_keys[0].fingerprint
