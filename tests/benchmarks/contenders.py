"""Who pushes to the same containers: the portal, a bare Paramiko loop, and ansible.

Each way returns a `Lap` only if every container was written exactly once and holds what was sent.
"""

import json
import statistics
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Literal

from instances.nlserver.conversation import HARMLESS_LINES, enciphered
from instances.nlserver.job import Account, Job, command, spec_line
from tests.benchmarks.ansible import Ansible, Module, plain_command
from tests.benchmarks.bare import Answer, Errand, Order
from tests.benchmarks.containers import Fleet, Target
from tests.benchmarks.site import Site
from tests.services.accounts import NEOLANE
from tests.services.portal import ROOT
from tests.services.usage import cpu_seconds

Work = Literal["script", "plain"]
PATIENCE = 900.0  # seconds
# Made up, and nobody's secret: what contenders other than the portal push.
OTHER = Account(
    "0A1B2C3D4E5F60718293A4B5@AdobeOrg",
    "0123456789abcdef0123456789abcdef",
    "1A2B3C4D5E6F708192A3B4C5@techacct.adobe.com",
)
LINE = spec_line(OTHER, "p8e-not-a-secret-of-anybody-000001")


@dataclass(frozen=True)
class Lap:
    """One push to all containers: how long it took, and what it cost, in seconds of processor.

    `own` is what the contender itself used, `services` its database and broker, `containers` sshd and all
    that ran there. `handshakes` are the logins that sshd accepted, `in_vain` the attempts that did not
    succeed, by code: after one the push waited for its next.
    """

    seconds: float
    containers: float
    handshakes: int
    own: float = 0
    services: float = 0
    in_vain: Mapping[str, int] = field(default_factory=dict)


@dataclass
class Seen:
    """What a lap did to the containers."""

    containers: float = 0
    handshakes: int = 0


Runner = Callable[[], Lap]


@dataclass
class Race:
    """One fleet, a portal that knows it, and the other contenders on it."""

    fleet: Fleet
    site: Site
    concurrency: int
    ansible: Ansible | None = None
    _nonces: Iterator[int] = field(default_factory=count)

    def portal(self, *containers: str) -> Lap:
        """Press, and wait for the last verdict."""
        targets = [target for target in self.fleet.targets if not containers or target.name in containers]
        own, services = self.site.worker_cpu(), self.site.service_cpu()
        with self._watched(self.site.console.client_id, targets) as seen:
            rollout = self.site.press(*containers)
        rollout.require_success()
        own, services = self.site.worker_cpu() - own, self.site.service_cpu() - services
        return Lap(rollout.seconds, seen.containers, seen.handshakes, own, services, rollout.in_vain)

    def bare(self, work: Work) -> Lap:
        """Run the Paramiko loop: the portal's whole conversation, or only what a person would type."""
        order: Order = {
            "errands": [
                self._errand(work, target, name) for target in self.fleet.targets for name in target.instances
            ],
            "concurrency": self.concurrency,
            "key": str(self.fleet.server.client_key),
            "host_key": self.fleet.server.host_keys[0].line,
            "login": NEOLANE,
            "harmless": "harmless\n" * HARMLESS_LINES,
        }
        with self._watched(OTHER.client_id, self.fleet.targets) as seen:
            answer = _run_bare(order)
        return Lap(answer["seconds"], seen.containers, seen.handshakes, answer["cpu"])

    def by_ansible(self, module: Module) -> Lap:
        """Let ansible run what a person would type."""
        with self._watched(OTHER.client_id, self.fleet.targets) as seen:
            seconds = self._ansible.push(module, plain_command(), LINE)
        return Lap(seconds, seen.containers, seen.handshakes)

    def script_by_ansible(self) -> Lap:
        """Let ansible's raw run the portal's conversation, though it cannot wait for the word `ready`."""
        nonce = f"bench{next(self._nonces)}"
        scripts = {target.name: _script(target, target.instances[0], nonce) for target in self.fleet.targets}
        with self._watched(OTHER.client_id, self.fleet.targets) as seen:
            seconds = self._ansible.push_filed(scripts, line_for_zeros(LINE, nonce))
        return Lap(seconds, seen.containers, seen.handshakes)

    @property
    def _ansible(self) -> Ansible:
        if self.ansible is None:
            raise LookupError("no ansible-core here")
        return self.ansible

    @contextmanager
    def _watched(self, client_id: str, targets: Sequence[Target]) -> Iterator[Seen]:
        """Hold the block against the files, and tell afterwards what it did to the containers."""
        assert self.fleet.server.pid
        seen = Seen()
        with self.fleet.expecting(client_id, targets):
            before = cpu_seconds(self.fleet.server.pid), self.fleet.handshakes()
            yield seen
            seen.containers = cpu_seconds(self.fleet.server.pid) - before[0]
            seen.handshakes = self.fleet.handshakes() - before[1]

    def _errand(self, work: Work, target: Target, instance: str) -> Errand:
        if work == "plain":
            nlserver = target.base / "bin/nlserver"
            configure = f'{nlserver} config -instance:{instance} "-setimsoauth:$line" </dev/null'
            told = f"read -r line; {configure} && {nlserver} config -reload </dev/null"
            return Errand(
                address=target.address, port=target.port, command=told, line=LINE, ready="", done=""
            )
        nonce = f"bench{next(self._nonces)}"
        return Errand(
            address=target.address,
            port=target.port,
            command=_script(target, instance, nonce),
            line=line_for_zeros(LINE, nonce),
            ready=f"PORTAL {nonce} ready",
            done=f"PORTAL {nonce} done=yes",
        )


def _script(target: Target, instance: str, nonce: str) -> str:
    """Return the command as the portal gives it, but with a pad of zeros: those here cannot wait for one."""
    job = Job(instance=instance, install_root=str(target.root), become="none", fence=1, attempt=1)
    return with_zeros(command(job, "apply", nonce))


def with_zeros(told: str) -> str:
    """Return the script's command line with a pad of zeros."""
    return told.replace("/dev/urandom", "/dev/zero")


def line_for_zeros(line: str, nonce: str) -> str:
    """Return what the portal sends where the pad is nothing but zeros."""
    text = f"{line} {nonce}".encode()
    return enciphered(text, bytes(len(text))).decode()


def _run_bare(order: Order) -> Answer:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bare"],
        cwd=ROOT,
        input=json.dumps(order),
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    if done.returncode:
        raise RuntimeError(f"the bare loop ended with {done.returncode}: {done.stderr}")
    answer: Answer = json.loads(done.stdout)
    if answer["failed"]:
        raise RuntimeError(f"the bare loop failed on {answer['failed']} containers")
    return answer


@dataclass(frozen=True)
class Contender:
    """One way to push: what it does, what it shows afterwards, and how to run it; None where it cannot be."""

    name: str
    run: Runner | None
    does: str = ""
    proves: str = ""


def interleaved(contenders: Sequence[Contender], rounds: int) -> Mapping[str, list[Lap]]:
    """Let each run once per round, in turns, so that whatever else the machine does meets all of them."""
    laps: dict[str, list[Lap]] = {contender.name: [] for contender in contenders}
    for _ in range(rounds):
        for contender in contenders:
            if contender.run:
                laps[contender.name].append(contender.run())
    return laps


def median_seconds(laps: Sequence[Lap]) -> float | None:
    """Return the median time, None where nothing was run."""
    return statistics.median(lap.seconds for lap in laps) if laps else None


def ratio(above: float | None, below: float | None) -> float | None:
    """Return above / below, None if one was not measured."""
    return above / below if above is not None and below else None
