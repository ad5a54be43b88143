"""A key is the same wherever its file lies."""

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.services.portal import ROOT

NAMES = ("SECRET_KEY", "KEYRING", "FINGERPRINT_KEY", "AUDIT_KEY")
SHOW = f"import json, portal.settings as s; print(json.dumps([getattr(s, name) for name in {NAMES!r}]))"


def keys(home: Path, **environment: str) -> list[str]:
    """Return the four keys as the settings of a new process hold them."""
    clean = {name: value for name, value in os.environ.items() if name not in NAMES}
    done = subprocess.run(
        [sys.executable, "-c", SHOW],
        cwd=ROOT,
        env={**clean, "PORTAL_HOME": str(home), **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    found: list[str] = json.loads(done.stdout)
    return found


def test_keys_move_from_the_portals_folder_into_files_of_secrets(tmp_path: Path) -> None:
    generated = keys(tmp_path / "home")
    files = {f"{name}_FILE": str(tmp_path / "home/keys" / name.lower()) for name in NAMES}
    assert keys(tmp_path / "other", **files) == generated
    assert not (tmp_path / "other/keys").exists()
