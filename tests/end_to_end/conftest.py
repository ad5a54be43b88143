"""Containers on this machine's real OpenSSH, owned by the real user neolane."""

import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import expect

from portal.sandbox.config_files import Shape
from portal.sandbox.console import ConsoleAccount
from portal.sandbox.container import Container, make_container
from tests.services.openssh_server import OpenSSHServer
from tests.services.portal import Portal
from tests.services.programs import require_that

PATIENCE = 60_000  # milliseconds; a busy machine may need them
SYSTEM_PYTHON = Path("/usr/bin/python3")


@pytest.fixture(autouse=True, scope="session")
def _patient() -> None:
    expect.set_options(timeout=PATIENCE)


@dataclass
class RealContainer:
    """A stand-in Campaign server below a folder that neolane owns."""

    name: str
    files: Container
    login: str
    become: str

    def inventory_row(self, server: OpenSSHServer, instance: str) -> str:
        root, key = self.files.install_root, server.host_keys[0].fingerprint
        return f"{instance},{self.name},{server.host},{server.port},{self.login},{self.become},{root},{key}"


MakeRealContainer = Callable[..., RealContainer]
HEADER = "instance,container,address,port,login,become,install_root,host_key"


@pytest.fixture
def real_container() -> Iterator[MakeRealContainer]:
    """Make containers that sshd's logins reach: neolane owns them and may run their Python."""
    require_that(SYSTEM_PYTHON.exists(), "no /usr/bin/python3 here (Debian package python3)")
    made: list[Path] = []

    def make(name: str, *, login: str, become: str, instance: str = "prod1") -> RealContainer:
        folder = Path(tempfile.mkdtemp(prefix=f"campaign-{name}-"))
        made.append(folder)
        files = make_container(folder, instances={instance: Shape.PLAIN})
        code = files.program.read_text().split("\n", 1)[1]
        files.program.write_text(f"#!{SYSTEM_PYTHON} -ISE\n{code}")
        folder.chmod(0o755)
        subprocess.run(["chown", "-R", "neolane:neolane", folder], check=True)
        return RealContainer(name, files, login, become)

    yield make
    for folder in made:
        shutil.rmtree(folder)


@pytest.fixture
def console() -> ConsoleAccount:
    return ConsoleAccount()


def stock(
    portal: Portal, rows: list[str], console: ConsoleAccount, containers: list[str], instance: str = "prod1"
) -> None:
    """Fill a portal by its commands: inventory, host keys, the account and its assignment."""
    inventory = portal.home / "inventory.csv"
    inventory.write_text("\n".join([HEADER, *rows]) + "\n")
    portal.manage("import_inventory", str(inventory))
    for container, row in zip(containers, rows, strict=True):
        portal.manage("trust_host_key", container, "--fingerprint", row.rsplit(",", 1)[1])
    portal.manage("add_account", "Triggers", "--from-json", "-", stdin=console.download_json())
    portal.manage("assign", "Triggers", instance)
