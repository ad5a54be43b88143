"""What is asked of a container: the job, and a command line that carries no value of the account."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Literal

SCRIPT = Path(__file__).with_name("nlserver.sh")
INSTANCE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
ROOT = re.compile(r"(/[A-Za-z0-9._-]+)+")
USER = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}")
PORTAL = re.compile(r"[A-Za-z0-9]{0,64}")
OVER = re.compile(r"[A-Za-z0-9]{0,64}|[0-9]{1,15}\.[0-9]{1,15}")
FOLLOW_UP_SECONDS = 35
"""One reload or restart: 30, and 5 until it is killed."""

# `$?name` is 1 in a C shell if the variable is set, and "0name" in every other one. Only exec ends a C shell.
NO_C_SHELL = (
    """set portal_csh=1; eval 'test "$?portal_csh" != 1 || exec echo A C shell cannot run this script.'\n"""
)

Become = Literal["none", "sudo", "su"]
Mode = Literal["apply", "look", "read"]


@dataclass(frozen=True)
class Job:
    """One installation's delivery or look. `ValueError` for what must never reach a command line.

    `fence` and `attempt` order the conversations of an installation: an apply is refused unless its pair is
    higher than every pair seen there; a look may repeat its own. `limit` (seconds) bounds `nlserver config`.

    `portal` is this portal's id, which the container keeps. Where another one's is kept, an apply is refused
    unless `over` names it: that id, or the pair of the last push there as `fence.attempt`.
    """

    instance: str
    install_root: str
    become: Become
    fence: int
    attempt: int
    reload: bool = True
    restart_pipelined: bool = False
    limit: int = 60
    user: str = "neolane"
    portal: str = ""
    over: str = ""

    def __post_init__(self) -> None:
        if not INSTANCE.fullmatch(self.instance) or self.instance == "default":
            raise ValueError("not the name of an instance")
        if not ROOT.fullmatch(self.install_root) or ".." in self.install_root:
            raise ValueError("not an install root")
        if not USER.fullmatch(self.user) or self.become not in {"none", "sudo", "su"}:
            raise ValueError("not a way to become the user")
        if not PORTAL.fullmatch(self.portal) or not OVER.fullmatch(self.over):
            raise ValueError("not the id of a portal")
        if not all(0 <= number < 10**15 for number in (self.fence, self.attempt, self.limit)):
            raise ValueError("a number is out of range")

    @property
    def flags(self) -> str:
        """The follow-ups, as the script wants them."""
        names = (("reload", self.reload), ("pipelined", self.restart_pipelined))
        return ",".join(name for name, wanted in names if wanted) or "none"

    @property
    def report_seconds(self) -> int:
        """How long after the newline the report may take: lock, nlserver and its end, follow-ups, margin."""
        return 5 + self.limit + 5 + FOLLOW_UP_SECONDS * (self.reload + self.restart_pipelined) + 15


@dataclass(frozen=True)
class Account:
    """The three values of an account that are no secret."""

    organization_id: str
    client_id: str
    technical_account_id: str


def read_job(*, install_root: str, become: Become, user: str = "neolane") -> Job:
    """Return the job of reading a whole container. It names no instance that counts, and changes nothing."""
    return Job("any", install_root, become, fence=0, attempt=0, reload=False, user=user)


def command(job: Job, mode: Mode, nonce: str) -> str:
    """Return the command line for the login shell. It carries no value of the account.

    It first says that the login shell runs commands at all: what fails after that is sudo or su. `exec`
    replaces the login shell, so that none of its traps or functions is left around the script. A C shell
    would run the lines of the script as commands of its own, one by one, so it is sent away before.
    """
    words = [nonce, mode, job.instance, job.install_root, str(job.fence), str(job.attempt), job.flags]
    words += [str(job.limit), job.user, *([job.portal, job.over] if job.portal else [])]
    inner = shlex.join(["sh", "-c", script(), "portal", *words])
    return f"{NO_C_SHELL}echo; echo PORTAL {nonce} shell=yes; exec {_become(job, inner)}"


def _become(job: Job, inner: str) -> str:
    if job.become == "sudo":
        return f"sudo -n -u {job.user} -- {inner}"
    if job.become == "su":
        return f"su - {job.user} -c {shlex.quote(f'{NO_C_SHELL}exec {inner}')}"
    return inner


@cache
def script() -> str:
    """The text of the fixed script."""
    return SCRIPT.read_text(encoding="ascii")


def review_command(instance: str, account: Account) -> str:
    """Return the command that a person would have typed, for showing; the secret is not in it."""
    return f"nlserver config -instance:{instance} -setimsoauth:{spec_line(account, '********')}"


def spec_line(account: Account, secret: str) -> str:
    """Return the four values in the order of the command, which is not the order of the console."""
    return f"{account.organization_id}/{account.client_id}/{account.technical_account_id}/{secret}"
