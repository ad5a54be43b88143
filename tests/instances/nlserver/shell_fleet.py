"""An install root with a small stand-in for nlserver, and shells to run the real script in."""

import os
import select
import shutil
import socket
import subprocess
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from instances import nlserver
from instances.nlserver.conversation import HARMLESS_LINES
from tests.services.processes import descendants
from tests.services.programs import require
from tests.services.waiting import wait_until

NONCE = "0123456789abcdef"
SHELLS = {"dash": ("dash",), "bash": ("bash",), "busybox": ("busybox", "sh")}
HARMLESS = b"harmless\n" * HARMLESS_LINES
"""What the portal sends before the account, once the script runs as the right user, but shorter."""
LINE = b"ORG@AdobeOrg/client-id/tech-id@techacct.adobe.com/p8e-canary-secret\n"
ACCOUNT = nlserver.Account("ORG@AdobeOrg", "client-id", "tech-id@techacct.adobe.com")

OLD_CONFIG = """<?xml version='1.0'?>
<serverConf><shared>
  <ims authIMSTAClientId="old-client" authIMSTAClientSecret="@b2xk" authIMSTAId="old-tech"/>
</shared></serverConf>
"""

# What the account running the tests does at login is not our subject, and can be slow.
NO_HOME = {"SetEnv": "HOME=/nonexistent"}

# Each fault is a file in the folder `faults`; its content is the fault's argument. The encrypted secret is a
# counter, so that every write shows.
STAND_IN = r"""#!/bin/sh
base=${0%/bin/nlserver}
fault() { [ -f "$base/faults/$1" ] && argument=$(cat "$base/faults/$1"); }
printf '%s\n' "$@" >>"$base/calls"
echo >>"$base/calls"
fault build || argument=9383@4a05ee3d089
echo "16:08:55 >   Application server for Adobe Campaign Classic (7.4 24.1 build $argument) of 06/27/2024"

write() {
    IFS=/ read -r org client tech secret <<VALUES
$1
VALUES
    count=$(($(cat "$base/count" 2>/dev/null || echo 0) + 1))
    echo "$count" >"$base/count"
    ! fault same-cipher || count=same
    cat >"$2" <<XML
<?xml version='1.0'?>
<serverConf><shared>
  <ims authIMSTAClientId="$client" authIMSTAClientSecret="@c2VjcmV0$count" authIMSTAId="$tech"/>
</shared></serverConf>
XML
}

case $1 in
pdump) echo "web@default (9984) - 50.1 MB"; exit 0 ;;
restart) ! fault restart-exit || exit "$argument"; exit 0 ;;
esac
if [ "$2" = -reload ]; then
    ! fault daemon || (sleep "$argument" &)
    : >"$base/reloading"
    ! fault reload || sleep "$argument"
    ! fault reload-error || echo "16:08:57 >>> XSV-350023 le serveur ne r""\303\251""pond pas (iRc=-53)"
    ! fault reload-exit || exit "$argument"
    exit 0
fi
: >"$base/started"
! fault before-write || sleep "$argument"
fault no-write || write "${3#-setimsoauth:}" "$base/conf/config-${2#-instance:}.xml"
! fault flood || head -c "$argument" /dev/zero | tr '\0' x | fold -w 1000
! fault long-line || head -c "$argument" /dev/zero | tr '\0' x
! fault error || echo "$argument"
! fault after-write || sleep "$argument"
: >"$base/ended"
! fault exit || exit "$argument"
"""


@dataclass(frozen=True)
class ShellContainer:
    """An install root; everything in it belongs to `user`, as whom the script is to run."""

    root: Path
    user: str
    instance: str = "prod1"

    @property
    def base(self) -> Path:
        return self.root / "nl6"

    @property
    def config(self) -> Path:
        return self.base / "conf" / f"config-{self.instance}.xml"

    @property
    def state(self) -> Path:
        return self.base / "var" / "campaign-portal"

    def fault(self, name: str, argument: object = "") -> None:
        (self.base / "faults" / name).write_text(f"{argument}\n")

    def calls(self) -> list[list[str]]:
        """The arguments of every call of nlserver."""
        file = self.base / "calls"
        return [call.split("\n") for call in file.read_text().split("\n\n")[:-1]] if file.exists() else []

    def noted(self, kind: str) -> str:
        """The last line of a state file: `fence` or `journal`."""
        file = self.state / f"{self.instance}.{kind}"
        return file.read_text().splitlines()[-1] if file.exists() else ""

    def wait_for(self, mark: str) -> None:
        """Wait until nlserver left the mark `started`, `ended` or `reloading`."""
        wait_until((self.base / mark).exists, within=120, what=f"nlserver to have left {mark}")

    def running(self, *arguments: str) -> set[int]:
        """The processes that are nlserver with these first arguments, and those below them."""
        wanted = [str(self.base / "bin" / "nlserver"), *arguments]
        found: set[int] = set()
        for file in Path("/proc").glob("[0-9]*/cmdline"):
            with suppress(OSError):
                # The stand-in is a script, so its shell comes first.
                if file.read_text(errors="replace").split("\0")[1 : len(wanted) + 1] == wanted:
                    found |= {int(file.parent.name), *descendants(int(file.parent.name))}
        return found

    def lock_holders(self) -> set[int]:
        """The processes in which the lock file is open: the lock is free when the last of them has ended."""
        lock, found = str((self.state / f"{self.instance}.lock").resolve()), set()
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it may end between two looks
                if any(_is_link_to(file, lock) for file in (process / "fd").iterdir()):
                    found.add(int(process.name))
        return found

    def job(self, **changes: object) -> nlserver.Job:
        values = {"become": "none", "fence": 1, "attempt": 1, "user": self.user, "limit": 10} | changes
        return nlserver.Job(self.instance, str(self.root), **values)  # type: ignore[arg-type]  # test values


def _is_link_to(file: Path, target: str) -> bool:
    try:
        return str(file.readlink()) == target
    except OSError:  # closed in between
        return False


def make_container(root: Path, user: str) -> ShellContainer:
    """Fill an install root with the stand-in and the configuration of one instance."""
    container = ShellContainer(root, user)
    for name in ("bin", "conf", "var", "faults"):
        (container.base / name).mkdir(parents=True)
    program = container.base / "bin" / "nlserver"
    program.write_text(STAND_IN)
    program.chmod(0o755)
    container.config.write_text(OLD_CONFIG)
    return container


def give_to(path: Path, user: str) -> None:
    """Let everything below a path belong to a user."""
    for entry in (path, *path.rglob("*")):
        shutil.chown(entry, user, user)


@dataclass
class Reply:
    """What the script said and how it ended."""

    exit_status: int
    output: bytes
    transcript: nlserver.Transcript = field(default_factory=lambda: nlserver.Transcript(NONCE))

    def __post_init__(self) -> None:
        for line in self.output.splitlines(keepends=True):
            self.transcript.feed(line)

    @property
    def fields(self) -> nlserver.report.Fields:
        return self.transcript.fields

    def said(self, key: str) -> str:
        return self.fields.last(key)


def argv(
    shell: str,
    container: ShellContainer,
    *,
    mode: str = "apply",
    fence: object = 1,
    attempt: object = 1,
    flags: str = "reload",
    limit: object = 10,
    instance: str | None = None,
    script: str = "",
    portal: str = "",
    over: str = "",
) -> list[str]:
    """The command that runs the script in a shell, as the login shell would."""
    for program in SHELLS[shell][:1]:
        require(program)
    name = container.instance if instance is None else instance
    words: Sequence[object] = (
        NONCE, mode, name, container.root, fence, attempt, flags, limit, container.user,
        portal, over,
    )  # fmt: skip
    return [*SHELLS[shell], "-c", script or nlserver.script(), "portal", *map(str, words)]


@contextmanager
def started(command: Sequence[str], harmless: bytes = HARMLESS) -> Iterator[subprocess.Popen[bytes]]:
    """The script running, with pipes and the harmless lines; it is gone afterwards."""
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, cwd="/"
    ) as process:
        try:
            assert process.stdin
            with suppress(BrokenPipeError):  # it may have ended already
                process.stdin.write(harmless)
                process.stdin.flush()
            yield process
        finally:
            process.kill()


def converse(command: Sequence[str], line: bytes = LINE) -> Reply:
    """Give the script the harmless lines, a line when it is ready, and its end of input; read to the end."""
    with started(command) as process:
        output = read_until(process, b" ready", or_the_end=True)
        said, _ = process.communicate(enciphered(output, line), timeout=60)
        return Reply(process.returncode, output + said)


def enciphered(output: bytes, line: bytes = LINE) -> bytes:
    """Return a line as the portal sends it after this output: enciphered, if the script got that far."""
    pad = Reply(0, output).said("pad")
    text, newline, _ = line.partition(b"\n")
    return (
        nlserver.conversation.enciphered(text + f" {NONCE}".encode(), bytes.fromhex(pad)) + newline
        if pad
        else b""
    )


def read_until(process: subprocess.Popen[bytes], mark: bytes, *, or_the_end: bool = False) -> bytes:
    """Read the script's output up to a line that ends in `mark`."""
    assert process.stdout is not None
    output = b""
    while not output.rstrip().endswith(mark):
        line = process.stdout.readline()
        if or_the_end and not line:
            break
        assert line, output
        output += line
    return output


class Cable:
    """A TCP connection's middle: passes everything on to a port until it is cut."""

    def __init__(self, port: int) -> None:
        self._target = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._cut_read, self._cut_write = os.pipe()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.port = int(self._listener.getsockname()[1])

    def cut(self) -> None:
        """Break the connection; both ends see it closed."""
        os.write(self._cut_write, b".")

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.cut()
        self._thread.join()
        self._listener.close()
        os.close(self._cut_read)
        os.close(self._cut_write)

    def _run(self) -> None:
        ready, _, _ = select.select([self._listener.fileno(), self._cut_read], [], [])
        if self._cut_read in ready:
            return
        near, _ = self._listener.accept()
        with near, socket.create_connection(("127.0.0.1", self._target)) as far:
            self._pass_on({near.fileno(): (near, far), far.fileno(): (far, near)})

    def _pass_on(self, ends: dict[int, tuple[socket.socket, socket.socket]]) -> None:
        while True:
            ready, _, _ = select.select([*ends, self._cut_read], [], [])
            if self._cut_read in ready:
                return
            for source, sink in (ends[number] for number in ready):
                data = source.recv(65536)
                if not data:
                    return
                sink.sendall(data)
