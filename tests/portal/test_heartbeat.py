"""A worker shows that it lives."""

import os
import time
from pathlib import Path

import pytest

from tests.services.portal import Portal


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_worker_beats_again_and_again(tmp_path: Path) -> None:
    portal = Portal(tmp_path, {})
    portal.prepare()
    file = tmp_path / "heartbeat"
    with portal.worker() as worker:
        worker.wait_for(file.exists, within=120, what="a heartbeat")
        assert file.stat().st_mode & 0o077 == 0
        os.utime(file, (0, 0))
        worker.wait_for(lambda: time.time() - file.stat().st_mtime < 60, within=120, what="the next one")
