"""`deploy/configure` makes what docker-compose.yml reads, once."""

import stat
import subprocess
from base64 import urlsafe_b64decode
from pathlib import Path
from urllib.parse import urlsplit

import yaml

from credentials.console_json import read
from instances import ssh
from tests.services.portal import ROOT
from tests.services.programs import require


def configure(folder: Path, *options: str) -> dict[str, str]:
    """Run it and return the files' contents by name."""
    require("ssh-keygen")
    subprocess.run([ROOT / "deploy/configure", *options, folder], check=True, capture_output=True, timeout=60)
    return {file.name: file.read_text() for file in folder.iterdir()}


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
    found = read(made["sandbox_account"].encode())
    assert len(found.client_secrets) == 1


def test_it_never_changes_what_is_there(tmp_path: Path) -> None:
    folder = tmp_path / "config"
    first = configure(folder)
    (folder / "secret_key").unlink()
    (folder / "ssh_key.pub").unlink()
    second = configure(folder, "--sandbox")
    assert second.pop("secret_key") != first.pop("secret_key")
    assert second.items() >= first.items()


def test_nobody_else_on_the_machine_can_reach_the_files(tmp_path: Path) -> None:
    configure(tmp_path / "config")
    assert stat.S_IMODE((tmp_path / "config").stat().st_mode) == 0o700
    assert stat.S_IMODE((tmp_path / "config/portal.env").stat().st_mode) == 0o600
    assert stat.S_IMODE((tmp_path / "config/keyring").stat().st_mode) == 0o444
