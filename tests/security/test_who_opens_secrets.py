"""Every function that opens a secret is listed in the threat model, and every function listed there does."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("portal", "instances", "credentials")
SANDBOX = ROOT / "portal" / "sandbox"
_ROW = re.compile(r"\| `([\w/]+\.py)` \| `([\w.]+)` \| [^|]+ \|")
Place = tuple[str, str]


class _Openers(ast.NodeVisitor):
    """Collects the functions that use `reveal` or `decrypt`: called, passed on or given another name."""

    def __init__(self) -> None:
        self.where: list[str] = []
        self.decrypting: set[str] = set()
        self.revealing: set[str] = set()
        self.decrypts: set[str] = set()

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:  # ast's own names
        """Note by which names `vault.open_version` is known here."""
        if node.module == "credentials.keys.vault":
            self.decrypts |= {name.asname or name.name for name in node.names if name.name == "open_version"}

    def _within(self, node: ast.AST, name: str) -> None:
        self.where.append(name)
        self.generic_visit(node)
        self.where.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._within(node, node.name)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._within(node, node.name)

    visit_AsyncFunctionDef = visit_FunctionDef  # type: ignore[assignment]  # noqa: N815

    def visit_Attribute(self, node: ast.Attribute) -> None:
        owner = ast.unparse(node.value)
        if node.attr == "open_version" or (node.attr == "decrypt" and not owner.startswith("AESGCM(")):
            self.decrypting.add(self._place)
        elif node.attr == "reveal":
            self.revealing.add(self._place)
        self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in self.decrypts:
            self.decrypting.add(self._place)

    def visit_Constant(self, node: ast.Constant) -> None:
        if node.value in ("reveal", "decrypt"):  # getattr(secret, "reveal")
            self.revealing.add(self._place)

    @property
    def _place(self) -> str:
        return ".".join(self.where) or "<module>"


def openers(source: str) -> _Openers:
    found = _Openers()
    found.visit(ast.parse(source))
    return found


def modules() -> Iterator[Path]:
    for room in ROOMS:
        yield from (path for path in (ROOT / room).rglob("*.py") if not path.is_relative_to(SANDBOX))


def in_code() -> tuple[set[Place], set[Place]]:
    decrypting: set[Place] = set()
    revealing: set[Place] = set()
    for path in modules():
        found, name = openers(path.read_text()), str(path.relative_to(ROOT))
        decrypting |= {(name, place) for place in found.decrypting}
        revealing |= {(name, place) for place in found.revealing if name != "portal/plaintext.py"}
    return decrypting, revealing


def listed(heading: str) -> set[Place]:
    text = (ROOT / "docs" / "threat-model.md").read_text()
    table = text.partition(f"{heading}:\n\n")[2].partition("\n\n")[0]
    return {(path, function) for path, function in _ROW.findall(table)}


def test_who_decrypts_is_listed_and_nobody_else() -> None:
    assert listed("Who decrypts a stored secret") == in_code()[0]


def test_who_sees_a_plaintext_is_listed_and_nobody_else() -> None:
    assert listed("Who sees a plaintext") == in_code()[1]


@pytest.mark.parametrize(
    ("source", "decrypting", "revealing"),
    [
        ("def f(s):\n    return s.reveal()", set(), {"f"}),
        ("class C:\n    def f(self):\n        return map(Secret.reveal, [])", set(), {"C.f"}),
        ("open = secret.reveal", set(), {"<module>"}),
        ("def f():\n    return vault.open_version(row)", {"f"}, set()),
        (
            "from credentials.keys.vault import open_version as r\ndef f():\n    return list(map(r, []))",
            {"f"},
            set(),
        ),
        ("def f(ring):\n    return ring.decrypt('t', b)", {"f"}, set()),
        ("def f(s):\n    return getattr(s, 'reveal')()", set(), {"f"}),
    ],
)
def test_the_search_finds_every_way(source: str, decrypting: set[str], revealing: set[str]) -> None:
    found = openers(source)
    assert (found.decrypting, found.revealing) == (decrypting, revealing)
