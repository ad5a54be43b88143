"""What must be installed for a test to run, and what happens where it is not."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

_DEBIAN_PACKAGES = {
    "busybox": "busybox",
    "chromium": "chromium",
    "nginx": "nginx",
    "initdb": "postgresql",
    "postgres": "postgresql",
    "promtool": "prometheus",
    "redis-server": "redis-server",
    "shellcheck": "shellcheck",
    "ssh": "openssh-client",
    "ssh-keygen": "openssh-client",
    "sshd": "openssh-server",
    "sudo": "sudo",
}


def everything_is_required() -> bool:
    """Whether a missing program is a failure: CI sets REQUIRE_ALL=1."""
    return os.environ.get("REQUIRE_ALL") == "1"


def find_program(name: str) -> Path | None:
    """The installed program, newest version first, or None.

    Looks where Debian keeps servers too: an ordinary user's PATH has neither.
    """
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=_postgres_major, reverse=True)
    places = [
        os.environ.get("PATH", os.defpath),
        "/usr/local/sbin",
        "/usr/sbin",
        "/sbin",
        *map(str, versions),
    ]
    found = shutil.which(name, path=os.pathsep.join(places))
    return Path(found) if found else None


def _postgres_major(folder: Path) -> int:
    version = folder.parent.name
    return int(version) if version.isdigit() else 0


def require(name: str) -> Path:
    """The installed program; without it the test is skipped by that name (fails with REQUIRE_ALL=1)."""
    program = find_program(name)
    if program is None:
        unavailable(f"no {name} here (Debian package {_DEBIAN_PACKAGES.get(name, name)})")
    return program


def require_that(condition: object, otherwise: str) -> None:
    """Go on if the condition holds; else skip for the stated reason (fails with REQUIRE_ALL=1)."""
    if not condition:
        unavailable(otherwise)


def unavailable(reason: str) -> NoReturn:
    """End the test: skipped for this reason, or failed with it where REQUIRE_ALL=1."""
    __tracebackhide__ = True
    if everything_is_required():
        pytest.fail(f"REQUIRE_ALL=1, but {reason}", pytrace=False)
    pytest.skip(reason)
