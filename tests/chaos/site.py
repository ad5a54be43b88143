"""One container of the chaos suite: its files, its own sshd, the proxy before it, and its small disk."""

import json
import secrets
import shutil
import subprocess
import tempfile
import xml.etree.ElementTree as ET
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

from portal.plaintext import Secret
from portal.sandbox import nlserver
from portal.sandbox.config_files import Shape
from portal.sandbox.container import Container, make_container, read_account
from portal.sandbox.ssh_server import MARK, end_processes
from tests.chaos.proxy import Loop, Proxy
from tests.services.openssh_server import OpenSSHServer
from tests.services.small_disk import SmallDisk
from tests.services.waiting import free_port

SYSTEM_PYTHON = "/usr/bin/python3"
DISK_MEGABYTES = 2


@dataclass(frozen=True)
class Write:
    """One time that nlserver wrote an account; `secret` is the name that the container's log gives to it."""

    instance: str
    secret: str
    pid: int


class Site:
    """A stand-in Campaign server that the portal reaches through `proxy`. `number` decides its addresses."""

    def __init__(
        self, number: int, loop: Loop, *, login: str, key: str, instances: tuple[str, ...], small_disk: bool
    ) -> None:
        self.number, self.login, self.instances = number, login, instances
        self.name = f"chaos-{number:02}"
        self.mark = secrets.token_hex(16)
        self.folder = Path(tempfile.mkdtemp(prefix=f"{self.name}-"))
        self.disk = SmallDisk(self._below(), megabytes=DISK_MEGABYTES, owner=login) if small_disk else None
        if self.disk:
            self.disk.mount()
        self.container = self._make_container()
        host = f"127.0.2.{number + 1}"
        self.sshd = OpenSSHServer(
            accounts=[login], host=host, host_key_types=["ed25519"], options={"SetEnv": f"{MARK}={self.mark}"}
        )
        self.sshd.authorize(login, key)
        self.proxy = Proxy(loop, host=host, port=free_port(host), server=(host, self.sshd.port))
        self._log_read = 0
        self._remembered: dict[str, bytes] = {}
        self.events: list[dict[str, object]] = []

    def _below(self) -> Path:
        root = self.folder / "root"
        root.mkdir()
        return root

    def _make_container(self) -> Container:
        container = make_container(self.folder, instances=dict.fromkeys(self.instances, Shape.PLAIN))
        code = container.program.read_text().split("\n", 1)[1]
        container.program.write_text(f"#!{SYSTEM_PYTHON} -ISE\n{code}")
        container.set_gates()
        self.folder.chmod(0o755)
        if self.disk:
            subprocess.run(["chown", "-R", f"{self.login}:", self.folder], check=True)
        return container

    def start(self) -> None:
        self.sshd.start()
        self.proxy.listen()

    def kill(self) -> None:
        """End everything that runs in the container, as a power cut does; its port refuses."""
        self.proxy.refuse()
        self.sshd.kill()
        end_processes(self.mark)

    def heal(self) -> None:
        """Everything in order: disk, server, network, gates."""
        if self.disk:
            self.disk.empty()
        self.container.set_gates()
        self.sshd.start()
        self.proxy.heal()

    def close(self) -> None:
        self.proxy.close()
        self.sshd.close()
        end_processes(self.mark)
        if self.disk:
            self.disk.unmount()
        shutil.rmtree(self.folder, ignore_errors=True)

    # The truth

    def read_log(self) -> None:
        """Take in what nlserver has logged since."""
        log = self.folder / nlserver.LOG
        if not log.exists():
            return
        with log.open("rb") as file:
            file.seek(self._log_read)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._log_read += len(line)
                self.events.append(json.loads(line))

    def waiting(self, gate: str) -> int:
        """How many calls have come to this gate so far."""
        return sum(event.get("gate") == gate for event in self.events)

    def running(self) -> bool:
        """Whether a call of nlserver is under way (a killed one counts for ever: ask `ended` first)."""
        events = [event["event"] for event in self.events]
        return events.count("started") > events.count("ended")

    def ended(self, action: str) -> int:
        return sum(event["action"] == action and event["event"] == "ended" for event in self.events)

    def writes(self) -> list[Write]:
        """Every write of an account, in its order, from the container's own log."""
        found: dict[tuple[int, int], Write] = {}
        calls: Counter[int] = Counter()  # a process id comes again after some 30,000 processes
        for event in self.events:
            calls[int(str(event["pid"]))] += event["event"] == "started"
            wrote = event.get("gate") == nlserver.WRITTEN or event.get("exit") == 0
            if wrote and event["action"] == "setimsoauth":
                write = Write(str(event["instance"]), str(event["fingerprint"]), int(str(event["pid"])))
                found.setdefault((write.pid, calls[write.pid]), write)
        return list(found.values())

    def held(self, instance: str) -> Secret | None:
        """The secret that stands in an instance's file; a torn one holds none."""
        return read_account(self.container, instance).secret if self.is_whole(instance) else None

    def is_whole(self, instance: str) -> bool:
        """Whether an instance's file can be read: it was not left in the middle of a write."""
        try:
            read_account(self.container, instance)
        except ET.ParseError:
            return False
        return True

    def remember_files(self) -> None:
        """Keep the files as they are, as a nightly backup does."""
        self._remembered = {name: self.container.config(name).read_bytes() for name in self.instances}

    def mend_files(self) -> None:
        """Put torn files back as they were remembered, as the server team does."""
        for name in self.instances:
            if not self.is_whole(name):
                self.container.config(name).write_bytes(self._remembered[name])

    def journal(self, instance: str) -> str:
        """The line in which the portal's script noted how far it came, empty if there is none."""
        path = self.container.install_root / self.container.major / f"var/campaign-portal/{instance}.journal"
        return path.read_text() if path.exists() else ""
