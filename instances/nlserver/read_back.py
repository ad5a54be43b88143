"""What a person pasted of the read-back script: one block, which was in a mail, a chat, a notebook."""

import hashlib
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from instances.nlserver.reading import FileFields
from instances.nlserver.report import BUILD, FileState

PATH = Path(__file__).with_name("read_back.sh")
MOST = 20_000
"""Characters of what is pasted, the text around the block included."""
_ASCII = str.maketrans(
    {
        **dict.fromkeys("\u2010\u2011\u2012\u2013\u2014\u2015\u2212", "-"),
        **dict.fromkeys("\u2018\u2019\u201a\u201b", "'"),
        **dict.fromkeys("\u201c\u201d\u201e\u201f", '"'),
        **dict.fromkeys("\u00ad\u200b\u200c\u200d\u200e\u200f\u2060\ufeff"),
        "\u2026": "...",
    }
)
"""What mail, chat and word processors make of plain ASCII. The block has nothing else, so nothing is lost."""
_BEGIN = re.compile("READ-BACK ([0-9]{1,4}) BEGIN")
_END = re.compile("READ-BACK [0-9]{1,4} END")
_VERSION = "1"
_OWN = {
    "container": re.compile(r"[A-Za-z0-9._-]{1,80}"),
    "instance": re.compile(r"[A-Za-z0-9_-]{1,40}"),
    "host": re.compile(r"[!-~]{1,255}"),
    "at": re.compile("[0-9]{8}T[0-9]{6}Z"),
    "nonce": re.compile(r"[0-9a-f]{32}"),
    "build": BUILD,
}
_OPTIONAL = frozenset({"build"})


class NotReadBack(ValueError):
    """A text that has no block which can be believed; `code` says why."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


@dataclass(frozen=True)
class ReadBack:
    """What the script said: of a container, an instance and a host, when by its clock, and the file.

    `build` is None where nlserver did not name it. `nonce` is another one each time the script runs.
    """

    container: str
    instance: str
    host: str
    at: datetime
    nonce: str
    build: int | None = None
    state: FileState = field(default_factory=FileState)


def script() -> str:
    """Return the text of the read-back script."""
    return PATH.read_text()


def parse(text: str) -> ReadBack:
    """Return what the one block in a text says; `NotReadBack` with the code of what is wrong with it.

    Line ends, blanks, quotation marks at the beginning of lines and typographic characters count for nothing:
    the block has no blanks within a line, and its checksum tells whether anything else changed.
    """
    lines = _lines(text)
    if lines[-1].partition("=")[0] != "check":
        raise NotReadBack("cut_off")
    *said, check = lines
    if hashlib.sha256("".join(f"{line}\n" for line in said).encode()).hexdigest() != check[len("check=") :]:
        raise NotReadBack("changed")
    return _parsed([line.partition("=")[::2] for line in said])


def _lines(text: str) -> list[str]:
    """Return what the lines between the marks are, without what programs put around them."""
    if len(text) > MOST:
        raise NotReadBack("too_long")
    plain = " ".join(text.translate(_ASCII).split())
    begins, ends = list(_BEGIN.finditer(plain)), list(_END.finditer(plain))
    if not begins:
        raise NotReadBack("cut_off" if ends else "no_block")
    if len(begins) > 1 or len(ends) > 1:
        raise NotReadBack("several")
    if begins[0][1] != _VERSION:
        raise NotReadBack("other_script")
    if not ends or ends[0].start() < begins[0].end():
        raise NotReadBack("cut_off")
    words = (word.lstrip(">|") for word in plain[begins[0].end() : ends[0].start()].split())
    return [word for word in words if word] or [""]


def _parsed(pairs: list[tuple[str, str]]) -> ReadBack:
    """Read lines whose checksum is right; another script, or a person, may have made them all the same."""
    own = {key: value for key, value in pairs if key in _OWN}
    rest = [(key, value) for key, value in pairs if key not in _OWN]
    is_whole = own.keys() | _OPTIONAL >= _OWN.keys() and len(own) + len(rest) == len(pairs)
    if not is_whole or not all(_OWN[key].fullmatch(value) for key, value in own.items()):
        raise NotReadBack("malformed")
    fields = FileFields()
    for key, value in rest:
        fields.add(f"now.{key}={value.replace('_', ' ') if key == 'stamp' else value}")
    if fields.malformed or not fields.has("now.read"):
        raise NotReadBack("malformed")
    build = BUILD.match(own.get("build", ""))
    return ReadBack(
        container=own["container"],
        instance=own["instance"],
        host=own["host"],
        at=_moment(own["at"]),
        nonce=own["nonce"],
        build=int(build[1]) if build else None,
        state=fields.file_state("now"),
    )


def _moment(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
    except ValueError:
        raise NotReadBack("malformed") from None
