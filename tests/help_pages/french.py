"""French texts of what is English alone in the code: the comments of `.env.example`.

They are in a file, an English line and its French line below it. One that is missing stops `make pages`.
"""

from pathlib import Path

_FILE = Path(__file__).parent / "settings.fr.txt"


def _table() -> dict[str, str]:
    blocks = _FILE.read_text(encoding="utf-8").strip().split("\n\n")
    pairs = [block.split("\n") for block in blocks]
    for pair in pairs:
        if len(pair) != 2:
            raise ValueError(f"{_FILE.name}: an English line and a French one are needed: {pair[0]}")
    return {pair[0]: pair[1] for pair in pairs}


SETTINGS = _table()


def in_french(text: str) -> str:
    """Return the French text; `LookupError` names what has none."""
    try:
        return SETTINGS[text]
    except KeyError:
        raise LookupError(f"tests/help_pages/{_FILE.name} has no French for: {text}") from None
