"""Runs a program and waits for everything below it: `python reaper.py <program> [<argument>...]`.

The kernel adds a process's times to those of whoever waits for it. What the program leaves unwaited would go
to init and take its times along, as a login does whose sshd ends first; here it is adopted (prctl(2),
PR_SET_CHILD_SUBREAPER), so that `usage.cpu_seconds` of this process counts it. Passes SIGTERM on, and ends
with the program, as it did.
"""

import ctypes
import os
import signal
import subprocess
import sys
from types import FrameType

PR_SET_CHILD_SUBREAPER = 36


def main(argv: list[str]) -> int:
    """Run the program to its end."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0):
        raise OSError(ctypes.get_errno(), "cannot adopt what the program orphans")
    pid = subprocess.Popen(argv).pid

    def pass_on(number: int, frame: FrameType | None) -> None:
        os.kill(pid, number)

    signal.signal(signal.SIGTERM, pass_on)
    while True:
        ended, status = os.wait()
        if ended == pid:
            break
    if os.WIFSIGNALED(status):
        signal.signal(os.WTERMSIG(status), signal.SIG_DFL)
        os.kill(os.getpid(), os.WTERMSIG(status))
    return os.waitstatus_to_exitcode(status)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
