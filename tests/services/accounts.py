"""The accounts of a container, which .ci/users makes: neolane, and campaign that reaches it by sudo.

Those in `PROFILED` may do the same as campaign. Their start-up files belong to the tests that write them.
Where PAM decides, `BARRED` may not log in and `STALE` has to change its password first. `ODD_SHELLS` are
accounts whose login shell runs no script.
"""

import os
import pwd
from pathlib import Path

from tests.services.programs import require, require_that

NEOLANE = "neolane"
CAMPAIGN = "campaign"
ROOT = "root"
PROFILED = {"bash": "profile-bash", "dash": "profile-dash", "busybox": "profile-busybox"}
"""Login shell -> account."""
BARRED = "barred"
STALE = "stale"
ODD_SHELLS = ("shell-nologin", "shell-false", "shell-gone", "shell-tcsh", "shell-menu")
# .ci/users tells sudo to write what campaign does to this file.
SUDO_LOG = Path("/var/log/sudo-portal-test.log")


def require_accounts() -> None:
    """Skip, or fail with REQUIRE_ALL=1, unless all three ways to become neolane exist here."""
    require("sudo")
    require_that(os.geteuid() == 0, "not root: cannot log in as neolane, campaign and root")
    require_made(NEOLANE, CAMPAIGN, *PROFILED.values())


def require_made(*accounts: str) -> None:
    """Skip, or fail with REQUIRE_ALL=1, unless these accounts exist here."""
    require_that(os.geteuid() == 0, "not root: cannot log in as somebody else")
    present = {entry.pw_name for entry in pwd.getpwall()}
    for account in accounts:
        require_that(account in present, f"no user {account} here (made by .ci/users)")


class SudoLog:
    """What sudo has logged since this object was made, or the last `forget`; one line each, uncut."""

    def __init__(self) -> None:
        self._start = 0
        self.forget()

    def forget(self) -> None:
        self._start = SUDO_LOG.stat().st_size if SUDO_LOG.exists() else 0

    def text(self) -> str:
        if not SUDO_LOG.exists():
            return ""
        with SUDO_LOG.open("rb") as log:
            log.seek(self._start)
            return log.read().decode(errors="replace")
