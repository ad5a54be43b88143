"""The portal's own settings, in a folder of its own and without TLS."""

import atexit
import os
import shutil
import tempfile
from pathlib import Path

from portal.private_files import key_file

_home = tempfile.mkdtemp(prefix="portal-tests-")
atexit.register(shutil.rmtree, _home, ignore_errors=True)
os.environ["PORTAL_HOME"] = _home
os.environ["HTTPS"] = "False"

for name in ("secret_key", "keyring", "fingerprint_key", "audit_key"):  # for commands that a test runs, too
    key_file(Path(_home, "keys", name))

from portal.settings import *  # noqa: E402, F403  # the environment comes first

STATIC_ROOT.mkdir(exist_ok=True)  # noqa: F405  # WhiteNoise warns of a missing folder, and warnings are errors
