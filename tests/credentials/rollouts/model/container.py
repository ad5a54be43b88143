"""Containers that exist only in memory: `instances/nlserver/nlserver.sh` and sshd, stage by stage.

What is said is what the script says, so the portal's own conversation, parser and verdicts read it. A process
on a container is an actor of its own: once it has its line it goes on without the worker that sent it, a
stage at a time, under the same lock, register (`fence`) and journal as the script.
"""

import hashlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from enum import StrEnum

from django.db import connection

from instances import ssh
from instances.nlserver.report import PAD_BYTES
from tests.credentials.rollouts.model.workers import Fault, Point, pause

Order = tuple[int, int]
BUILD = 9391
READY_SECONDS = 30


class Nlserver(StrEnum):
    """How `nlserver config` and the reload behave."""

    WORKS = "works"
    REFUSES = "refuses"
    LIES = "lies"
    """Exit 0, and nothing written: touched or rewritten, perhaps, which the portal does not look at."""
    SECOND_NODE = "second node"
    """Exit 0, and the account stands in a node of its own beside the one that Campaign reads."""
    EMPTY_ORGANIZATION = "empty organization"
    TEARS = "tears"
    """Exit 0, and the file ends in the middle."""
    IS_KILLED_BEFORE = "is killed before it writes"
    IS_KILLED_AFTER = "is killed after it wrote"
    WRITES_LATE = "writes late"
    """Exit 0, and written some seconds afterwards."""
    ENCRYPTS_ANEW = "encrypts anew"
    """Works, but the reload encrypts the secret in the file once more, with a salt."""
    FAILS_AFTERWARDS = "fails afterwards"
    """Written, and then an error."""
    RELOAD_FAILS = "reload fails"


class Network(StrEnum):
    """How a container answers somebody who connects."""

    WORKS = "works"
    REFUSES = "refuses"
    SILENT = "silent"
    UNREACHABLE = "unreachable"


HONEST = frozenset(
    {Nlserver.WORKS, Nlserver.IS_KILLED_BEFORE, Nlserver.IS_KILLED_AFTER, Nlserver.WRITES_LATE}
)
"""How an nlserver behaves that sets what it is told, as far as it is let."""
SILENT = frozenset({Nlserver.REFUSES, Nlserver.LIES, Nlserver.IS_KILLED_BEFORE, Nlserver.WRITES_LATE})
"""Those that have written nothing when they end."""
EXIT_CODES = {
    Nlserver.REFUSES: "1",
    Nlserver.FAILS_AFTERWARDS: "1",
    Nlserver.IS_KILLED_BEFORE: "137",
    Nlserver.IS_KILLED_AFTER: "137",
}

CONNECT_ERRORS: dict[Network, type[ssh.SSHError]] = {
    Network.REFUSES: ssh.ConnectionRefused,
    Network.SILENT: ssh.TimedOut,
    Network.UNREACHABLE: ssh.HostUnreachable,
}


@dataclass(frozen=True)
class Write:
    """One change of a configuration file; `order` is None where a person did it by hand."""

    instance: str
    order: Order | None
    values: tuple[str, ...]
    digest: str
    changed: bool = False
    at: int = 0
    is_late: bool = False
    """Written when nlserver had long ended."""
    has_no_organization: bool = False
    is_torn: bool = False


@dataclass
class Installed:
    """An instance on a container: its configuration file and what the script keeps beside it."""

    values: tuple[str, ...] = ()
    digest: str = ""
    beside: str = ""
    """The digest of another node's secret."""
    has_no_organization: bool = False
    is_torn: bool = False
    stamp: int = 0
    late: tuple[tuple[str, ...], Order] | None = None
    """What a server that writes late has still to write."""
    fence: Order = (0, 0)
    journal: str = ""
    locked_by: "Process | None" = None
    shown: dict[Order, int] = field(default_factory=dict)
    """When a conversation last showed the file as it was at its end."""


class Site:
    """One container with its instances, and everything that ever happened on it."""

    def __init__(
        self,
        name: str,
        instances: list[str],
        *,
        deterministic: bool,
        punctual: bool,
        clock: Callable[[], int],
        key: str = "",
    ) -> None:
        self.name = name
        self.encryption_key = key or name
        self.installed = {instance: Installed() for instance in instances}
        self.deterministic = deterministic
        self.punctual = punctual
        self.clock = clock
        self.network = Network.WORKS
        self.nlserver = Nlserver.WORKS
        self.is_honest = True
        """Whether nlserver never did anything but what it was told, and nobody touched its files."""
        self.is_hung = False
        self.key = 0
        self.writes: list[Write] = []
        self.processes: list[Process] = []
        self.events = 0
        self.meanwhile: Callable[[Process], None] = lambda process: None
        """What somebody else does on the container before a process goes on."""

    @property
    def host_key(self) -> ssh.PublicHostKey:
        blob = f"{self.name}-{self.key}".encode().hex()
        return ssh.PublicHostKey("ssh-ed25519", blob, f"SHA256:{blob}")

    @property
    def pending(self) -> list["Process"]:
        """Processes that have something to do, or will once their line arrives."""
        return [each for each in self.processes if each.is_pending]

    def event(self) -> int:
        self.events += 1
        return self.events

    def write(
        self,
        instance: str,
        values: tuple[str, ...],
        order: Order | None,
        *,
        salted: bool = False,
        is_late: bool = False,
        has_no_organization: bool = False,
        is_torn: bool = False,
    ) -> None:
        """Replace the file as a whole. nlserver encrypts with a salt, or without one."""
        installed = self.installed[instance]
        installed.stamp += 1
        salt = f"{self.name}-{installed.stamp}" if salted or not self.deterministic else ""
        text = f"{values[3]}|{self.encryption_key}|{salt}"
        digest = hashlib.sha256(text.encode()).hexdigest()
        flaws = {"has_no_organization": has_no_organization, "is_torn": is_torn}
        self._put(Write(instance, order, values, digest, is_late=is_late, **flaws))

    def restore(self, write: Write) -> None:
        """Put back what the file held after an earlier write, with whatever was wrong with it."""
        self._put(replace(write, order=None, is_late=False))

    def _put(self, write: Write) -> None:
        installed = self.installed[write.instance]
        changed = write.digest != installed.digest
        installed.values, installed.digest, installed.beside = write.values, write.digest, ""
        installed.has_no_organization, installed.is_torn = write.has_no_organization, write.is_torn
        self.writes.append(replace(write, changed=changed, at=self.event()))

    def catch_up(self, instance: str) -> None:
        """Let what is to be written late be written now."""
        installed = self.installed[instance]
        late, installed.late = installed.late, None
        if late:
            self.write(instance, *late, is_late=True)


class Process:
    """The script at work for one conversation."""

    def __init__(self, site: Site, nonce: str, mode: str, instance: str, order: Order) -> None:
        self.site = site
        self.mode = mode
        self.instance = instance
        self.order = order
        self.lines: list[bytes] = []
        self.status: int | None = None
        self.stage = "reading"
        self.in_flight = ""
        self.has_heard = mode == "look"
        self._nonce = nonce
        self._line = ""
        self._since = site.clock()
        self._codes = {"config": "-", "reload": "-"}
        self._marks = {"held": "-", "written": "-", "took": "-"}
        site.processes.append(self)
        self._greet()

    def __repr__(self) -> str:
        return f"<{self.mode} {self.instance} {self.order} {self.stage}>"

    @property
    def installed(self) -> Installed:
        return self.site.installed[self.instance]

    @property
    def has_ended(self) -> bool:
        return self.stage == "ended"

    @property
    def is_pending(self) -> bool:
        return self.stage in ("received", "begun", "configured", "orphan") or bool(self.in_flight)

    def receive(self, line: str) -> None:
        """Take the line, now that its newline is there."""
        self.in_flight = ""
        if self.stage != "reading":
            return
        if self.site.punctual and self.site.clock() - self._since > READY_SECONDS:
            self._end(94, "late=yes")
        else:
            self._line, self.stage = bytes.fromhex(line).decode().partition(" ")[0], "received"

    def cut(self) -> None:
        """The connection is gone: `read` finds no newline. Afterwards the script ignores it."""
        if self.stage == "reading" and not self.in_flight:
            self._end(97)

    def die(self, *, nlserver_survives: bool) -> None:
        """Kill the script; `nlserver config` itself goes on, and keeps the lock, if it had begun."""
        if nlserver_survives and self.stage == "begun":
            self.stage = "orphan"
        else:
            self.in_flight = ""
            self._end(None)

    def go_on(self) -> None:
        """Do the next stage."""
        self.site.meanwhile(self)
        if self.in_flight:
            self.receive(self.in_flight)
            return
        stages = {
            "received": self._begin,
            "begun": self._configure,
            "configured": self._reload,
            "orphan": self._finish_alone,
        }
        stages[self.stage]()

    def run(self) -> None:
        """Do everything that is left; who holds the lock ends first."""
        while not self.has_ended and self.is_pending:
            holder = self.installed.locked_by
            if self.stage == "received" and holder:
                holder.run()
            self.go_on()

    def _greet(self) -> None:
        self._say("shell=yes")
        self._say("user=neolane")
        self._say("nlserver=/usr/local/neolane/nl7/bin/nlserver")
        self._say("config=present")
        self._say("run=probe")
        self.lines.append(f"Campaign (build {BUILD}@abcdef)\n".encode())
        self._say("rc.probe=0")
        self._say("errors.probe=0")
        self._say(f"build={BUILD}@abcdef")
        if self.mode == "look":
            self.stage = "received"
            return
        self._report("before")
        self._say("listening=yes")

    def hear(self, line: str) -> None:
        """Take the harmless line that comes before the account, here once."""
        self.has_heard = True
        self._say(f"heard={line}")
        self._say(f"pad={' '.join(['00'] * PAD_BYTES)}")
        self._say("ready")

    def _begin(self) -> None:
        """Lock, fence, journal: `take_lock`, `pass_fence` and what follows them."""
        installed = self.installed
        if installed.locked_by:
            self._end(93, "busy=yes")
            return
        self.site.catch_up(self.instance)
        if not (self.order > installed.fence or (self.mode == "look" and self.order == installed.fence)):
            self._end(95, f"newer={installed.fence[0]} {installed.fence[1]}")
            return
        installed.fence = self.order
        if self.mode == "look":
            if installed.journal:
                self._say(f"journal={installed.journal}")
            self._done()
            return
        installed.locked_by = self
        self.stage = "begun"
        self._report("held")
        self._marks["held"] = self._mark()
        self._note("begun")

    def _configure(self) -> None:
        behaviour = self.site.nlserver
        self.site.is_honest &= behaviour in HONEST
        if behaviour not in SILENT:
            self._write()
        if behaviour == Nlserver.WRITES_LATE:
            self.installed.late = (tuple(self._line.split("/")), self.order)
        self._codes["config"] = EXIT_CODES.get(behaviour, "0")
        self._told("config")
        self._say("took.config=1")
        self._marks |= {"written": self._mark(), "took": "1"}
        self._report("written")
        self._note("configured")
        self.stage = "configured"

    def _reload(self) -> None:
        if self._codes["config"] == "0":
            self._codes["reload"] = "1" if self.site.nlserver == Nlserver.RELOAD_FAILS else "0"
            self._told("reload")
            if self.site.nlserver == Nlserver.ENCRYPTS_ANEW:
                self.site.is_honest = False
                here = self.installed
                flaws = {"has_no_organization": here.has_no_organization, "is_torn": here.is_torn}
                self.site.write(self.instance, here.values, None, salted=True, **flaws)
        self._note("done")
        self._done()

    def _finish_alone(self) -> None:
        self._write()
        self._end(None)

    def _write(self) -> None:
        """Write as this nlserver does; a lie is no write of ours, since the account is not in force then."""
        installed, behaviour = self.installed, self.site.nlserver
        self.site.is_honest &= behaviour in HONEST
        values = tuple(self._line.split("/"))
        if behaviour == Nlserver.SECOND_NODE and installed.values:
            installed.beside = hashlib.sha256(f"{values[3]}|beside|{self.site.event()}".encode()).hexdigest()
            return
        if behaviour in (Nlserver.EMPTY_ORGANIZATION, Nlserver.TEARS):
            is_empty = behaviour == Nlserver.EMPTY_ORGANIZATION
            lacking = ("", *values[1:])
            self.site.write(self.instance, lacking, None, has_no_organization=is_empty, is_torn=not is_empty)
            return
        self.site.write(self.instance, values, self.order)

    def _mark(self) -> str:
        """What the journal says about the file: see `journal` in the script."""
        installed = self.installed
        if installed.is_torn:
            return "unread"
        if installed.beside:
            return "many"
        return installed.digest or "none"

    def _told(self, step: str) -> None:
        self._say(f"run={step}")
        self._say(f"rc.{step}={self._codes[step]}")
        self._say(f"errors.{step}=0")

    def _note(self, stage: str) -> None:
        codes = " ".join(f"{step}={code}" for step, code in self._codes.items())
        marks = " ".join(f"{name}={mark}" for name, mark in self._marks.items())
        begin = f"{self.order[0]} {self.order[1]} {stage} {codes}"
        self.installed.journal = f"{begin} restart=- errors=0 {marks}"

    def _report(self, stage: str) -> None:
        installed = self.installed
        if installed.values:
            names = ("organization_id", "client_id", "technical_account_id")
            for name, value in zip(names, installed.values, strict=False):
                if name != "organization_id" or value or installed.has_no_organization:
                    self._say(f"{stage}.{name}={value}")
            for digest in filter(None, (installed.digest, installed.beside)):
                self._say(f"{stage}.secret={digest}")
        self._say(f"{stage}.read={'torn' if installed.is_torn else 'yes'}")

    def _done(self) -> None:
        self._report("after")
        self.installed.shown[self.order] = self.site.event()
        self._end(0, "done=yes")

    def _end(self, status: int | None, last: str = "") -> None:
        if last:
            self._say(last)
        self.status, self.stage = status, "ended"
        if self.installed.locked_by is self:
            self.installed.locked_by = None

    def _say(self, text: str) -> None:
        self.lines.append(f"PORTAL {self._nonce} {text}\n".encode())


class Connection:
    """What `ssh.Connection.open` returns, for a container in memory."""

    def __init__(self, site: Site, tick: ssh.Tick) -> None:
        self.site = site
        self.host_key = site.host_key.fingerprint
        self.is_broken = False
        self._tick = tick
        self._process: Process | None = None

    @classmethod
    def open(cls, site: Site, pinned: tuple[str, ...], tick: ssh.Tick) -> "Connection":
        """Connect, check the host key and log in; errors as `ssh.Connection.open` raises them."""
        fault = _awaited(Point.CONNECT, tick)
        if fault != Fault.NONE:
            raise ssh.TimedOut
        if site.network != Network.WORKS:
            raise CONNECT_ERRORS[site.network]
        if not pinned:
            raise ssh.HostKeyUnknown(site.host_key)
        if site.host_key.line not in pinned:
            raise ssh.HostKeyChanged(site.host_key)
        return cls(site, tick)

    def talk(self, command: str) -> "Talk":
        if self.arrives(Point.PREPARE) != Fault.NONE:
            raise ssh.ConnectionLost
        nonce, mode, instance, _root, fence, attempt, *_rest = command.rpartition(" portal ")[2].split()
        self._process = Process(self.site, nonce, mode, instance, (int(fence), int(attempt)))
        return Talk(self, self._process)

    def arrives(self, point: Point) -> Fault:
        """Wait for what happens at this point; a broken connection stays broken."""
        fault = _awaited(point, self._tick)
        if self.is_broken or self.site.network != Network.WORKS:
            return Fault.FAILS
        return fault

    def close(self) -> None:
        """Break it: also what happens to the connections of a worker that is killed."""
        self.is_broken = True
        if self._process:
            self._process.cut()


class Talk:
    """One conversation on a `Connection`, as `ssh.Talk`."""

    def __init__(self, connection: Connection, process: Process) -> None:
        self._connection = connection
        self._process = process
        self._sent = b""
        self._read = 0

    def send(self, data: bytes) -> None:
        if not self._process.has_heard:
            self._process.hear(data.decode().partition("\n")[0])
            return
        fault = self._connection.arrives(Point.NEWLINE if data == b"\n" else Point.VALUES)
        if fault != Fault.FAILS:
            self._take(data, delayed=fault == Fault.DELAYED)
        if fault != Fault.NONE:
            self._lose()

    def _take(self, data: bytes, *, delayed: bool) -> None:
        self._sent += data
        line, newline, _rest = self._sent.decode().partition("\n")
        if newline and delayed:
            self._process.in_flight = line
        elif newline:
            self._process.receive(line)

    def _lose(self) -> None:
        self._connection.close()
        raise ssh.ConnectionLost

    def lines(self, seconds: float) -> Iterator[bytes]:
        if self._process.stage != "reading":
            self._await_report()
        while self._read < len(self._process.lines):
            self._read += 1
            yield self._process.lines[self._read - 1]

    def _await_report(self) -> None:
        if self._connection.arrives(Point.REPORT) != Fault.NONE:
            self._lose()
        if self._connection.site.is_hung:
            raise ssh.TimedOut
        self._process.run()

    def exit_status(self, seconds: float) -> int | None:
        return self._process.status

    def close(self) -> None:
        self._connection.arrives(Point.HANG_UP)
        self._process.cut()


def _awaited(point: Point, tick: ssh.Tick) -> Fault:
    """Whatever is awaited from outside: nothing may be locked meanwhile."""
    assert not connection.in_atomic_block, f"{point}: a transaction is open while a container is awaited"
    return pause(point, tick)
