"""Part of `make check`: constructions that readers stumble over stay out of code, pages and docs."""

import re
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
INSTEAD = {
    r"\bshall\b": "will, must or can",
    r"\bso many\b": "this number of, or a name",
    r"\bwhom\b": "who, or a noun",
    r"\bthe deed\b": "what is done",
    # A sign stands for something, a clock still, a proxy in front of the portal.
    r"\bstands\b(?! (?:for|still|in front of)\b)": "is or is written",
    r"(?<!in the language of )\bwhoever\b": "a noun, anybody who or somebody who",
    r"\bof which\b": "whose, of them or with",
    # Not the function and the variable of that name.
    r"\bbeside\b(?!\(|\.filter| = )(?<!(?:Clock|Pulse), beside)": "next to or besides",
    r"[,;] for (?:it|they|there|nobody|nothing|that (?:is|was|can|cannot|could|keeps))\b": "because or since",
}
WHERE = (
    "portal/**/*.py",
    "instances/**/*.py",
    "credentials/**/*.py",
    "templates/**/*.html",
    "docs/**/*.md",
    "*.md",
)
HISTORY = {"CHANGELOG.md"}
"""It says what was said at the time."""


def found_in(name: str, text: str) -> Iterator[str]:
    """Yield a line for every such construction."""
    for number, line in enumerate(text.splitlines(), start=1):
        for construction, instead in INSTEAD.items():
            if match := re.search(construction, line, re.IGNORECASE):
                yield f"{name}:{number}: {match[0]!r}: write {instead}"


def found() -> Iterator[str]:
    """Yield a line for every such construction in the project."""
    for pattern in WHERE:
        for path in sorted(ROOT.glob(pattern)):
            name = str(path.relative_to(ROOT))
            if name not in HISTORY:
                yield from found_in(name, path.read_text())


def main() -> int:
    lines = list(found())
    print("\n".join(lines) or "plain words")  # noqa: T201  # a command's output
    return 1 if lines else 0


if __name__ == "__main__":
    sys.exit(main())
