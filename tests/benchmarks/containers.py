"""Containers to measure on: one real sshd that answers on as many addresses as wanted, a folder behind each.

Every contender pushes to the same folders over the same sshd. Their nlserver is a stand-in in shell, because
the sandbox's, in Python, would take more time than everything that is measured here.
"""

import os
import pwd
import shlex
import socket
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.services.accounts import NEOLANE
from tests.services.openssh_server import OpenSSHServer

# Build and banner as in Adobe's documentation; `config` takes its time and writes what it was given. For the
# secret stands its process id, which changes with every write as an encrypted value does.
NLSERVER = """\
#!/bin/sh
echo "12:00:00 >   Application server for Adobe Campaign Classic (7.4.2 build 9391@0123abc) of 06/18/2024"
[ "$1" = config ] || exit 0
[ "$2" != -reload ] || exit 0
instance=${2#-instance:} value=${3#-setimsoauth:}
{pause}
conf=${0%/bin/nlserver}/conf/config-$instance.xml
IFS=/ read -r org client account secret <<END
$value
END
printf '%s %s %s\\n' "$instance" "$client" "$$" >>"${0%/bin/nlserver}/../log"
{
    echo '<serverconf>'
    printf '<ims authIMSTAClientId="%s" authIMSTAId="%s" authIMSTAClientSecret="@%s"/>\\n' \\
        "$client" "$account" "$$"
    printf '<web><redirection IMSOrgId="%s"/></web>\\n</serverconf>\\n' "$org"
} >"$conf.new"
mv "$conf.new" "$conf"
"""
EMPTY = "<serverconf>\n  <shared/>\n</serverconf>\n"
ENV_SH = "PATH={base}/bin:$PATH\nexport PATH\n"
HANDSHAKE = "Accepted publickey for"
# sshd takes 16 addresses to listen on and no more, so it listens on all of them.
ANY_ADDRESS = "0.0.0.0"


@dataclass(frozen=True)
class Target:
    """One container: where it answers, and the folder that is its Campaign."""

    name: str
    address: str
    port: int
    instances: tuple[str, ...]
    root: Path

    @property
    def base(self) -> Path:
        return self.root / "nl6"

    def writes(self) -> list[str]:
        """What nlserver has written here, one line each: instance, client id, process id."""
        log = self.root / "log"
        return log.read_text().splitlines() if log.exists() else []

    def holds(self, instance: str, client_id: str) -> bool:
        """Whether the file of an instance names this client."""
        return f'authIMSTAClientId="{client_id}"' in (self.base / f"conf/config-{instance}.xml").read_text()


@dataclass
class Fleet:
    """The containers, and the one sshd behind all their addresses. Behind those of `dead` is nothing."""

    server: OpenSSHServer
    folder: Path
    targets: Sequence[Target]
    dead: Sequence[Target] = ()

    def set_pause(self, seconds: float) -> None:
        """Let nlserver take this long from now on."""
        program = self.folder / "nlserver"
        program.write_text(NLSERVER.replace("{pause}", f"sleep {seconds:g}" if seconds else ":"))
        program.chmod(0o755)
        for target in self.targets:
            copy = target.base / "bin/nlserver"
            copy.unlink(missing_ok=True)
            copy.hardlink_to(program)

    def inventory(self) -> str:
        """The containers as a file for `import_inventory`."""
        key = self.server.host_keys[0].fingerprint
        rows = ["instance,container,address,port,login,become,install_root,host_key"]
        rows += [
            f"{instance},{target.name},{target.address},{target.port},{NEOLANE},none,{target.root},{key}"
            for target in (*self.targets, *self.dead)
            for instance in target.instances
        ]
        return "\n".join(rows) + "\n"

    def handshakes(self) -> int:
        """How many logins sshd has accepted so far."""
        return self.server.log.read_text(errors="replace").count(HANDSHAKE)

    @contextmanager
    def expecting(self, client_id: str, targets: Sequence[Target] | None = None) -> Iterator[None]:
        """Fail unless the block writes this client once into every instance of these containers, or of all.

        Whoever was here before is forgotten first: the numbers by which containers refuse an older push are
        another contender's.
        """
        chosen = self.targets if targets is None else targets
        for target in chosen:
            for left in (target.base / "var/campaign-portal").glob("*.fence"):
                left.unlink()
        before = {target.name: len(target.writes()) for target in chosen}
        yield
        for target in chosen:
            _check(target, target.writes()[before[target.name] :], client_id)


def _check(target: Target, writes: Sequence[str], client_id: str) -> None:
    written = sorted(line.split()[0] for line in writes)
    if written != sorted(target.instances):
        raise AssertionError(
            f"{target.name}: {target.instances} should have been written once, not {written}"
        )
    if not all(target.holds(instance, client_id) for instance in target.instances):
        raise AssertionError(f"{target.name} does not hold {client_id}")


@contextmanager
def make_fleet(
    folder: Path, *, containers: int, instances: int = 1, pause: float = 0, dead: int = 0
) -> Iterator[Fleet]:
    """Make a fleet below `folder` until the block ends: on 127.0.1.1 and up, the dead on 127.1.1.1 and up."""
    folder.mkdir(parents=True)
    options = {"MaxStartups": "10000", "LogLevel": "INFO", "AllowUsers": NEOLANE}
    with ExitStack() as stack:
        server = stack.enter_context(
            OpenSSHServer(
                accounts=[NEOLANE],
                host=ANY_ADDRESS,
                host_key_types=["ed25519"],
                options=options,
                adopts=True,
            )
        )
        nobody = stack.enter_context(swallowing_port()) if dead else 0
        fleet = Fleet(
            server,
            folder,
            [_target(folder, "c", number, "127.0", server.port, instances) for number in range(containers)],
            [_target(folder, "d", number, "127.1", nobody, 1) for number in range(dead)],
        )
        for target in fleet.targets:
            _write_container(target)
        fleet.set_pause(pause)
        _give_to_neolane(folder)
        yield fleet


def _target(folder: Path, letter: str, number: int, network: str, port: int, instances: int) -> Target:
    return Target(
        name=f"{letter}{number:05}",
        address=f"{network}.{1 + number // 250}.{1 + number % 250}",
        port=port,
        instances=tuple(f"{letter}{number:05}x{each}" for each in range(instances)),
        root=folder / f"{letter}{number:05}",
    )


def _write_container(target: Target) -> None:
    for name in ("bin", "conf", "var"):
        (target.base / name).mkdir(parents=True)
    (target.base / "env.sh").write_text(ENV_SH.format(base=shlex.quote(str(target.base))))
    for instance in target.instances:
        (target.base / f"conf/config-{instance}.xml").write_text(EMPTY)


def _give_to_neolane(folder: Path) -> None:
    entry = pwd.getpwnam(NEOLANE)
    for each in [folder, *folder.rglob("*")]:
        os.chown(each, entry.pw_uid, entry.pw_gid)


@contextmanager
def swallowing_port() -> Iterator[int]:
    """Hold a port that answers no connection on any address of this machine, as a host does that is gone.

    Its listener never accepts, and one connection fills its queue: Linux then drops every further SYN.
    """
    with socket.socket() as listener, socket.socket() as filler, socket.socket() as probe:
        listener.bind((ANY_ADDRESS, 0))
        listener.listen(0)
        port: int = listener.getsockname()[1]
        filler.connect(("127.0.0.1", port))
        probe.settimeout(0.5)
        if probe.connect_ex(("127.0.0.1", port)) == 0:
            raise AssertionError("a full listener still answers: this machine cannot play dead containers")
        yield port
