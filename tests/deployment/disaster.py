"""Everything is lost but a copy of the database and one of the keys: what docs/backup.md says, done for real.

The fleet stays, as it would: it has seen a push that the copy does not know.
"""

import json
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from tests.deployment.evidence import OUTCOMES, Truth, account_secret, leaks
from tests.deployment.stack import Stack, configure, run
from tests.figures import Goal, Report, say

INSTANCE = "acme-mid"  # what the restored portal pushes to
SERVICES = ("postgres", "redis", "migrate", "register", "web", "worker", "scheduler")


@dataclass(frozen=True)
class Copies:
    """What was saved: the database's file, the folder with the keys, and the end of the audit trail."""

    database: Path
    keys: Path
    head: str

    @classmethod
    def of(cls, stack: Stack, folder: Path) -> "Copies":
        """Back up while everything works; the keys go into a folder of their own."""
        place, safe = folder / "backup", folder / "safe"
        place.mkdir(mode=0o700)
        safe.mkdir(mode=0o700)
        command = ("backup", "/backup", "--with-keys", "/keys", "--json")
        saved = json.loads(stack.back_up(*command, folders={place: "/backup", safe: "/keys"}))
        return cls(place / Path(saved["database"]).name, safe / Path(saved["keys"]).name, saved["head"])


def fresh(lost: Stack, keys: Path, config: Path) -> Stack:
    """Return the same project with the saved keys and new passwords."""
    run(["install", "-m", "0700", "-d", str(config)])
    run(["install", "-m", "0444", *map(str, keys.iterdir()), str(config)])
    configure(config)
    return Stack(lost.project, config)


def push(stack: Stack) -> list[dict[str, str]]:
    """Push the account to one instance; return each installation's outcome."""
    command = ("rollout", "Sandbox", "--unconfirmed", "--instance", INSTANCE, "--wait", "--json")
    found: list[dict[str, str]] = json.loads(stack.manage(*command))["pushes"]
    return found


def held_by(stack: Stack, pushes: list[dict[str, str]], secret: str) -> list[tuple[int, bool]]:
    """For each push: how often nlserver was called so far, and whether the file holds the secret."""
    with tempfile.TemporaryDirectory(prefix="portal-try-truth-") as folder:
        truth = Truth.of(stack, Path(folder))
        places = [(each["container"], each["instance"]) for each in pushes]
        return [(truth.written(*place), truth.holds(*place, secret)) for place in places]


def lose_and_restore(stack: Stack, folder: Path, report: Report) -> None:
    """Back up, lose database, queue, keys and passwords, restore, verify and push; judge what came back."""
    began = time.monotonic()
    copies = Copies.of(stack, folder)
    backed_up = time.monotonic() - began
    known = {row["id"] for row in stack.query(OUTCOMES)}
    secret = account_secret(stack.config)
    before = held_by(stack, push(stack), secret)
    say("Removing the portal with database, queue, keys and passwords; restoring it from its copies")
    began = time.monotonic()
    stack.remove(*SERVICES, volumes=("database", "queue"))
    restored = fresh(stack, copies.keys, folder / "restored")
    restored.back_up(
        "restore", f"/backup/{copies.database.name}", folders={copies.database.parent: "/backup"}
    )
    restored.start("web", "worker", "scheduler")
    ready = time.monotonic() - began
    chain = json.loads(restored.manage("verify_audit", "--expect-head", copies.head, "--json"))
    missing = known - {row["id"] for row in restored.query(OUTCOMES)}
    pushes = push(restored)
    after = held_by(restored, pushes, secret)
    read_back = sum(now > then and holds for (then, _), (now, holds) in zip(before, after, strict=True))
    found = leaks(restored)
    report.table(
        "The restored portal",
        ["figure", "value"],
        [
            ["seconds to back up database and keys", backed_up],
            ["seconds from the loss until all was ready again", ready],
            ["audit events, chain verified with the saved head", chain["events"]],
            ["pushes of the copy", len(known)],
            [
                "pushes from the restored portal",
                ", ".join(f"{each['container']} {each['state']}" for each in pushes),
            ],
        ],
        note="New volumes and passwords, the saved keys; the fleet had seen a push that the copy lacks.",
    )
    for goal in (
        Goal("pushes missing after the restore", len(missing), "at most", 0),
        Goal("breaks in the restored audit chain", len(chain["findings"]), "at most", 0),
        Goal("pushes from the restored portal, in the files", read_back, "at least", max(1, len(pushes))),
        Goal("secrets in the restored portal's logs", len(found), "at most", 0),
    ):
        report.goal(goal)
