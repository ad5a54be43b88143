"""A small file system of its own over a folder, to be filled up: root may mount one, nobody else."""

import errno
import os
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Self

from tests.services.programs import find_program

FILLER = "filler"
BLOCK = 4096


def may_mount() -> bool:
    """Whether a small disk can be had here."""
    return os.geteuid() == 0 and find_program("mount") is not None and _may_mount_tmpfs()


def _may_mount_tmpfs() -> bool:
    """Root of a container often may not: asking the kernel is the only way to know."""
    attempt = ["unshare", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]
    return subprocess.run(attempt, capture_output=True, check=False).returncode == 0


class SmallDisk:
    """A memory file system of so many megabytes, mounted over `folder` while entered."""

    def __init__(self, folder: Path, *, megabytes: int, owner: str = "root") -> None:
        self.folder = folder
        self._options = f"size={megabytes}m,mode=0755,uid={owner},gid={owner}"

    def mount(self) -> None:
        subprocess.run(["mount", "-t", "tmpfs", "-o", self._options, "none", self.folder], check=True)

    def unmount(self) -> None:
        """Take it away; lazily, since a process that is just ending may still stand in it."""
        subprocess.run(["umount", "--lazy", self.folder], check=False, capture_output=True)

    def fill(self) -> None:
        """Leave not one free block."""
        with (self.folder / FILLER).open("ab", buffering=0) as filler:
            try:
                while True:
                    filler.write(b"." * BLOCK)
            except OSError as error:
                if error.errno != errno.ENOSPC:
                    raise

    def empty(self) -> None:
        """Take the filler away again."""
        (self.folder / FILLER).unlink(missing_ok=True)

    def __enter__(self) -> Self:
        self.mount()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.unmount()
