"""A release of the portal as its users run it, for a rehearsal: commands, processes, rows, a browser."""

import json
import os
import subprocess
import sys
import tarfile
from contextlib import ExitStack
from html.parser import HTMLParser
from io import BytesIO
from pathlib import Path
from typing import Any

import requests

from tests.services.processes import Process

TODAY = Path(__file__).resolve().parents[2]
PASSWORD = "a long enough password"
SECONDS = 300.0
BEHIND = "/accounts/?coverage=behind"
"""Where installations without the newest secret were listed, also those of a rollout that is under way: these
need nobody, by the rules of coverage."""
Rows = dict[str, Any]  # Any: plain JSON values
ROWS = """
import json
from credentials.rollouts.models import Attempt, Push
from credentials.wizard.models import Draft
from portal.audit.models import AuditEvent, AuditHead
pushes = Push.objects.order_by("rollout__number", "container__name")
attempts, drafts = Attempt.objects.order_by("pk"), Draft.objects.order_by("pk")
print(json.dumps({
    "pushes": list(pushes.values_list("rollout__number", "container__name", "state", "code")),
    "running": list(attempts.filter(finished=None).values_list("stage", flat=True)),
    "attempts": [
        [str(pk), *rest] for pk, *rest in
        attempts.exclude(finished=None).values_list("pk", "verdict", "code", "notes", "output")
    ],
    "drafts": list(
        drafts.values_list("account__name", "step", "done", "account__client_id", "account__project")
    ),
    "events": AuditEvent.objects.count(),
    "head": str(AuditHead.objects.get(pk=1)),
}))
"""


def unpack(ref: str, folder: Path) -> Path:
    """Put the files of an earlier release, by its name in git, into `folder`."""
    archive = subprocess.run(["git", "archive", ref], cwd=TODAY, capture_output=True, check=True).stdout
    with tarfile.open(fileobj=BytesIO(archive)) as files:
        files.extractall(folder, filter="data")
    return folder


class Release:
    """The code in `folder`, with the settings, keys and database of `environment`."""

    def __init__(self, folder: Path, environment: dict[str, str]) -> None:
        self.folder = folder
        self.environment = {**environment, "PYTHONPATH": str(folder)}

    def manage(self, *words: str, status: tuple[int, ...] = (0,)) -> str:
        """Run a command; return what it printed. `status` are the ends that are fine."""
        return self._run("manage.py", *words, status=status)

    def script(self, code: str, **environment: str) -> str:
        return self._run("-c", f"import django; django.setup()\n{code}", environment=environment)

    def _run(
        self, *words: str, status: tuple[int, ...] = (0,), environment: dict[str, str] | None = None
    ) -> str:
        done = subprocess.run(
            [sys.executable, *words],
            cwd=self.folder,
            env={**self.environment, **(environment or {})},
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        assert done.returncode in status, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr[-3000:]}"
        return done.stdout or done.stderr

    def prepare(self) -> None:
        """Do what comes before every start."""
        for command in (["migrate"], ["sync_roles"], ["collectstatic", "--noinput"]):
            self.manage(*command)

    def to_be_migrated(self) -> list[str]:
        plan = self.manage("showmigrations", "--plan").splitlines()
        return [line.split()[-1] for line in plan if line.startswith("[ ]")]

    def rows(self) -> Rows:
        rows: Rows = json.loads(self.script(ROWS).splitlines()[-1])
        return rows

    def answers(self) -> Rows:
        """Return what the commands say, but for what depends on running workers."""
        status = json.loads(self.manage("status", "--json", status=(0, 1)))
        del status["workers"], status["ok"]
        status["needs"] = [each for each in status["needs"] if each["page"] != BEHIND]
        return {"status": status, "failed": json.loads(self.manage("failed", "--json", status=(0, 1)))}

    def verified(self, expected_head: str) -> Rows:
        """Verify the history; a break is an error of the command."""
        found: Rows = json.loads(self.manage("verify_audit", "--json", "--expect-head", expected_head))
        return found

    def start(self, port: int, pushes: int, stack: ExitStack) -> dict[str, Process]:
        """Start web server, worker and scheduler; they end with `stack`."""
        worker = ["-m", "celery", "-A", "portal", "--quiet", "worker", "--pool", "threads"]
        commands = {
            "web": ["-m", "portal.webserver", "--bind", f"127.0.0.1:{port}"],
            "worker": [*worker, "--without-gossip", "--without-mingle", "--without-heartbeat"],
            "scheduler": ["manage.py", "scheduler"],
        }
        running = {
            name: stack.enter_context(
                Process(
                    [sys.executable, *words],
                    log=Path(self.environment["PORTAL_HOME"], f"{self.folder.name}-{name}.log"),
                    env={**os.environ, **self.environment, "PUSHES_PER_WORKER": str(pushes)},
                    cwd=self.folder,
                )
            )
            for name, words in commands.items()
        }
        running["web"].wait_for_port(port, within=90)
        return running


class Hidden(HTMLParser):
    """The hidden fields of a page's forms."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.fields: dict[str, str] = {}
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "input" and given.get("name") in ("csrfmiddlewaretoken", "stamp", "next"):
            self.fields.setdefault(given["name"], given.get("value", ""))


class Browser:
    """A signed-in person at the running web server."""

    def __init__(self, port: int, name: str) -> None:
        self.url, self.session = f"http://127.0.0.1:{port}", requests.Session()
        self.send("/login/", username=name, password=PASSWORD)

    def get(self, path: str) -> str:
        """Return a page's text."""
        answer = self.session.get(self.url + path, timeout=60)
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.text

    def send(self, path: str, **fields: str) -> str:
        """Fill in the page's form; return the path of the page that came next."""
        answer = self.session.post(
            self.url + path,
            {**Hidden(self.get(path)).fields, **fields},
            headers={"Referer": self.url + path},
            timeout=60,
        )
        assert answer.status_code == 200, (path, answer.status_code)
        return answer.url.removeprefix(self.url)
