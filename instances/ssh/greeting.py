"""What the other side of a connection said first, and what that tells about it.

Until the keys are exchanged all is in clear: a line that begins with `SSH-`, then the algorithms that the
server offers (RFC 4253, 4.2 and 7.1). Whatever is no SSH server shows it here.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from instances.ssh.errors import (
    ConnectionLost,
    NoCommonAlgorithm,
    NotSSH,
    Silent,
    SSHError,
    SSHTooOld,
    TimedOut,
    TurnedAway,
)
from portal.plaintext import cut_out

HEARD_LIMIT = 8 * 1024
"""Bytes of the beginning that are kept: OpenSSH's identification and offer take about 1,200."""
QUOTE_LIMIT = 120
NAMES_LIMIT = 12
"""Algorithms of the other side that are quoted at most; an honest list can be longer, a page cannot."""
REFUSAL_LIMIT = 1000
"""Bytes: who means to turn somebody away says it in fewer."""

Algorithms = Mapping[str, Sequence[str]]
"""Names by kind, each kind one of `KINDS`."""
KEY_EXCHANGE, HOST_KEY, CIPHER, MAC = KINDS = ("Key exchange", "Host key", "Cipher", "MAC")
_KEXINIT = 20
_WEAK = re.compile(
    r"diffie-hellman-.*sha1|rsa1024-sha1|ssh-rsa|ssh-dss|.*-cbc|.*-cbc@.*|arcfour.*|none"
    r"|hmac-(md5|sha1|ripemd).*|umac-64.*"
)
_NO_ALGORITHM = re.compile(r"ext-info-.*|kex-strict-.*")
_PROTOCOLS = (
    (re.compile(rb"HTTP/|<!doctype|<html", re.IGNORECASE), "a web server (HTTP)"),
    (re.compile(rb"[\x14-\x17]\x03[\x00-\x04]", re.DOTALL), "a server that speaks TLS"),
    (re.compile(rb"\xff[\xfb-\xfe]", re.DOTALL), "a Telnet server"),
    (re.compile(rb"RFB \d"), "a remote desktop (VNC)"),
    (re.compile(rb"220[ -]|\* OK|\+OK"), "a mail or FTP server"),
    (re.compile(rb".{3}\x00\x0a\d+\.\d+", re.DOTALL), "a MySQL or MariaDB server"),
)


@dataclass(frozen=True)
class Greeting:
    """The server's identification (`SSH-2.0-OpenSSH_9.2p1`), empty if it gave none, and what it offered."""

    identification: str = ""
    offered: Algorithms = field(default_factory=dict)

    @property
    def is_ssh_2(self) -> bool:
        return self.identification.startswith(("SSH-2.0-", "SSH-1.99-"))


def parse(heard: bytes) -> Greeting:
    """Read what was heard as an SSH server's greeting, as far as it is one."""
    found = re.search(rb"^SSH-[^\r\n]*\r?\n", heard, re.MULTILINE)
    if not found:
        return Greeting()
    name = found[0].strip().decode("ascii", "replace")
    return Greeting(name, _offered(heard[found.end() :]))


def _offered(packet: bytes) -> Algorithms:
    """The lists for what the server sends us are left out: no server has others there."""
    if len(packet) < 6 or packet[5] != _KEXINIT:
        return {}
    lists, rest = [], packet[22 : 4 + int.from_bytes(packet[:4])]
    for _ in range(6):
        end = 4 + int.from_bytes(rest[:4])
        if len(rest) < 4 or len(rest) < end:
            return {}
        names = rest[4:end].decode("ascii", "replace").split(",")
        lists.append([name for name in names if not _NO_ALGORITHM.fullmatch(name)])
        rest = rest[end:]
    return dict(zip(KINDS, (lists[0], lists[1], lists[2], lists[4]), strict=True))


def failure(heard: bytes, ours: Algorithms, error: Exception | None = None) -> SSHError:
    """Say why no connection was negotiated with who spoke these bytes. `error` is a `TimedOut` if it was."""
    greeting = parse(heard)
    if greeting.identification:
        return _ssh_failure(greeting, ours, error)
    what = next((name for sign, name in _PROTOCOLS if sign.match(heard)), "")
    if what:
        return NotSSH(f"It looks like {what}.", *_said(heard))
    if isinstance(error, TimedOut):
        return NotSSH(*_said(heard)) if heard else Silent()
    is_short = len(heard) < REFUSAL_LIMIT
    return TurnedAway(*_said(heard)) if is_short else NotSSH(_amount(heard), *_said(heard))


def _ssh_failure(greeting: Greeting, ours: Algorithms, error: Exception | None) -> SSHError:
    if not greeting.is_ssh_2:
        return SSHTooOld(f"It says {quoted(greeting.identification)}, which is not version 2 of SSH.")
    lacking = [kind for kind in greeting.offered if not set(greeting.offered[kind]) & set(ours[kind])]
    if lacking:
        return no_common(greeting, ours, lacking)
    return error if isinstance(error, TimedOut) else ConnectionLost()


def no_common(greeting: Greeting, ours: Algorithms, lacking: Sequence[str]) -> SSHError:
    """Return the error for kinds of algorithms without a common one, with both lists of each."""
    offered = [name for kind in lacking for name in greeting.offered[kind]]
    details = [
        f"{kind}: the server offers {_names(greeting.offered[kind])}; the portal has {', '.join(ours[kind])}."
        for kind in lacking
    ]
    is_old = all(map(_WEAK.fullmatch, offered))
    return (SSHTooOld if is_old else NoCommonAlgorithm)(*details)


def _names(names: Sequence[str]) -> str:
    shown = ", ".join(clean(name, 64) for name in names[:NAMES_LIMIT]) or "nothing"
    more = len(names) - NAMES_LIMIT
    return f"{shown} and {more} more" if more > 0 else shown


def _said(heard: bytes) -> list[str]:
    text = clean(heard.decode("utf-8", "replace"))
    return [f"It said: {quoted(text)}"] if text else []


def _amount(heard: bytes) -> str:
    least = "more than " if len(heard) >= HEARD_LIMIT else ""
    return f"It sent {least}{len(heard):,} bytes without beginning to speak SSH."


def quoted(text: str) -> str:
    """Return words of the other side as a quotation: one line, printable, of bounded length."""
    return f"“{clean(text)}”"


def clean(text: str, limit: int = QUOTE_LIMIT) -> str:
    """Return a text as one line without a secret, and without what a page or a terminal would obey."""
    line = "".join(char if char.isprintable() and char != "\ufffd" else " " for char in text)
    line = cut_out(" ".join(line.split()))
    return line if len(line) <= limit else f"{line[:limit].rstrip()} …"
