"""Follows docs/keys.md, command by command, under a portal that works; a push follows each section.

    python -m tests.keys.rotation
    python -m tests.keys.rotation --only "Redis password"

Exit status: 0 if every command did what the page says. PostgreSQL, Redis and all processes are real.
"""

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from psycopg import sql

from portal.sandbox.demo import Facts, fleet
from tests.figures import Goal, Report, say
from tests.keys.portals import PASSWORD
from tests.services.portal import ROOT, Portal
from tests.services.postgres_server import PostgresServer, reason_against_postgres
from tests.services.processes import Process
from tests.services.programs import require
from tests.services.redis_server import RedisServer

PAGE = (ROOT / "docs" / "keys.md").read_text()
ACCOUNT = "Triggers"
SHIM = "#!/bin/sh\n{}\n"
RESTART = re.compile(r"systemctl (restart|stop) 'campaign-portal-\*'")
LEFT_OUT = ("FOLDER=", "manage.py create_admin")
SECONDS = 120
ACCEPT_SSH_KEY = "manage.py keys accept ssh_key"
REFUSED = 3
FORGOTTEN = 60
"""Seconds after which a process that ended counts no longer."""


def sections() -> Iterator[tuple[str, list[str]]]:
    """Each section of the page with its commands, in their order."""
    for section in re.split(r"^## ", PAGE, flags=re.MULTILINE)[1:]:
        title, _, text = section.partition("\n")
        lines = re.findall(r"^ {4}(\S.*)$", text, re.MULTILINE)
        commands = [line for line in lines if not line.startswith(LEFT_OUT)]
        if commands:
            yield title, commands


def in_order(only: list[str]) -> list[tuple[str, list[str]]]:
    """The sections, or `only` these."""
    return [each for each in sections() if not only or each[0] in only]


@dataclass
class Running:
    """The portal's processes, restarted as systemd would."""

    portal: Portal
    processes: list[Process] = field(default_factory=list)

    def start(self) -> None:
        scheduler = [sys.executable, "manage.py", "scheduler"]
        # Each of them has read its keys when this ends: a later change is one that it lacks.
        self.processes = [
            self.portal.web(),
            self.portal.worker("worker-1"),
            self.portal.worker("worker-2"),
            Process(scheduler, log=self.portal.home / "scheduler.log", env=self.portal.environment, cwd=ROOT),
        ]
        self.processes[-1].wait_for_line(r"^The scheduler runs\.$", within=SECONDS)

    def stop(self) -> None:
        for process in self.processes:
            process.__exit__(None, None, None)
        self.processes = []


def portal_of(home: Path, postgres: PostgresServer, redis: RedisServer) -> Portal:
    """Return a portal whose keys, passwords and addresses are files in one folder."""
    keys = home / "keys"
    keys.mkdir(mode=0o700)
    name = postgres.create_database("portal_keys").rpartition("/")[2]
    postgres.execute(sql.SQL("ALTER ROLE portal PASSWORD {}").format(sql.Literal(postgres.password)))
    files = {
        "database_url": f"postgres://portal:{postgres.password}@127.0.0.1:{postgres.port}/{name}",
        "postgres_password": postgres.password,
        "broker_url": redis.url(),
        "redis_password": redis.password,
        "metrics_token": "the first token of this portal",
    }
    for file, text in files.items():
        (keys / file).touch(mode=0o600)
        (keys / file).write_text(text)
    portal = Portal(home, {})
    del portal.environment["DATABASE_URL"]
    for file in ("database_url", "broker_url", "metrics_token"):
        portal.environment[f"{file.upper()}_FILE"] = str(keys / file)
    return portal


def shell_environment(portal: Portal, postgres: PostgresServer, redis: RedisServer) -> dict[str, str]:
    """Return the environment of the page's commands: their programs reach these servers."""
    tools = portal.home / "tools"
    tools.mkdir()
    shims = {
        "manage.py": f'cd {ROOT} && exec {sys.executable} manage.py "$@"',
        "redis-cli": f'exec {require("redis-cli")} -e -p {redis.port} "$@"',
    }
    for name, line in shims.items():
        (tools / name).write_text(SHIM.format(line))
        (tools / name).chmod(0o700)
    reach = {
        "PGHOST": "127.0.0.1",
        "PGPORT": str(postgres.port),
        "PGUSER": "portal",
        "PGDATABASE": "postgres",
    }
    return {
        **portal.environment,
        **reach,
        "FOLDER": str(portal.home / "keys"),
        "PATH": f"{tools}:{os.environ['PATH']}",
    }


@dataclass
class Reader:
    """Follows the page, and counts what did not go as it says."""

    running: Running
    environment: dict[str, str]
    instance: str
    instance_containers: set[str]
    authorized_keys: Path
    failures: list[str] = field(default_factory=list)
    commands: int = 0

    def follow(self, title: str, commands: list[str]) -> None:
        began, block = time.monotonic(), list[str]()
        for command in commands:
            if command == ACCEPT_SSH_KEY:
                self._shell(title, block)
                block = []
                self._install_ssh_key(title)
            if found := RESTART.fullmatch(command):
                self._shell(title, block)
                block = []
                self.running.stop()
                if found[1] == "restart":
                    self.running.start()
            else:
                block.append(command)
            self.commands += 1
        self._shell(title, block)
        if not self.running.processes:
            self.running.start()
        self._push(title)
        say(f"{title}: {len(commands)} commands, {time.monotonic() - began:.0f} s")

    def _install_ssh_key(self, title: str) -> None:
        """Do what the page asks of people: add the new line on every server, and have all of them asked.

        Before that everything goes on with the former key, which may not go. The sandbox has containers that
        nobody reaches: they are retired.
        """
        self._push(f"{title}, its line not installed")
        self._expect_waiting(title, self.instance_containers, "former")
        if self._run("keys", "accept", "ssh_key").returncode != REFUSED:
            self.failures.append(f"{title}: the former key may go although servers need it")
        line = self._run("portal_key").stdout
        with self.authorized_keys.open("a") as file:
            file.write(line)
        self._push(f"{title}, its line installed")
        self._expect_waiting(title, self.instance_containers, None)
        self._run("read", "--all", "--wait", "90")
        for each in json.loads(self._run("portal_key", "--json").stdout)["waiting"]:
            done = self._run("retire", "container", each["name"], "--reason", "nobody reaches it")
            if done.returncode:
                self.failures.append(f"{title}: {done.stderr}")

    def _expect_waiting(self, title: str, names: set[str], state: str | None) -> None:
        found = json.loads(self._run("portal_key", "--json").stdout)
        states = {each["name"]: each["state"] for each in found["waiting"]}
        if {states.get(name) for name in names} != {state}:
            self.failures.append(f"{title}: {names} are {states}, and not {state}")

    def _run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["manage.py", *arguments],
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _shell(self, title: str, block: list[str]) -> None:
        done = self._bash(block)
        deadline = time.monotonic() + FORGOTTEN
        # As the message says: the first command refused, since processes that ended are not forgotten yet.
        while "is not held by" in done.stderr and time.monotonic() < deadline:
            time.sleep(1)
            done = self._bash(block)
        self.environment |= dict(re.findall(r"^(REDISCLI_AUTH)=(.*)$", self._exports(block), re.MULTILINE))
        if done.returncode or re.search(r"\b(ERR|WRONGPASS|NOAUTH)\b", done.stdout):
            self.failures.append(f"{title}: {block}\n{done.stdout}\n{done.stderr}")

    def _bash(self, block: list[str]) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            ["bash", "-e", "-o", "pipefail", "-c", "\n".join(block)],
            cwd=ROOT,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def _exports(self, block: list[str]) -> str:
        lines = [line for line in block if line.startswith("export ")]
        if not lines or "REDISCLI_AUTH" in self.environment:
            return ""
        return f"REDISCLI_AUTH={(Path(self.environment['FOLDER']) / 'redis_password.former').read_text()}"

    def _push(self, title: str) -> None:
        done = self._run("rollout", ACCOUNT, "--instance", self.instance, "--wait", "90", "--json")
        if done.returncode:
            self.failures.append(f"a push after {title}:\n{done.stdout}\n{done.stderr}")


def fill(portal: Portal, facts: Facts) -> str:
    """Make an admin, the inventory and an account; return an instance whose pushes succeed."""
    password = portal.home / "password"
    password.write_text(PASSWORD + "\n")
    portal.manage("create_admin", "--name", "alice", "--password-file", str(password))
    inventory = portal.home / "inventory.csv"
    inventory.write_text(Path(facts["inventory_csv"]).read_text())
    portal.manage("import_inventory", str(inventory))
    portal.manage("add_account", ACCOUNT, "--from-json", facts["console_json"], "--no-check")
    outcomes: dict[str, set[str]] = {}
    for instance, _, state, _ in facts["expected"]:
        outcomes.setdefault(instance, set()).add(state)
    instance = next(name for name, states in outcomes.items() if states == {"succeeded"})
    portal.manage("assign", ACCOUNT, instance)
    return instance


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="make rotation", description=(__doc__ or "").splitlines()[0])
    parser.add_argument(
        "--only", action="append", default=[], help="this section; may be given several times"
    )
    only = parser.parse_args(arguments).only
    if reason := reason_against_postgres():
        sys.stderr.write(f"This cannot run: {reason}\n")
        return 2
    report = Report("make rotation")
    with ExitStack() as stack:
        home = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="portal-rotation-")))
        home.chmod(0o700)
        postgres = stack.enter_context(PostgresServer())
        redis = stack.enter_context(RedisServer(program=require("redis-server")))
        portal = portal_of(home, postgres, redis)
        portal.prepare()
        facts = stack.enter_context(fleet(home, portal.public_key))
        portal.environment["IMS_BASE_URL"] = facts["ims_url"]
        instance = fill(portal, facts)
        environment = shell_environment(portal, postgres, redis)
        environment["PGPASSWORD"] = postgres.password
        approve_keys(environment)
        running = Running(portal)
        stack.callback(running.stop)
        running.start()
        containers = {name for each, name, *_ in facts["expected"] if each == instance}
        reader = Reader(running, environment, instance, containers, home / "sandbox" / "authorized_key")
        _refuses_while_a_worker_lacks_it(reader, report)
        for title, commands in in_order(only):
            reader.follow(title, commands)
        intact = json.loads(portal.manage("verify_audit", "--json"))["intact"]
        portal.manage("keys", "list")
        for failure in reader.failures:
            say(failure)
        report.goal(Goal("sections followed", len(in_order(only)), "at least", len(only) or 8))
        report.goal(Goal("commands followed", reader.commands, "at least", 30 if not only else 1))
        report.goal(Goal("commands and pushes that failed", len(reader.failures), "at most", 0))
        report.goal(Goal("the history verifies at the end", int(intact), "at least", 1))
    return report.finish()


def approve_keys(environment: dict[str, str]) -> None:
    """Approve every container's key as it shows itself: this is a sandbox."""
    code = (
        "from instances import ssh\n"
        "from instances.reaching import host_keys\n"
        "from instances.models import Container\n"
        "from portal.audit.trail import Actor\n"
        "for each in Container.objects.all():\n"
        "    try:\n        host_keys.scan_container(container=each, actor=Actor('make rotation'))\n"
        "    except ssh.SSHError:\n        pass\n"
    )
    subprocess.run(
        [sys.executable, "manage.py", "shell", "-c", code],
        cwd=ROOT,
        env=environment,
        check=True,
        timeout=SECONDS,
    )


def _refuses_while_a_worker_lacks_it(reader: Reader, report: Report) -> None:
    """Do what the page warns of: move to a new key without the restart."""
    keyring = Path(reader.environment["FOLDER"]) / "keyring"
    former = keyring.read_text()
    subprocess.run([ROOT / "deploy/new-key", "keyring", keyring.parent], check=True, capture_output=True)
    named = 0
    deadline = time.monotonic() + SECONDS
    while named < len(reader.running.processes) and time.monotonic() < deadline:  # some are still starting
        done = subprocess.run(
            ["manage.py", "keyring", "rotate"],
            env=reader.environment,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )
        found = re.search(r"not held by (\d+) running processes", done.stderr)
        named = int(found[1]) if found and done.returncode else 0
    report.goal(Goal("processes named that lack the key", named, "at least", len(reader.running.processes)))
    keyring.write_text(former)
    shutil.copystat(keyring.with_name("audit_key"), keyring)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
