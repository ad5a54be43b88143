"""Part of `make check`: code in `portal/` names no app, so that rooms are built without a word there.

What counts is code: names, imports and texts, not comments or docstrings. In templates it is the tags: those
of the ground and of `instances` use nothing of rooms above, which register panels instead.
"""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OF_APPS = re.compile(
    r"rollout|technical.?account|jump.?host|host.?key|client.?secret|\binstallations?\b|"
    r"^(credentials|instances)\.",
    re.IGNORECASE,
)
EXEMPT = {
    "portal/settings.py": "lists the apps, and their settings",
    "portal/checks.py": "checks settings",
    "portal/urls.py": "includes the apps' addresses",
    "portal/roles.py": "says what each role may do",
    "portal/no_secrets.py": "keeps client secrets out of every entrance",
    "portal/people/passwords.py": "words that guessed passwords are made of",
    "portal/audit/pages/forms.py": "finds names like `prod1 on mkt-2 (rollout #12)`",
    "portal/command_line.py": "the order of groups in the list of commands",
}

OF_CREDENTIALS = ("coverage", "credentials", "help", "home", "rollouts", "rotation", "search", "wizard")
"""Folders of templates, which are also the labels of permissions."""
EXEMPT_TEMPLATES = {"_nav_items.html": "the menu has the pages of all rooms in one order"}


def words(tree: ast.Module) -> Iterator[tuple[int, str]]:
    """Yield every name and text of a module's code with its line."""
    docstrings = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.lineno, node.id
        elif isinstance(node, ast.Attribute):
            yield node.lineno, node.attr
        elif isinstance(node, ast.ImportFrom):
            yield node.lineno, node.module or ""
        elif isinstance(node, ast.Import):
            yield from ((node.lineno, each.name) for each in node.names)
        elif isinstance(node, ast.FunctionDef | ast.ClassDef):
            yield node.lineno, node.name
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in docstrings:
            yield node.lineno, node.value


def found_in(name: str, source: str) -> Iterator[str]:
    """Yield a line for every word of one module that names an app."""
    for line, word in words(ast.parse(source)):
        if OF_APPS.search(word):
            yield f"{name}:{line}: {word[:60]!r} names an app; let the app register it"


def found() -> Iterator[str]:
    """Yield a line for every such word in the ground."""
    for path in sorted((ROOT / "portal").rglob("*.py")):
        name = str(path.relative_to(ROOT))
        if name not in EXEMPT and not {"sandbox", "migrations"} & set(path.parts):
            yield from found_in(name, path.read_text())


def names_of(package: str, pattern: str) -> str:
    """Return what a pattern finds in the code of a package, as alternatives of a pattern."""
    code = "\n".join(path.read_text() for path in (ROOT / package).rglob("*.py"))
    return "|".join(sorted(set(re.findall(pattern, code)) - {"home"}))  # every page may lead there


def uses(package: str, labels: str) -> re.Pattern[str]:
    """Return what is in a template's tag that uses a permission, template, page or relation of a package."""
    pages = names_of(package, r'path\(.*\bname="(\w+)"\)')
    relations = names_of(package, r'related_name="(\w+)"')
    return re.compile(rf'\bperms\.({labels})\.|"({labels})/|\burl "({pages})"|\w\.({relations})\b')


def found_in_template(name: str, source: str, forbidden: re.Pattern[str]) -> Iterator[str]:
    """Yield a line for every tag of one template that uses what is above it."""
    for tag in re.finditer(r"{[{%].*?[%}]}", source, re.DOTALL):
        if forbidden.search(tag[0]):
            line = source.count("\n", 0, tag.start()) + 1
            yield f"{name}:{line}: {tag[0][:60]!r} uses what is above it; let it register a panel"


def found_in_templates() -> Iterator[str]:
    """Yield a line for every such tag in the templates of the ground and of `instances`."""
    of_credentials = uses("credentials", "|".join(OF_CREDENTIALS))
    of_instances = uses("instances", "instances")
    for path in sorted((ROOT / "templates").rglob("*.html")):
        name = str(path.relative_to(ROOT / "templates"))
        room = name.partition("/")[0]
        if room not in OF_CREDENTIALS and name not in EXEMPT_TEMPLATES:
            yield from found_in_template(name, path.read_text(), of_credentials)
            if room != "instances":
                yield from found_in_template(name, path.read_text(), of_instances)


def main() -> int:
    lines = [*found(), *found_in_templates()]
    print("\n".join(lines) or "portal names no app")  # noqa: T201  # a command's output
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
