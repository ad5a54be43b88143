"""docs/rotation.md names every verb, and the help every wait."""

import re
from pathlib import Path

from credentials.rotation.verbs import VERBS
from credentials.rotation.waits import EXPLANATIONS, Wait

DOCS = Path(__file__).resolve().parents[3] / "docs"
PAGE = (DOCS / "rotation.md").read_text()


def test_every_wait_is_explained_and_documented() -> None:
    """`tests/help_pages` holds the page of codes against the code."""
    assert set(EXPLANATIONS) == set(Wait)
    codes = re.findall(r"^### rotation (\w+)$", (DOCS / "help" / "en" / "codes.md").read_text(), re.MULTILINE)
    assert codes == [wait.value for wait in Wait if wait != Wait.ENDED]


def test_every_verb_is_documented() -> None:
    table = PAGE.partition("## The verbs")[2].partition("\n## ")[0]
    assert set(re.findall(r"`([a-z]+(?:-[a-z]+)+|pause)\b", table)) == set(VERBS)
