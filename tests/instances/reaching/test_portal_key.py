"""The portal's own SSH key."""

import stat
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from pytest_django.fixtures import Settings

from instances import checks, ssh
from instances.reaching import portal_key
from portal.keys.known import KeysRefused
from portal.keys.models import KnownKey
from portal.private_files import key_file
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
    with pytest.raises(portal_key.KeyNotUsable, match="No such file"):
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


def make_key(file: Path, *options: str) -> None:
    usual = ("-q", "-t", "ed25519", "-N", "", "-C", "")
    subprocess.run([require("ssh-keygen"), *usual, *options, "-f", file], check=True)


FLAWS: dict[str, tuple[Callable[[Path], object], str]] = {
    "passphrase": (lambda file: make_key(file, "-N", "a passphrase"), "encrypted with a passphrase"),
    "passphrase, PKCS#8": (
        lambda file: make_key(file, "-t", "ecdsa", "-m", "PKCS8", "-N", "a phrase"),
        "encrypted with a passphrase",
    ),
    "passphrase, PEM": (
        lambda file: make_key(file, "-t", "ecdsa", "-m", "PEM", "-N", "a phrase"),
        "encrypted with a passphrase",
    ),
    "short RSA": (lambda file: make_key(file, "-t", "rsa", "-b", "1024"), "RSA key of 1024 bits"),
    "DSA": (lambda file: make_key(file, "-t", "dsa"), "DSA key"),
    "empty": (lambda file: file.write_text(" \r\n"), "empty"),
    "public": (lambda file: file.write_text("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAA me"), "public key"),
    "certificate": (
        lambda file: file.write_text("ssh-ed25519-cert-v01@openssh.com AAAAIHNzaC1l me"),
        "it is a certificate",
    ),
    "PuTTY": (lambda file: file.write_text("PuTTY-User-Key-File-3: ssh-ed25519\n"), "puttygen"),
    "cut off": (
        lambda file: file.write_text(ssh.generate_private_key()[:150]),
        "the end of the key is missing",
    ),
    "UTF-16": (lambda file: file.write_text(ssh.generate_private_key(), "utf-16"), "UTF-16"),
    "damaged": (
        lambda file: file.write_text(ssh.generate_private_key().replace("a", "b")),
        "damaged",
    ),
    "anything": (lambda file: file.write_text("not a key at all"), "no private key"),
    "huge": (lambda file: file.write_text("x" * 1_000_000), "too large"),
}


@pytest.mark.parametrize("flaw", FLAWS)
def test_why_a_key_cannot_be_used_is_named_at_start(key_path: Path, flaw: str) -> None:
    make, why = FLAWS[flaw]
    key_path.parent.mkdir()
    make(key_path)
    with pytest.raises(portal_key.KeyNotUsable, match=why):
        portal_key.private_key()
    (problem,) = checks.usable_ssh_key()
    assert problem.is_serious()
    assert why in problem.msg


def test_a_portal_without_a_key_starts(key_path: Path) -> None:
    assert checks.usable_ssh_key() == []


@pytest.mark.parametrize(
    "options",
    [
        ("-t", "rsa", "-b", "2048", "-m", "PKCS8"),
        ("-t", "ecdsa", "-m", "PKCS8"),
        ("-t", "ecdsa", "-m", "PEM"),
    ],
)
def test_a_key_in_another_format_that_ssh_keygen_reads_is_used(
    key_path: Path, options: tuple[str, ...]
) -> None:
    key_path.parent.mkdir()
    make_key(key_path, *options)
    assert portal_key.public_line().split()[:2] == key_path.with_suffix(".pub").read_text().split()[:2]


@pytest.mark.parametrize(
    "change",
    [
        lambda text: text.replace("\n", "\r\n"),
        lambda text: text.replace("\n", "\r"),
        lambda text: text.rstrip("\n"),
        lambda text: f"\ufeff{text}",
        lambda text: text.replace("\n", " \n  "),
        lambda text: f"Bag Attributes\n{text}\nmore",
    ],
    ids=["crlf", "cr", "no newline at the end", "byte order mark", "indented", "text around"],
)
def test_the_line_ends_of_any_system_do_no_harm(key_path: Path, change: Callable[[str], str]) -> None:
    text = ssh.generate_private_key()
    key_path.parent.mkdir()
    key_path.write_bytes(change(text).encode())
    assert portal_key.public_line().split()[1] == ssh.load_private_key(text).get_base64()


def test_a_certificate_beside_the_key_is_left_alone(own_key: Path) -> None:
    line = portal_key.public_line()
    own_key.with_name(f"{own_key.name}-cert.pub").write_text("ssh-ed25519-cert-v01@openssh.com AAAA me")
    assert portal_key.public_line() == line


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
