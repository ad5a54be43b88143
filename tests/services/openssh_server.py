"""A real OpenSSH server on a free port, with its own keys and nothing of the machine's configuration."""

import base64
import hashlib
import os
import pwd
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.services.processes import Process, Server
from tests.services.programs import find_program
from tests.services.waiting import free_port

_START_SECONDS = 60.0
_OPTIONS = {
    "LogLevel": "VERBOSE",
    "PidFile": "none",
    "UsePAM": "no",
    "UseDNS": "no",
    # The keys lie in a temporary folder, whose parents are not what StrictModes wants.
    "StrictModes": "no",
    "PasswordAuthentication": "no",
    "KbdInteractiveAuthentication": "no",
    "PermitRootLogin": "prohibit-password",
    "PrintMotd": "no",
    "MaxStartups": "200",
    "MaxSessions": "200",
}


@dataclass(frozen=True)
class HostKey:
    """One public host key as known_hosts writes it."""

    type: str
    base64: str

    @property
    def line(self) -> str:
        """`ssh-ed25519 AAAA…`"""
        return f"{self.type} {self.base64}"

    @property
    def fingerprint(self) -> str:
        """`SHA256:…` as ssh-keygen prints it."""
        digest = hashlib.sha256(base64.b64decode(self.base64)).digest()
        return "SHA256:" + base64.b64encode(digest).decode().rstrip("=")


class OpenSSHServer(Server):
    """sshd for the given accounts, all of which `client_key` opens; more keys by `authorize`.

    As root it can log in any account, else only the one it runs as. `options` are lines of
    sshd_config(5), which replace ours. `host` may be any address of 127.0.0.0/8. With `adopts`, the processor
    time below `pid` includes that of logins whose own sshd did not wait for them (see `Process`).
    """

    def __init__(
        self,
        *,
        accounts: Sequence[str] = (),
        host: str = "127.0.0.1",
        host_key_types: Sequence[str] = ("ed25519", "rsa"),
        options: Mapping[str, str] | None = None,
        adopts: bool = False,
    ) -> None:
        super().__init__()
        self._adopts = adopts
        self.host = host
        self.port = free_port(host)
        self.accounts = tuple(accounts) or (pwd.getpwuid(os.geteuid()).pw_name,)
        self._host_key_types = tuple(host_key_types)
        self._options = {**_OPTIONS, **(options or {})}
        # sshd reads authorized_keys as the account that logs in.
        self.home.chmod(0o755)
        self._authorized_keys = self.home / "authorized_keys"
        self._authorized_keys.mkdir(mode=0o755)
        self.client_key = self.home / "client_key"
        self._make_keys()

    def _make_keys(self) -> None:
        _generate_key(self.client_key, "ed25519")
        for account in self.accounts:
            self.authorize(account, self.client_key.with_suffix(".pub").read_text())
        self._make_host_keys()

    def _make_host_keys(self) -> None:
        for kind in self._host_key_types:
            _generate_key(self._host_key_file(kind), kind)

    def _host_key_file(self, kind: str) -> Path:
        return self.home / f"host_{kind}"

    @property
    def host_keys(self) -> tuple[HostKey, ...]:
        """The public keys that the server shows, in the order of `host_key_types`."""
        files = (self._host_key_file(kind).with_suffix(".pub") for kind in self._host_key_types)
        return tuple(HostKey(*file.read_text().split()[:2]) for file in files)

    def authorize(self, account: str, public_key: str, *, restrictions: str = "") -> None:
        """Let a public key log in; `restrictions` are options of authorized_keys, such as `restrict`."""
        with (self._authorized_keys / account).open("a") as keys:
            keys.write(f"{restrictions} {public_key.strip()}\n".lstrip())

    def change_host_keys(self) -> None:
        """Show new host keys from now on, as a container does that was set up anew."""
        self.stop()
        self._make_host_keys()
        self.start()

    def launch(self) -> Process:
        program = find_program("sshd")
        if program is None:
            raise LookupError("no sshd here (Debian package openssh-server)")
        if os.geteuid() == 0:
            # Where systemd does not run, nobody made the folder that sshd insists on.
            Path("/run/sshd").mkdir(mode=0o755, exist_ok=True)
        configuration = self.home / "sshd_config"
        configuration.write_text(self._configuration())
        # -e and the log file: sshd must be started by its absolute path, and in the foreground.
        return Process([program, "-D", "-e", "-f", configuration], log=self.log, adopts=self._adopts)

    def _configuration(self) -> str:
        lines = [
            f"ListenAddress {self.host}",
            f"Port {self.port}",
            f"AuthorizedKeysFile {self._authorized_keys}/%u",
            *(f"HostKey {self._host_key_file(kind)}" for kind in self._host_key_types),
            *(f"{name} {value}" for name, value in self._options.items()),
        ]
        return "\n".join(lines) + "\n"

    def wait_until_ready(self, process: Process) -> None:
        process.wait_for_line(r"^Server listening on ", within=_START_SECONDS)


def _generate_key(file: Path, kind: str) -> None:
    for old in (file, file.with_suffix(".pub")):
        old.unlink(missing_ok=True)
    subprocess.run(["ssh-keygen", "-q", "-t", kind, "-N", "", "-C", "", "-f", file], check=True)
