"""Scripts that tests keep as texts, for other processes: neither types nor the whole suite covers them."""

import ast
import re
from collections.abc import Iterator
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
OURS = ("portal", "instances", "credentials", "tests")
FORMER = ROOT / "tests/upgrade"
"""Its scripts run in former releases as well, and ask where a name is."""
FIELD = re.compile(r"\{\w*(![rsa])?\}")


def scripts() -> Iterator[tuple[str, ast.Module]]:
    """Yield each text that is a script, with the place where it is written."""
    for path in (ROOT / "tests").rglob("*.py"):
        if FORMER in path.parents:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Constant) and isinstance(node.value, str) and "import " in node.value:
                try:
                    script = ast.parse(FIELD.sub("0", node.value))
                except SyntaxError:
                    continue
                yield f"{path.relative_to(ROOT)}:{node.lineno}", script


def imports(script: ast.Module) -> Iterator[tuple[str, str]]:
    """Yield what a script imports of ours: the module, and the name in it."""
    for node in ast.walk(script):
        if isinstance(node, ast.ImportFrom) and (node.module or "").partition(".")[0] in OURS:
            yield from ((node.module or "", each.name) for each in node.names)


def is_there(module: str, name: str) -> bool:
    return name == "*" or hasattr(import_module(module), name) or bool(find_spec(f"{module}.{name}"))


def test_what_such_scripts_import_is_there() -> None:
    found = [(place, *each) for place, script in scripts() for each in imports(script)]
    assert len(found) > 25
    assert [each for each in found if not is_there(each[1], each[2])] == []
