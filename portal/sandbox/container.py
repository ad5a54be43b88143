"""A container of the sandbox: a folder that looks like a Campaign server from inside.

    <folder>/root/usr/local/neolane/nl6/{bin/nlserver,env.sh,conf/…,lib/,var/}   what Campaign installs
    <folder>/bin/{id,sudo,su}            stand-ins, first on PATH
    <folder>/{faults,gates,invocations.jsonl,sudo.log,nlserver.key,sandbox.json}       the sandbox's own

This machine need not have a user `neolane`: everything runs as the user who runs the sandbox. Who one *is*
in the container is kept in the variable SANDBOX_USER; `id` reads it, `sudo` and `su` set it. They check what
real ones would (a rule for sudo, root for su) and log what real ones would, but they protect nothing.
"""

import json
import secrets
import shlex
import subprocess
import sys
import xml.etree.ElementTree as ET
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from portal.plaintext import Secret
from portal.sandbox import nlserver
from portal.sandbox.config_files import SERVER, Shape

PROGRAMS = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"

ENV_SH = """\
# Sourced before nlserver is run; like the real one it does not stand `set -u`.
XTK_INSTALL_DIR={home}/{major}
export XTK_INSTALL_DIR
LD_LIBRARY_PATH="$XTK_INSTALL_DIR/lib:$LD_LIBRARY_PATH"
export LD_LIBRARY_PATH
PATH="$XTK_INSTALL_DIR/bin:$PATH"
export PATH
"""

PROFILE = "echo {greeting}\n"

ID = """\
#!/bin/sh
# Stand-in for id: names the user that one is in the sandbox.
case "$*" in
  -un | '-u -n' | '-n -u' | -gn | '-g -n') printf '%s\\n' "${SANDBOX_USER:-neolane}" ;;
  *) exec /usr/bin/id "$@" ;;
esac
"""

SUDO = """\
#!/bin/sh
# Stand-in for sudo: `sudo -n -u neolane [--] command`. The file `sudoers` lists who may; calls are logged.
log() {
  printf '%s : PWD=%s ; USER=neolane ; %s\\n' "$SANDBOX_USER" "$PWD" "$1" >>"$SANDBOX_FOLDER/sudo.log"
}
while [ $# -gt 0 ]; do
  case "$1" in
    -n) shift ;;
    -u) target=$2; shift 2 ;;
    --) shift; break ;;
    -*) echo "sudo: invalid option $1" >&2; exit 1 ;;
    *) break ;;
  esac
done
if [ "${target:-root}" != neolane ] || ! grep -qx "$SANDBOX_USER" "$SANDBOX_FOLDER/sudoers"; then
  log "command not allowed"
  echo 'sudo: a password is required' >&2
  exit 1
fi
log "COMMAND=$*"
SANDBOX_USER=neolane USER=neolane LOGNAME=neolane HOME=$SANDBOX_HOME exec "$@"
"""

SU = """\
#!/bin/sh
# Stand-in for su: `su - neolane -c command`, for root only; a login shell reads its profile, which may talk.
if [ "$SANDBOX_USER" != root ] || [ "$1 $2 $3" != '- neolane -c' ] || [ $# -ne 4 ]; then
  echo 'su: Authentication failure' >&2
  exit 1
fi
SANDBOX_USER=neolane USER=neolane LOGNAME=neolane HOME=$SANDBOX_HOME
export SANDBOX_USER USER LOGNAME HOME
cd "$HOME" || exit 1
. ./.profile
exec /bin/sh -c "$4"
"""


@dataclass(frozen=True)
class Account:
    """What an instance's file really holds; `secret` is None where the file has none."""

    organization_id: str
    client_id: str
    technical_account_id: str
    secret: Secret | None
    has_jwt: bool


@dataclass(frozen=True)
class Container:
    """One container's folder. `major` is the folder of the Campaign version, `nl6` or `nl7`."""

    folder: Path
    major: str = "nl6"

    @property
    def install_root(self) -> Path:
        """The real path that stands for `/usr/local/neolane`."""
        return self.folder / "root/usr/local/neolane"

    @property
    def conf(self) -> Path:
        return self.install_root / self.major / "conf"

    @property
    def program(self) -> Path:
        """The stand-in `nlserver`."""
        return self.install_root / self.major / "bin/nlserver"

    @property
    def key(self) -> bytes:
        return bytes.fromhex((self.folder / nlserver.KEY).read_text())

    def config(self, instance: str) -> Path:
        """The path of an instance's file, whether it exists or not."""
        return self.conf / f"config-{instance}.xml"

    def environment(self, user: str) -> dict[str, str]:
        """Return the environment that an SSH login of `user` gets; without what `env.sh` adds."""
        home = self.install_root if user == "neolane" else self.folder / "home" / user
        home.mkdir(parents=True, exist_ok=True)
        return {
            "PATH": f"{self.folder / 'bin'}:{PROGRAMS}",
            "HOME": str(home),
            "USER": user,
            "LOGNAME": user,
            "SHELL": "/bin/sh",
            "SANDBOX_USER": user,
            "SANDBOX_FOLDER": str(self.folder),
            "SANDBOX_HOME": str(self.install_root),
        }

    def run(self, *arguments: str) -> None:
        """Call nlserver as an administrator does who is logged in as neolane; its output is not kept."""
        script = f'. "$HOME/{self.major}/env.sh" && exec nlserver "$@"'
        subprocess.run(  # noqa: S603  # the sandbox's own program
            ["/bin/sh", "-c", script, "sh", *arguments],
            env=self.environment("neolane"),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=True,
        )

    def set_faults(self, *faults: str) -> None:
        """Put these faults into force, and no others; `nlserver.take_faults` says how they are written."""
        (self.folder / nlserver.FAULTS).write_text("".join(f"{fault}\n" for fault in faults))

    def set_gates(self, *names: str) -> None:
        """Close these gates, and open all others. A call of nlserver waits at a closed gate of its action's
        name before it does anything, and at `written` once it has replaced the file.
        """
        folder = self.folder / nlserver.GATES
        folder.mkdir(exist_ok=True)
        for name in names:
            (folder / name).touch()
        for gate in folder.iterdir():
            if gate.name not in names:
                gate.unlink(missing_ok=True)

    def tear(self, share: float) -> None:
        """Close the gate `torn` alone: the next write is made in place, and waits there after this share."""
        self.set_gates()
        (self.folder / nlserver.GATES / nlserver.TORN).write_text(str(share))

    def invocations(self, action: str = "setimsoauth") -> list[dict[str, object]]:
        """Return what the log holds on one action, oldest first: started, waiting, ended, killed."""
        log = self.folder / nlserver.LOG
        lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
        return [line for line in lines if line["action"] == action]

    def fingerprint(self, secret: Secret) -> str:
        """Return the name that the log of invocations gives to this secret."""
        return nlserver.fingerprint(secret.reveal().encode(), self.key)


def make_container(
    folder: Path,
    *,
    instances: Mapping[str, Shape],
    build: int = 9391,
    language: str = "en",
    major: str = "nl6",
    sudoers: Iterable[str] = ("campaign",),
) -> Container:
    """Make a container in `folder` and return it; one that is there already keeps its files.

    `build` is Campaign's, `language` is `en` or `fr`, `sudoers` are the logins that may become neolane.
    """
    container = Container(folder.resolve(), major)
    for name in ("bin", "conf", "lib", "var"):
        (container.install_root / major / name).mkdir(parents=True, exist_ok=True)
    _make_programs(container, sudoers)
    settings = {"build": build, "language": language, "major": major}
    (folder / nlserver.SETTINGS).write_text(json.dumps(settings))
    _write_once(folder / nlserver.KEY, secrets.token_hex(32)).chmod(0o600)
    _write_once(container.conf / "serverConf.xml", SERVER)
    for instance, shape in {"default": Shape.PLAIN, **instances}.items():
        (container.install_root / major / "var" / instance / "log").mkdir(parents=True, exist_ok=True)
        _write_once(container.config(instance), shape.text(instance))
    return container


def _make_programs(container: Container, sudoers: Iterable[str]) -> None:
    # The interpreter itself: a venv's or a version manager's wrapper would take longer to start.
    interpreter = Path(sys.executable).resolve()
    _write_program(container.program, f"#!{interpreter} -ISE\n" + Path(nlserver.__file__).read_text("utf-8"))
    for name, text in (("id", ID), ("sudo", SUDO), ("su", SU)):
        _write_program(container.folder / "bin" / name, text)
    home, major = container.install_root, container.major
    (home / major / "env.sh").write_text(ENV_SH.format(home=shlex.quote(str(home)), major=major))
    greeting = f"Campaign server {container.folder.name}: changes only with a ticket."
    (home / ".profile").write_text(PROFILE.format(greeting=shlex.quote(greeting)))
    (container.folder / "sudoers").write_text("".join(f"{login}\n" for login in sudoers))


def _write_program(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, "utf-8")
    path.chmod(0o755)


def _write_once(path: Path, text: str) -> Path:
    if not path.exists():
        path.write_text(text, "utf-8")
    return path


def read_account(container: Container, instance: str) -> Account:
    """Return the truth: what the file of `instance` holds, read with an XML parser and decrypted.

    `ValueError` if the secret was not encrypted by this container's nlserver.
    """
    tree = ET.fromstring(container.config(instance).read_bytes())  # noqa: S314  # our own file
    ims, web = tree.find("shared/ims"), tree.find("web/redirection")
    values = {} if ims is None else ims.attrib
    sealed = values.get("authIMSTAClientSecret")
    return Account(
        organization_id="" if web is None else web.get("IMSOrgId", ""),
        client_id=values.get("authIMSTAClientId", ""),
        technical_account_id=values.get("authIMSTAId", ""),
        secret=Secret(nlserver.decrypt(sealed, container.key).decode()) if sealed else None,
        has_jwt=bool(values.get("authIMSTAPrivateKey")),
    )
