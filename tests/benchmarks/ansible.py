"""The same pushes by ansible-core, as an administrator would type them: 50 forks, otherwise its defaults."""

import json
import os
import shlex
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from tests.benchmarks.containers import Fleet
from tests.services.accounts import NEOLANE
from tests.services.programs import find_program

Module = Literal["raw", "shell"]
FORKS = 50
PATIENCE = 900.0  # seconds
DONE = " | CHANGED | rc=0 >>"
# All that differs from the defaults is where things lie. ControlPersist is one of the defaults.
CONFIGURATION = """\
[defaults]
inventory = {home}/inventory.json
local_tmp = {home}/local
remote_tmp = {remote}
private_key_file = {key}
[ssh_connection]
control_path_dir = {home}/control
ssh_common_args = -o UserKnownHostsFile={home}/known_hosts -o IdentitiesOnly=yes
"""
# A command as in `Job.command`, fetched per container, because it holds what looks like a template.
FILED = (
    "printf 'hi\\n%s\\n' {{{{ line }}}} | {{ {{{{ lookup('file', '{folder}/' ~ inventory_hostname) }}}} ; }}"
)


@dataclass
class Ansible:
    """An installed ansible-core, and a folder with its configuration for one fleet."""

    program: Path
    home: Path
    fleet: Fleet

    @classmethod
    def find(cls, program: Path, home: Path, fleet: Fleet) -> "Ansible | None":
        """Return it ready to run, or None where it is not installed."""
        if not program.exists() or find_program("ssh") is None:
            return None
        found = cls(program.absolute(), home, fleet)
        found.prepare()
        return found

    def prepare(self) -> None:
        """Write configuration, inventory and known hosts."""
        self.home.mkdir(parents=True)
        remote = self.fleet.folder / "ansible"
        remote.mkdir()
        remote.chmod(0o777)
        values = {"home": self.home, "remote": remote, "key": self.fleet.server.client_key}
        (self.home / "ansible.cfg").write_text(CONFIGURATION.format(**values))
        hosts = {
            target.name: {
                "ansible_host": target.address,
                "ansible_port": target.port,
                "ansible_user": NEOLANE,
                "base": str(target.base),
                "instance": target.instances[0],
            }
            for target in self.fleet.targets
        }
        (self.home / "inventory.json").write_text(json.dumps({"all": {"hosts": hosts}}))
        host_key = self.fleet.server.host_keys[0].line
        lines = (f"[{target.address}]:{target.port} {host_key}\n" for target in self.fleet.targets)
        (self.home / "known_hosts").write_text("".join(lines))

    def version(self) -> str:
        """Return what it says of itself, such as `core 2.19.14`."""
        return self._run("--version", seconds=60).split("]")[0].partition("[")[2]

    def push(self, module: Module, command: str, line: str, pattern: str = "all") -> float:
        """Run a command everywhere, every connection new, and return the seconds that took.

        The line is a template's value in it, which ansible puts into the arguments of ssh and of the shell.
        """
        values = json.dumps({"line": shlex.quote(line)})
        arguments = [pattern, "-m", module, "-a", command, "-e", values, "-f", str(FORKS)]
        with self._no_connection_left():
            started = time.monotonic()
            printed = self._run(*arguments, seconds=PATIENCE)
            seconds = time.monotonic() - started
        expected = len(self.fleet.targets) if pattern == "all" else 1
        if printed.count(DONE) != expected:
            raise RuntimeError(f"ansible -m {module}: {printed.count(DONE)} of {expected} done")
        return seconds

    def push_filed(self, commands: Mapping[str, str], line: str) -> float:
        """Run another command on each container, by raw, its stdin being the line; return the seconds."""
        folder = self.home / "commands"
        folder.mkdir(exist_ok=True)
        for name, command in commands.items():
            (folder / name).write_text(command)
        return self.push("raw", FILED.format(folder=folder), line)

    @contextmanager
    def _no_connection_left(self) -> Iterator[None]:
        """End what ControlPersist keeps: the next round must open its own connections, as the others do."""
        try:
            yield
        finally:
            for control in (self.home / "control").glob("*"):
                end = ["ssh", "-o", f"ControlPath={control}", "-O", "exit", "ended"]
                subprocess.run(end, capture_output=True, timeout=60, check=False)

    def _run(self, *arguments: str, seconds: float) -> str:
        done = subprocess.run(
            [self.program, *arguments],
            env=self._environment(),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
        if done.returncode:
            raise RuntimeError(f"ansible ended with {done.returncode}: {_tail(done.stdout + done.stderr)}")
        return done.stdout

    def _environment(self) -> dict[str, str]:
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            "LANG": "C.UTF-8",
            "HOME": str(self.home),
            "ANSIBLE_HOME": str(self.home),
            "ANSIBLE_CONFIG": str(self.home / "ansible.cfg"),
        }


def plain_command() -> str:
    """Return what a person types on a container, as a template over the inventory."""
    nlserver = "{{ base }}/bin/nlserver"
    configure = f"{nlserver} config -instance:{{{{ instance }}}} -setimsoauth:{{{{ line }}}}"
    return f"{configure} </dev/null && {nlserver} config -reload </dev/null"


def _tail(text: str, lines: int = 20) -> str:
    return "\n".join(text.splitlines()[-lines:])
