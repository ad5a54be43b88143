"""Collect the texts for translators, and compile what they wrote.

    python -m tests.messages

Exit status: 0 if every message has its translation.
"""

import sys
from collections.abc import Sequence
from pathlib import Path

import polib

from tests.figures import say
from tests.messages.collecting import collect, compile_messages, po_file, untranslated

ROOT = Path(__file__).resolve().parents[2]


def main(arguments: Sequence[str]) -> int:
    collect(ROOT)
    compile_messages(ROOT)
    catalog = polib.pofile(str(po_file(ROOT)))
    missing = untranslated(catalog)
    for message in missing:
        say(f"not translated: {message}")
    say(f"{len(catalog)} messages, {len(missing)} without a translation")
    return 1 if missing else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
