"""`make upgrade FROM=…`: an earlier release really runs, is stopped in mid-rollout, and today's code goes on.

On SQLite its worker is ended in order; on PostgreSQL it is killed while it sends. `migrate` is tried beside
the worker, killed in the middle, and repeated. Prints what was seen, and fails where anything was lost.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from contextlib import ExitStack
from functools import partial
from pathlib import Path

from portal.exit_status import REFUSED
from portal.sandbox.config_files import Shape
from portal.sandbox.console import ConsoleAccount, make_secret
from portal.sandbox.container import read_account
from portal.sandbox.fleet import Fleet, Site
from portal.sandbox.ssh_server import SSHFaults
from tests.services.postgres_server import PostgresServer
from tests.services.waiting import free_port, wait_until
from tests.upgrade.releases import PASSWORD, TODAY, Browser, Release, Rows, unpack

LIVING, DOWN, PUSHES = 26, 2, 6
INSTANCE = "acme-prod"
VALUES = {
    "client_id": "ABCDEF0123456789abcdef0123456789",
    "client_secret": "p8e-A-made-up-test-secret-no-0000009",
    "technical_account_id": "FEDCBA9876543210FEDCBA98@techacct.adobe.com",
    "organization_id": "ABCDEF0123456789ABCDEF01",
}
NOTES = {
    "signin": {},
    "project": {"project": "Projekt Köln"},
    "api": {"product": "other", "other_product": "Something else"},
    "authentication": {},
    "profile": {"product_profile": "Default"},
    "save": {},
}
DOUBT = "upper or lower case"
LISTS = ("/", "/rollouts/", "/rollouts/failed/", "/history/", "/accounts/", "/containers/")
STOCK = """
import os
from django.core.management import call_command
from instances import ssh
from instances.models import Container
from portal.people.services import create_user
try:
    from instances.reaching.host_keys import scan_container
except ImportError:
    from instances.host_keys import scan_container
try:
    from portal.audit.trail import Actor
except ImportError:
    from portal.audit.models import Actor
somebody = Actor("rehearsal")
for name, role in {"alice": "Admin", "henry": "Helpdesk", "astrid": "Auditor"}.items():
    create_user(name=name, password=os.environ["PASSWORD"], role=role, actor=somebody)
call_command("import_inventory", os.environ["INVENTORY"])
for container in Container.objects.exclude(name__startswith="down"):
    scan_container(container=container, actor=somebody)
call_command("add_account", "Triggers", from_json=os.environ["CONSOLE"])
call_command("assign", "Triggers", os.environ["INSTANCE"])
"""
SECOND_VERSION = """
import inspect
import os
from credentials.models import TechnicalAccount
from credentials.services import add_secret
from portal.plaintext import Secret
try:
    from portal.audit.trail import Actor
except ImportError:
    from portal.audit.models import Actor
account = TechnicalAccount.objects.get(name="Triggers")
name = "plaintext" if "plaintext" in inspect.signature(add_secret).parameters else "secret"
add_secret(account=account, actor=Actor("rehearsal"), **{name: Secret(os.environ["SECOND"])})
"""
BEGUN = time.monotonic()


def say(text: str) -> None:
    print(f"{time.monotonic() - BEGUN:6.1f} s  {text}", flush=True)  # noqa: T201  # a command's output


def has_all(now: object, before: object) -> bool:
    """Whether an answer says everything that a former one said, and in lists no more than that."""
    if isinstance(before, dict) and isinstance(now, dict):
        return all(key in now and has_all(now[key], value) for key, value in before.items())
    if isinstance(before, list) and isinstance(now, list):
        return len(now) == len(before) and all(map(has_all, now, before))
    return now == before


class Rehearsal:
    """One upgrade on one engine, in folders of its own."""

    def __init__(self, ref: str, engine: str, stack: ExitStack) -> None:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="rehearsal-")))
        server = stack.enter_context(PostgresServer()) if engine == "postgresql" else None
        self.home, self.port = home, free_port()
        (home / "portal").mkdir(mode=0o700)
        environment = {
            **{name: value for name, value in os.environ.items() if name != "DATABASE_URL"},
            "DJANGO_SETTINGS_MODULE": "portal.settings",
            "PORTAL_HOME": str(home / "portal"),
            "DATABASE_URL": server.create_database("portal") if server else f"sqlite:///{home}/portal/db",
            "HTTPS": "False",
            "ALLOWED_HOSTS": "127.0.0.1",
            "CSRF_TRUSTED_ORIGINS": f"http://127.0.0.1:{self.port}",
            "ALLOW_LOOPBACK_TARGETS": "True",
            "PUSH_COMMAND_LIMIT": "30",
            "PUSH_RETRY_DELAYS": "1,2",
            "RECONCILE_INTERVAL": "1",
            "IMS_BASE_URL": f"https://127.0.0.1:{free_port()}",
            "PASSWORD": PASSWORD,
            "INSTANCE": INSTANCE,
        }
        self.former = Release(unpack(ref, home / "former"), environment)
        self.today = Release(TODAY, environment)
        self.second = make_secret()
        self.fleet = Fleet(home / "fleet", sites=list(sites())).create()
        stack.callback(self.fleet.stop)

    def run(self, *, kills: bool) -> None:
        self.stock()
        drafts = self.interrupt(kills=kills)
        left, answers = self.former.rows(), self.former.answers()
        say(f"stopped: {states(left, 2)}, open attempts at {left['running']}")
        self.migrate()
        self.compare(left, answers)
        with ExitStack() as stack:
            self.today.start(self.port, PUSHES, stack)
            begun = time.monotonic()
            wait_until(lambda: is_over(self.today.rows()), within=300, what="the end of the rollout")
            say(f"today's portal ended the rollout in {time.monotonic() - begun:.0f} s")
            self.look(drafts)
        self.judge(left)

    def stock(self) -> None:
        """Fill the former release's portal as its people would."""
        self.former.prepare()
        self.fleet.start([self.former.manage("portal_key", "--plain").strip()])
        inventory, console = self.home / "inventory.csv", self.home / "console.json"
        header, *rows = self.fleet.inventory_csv().splitlines()
        rows = [row for row in rows if row.startswith(f"{INSTANCE},")]
        inventory.write_text("\n".join([header, *rows]) + "\n")
        console.write_text(ConsoleAccount().download_json())
        self.former.script(STOCK, INVENTORY=str(inventory), CONSOLE=str(console))
        say(f"a portal of the former release with {len(rows)} installations")

    def interrupt(self, *, kills: bool) -> dict[str, str]:
        """Run it, begin drafts, and stop it in its second rollout; return the drafts' addresses."""
        with ExitStack() as stack:
            running = self.former.start(self.port, PUSHES, stack)
            person = Browser(self.port, "alice")
            drafts = {"At the profile": draft(person, "At the profile", upto="profile")}
            drafts["Doubtful"] = person.send(draft(person, "Doubtful"), action="typed", **VALUES)
            unasked = ["--unconfirmed"] if "--unconfirmed" in self.former.manage("help", "rollout") else []
            self.former.manage("rollout", "Triggers", *unasked, "--wait", "200", status=(0, 1))
            say(f"first rollout: {states(self.former.rows(), 1)}; drafts: {', '.join(drafts)}")
            self.former.script(SECOND_VERSION, SECOND=self.second.reveal())
            self.former.manage("rollout", "Triggers", *unasked, "--message", "CHG-2")
            wait_until(lambda: is_in_the_middle(self.former.rows()), within=120, what="half a rollout")
            say(
                f"migrate beside the worker: {self.today.manage('migrate', status=(REFUSED,)).strip()[:90]} …"
            )
            for name in ("scheduler", "web"):
                running[name].stop()
            if kills:
                is_sending = lambda: "committing" in self.former.rows()["running"]  # noqa: E731  # used once
                wait_until(is_sending, within=60, what="a push that is sent")
                running["worker"].kill()
            else:
                running["worker"].stop(within=60)
        return drafts

    def migrate(self) -> None:
        """Kill `migrate` in the middle, as soon as it is no longer refused; then repeat it."""
        to_do = self.today.to_be_migrated()
        is_killed = partial(self._kill_migrate, f"Applying {to_do[-1]}")
        wait_until(is_killed, within=120, what="a migrate that is not refused")
        say(f"migrate killed at the last of {to_do}; still to be done: {self.today.to_be_migrated()}")
        self.today.prepare()

    def _kill_migrate(self, at: str) -> bool:
        """Kill `migrate` once it says `at`; False if it was refused."""
        with subprocess.Popen(
            [sys.executable, "-u", "manage.py", "migrate"],
            cwd=self.today.folder,
            env=self.today.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        ) as process:
            said = ""
            while process.stdout and (more := process.stdout.read(1)):
                said += more
                if at in said:
                    process.kill()
                    return True
        assert "workers are at work" in said, said
        return False

    def compare(self, left: Rows, answers: Rows) -> None:
        """Nothing is lost, and commands answer as before; what they say besides is new."""
        rows = self.today.rows()
        assert rows == left
        now = self.today.answers()
        assert has_all(now, answers), f"{now}, before: {answers}"
        verified = self.today.verified(left["head"])
        say(f"migrate repeated: same rows and answers; {verified['events']} events, {verified['intact']=}")

    def look(self, drafts: dict[str, str]) -> None:
        """Drafts open at their step with what was typed, and every list for every role."""
        for name in ("alice", "henry", "astrid"):
            person = Browser(self.port, name)
            for path in LISTS:
                person.get(path)
        admin = Browser(self.port, "alice")
        shown = {name: admin.get(path) for name, path in drafts.items()}
        assert DOUBT in shown["Doubtful"]
        assert VALUES["client_id"] in shown["Doubtful"]
        assert all(name in text for name, text in shown.items())
        say("drafts open at their step, and each list for three roles")

    def judge(self, left: Rows) -> None:
        """Every outcome is what the container's file says; no attempt that had ended was changed."""
        rows = self.today.rows()
        ended = {each[0]: each for each in rows["attempts"]}
        assert all(ended[each[0]] == each for each in left["attempts"])
        second = [(name, state) for number, name, state, _code in rows["pushes"] if number == 2]
        false = [name for name, state in second if (state == "succeeded") != self._holds_second(name)]
        assert not false, false
        verified = self.today.verified(left["head"])
        verdicts = Counter(each[1] for each in rows["attempts"])
        say(f"second rollout: {states(rows, 2)}, each true; attempts: {dict(verdicts)}")
        say(f"{verified['events']} events, {verified['intact']=}")

    def _holds_second(self, name: str) -> bool:
        held = read_account(self.fleet.containers[name], INSTANCE).secret
        return held is not None and held.reveal() == self.second.reveal()


def sites() -> list[Site]:
    living = [
        Site(name=f"app-{n:02}", instances={INSTANCE: Shape.PLAIN}, story="is slow", faults=["slow=4"])
        for n in range(1, LIVING + 1)
    ]
    down = SSHFaults(refuse=True)
    return living + [
        Site(name=f"down-{n}", instances={INSTANCE: Shape.PLAIN}, story="is down", ssh_faults=down)
        for n in range(1, DOWN + 1)
    ]


def draft(person: Browser, name: str, upto: str = "values") -> str:
    """Begin a draft and go on to a step; return that step's address."""
    place = person.send("/accounts/new/", name=name, way="new")
    for step, notes in NOTES.items():
        if not place.endswith(f"/{upto}/"):
            assert place.endswith(f"/{step}/"), place
            place = person.send(place, action="done", **notes)
    return place


def states(rows: Rows, rollout: int) -> dict[str, int]:
    return dict(Counter(state for number, _name, state, _code in rows["pushes"] if number == rollout))


def is_in_the_middle(rows: Rows) -> bool:
    found = Counter(states(rows, 2))
    return found["succeeded"] >= 3 and found["running"] >= 3 and found["queued"] >= 8


def is_over(rows: Rows) -> bool:
    return not {state for _number, _name, state, _code in rows["pushes"]} & {"queued", "running", "unknown"}


def main() -> None:
    ref, *engines = sys.argv[1:]
    for engine in engines or ["sqlite", "postgresql"]:
        say(f"{engine}: from {ref}")
        with ExitStack() as stack:
            Rehearsal(ref, engine, stack).run(kills=engine == "postgresql")


if __name__ == "__main__":
    main()
