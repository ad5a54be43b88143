"""The page of all settings: `.env.example`, with the defaults that the code has."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.help_pages.french import in_french
from tests.services.portal import ROOT

_SECTION = re.compile(r"# --- (.*?) -+")
_SETTING = re.compile(r"(# )?([A-Z][A-Z_]+)=(.*)")
_FILE = "_FILE"


@dataclass
class Block:
    """A comment of `.env.example`, and the settings that it explains."""

    text: str
    lines: list[str] = field(default_factory=list)
    names: list[str] = field(default_factory=list)


Chapters = list[tuple[str, list[Block]]]


def chapters() -> Chapters:
    """Return the file by its sections. The first one, before any, is about settings as such."""
    found: Chapters = [("", [])]
    comment: list[str] = []
    for line in [*(ROOT / ".env.example").read_text().splitlines(), ""]:
        if section := _SECTION.fullmatch(line):
            found.append((section[1], [Block("", [])]))
        elif setting := _SETTING.fullmatch(line):
            if comment or not found[-1][1]:
                found[-1][1].append(Block(" ".join(comment)))
            found[-1][1][-1].lines.append(f"{setting[2]}={setting[3]}")
            found[-1][1][-1].names.append(setting[2])
            comment = []
        elif line.startswith("# "):
            comment.append(line[2:])
        elif comment:
            found[-1][1].append(Block(" ".join(comment)))
            comment = []
        if section:
            found[-1][1].clear()
    return found


def defaults() -> dict[str, object]:
    """Return the defaults that are written in the settings as values."""
    tree = ast.parse((ROOT / "portal" / "settings.py").read_text())
    found: dict[str, object] = {}
    for call in ast.walk(tree):
        if isinstance(call, ast.Call) and ast.unparse(call.func).startswith("env.") and call.args:
            for keyword in call.keywords:
                if keyword.arg == "default" and isinstance(call.args[0], ast.Constant):
                    value = _value(keyword.value)
                    if value is not None:
                        found[str(call.args[0].value)] = value
    return found


def _value(node: ast.expr) -> object:
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Mult):
        left, right = _value(node.left), _value(node.right)
        return left * right if isinstance(left, int) and isinstance(right, int) else None
    try:
        found: object = ast.literal_eval(node)
    except ValueError:
        return None
    return found


def _shown(value: object) -> str:
    if isinstance(value, list):
        return ",".join(map(str, value))
    return str(value)


TITLE = {"en": "Settings", "fr": "Paramètres"}
SUMMARY = {
    "en": "What the people who run the portal can set: name, example, default and meaning of every setting.",
    "fr": "Ce que l'équipe d'exploitation du portail peut régler : nom, exemple, valeur par défaut et sens "
    "de chaque paramètre.",
}
GUIDES = (
    "[docs/deployment.md](../../deployment.md)",
    "[docs/by-hand.md](../../by-hand.md)",
    "[docs/operator-guide.md](../../operator-guide.md)",
)
ABOUT = {
    "en": "This page is [.env.example](../../../.env.example) of the portal's source, which is also the file "
    f"to begin with. The guides are {GUIDES[0]}, {GUIDES[1]} and {GUIDES[2]}.",
    "fr": "Cette page reprend [.env.example](../../../.env.example) des sources du portail, qui est aussi "
    f"le fichier de départ. Les guides, en anglais, sont {GUIDES[0]}, {GUIDES[1]} et {GUIDES[2]}.",
}
DEFAULT = {"en": "Default:", "fr": "Valeur par défaut :"}


def page(language: str) -> str:
    """Return the page."""
    return "\n\n".join(_blocks(language)) + "\n"


def _blocks(language: str) -> Iterator[str]:
    known = defaults()
    yield f"# {TITLE[language]}"
    yield SUMMARY[language]
    yield ABOUT[language]
    for title, blocks in chapters():
        if title:
            yield f"## {in_french(title) if language == 'fr' else title}"
        for block in blocks:
            if block.names:
                yield f"### {', '.join(block.names)}"
                yield "```\n" + "\n".join(block.lines) + "\n```"
            if block.text:
                yield _said(block.text, language)
            given = [(name, _shown(known[name])) for name in block.names if _shown(known.get(name, ""))]
            if given:
                one = len(block.names) == 1
                listed = ", ".join(f"`{value}`" if one else f"`{name}={value}`" for name, value in given)
                yield f"{DEFAULT[language]} {listed}."


def _said(text: str, language: str) -> str:
    shown = in_french(text) if language == "fr" else text
    return re.sub(r"(?<![\w`])([A-Z]+(?:_[A-Z]+)+(?:[=/]\S*\w)?)(?![\w`])", r"`\1`", shown).replace(
        "<", "\\<"
    )
