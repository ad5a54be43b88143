"""Part of `make check`: each fact that decides whether something is pushed is judged in one place.

`credentials/rollouts/rules.py` and the requirements of `instances/models.py` own the rules. Other code may
use such a fact for something else, and says here for what; a file that is not listed fails with its line.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
RULES = "credentials/rollouts/rules.py"
REQUIREMENTS = "instances/models.py"

FACTS: dict[str, tuple[str, str]] = {
    "hosted": (r"HOSTED", REQUIREMENTS),
    "container_off": (r"(?:\w+__)?is_enabled", REQUIREMENTS),
    "container_by_hand": (r"(?:\w+__)?is_by_hand", REQUIREMENTS),
    "retired": (r"(?:\w+__)?retired", REQUIREMENTS),
    "version_not_usable": (r"USABLE", RULES),
    "account_not_active": (r"ACTIVE", RULES),
    "not_assigned": (r"\w*assignment__account\w*", RULES),
    "replaced": (r"(?:\w+__)?replaced", RULES),
}
"""Obstacle: the names by which code asks for its fact, and the file that owns the rule."""

OTHERWISE: dict[str, dict[str, str]] = {
    "container_off": {
        "credentials/rollouts/models.py": "what is due: a push waits while its container is off",
        "credentials/rotation/gates.py": "says which containers nobody reads",
        "instances/discovery/management/commands/read.py": "reads containers in use",
        "instances/inventory/editing.py": "switches",
        "instances/pages/containers.py": "switches",
        "instances/pages/filters.py": "filters the list",
        "instances/pages/exports.py": "writes the column of a file",
        "instances/pages/readings.py": "reads containers in use",
    },
    "container_by_hand": {
        "credentials/rotation/gates.py": "asks for reports where nobody connects",
        "credentials/coverage/cells.py": "says that somebody sets it by hand",
        "credentials/rollouts/models.py": "what is due: nothing, where nobody connects",
        "instances/inventory/csv_format.py": "reads the column of a file",
        "instances/pages/exports.py": "writes the column of a file",
        "instances/inventory/editing.py": "ends what waits where the mark is set",
    },
    "retired": {
        "credentials/accounts/history.py": "names what a coverage leaves out",
        "credentials/rollouts/management/commands/rollout.py": "says why nothing is pushed",
        "credentials/rotation/gates.py": "names what a gate leaves out",
        "credentials/search/providers.py": "says that what was found is retired",
        "credentials/services.py": "assigns no account to what is retired",
        "instances/discovery/management/commands/read.py": "says why nobody logs in",
        "instances/discovery/proposals.py": "proposes nothing that is retired",
        "instances/discovery/services.py": "ends readings where nobody goes any more",
        "instances/inventory/editing.py": "says why nothing is edited",
        "instances/inventory/importing.py": "says at the line why nothing is imported",
        "instances/inventory/retiring.py": "retires and takes back",
        "instances/management/commands/retire.py": "says what it did",
        "instances/management/commands/trust_host_key.py": "says why no key is trusted",
        "instances/pages/containers.py": "shows what is retired, apart",
        "instances/pages/instances.py": "shows what is retired, apart",
        "portal/web/filters.py": "lists what is retired, apart",
        "instances/pages/retiring.py": "retires and takes back",
        "instances/pages/saving.py": "says why nothing can be done",
    },
    "version_not_usable": {
        "credentials/models.py": "says which version was entered last",
        "credentials/services.py": "makes versions usable, and gives them up",
        "credentials/entry.py": "says whether a version can be rolled out",
        "credentials/accounts/secret_views.py": "has no page for what cannot be used",
        "credentials/accounts/views.py": "lists accounts with their version",
        "credentials/coverage/confirming.py": "confirms what can still be used",
        "credentials/coverage/drift.py": "desires what is accepted",
        "credentials/coverage/holding.py": "says what installations hold",
        "credentials/rollouts/desires.py": "goes back to what can still be used",
        "credentials/rollouts/versions.py": "chooses the goal, and makes room",
        "credentials/rotation/services.py": "takes a deletion back that nobody has begun at Adobe",
    },
    "account_not_active": {
        "credentials/accounts/secret_views.py": "has no page for a draft",
        "credentials/accounts/views.py": "has no page for a draft",
        "credentials/by_name.py": "says why a command does not take an account",
        "credentials/home/first_steps.py": "says how far the first steps are done",
        "credentials/coverage/holding.py": "covers accounts in use",
        "credentials/home/standing.py": "tells the age of secrets in use",
        "credentials/coverage/pages/maps.py": "offers accounts in use",
        "credentials/rollouts/versions.py": "gives only an account in use a goal",
        "credentials/rotation/services.py": "rotates only the secret of an account in use",
        "credentials/services.py": "activates and retires",
        "credentials/taken.py": "says who has the name",
    },
    "not_assigned": {
        "credentials/apps.py": "lists instances that need an account",
        "credentials/accounts/history.py": "says what installations hold",
        "credentials/accounts/secret_views.py": "offers what uses the account",
        "credentials/rollouts/management/commands/rollout.py": "offers what uses the account",
        "credentials/coverage/holding.py": "covers what uses an account",
        "credentials/rollouts/starting.py": "says whether a rollout covers all that use the account",
        "credentials/rollouts/versions.py": "says what needs a version",
        "credentials/rotation/gates.py": "says what keeps a version from being deleted",
        "credentials/rotation/moving.py": "moves what uses the account",
    },
    "replaced": {
        "credentials/coverage/holding.py": "asks the newest push of an installation",
        "credentials/rollouts/models.py": "keeps the newest push of an installation",
        "credentials/rollouts/progress.py": "counts the retries that a newer push replaced",
        "credentials/rollouts/retired.py": "locks the newest push of an installation",
        "credentials/rollouts/settlement.py": "ends a push that a newer one replaced",
        "credentials/rollouts/starting.py": "replaces older ones",
        "credentials/rotation/moving.py": "counts no failure that a later push mended",
    },
}
"""Obstacle: files that use its fact for something else than to allow or forbid a push."""


def found_in(name: str, source: str) -> Iterator[str]:
    """Yield a line for each fact that a module asks for without being listed."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Attribute):
            line, word = node.lineno, node.attr
        elif isinstance(node, ast.keyword) and node.arg:
            line, word = node.value.lineno, node.arg
        else:
            continue
        for obstacle, (names, owner) in FACTS.items():
            is_listed = name == owner or name in OTHERWISE.get(obstacle, {})
            if re.fullmatch(names, word) and not is_listed:
                yield (
                    f"{name}:{line}: {word!r} is the fact of the rule {obstacle!r}, which {owner} owns; "
                    "ask it, or say in tests/check_rules.py for what else you need the fact"
                )


def found() -> Iterator[str]:
    """Yield a line for each second owner of a rule in the project."""
    for package in ("portal", "instances", "credentials"):
        for path in sorted((ROOT / package).rglob("*.py")):
            if not {"migrations", "sandbox"} & set(path.parts):
                yield from found_in(str(path.relative_to(ROOT)), path.read_text())


def stale() -> Iterator[str]:
    """Yield a line for each listed file that does not ask for the fact any more."""
    for obstacle, files in OTHERWISE.items():
        for name in files:
            path = ROOT / name
            words = set(re.findall(r"\w+", path.read_text() if path.exists() else ""))
            if not any(re.fullmatch(FACTS[obstacle][0], word) for word in words):
                yield f"tests/check_rules.py: {name} does not ask for {obstacle!r} any more; take it out"


def main() -> int:
    lines = [*found(), *stale()]
    print("\n".join(lines) or "each rule has one owner")  # noqa: T201  # a command's output
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
