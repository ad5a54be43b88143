"""The processes of one machine, and their log files."""

import os
import stat
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest

from portal import supervisor
from portal.private_files import private_file
from portal.supervisor import Program
from tests.services.waiting import wait_until


def is_content(path: Path, text: str) -> bool:
    return path.read_text() == text


def test_a_long_log_file_is_put_aside_and_goes_on_growing(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(supervisor, "LOG_BYTES", 10)
    monkeypatch.setattr(supervisor, "LOG_FILES", 2)
    say = "import sys; [print(line, end='', flush=True) for line in sys.stdin]"
    program = Program("cat", [sys.executable, "-c", say], private_file(tmp_path / "cat.log"), os.environ)
    with program.log.open("ab") as log:
        cat = subprocess.Popen(program.command, stdin=subprocess.PIPE, stdout=log, text=True)
    assert cat.stdin
    try:
        for line in ("first line\n", "second line\n", "third line\n", "short\n"):
            print(line, end="", file=cat.stdin, flush=True)
            wait_until(partial(is_content, program.log, line), within=120, what=line)
            program.rotate()
    finally:
        cat.communicate(timeout=10)
    kept = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert kept == {"cat.log": "short\n", "cat.log.1": "third line\n", "cat.log.2": "second line\n"}
    assert {stat.S_IMODE(path.stat().st_mode) for path in tmp_path.iterdir()} == {0o600}
