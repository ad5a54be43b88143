"""`make house`: figures of the structure, measured in the code itself: a mirror, not gates.

Migrations and tests are left out. Functions are counted in lines from `def` to their end; a helper counts as
used once if its name, which begins with an underscore, is read in one place of its module.
"""

import ast
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from statistics import median, quantiles

import grimp

ROOT = Path(__file__).resolve().parents[1]
PACKAGES = ("portal", "instances", "credentials")
CROWDED = 12  # modules in a room
SHOWN = 6


def modules() -> Iterator[Path]:
    """Yield every module of the portal."""
    for package in PACKAGES:
        yield from (path for path in (ROOT / package).rglob("*.py") if "migrations" not in path.parts)


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    return (node.end_lineno or node.lineno) - node.lineno + 1


def used_once(tree: ast.Module) -> int:
    """Count the module's private functions and methods that one place alone uses."""
    private = {
        each.name for each in functions(tree) if each.name.startswith("_") and not each.name.endswith("__")
    }
    uses = Counter(node.id for node in ast.walk(tree) if isinstance(node, ast.Name))
    uses += Counter(node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute))
    return sum(uses[name] == 1 for name in private)


def graph() -> tuple[list[tuple[int, str]], int]:
    """Return every module's fan-out within the portal, largest first, and the number of import circles."""
    found = grimp.build_graph(*PACKAGES)
    names = {name for name in found.modules if ".migrations" not in name}
    imports = {name: found.find_modules_directly_imported_by(name) & names for name in names}
    reached = {name: found.find_upstream_modules(name) for name in names}
    mutual = ({each for each in reached[name] & names if name in reached[each]} | {name} for name in names)
    circles = {frozenset(each) for each in mutual if len(each) > 1}
    return sorted(((len(imports[name]), name) for name in names), reverse=True), len(circles)


def main() -> None:
    """Print the figures as Markdown."""
    lengths: list[int] = []
    helpers = lines = comments = 0
    rooms: Counter[str] = Counter()
    for path in modules():
        text = path.read_text()
        tree = ast.parse(text)
        lengths += [length(each) for each in functions(tree)]
        helpers += used_once(tree)
        code = [line for line in text.splitlines() if line.strip()]
        lines += len(code)
        comments += sum("# " in line and "noqa" not in line.partition("# ")[2] for line in code)
        if path.name != "__init__.py":
            rooms[str(path.parent.relative_to(ROOT))] += 1
    fan_out, cycles = graph()
    p90 = quantiles(lengths, n=10)[-1]
    crowded = {room: count for room, count in rooms.items() if count > CROWDED}
    rows = (
        ("modules, functions", f"{sum(rooms.values())}, {len(lengths)}"),
        ("function length: median, p90, largest", f"{median(lengths):.0f}, {p90:.0f}, {max(lengths)}"),
        ("private helpers used once, share of all functions", f"{helpers / len(lengths):.0%}"),
        ("comments per 100 lines", f"{100 * comments / lines:.1f}"),
        (f"rooms with more than {CROWDED} modules", f"{len(crowded)}: {crowded}"),
        ("import cycles", str(cycles)),
        ("largest fan-out", ", ".join(f"{name} {count}" for count, name in fan_out[:SHOWN])),
    )
    sys.stdout.write("| figure | value |\n| --- | --- |\n")
    sys.stdout.writelines(f"| {name} | {value} |\n" for name, value in rows)


if __name__ == "__main__":
    main()
