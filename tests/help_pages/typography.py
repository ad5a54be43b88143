"""French typography: the no-break space before high punctuation and inside guillemets, and the apostrophe."""

import re

NO_BREAK = "\N{NO-BREAK SPACE}"
APOSTROPHE = "\N{RIGHT SINGLE QUOTATION MARK}"
_CODE = re.compile(r"(```.*?```|`[^`]*`|\]\([^)]*\)|^ {4,}\S.*$)", re.DOTALL | re.MULTILINE)
_BEFORE = re.compile(r"(?<=[\w\d»)*`\N{RIGHT SINGLE QUOTATION MARK}…%?!]) (?=[:;!?»])")
_AFTER = re.compile(r"(?<=«) ")


def french(text: str) -> str:
    """Return a French text as it is printed; code, addresses and what is right already stay."""
    parts = _CODE.split(text)
    return _joined([part if place % 2 else _set(part) for place, part in enumerate(parts)])


def _joined(parts: list[str]) -> str:
    """Put the parts together, and set the signs that follow a piece of code."""
    for place in range(2, len(parts), 2):
        parts[place] = re.sub(r"\A ([:;!?»])", rf"{NO_BREAK}\1", parts[place])
    return "".join(parts)


def _set(text: str) -> str:
    text = re.sub(r"(?<=\w)'(?=\w|«|\*|\Z)", APOSTROPHE, text)
    return _AFTER.sub(NO_BREAK, _BEFORE.sub(NO_BREAK, text))
