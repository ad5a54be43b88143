"""Why a login could not become neolane: asked once more, in commands that need no shell of neolane's.

`su -` hands the script to the login shell that neolane has in passwd. A csh, a menu or nologin says nothing
that the script would say, and so does a su that refuses. So su is asked to run a plain sh instead.
"""

import shlex
from contextlib import suppress
from uuid import uuid4

from instances import ssh
from instances.failures import Code
from instances.nlserver.job import Job

ASK_SECONDS = 15
_TRIALS = {
    "su": "su -s /bin/sh {user} -c {echo}",
    "sudo": "sudo -n -u {user} -- sh -c {echo}",
}


def why_silent(connection: ssh.Connection, job: Job) -> str:
    """Return the failure code for a script that was not heard behind sudo or su. Sends nothing.

    `BECOME_REFUSED`, the cautious answer, is also returned if the question itself gets no answer.
    """
    with suppress(ssh.SSHError):
        answers = _ask(connection, job)
        if "asked" in answers and "account" not in answers:
            return Code.USER_MISSING
        if "asked" in answers and "tool" not in answers:
            return Code.TOOLS_MISSING
        if "became" in answers:
            return Code.SHELL_UNUSABLE if job.become == "su" else Code.SCRIPT_NOT_RUN
    return Code.BECOME_REFUSED


def _ask(connection: ssh.Connection, job: Job) -> set[str]:
    nonce = uuid4().hex
    says = {word: f"echo; echo PORTAL {nonce} {word}" for word in ("asked", "account", "tool", "became")}
    trial = _TRIALS[job.become].format(user=job.user, echo=shlex.quote(says["became"]))
    command = (
        f"{says['asked']}; if id -u {job.user} >/dev/null 2>&1; then {says['account']}; fi; "
        f"if command -v {job.become} >/dev/null 2>&1; then {says['tool']}; fi; {trial} </dev/null"
    )
    talk = connection.talk(f"exec sh -c {shlex.quote(command)}")
    try:
        lines = talk.read_to_end(ASK_SECONDS).decode("utf-8", "replace").split("\n")
    finally:
        talk.close()
    return {word for word in says if f"PORTAL {nonce} {word}" in lines}
