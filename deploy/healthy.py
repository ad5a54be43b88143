"""The health check in a container: `web` asks the web server, `beat` looks at the heartbeat.

It ends with 0 or 1. The standard library alone, because it runs every few seconds.
"""

import os
import sys
import time
import urllib.request
from pathlib import Path

ADDRESS = "http://127.0.0.1:8000/healthz"
OLDEST_BEAT = 60.0  # seconds; portal/processes/heartbeat.py beats much oftener


def answers() -> bool:
    """Whether the web server in this container says that it lives."""
    try:
        urllib.request.urlopen(ADDRESS, timeout=5).close()
    except OSError:
        return False
    return True


def beats() -> bool:
    """Whether the process in this container has shown a sign of life lately."""
    file = Path(os.environ["PORTAL_HOME"]) / "heartbeat"
    return file.exists() and time.time() - file.stat().st_mtime < OLDEST_BEAT


if __name__ == "__main__":
    sys.exit(0 if {"web": answers, "beat": beats}[sys.argv[1]]() else 1)
