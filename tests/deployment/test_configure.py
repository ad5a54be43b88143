"""`deploy/configure` makes what docker-compose.yml reads, once."""

import shutil
import stat
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path
from urllib.parse import urlsplit

import pytest
import yaml

from credentials.adobe.console_json import read
from instances import ssh
from portal.audit.signing.sshsig import load_key
from tests.services.portal import ROOT
from tests.services.programs import require


def configure(folder: Path, *options: str) -> dict[str, str]:
    """Run it and return the files' contents by name."""
    require("ssh-keygen")
    subprocess.run([ROOT / "deploy/configure", *options, folder], check=True, capture_output=True, timeout=60)
    return {file.name: file.read_text() for file in folder.iterdir()}


def refused(folder: Path) -> str:
    """Run it where it must refuse, and return what it says."""
    done = subprocess.run(
        [ROOT / "deploy/configure", folder], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode
    return done.stderr


def test_it_makes_every_file_that_the_compose_file_reads(tmp_path: Path) -> None:
    made = configure(tmp_path / "config", "--sandbox")
    secrets = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["secrets"].values()
    assert set(made) == {secret["file"].rpartition("/")[2] for secret in secrets} | {"portal.env"}
    assert all(made.values())


def test_what_it_makes_is_of_use_to_the_portal(tmp_path: Path) -> None:
    made = configure(tmp_path / "config", "--sandbox")
    assert len(urlsafe_b64decode(made["keyring"])) == 32
    assert min(len(made[name]) for name in ("secret_key", "fingerprint_key", "audit_key")) >= 32
    assert urlsplit(made["database_url"]).password == made["postgres_password"]
    assert urlsplit(made["broker_url"]).password == made["redis_password"]
    key = ssh.load_private_key(tmp_path / "config/ssh_key")
    assert made["ssh_key.pub"].split()[1] == key.get_base64()
    assert load_key(made["signing_key"]).fingerprint.startswith("SHA256:")
    found = read(made["sandbox_account"].encode())
    assert len(found.client_secrets) == 1


def test_it_never_changes_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    first = configure(folder)
    (folder / "metrics_token").unlink()
    (folder / "ssh_key.pub").unlink()
    second = configure(folder, "--sandbox")
    assert second.pop("metrics_token") != first.pop("metrics_token")
    assert second.items() >= first.items()


@pytest.mark.parametrize(
    "lost",
    [
        *("postgres_password", "redis_password", "keyring", "audit_key", "fingerprint_key", "secret_key"),
        *("ssh_key", "signing_key"),
    ],
)
def test_a_lost_file_is_named_and_nothing_is_made_in_its_place(tmp_path: Path, lost: str) -> None:
    folder = tmp_path / "config"
    before = configure(folder)
    (folder / lost).unlink()
    assert lost in refused(folder)
    del before[lost]
    assert {file.name: file.read_text() for file in folder.iterdir()} == before


@pytest.mark.parametrize("changed", ["postgres_password", "redis_password", "database_url", "broker_url"])
def test_a_password_beside_the_url_of_another_one_is_refused(tmp_path: Path, changed: str) -> None:
    folder, other = tmp_path / "config", tmp_path / "other"
    configure(folder)
    text = configure(other)[changed]
    (folder / changed).unlink()
    (folder / changed).write_text(text)
    assert "different passwords" in refused(folder)


def test_keys_that_were_brought_along_are_kept(tmp_path: Path) -> None:
    """As in a restore, or when the portal of one machine moves into containers."""
    folder = tmp_path / "config"
    keys = ("keyring", "audit_key", "fingerprint_key", "secret_key", "ssh_key", "signing_key")
    made = configure(tmp_path / "former")
    folder.mkdir()
    for name in keys:
        shutil.copy(tmp_path / "former" / name, folder)
    assert {name: configure(folder)[name] for name in keys} == {name: made[name] for name in keys}


def test_an_interrupted_run_is_simply_repeated(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    configure(folder)
    for name in ("broker_url", "database_url", "redis_password"):  # what is made last
        (folder / name).unlink()
    made = configure(folder)
    assert urlsplit(made["broker_url"]).password == made["redis_password"]


def test_nobody_else_on_the_machine_can_reach_the_files(tmp_path: Path) -> None:
    configure(tmp_path / "config")
    assert stat.S_IMODE((tmp_path / "config").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "config/portal.env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "config/keyring").stat().st_mode) == 0o444
