"""Starts a stand-in Campaign container: its files, its host key, its line for the inventory; then it is sshd.

Everything lies in a folder of the container's name below /campaign, which outlives the container. INSTANCES
names the Campaign instances, separated by commas; the portal's public key comes as a secret.
"""

import csv
import os
import shutil
import socket
import subprocess
from pathlib import Path

from portal.sandbox.config_files import Shape
from portal.sandbox.container import make_container

PUBLIC_KEY = Path("/run/secrets/ssh_key_pub")
AUTHORIZED_KEYS = Path("/etc/ssh/authorized_keys")
INSTALL_ROOT = Path("/usr/local/neolane")
SSHD = "/usr/sbin/sshd"
COLUMNS = ("instance", "container", "address", "port", "login", "become", "install_root", "host_key")


def ssh_keygen(*arguments: str | Path) -> str:
    command = ["/usr/bin/ssh-keygen", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout  # noqa: S603  # no shell


def make_host_key(file: Path) -> str:
    """Make the key unless there is one; return its fingerprint."""
    if not file.exists():
        ssh_keygen("-q", "-t", "ed25519", "-N", "", "-C", "", "-f", file)
    return ssh_keygen("-l", "-f", file).split()[1]


def main() -> None:
    name, instances = socket.gethostname(), os.environ["INSTANCES"].split(",")
    folder = Path("/campaign") / name
    folder.mkdir(exist_ok=True)
    container = make_container(folder, instances=dict.fromkeys(instances, Shape.PLAIN))
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "neolane", "neolane")
    if not INSTALL_ROOT.is_symlink():
        INSTALL_ROOT.symlink_to(container.install_root)
    host_key = folder / "host_key"
    fingerprint = make_host_key(host_key)
    shutil.chown(host_key, "root", "root")
    AUTHORIZED_KEYS.write_text(f"restrict {PUBLIC_KEY.read_text()}")
    with (folder / "inventory.csv").open("w") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(
            [instance, name, name, 22, "neolane", "none", INSTALL_ROOT, fingerprint] for instance in instances
        )
    os.execv(SSHD, [SSHD, "-D", "-e", "-h", str(host_key)])  # noqa: S606  # this process becomes sshd


if __name__ == "__main__":
    main()
