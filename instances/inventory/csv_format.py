"""Reads an inventory file (CSV) and says, by row and column, what is wrong with it. Pure: knows no models.

The `clean_...` functions are the rules of single fields; the forms use the same ones.
"""

import base64
import binascii
import csv
import difflib
import io
import re
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, ip_address

from django.core.exceptions import ValidationError
from django.utils.functional import Promise
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.no_secrets import refuse_secret
from portal.plaintext import cut_out, may_hold_secret

REQUIRED = ("instance", "container", "address")
COLUMNS = (
    *REQUIRED,
    "port",
    "jump_host",
    "login",
    "become",
    "install_root",
    "environment",
    "deployment",
    "role",
    "uses_triggers",
    "host_key",
    "by_hand",
)
BECOME = ("none", "sudo", "su")
ENVIRONMENT = ("development", "stage", "production")
DEPLOYMENT = ("on-premise", "hybrid", "hosted")
ROLE = ("MKT", "MID", "RT", "EXEC")

MAX_BYTES = 20 * 1024 * 1024
MAX_ROWS = 100_000
MAX_COLUMNS = 50
MAX_CELL = 300
MAX_LISTED = 200

_INSTANCE_FACTS = ("environment", "deployment", "role", "uses_triggers")
_CONTAINER_FACTS = (
    "container",
    "address",
    "port",
    "jump_host",
    "login",
    "become",
    "install_root",
    "by_hand",
    "host_key",
)

_INSTANCE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,39}")
_CONTAINER_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,79}")
_HOST_NAME = re.compile(
    r"(?=.{1,253}\Z)(?:[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?\.)*[a-z0-9_](?:[a-z0-9_-]{0,61}[a-z0-9_])?"
)
_NUMERIC_NAME = re.compile(r"(?:.*\.)?(?:[0-9]+|0x[0-9a-f]*)")
_LOOPBACK_NAME = re.compile(r"(?:.+\.)?localhost|localhost\.localdomain|ip6-(?:localhost|loopback)")
_THIS_NETWORK = IPv4Network("0.0.0.0/8")
_LOGIN = re.compile(r"[A-Za-z_][A-Za-z0-9._-]{0,31}")
_INSTALL_ROOT = re.compile(r"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._-]+)+")
_PORT = re.compile(r"[0-9]{1,5}")
_FINGERPRINT = re.compile(r"(?:sha256:)?([A-Za-z0-9+/]{43})=?", re.IGNORECASE)
_LISTED_FINGERPRINT = re.compile(r"[0-9]+ (\S+)(?: .*)? \([A-Z0-9-]+\)")  # as ssh-keygen -l prints it
_MD5 = re.compile(r"(?:md5:.*|(?:[0-9a-f]{2}:){15}[0-9a-f]{2})", re.IGNORECASE)
# What spreadsheets write for a tick, in the languages of those who use them, and what people write.
_YES = frozenset(
    ("yes", "y", "true", "1", "1.0", "1,0", "on", "x", "✓", "✔", "oui", "o", "vrai", "ja", "j", "wahr")
) | frozenset(("sí", "si", "sì", "s", "verdadero", "vero", "sim", "verdadeiro", "waar"))
_NO = frozenset(
    ("no", "n", "false", "0", "0.0", "0,0", "off", "non", "faux", "nein", "falsch", "falso", "não", "nee")
)
_OTHER_WORDS = {
    "dev": "development",
    "staging": "stage",
    "prod": "production",
    "développement": "development",
    "entwicklung": "development",
    "produktion": "production",
    "onprem": "on-premise",
    "onpremises": "on-premise",
    "managedservices": "hosted",
    "hostedbyadobe": "hosted",
    "marketing": "MKT",
    "marketing(mkt)": "MKT",
    "midsourcing": "MID",
    "midsourcing(mid)": "MID",
    "messagecenter": "RT",
    "messagecenter(rt)": "RT",
    "execution": "EXEC",
    "execution(exec)": "EXEC",
    "logsinasneolane": "none",
    "sudotoneolane": "sudo",
    "sutoneolane(loginasroot)": "su",
    # as the portal shows them in French
    "préproduction": "stage",
    "préprod": "stage",
    "sursite": "on-premise",
    "hybride": "hybrid",
    "hébergéparadobe": "hosted",
    "exécution": "EXEC",
    "exécution(exec)": "EXEC",
    "connexionentantqueneolane": "none",
    "sudoversneolane": "sudo",
    "suversneolane(connexionenroot)": "su",
    "suversneolane(connexionentantqueroot)": "su",
    "suversneolane(depuisroot)": "su",
}
_OTHER_COLUMNS = {
    "instance_name": "instance",
    "campaign_instance": "instance",
    "instanz": "instance",
    "container_name": "container",
    "conteneur": "container",
    "ip": "address",
    "ip_address": "address",
    "ip_adresse": "address",
    "adresse": "address",
    "adresse_ip": "address",
    "hostname": "address",
    "host_name": "address",
    "fqdn": "address",
    "dns_name": "address",
    "ssh_port": "port",
    "jumphost": "jump_host",
    "jump_server": "jump_host",
    "bastion": "jump_host",
    "user": "login",
    "username": "login",
    "user_name": "login",
    "ssh_user": "login",
    "ssh_login": "login",
    "becomes_neolane": "become",
    "installation_root": "install_root",
    "install_path": "install_root",
    "install_dir": "install_root",
    "env": "environment",
    "environnement": "environment",
    "umgebung": "environment",
    "deployment_type": "deployment",
    "instance_role": "role",
    "rôle": "role",
    "rolle": "role",
    "triggers": "uses_triggers",
    "is_by_hand": "by_hand",
    "manual": "by_hand",
    "manuell": "by_hand",
    "von_hand": "by_hand",
    "manuel": "by_hand",
    "fingerprint": "host_key",
    "host_key_fingerprint": "host_key",
    "expected_host_key": "host_key",
    "hostkey": "host_key",
    "empreinte": "host_key",
}
"""Names that can mean one column only."""
_AMBIGUOUS_COLUMNS = frozenset(("host", "server", "serveur", "name", "nom", "machine", "target"))
_DELIMITERS = ",;\t|"
_BLANKS = " \t\u00a0\u2007\u202f"
_AT_THE_ENDS = "".join(chr(code) for code in (0x200B, 0x200E, 0x200F, 0x202A, 0x202C, 0x2060, 0xFEFF))
"""Marks that nobody sees, and that come along where text is copied from a page or a window."""
_PLAIN = str.maketrans(
    dict.fromkeys("\u00a0\u2007\u202f", " ") | dict.fromkeys("\u2010\u2011\u2012\u2013\u2212", "-")
)
"""Word processors write these for a blank and a hyphen; no field may hold them."""
_QUOTES = "\"'`\u00b4\u00ab\u00bb\u2018\u2019\u201a\u201b\u201c\u201d\u201e\u201f"
_SPREADSHEET_ERROR = re.compile(r"#(?:N/A|NV|ND|[A-ZÀ-Ý0-9/]+[!?])")
_MONTHS = "Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec"
_MADE_BY_A_SPREADSHEET = re.compile(
    rf"[0-9]{{1,2}}-(?:{_MONTHS})(?:-[0-9]{{2,4}})?|(?:{_MONTHS})-[0-9]{{2}}|[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}"
    r"|[0-9]{1,2}[./][0-9]{1,2}[./][0-9]{4}|[0-9](?:[.,][0-9]+)?E\+[0-9]+"
)
_NUMBER_AS_TEXT = re.compile(r"\A([0-9]{1,5})[.,]0{1,2}\Z")  # three zeros may be thousands


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One installation, as its row says it. None or an empty text: nothing is said, keep what is stored."""

    number: int
    """The row in a spreadsheet; the line of column names is 1."""
    instance: str
    container: str = ""
    address: str | None = None
    port: int | None = None
    jump_host: str | None = None
    login: str | None = None
    become: str | None = None
    install_root: str | None = None
    by_hand: bool | None = None
    environment: str | None = None
    deployment: str | None = None
    role: str | None = None
    uses_triggers: bool | None = None
    host_key: str = ""

    @property
    def is_by_hand(self) -> bool | None:
        """As the container calls it."""
        return self.by_hand


@dataclass(frozen=True, slots=True)
class RowError:
    """Where something is wrong (row 0: the whole file; an empty column: the whole row) and why."""

    row_number: int
    column: str
    reason: str


@dataclass(frozen=True)
class ParsedInventory:
    """What a file says. With errors it must not be imported: `rows` has only those without any."""

    rows: tuple[CsvRow, ...]
    errors: tuple[RowError, ...]
    unlisted_errors: int = 0
    """How many errors there are beyond the listed ones."""


def parse(data: bytes, *, allow_loopback: bool = False) -> ParsedInventory:
    """Read a CSV file (the names of the columns in its first row; at most MAX_BYTES and MAX_ROWS).

    What spreadsheets and people add without meaning anything by it counts for nothing: empty cells, rows and
    columns at the end, blanks around cells, comments (rows that begin with #), other hyphens and quotes.
    `allow_loopback` lets addresses of this machine pass: for tests and the sandbox.
    """
    report = _Report()
    rows: list[CsvRow] = []
    try:
        records = _records(_decode(data))
        rows = _Reader(_header(records, report), report, allow_loopback).read(records)
    except _Unreadable as unreadable:
        report.add(unreadable.row_number, "", unreadable.reason)
    _Consistency(report).check(rows)
    listed = tuple(sorted(report.listed, key=lambda error: error.row_number))
    good = tuple(row for row in rows if row.number not in report.wrong_rows)
    return ParsedInventory(good, listed, report.count - len(listed))


def readable(data: bytes) -> str:
    """Return the text of a file; refuse one that must not even be kept for its preview.

    That is one that is no text, or has secrets in it.
    """
    try:
        text = _decode(data)
    except _Unreadable as unreadable:
        raise ValidationError(unreadable.reason) from None
    for number, line in enumerate(text.splitlines(), 1):
        if may_hold_secret(line):
            raise ValidationError(
                _("Line %d contains what looks like a client secret, so nothing was kept. Remove it first.")
                % number
            )
    return text


def clean_instance_name(value: str) -> str:
    """Return the name of an instance as nlserver knows it (`config-<name>.xml`)."""
    name = value.strip()
    if name.casefold() == "default":
        raise ValidationError(
            _("“default” is not an instance, but nlserver's template: name the instance itself.")
        )
    if not _INSTANCE_NAME.fullmatch(name):
        raise ValidationError(
            _("Use 1 to 40 letters without accents, digits, - and _, beginning with a letter or digit.")
        )
    return name


def clean_container_name(value: str) -> str:
    """Return our name of a container or jump host."""
    name = value.strip()
    if not _CONTAINER_NAME.fullmatch(name):
        raise ValidationError(
            _("Use 1 to 80 letters without accents, digits, dots, - and _, beginning with a letter or digit.")
        )
    return name


def clean_address(value: str, allow_loopback: bool = False) -> str:
    """Return a host name (lower case) or an IP address (shortest form) of another machine.

    This judges the text alone; what a name resolves to is judged again before each connection.
    """
    text = value.strip()
    for sign, mistake in _ADDRESS_MISTAKES.items():
        if sign in text or (sign == "^-" and text.startswith("-")):
            raise ValidationError(mistake)
    ip = _ip(text)
    if ip:
        return _clean_ip(ip, allow_loopback)
    if ":" in text:
        raise ValidationError(_("Give the host name or IP address alone: the port has its own field."))
    return _clean_host_name(text.removesuffix(".").lower(), allow_loopback)


_ADDRESS_MISTAKES = {
    "^-": gettext_lazy("A host name cannot begin with “-”: commands would take it for an option."),
    "://": gettext_lazy(
        "This is a URL. Give the host name alone, without “://” or anything that follows the name."
    ),
    "@": gettext_lazy("Give the host name alone: the login before “@” has its own field."),
    "/": gettext_lazy("Give one host name or IP address: neither can contain “/”."),
    "%": gettext_lazy("Give the IP address without the network interface after “%”."),
}


def _ip(text: str) -> IPv4Address | IPv6Address | None:
    bare = text[1:-1] if text.startswith("[") and text.endswith("]") else text
    try:
        return ip_address(bare)
    except ValueError:
        return None


def _clean_ip(ip: IPv4Address | IPv6Address, allow_loopback: bool) -> str:
    if isinstance(ip, IPv6Address) and ip.ipv4_mapped:
        raise ValidationError(_("Write this address as an IPv4 address: %s") % ip.ipv4_mapped)
    if ip.is_loopback and allow_loopback:
        return str(ip)
    if ip.is_loopback or ip.is_unspecified or (isinstance(ip, IPv4Address) and ip in _THIS_NETWORK):
        raise ValidationError(_LOOPBACK)
    if ip.is_multicast or ip.is_link_local or ip.is_reserved:
        raise ValidationError(_("This is not the address of one server (multicast, link-local or reserved)."))
    return str(ip)


_LOOPBACK = gettext_lazy("This is the portal's own machine: give the address of the container.")


def _clean_host_name(name: str, allow_loopback: bool) -> str:
    if not name.isascii():
        raise ValidationError(_("Write a name with accented or foreign letters in its xn-- form."))
    if not _HOST_NAME.fullmatch(name):
        raise ValidationError(_("This is not a host name or IP address."))
    if _NUMERIC_NAME.fullmatch(name):
        # Resolvers read 127.1, 2130706433 and 0x7f000001 as addresses.
        raise ValidationError(_("This looks like an IP address but is not one: write its four numbers."))
    if _LOOPBACK_NAME.fullmatch(name) and not allow_loopback:
        raise ValidationError(_LOOPBACK)
    return name


def clean_port(value: str | int) -> int:
    """Return a TCP port, 1 to 65535."""
    text = str(value).strip()
    port = int(text) if _PORT.fullmatch(text) else 0
    if not 1 <= port <= 65535:
        raise ValidationError(_("A port is a whole number from 1 to 65535."))
    return port


def clean_login(value: str) -> str:
    """Return the name of a user on the container."""
    login = value.strip()
    if not _LOGIN.fullmatch(login):
        raise ValidationError(
            _("Use 1 to 32 letters without accents, digits, dots, - and _, beginning with a letter or _.")
        )
    return login


def clean_install_root(value: str) -> str:
    """Return an absolute path, without a final slash and without anything that a shell could misread."""
    root = value.strip().rstrip("/")
    if len(root) > 200 or not _INSTALL_ROOT.fullmatch(root):
        raise ValidationError(
            _("Give the full path of the folder above nl6 or nl7, such as /usr/local/neolane.")
        )
    return root


def clean_choice(value: str, choices: Sequence[str]) -> str:
    """Return the choice that is meant, whatever its letter case, blanks, hyphens and underscores."""
    wanted = _squeeze(value)
    wanted = _squeeze(_OTHER_WORDS.get(wanted, wanted))
    for choice in choices:
        if _squeeze(choice) == wanted:
            return choice
    raise ValidationError(_("Use one of: %s.") % ", ".join(choices))


def clean_yes_no(value: str) -> bool:
    """Return a yes or no, in English or in the language of somebody's spreadsheet."""
    word = value.strip().casefold()
    if word not in _YES | _NO:
        raise ValidationError(_("Use yes or no."))
    return word in _YES


def clean_host_key_fingerprint(value: str) -> str:
    """Return a SHA-256 fingerprint as OpenSSH writes it: `SHA256:` and 43 characters of base64.

    Takes it without `SHA256:`, with padding, with blanks that a line break left, and as a line of
    `ssh-keygen -l`.
    """
    text = " ".join(value.split())
    if listed := _LISTED_FINGERPRINT.fullmatch(text):
        text = listed[1]
    text = text.replace(" ", "")
    if _MD5.fullmatch(text):
        raise ValidationError(
            _("This is an MD5 fingerprint: give the one that begins with SHA256: (ssh-keygen -l).")
        )
    match = _FINGERPRINT.fullmatch(text)
    if not match or not _is_base64(match[1] + "="):
        raise ValidationError(
            _("A fingerprint is SHA256: followed by 43 characters, as ssh-keygen -l prints it.")
        )
    return f"SHA256:{match[1]}"


def _is_base64(text: str) -> bool:
    # The last character carries two unused bits: only one writing is the right one.
    try:
        return base64.b64encode(base64.b64decode(text, validate=True)).decode() == text
    except binascii.Error:
        return False


def _squeeze(text: str) -> str:
    """Return a word without what people write differently: blanks, hyphens, capitals, composed accents."""
    return re.sub(r"[\s_\u2010\u2011-]+", "", unicodedata.normalize("NFC", text.casefold()))


class _Unreadable(Exception):
    """The file cannot be read on from `row_number`."""

    def __init__(self, row_number: int, reason: str | Promise) -> None:
        super().__init__(reason)
        self.row_number = row_number
        self.reason = str(reason)


@dataclass
class _Report:
    listed: list[RowError] = field(default_factory=list)
    wrong_rows: set[int] = field(default_factory=set)
    count: int = 0

    def add(self, row_number: int, column: str, reason: str) -> None:
        self.count += 1
        self.wrong_rows.add(row_number)
        if len(self.listed) < MAX_LISTED:
            self.listed.append(RowError(row_number, column, reason))


def _decode(data: bytes) -> str:
    if len(data) > MAX_BYTES:
        raise _Unreadable(0, _("The file is larger than 20 MB: split it."))
    if data.startswith((b"PK\x03\x04", b"\xd0\xcf\x11\xe0")):
        raise _Unreadable(0, _("This is a workbook of Excel or LibreOffice: save it as “CSV UTF-8”."))
    text = _text(data).rstrip("\x1a")  # some programs end a file with it
    if not text.strip():
        raise _Unreadable(0, _EMPTY)
    if text.lstrip()[0] in "{[":
        raise _Unreadable(0, _JSON)
    if text.lstrip()[0] == "<":
        raise _Unreadable(0, _("This is a web page or XML, not CSV: save it as “CSV UTF-8”."))
    return text


def _text(data: bytes) -> str:
    """Decode what spreadsheets write: UTF-8, Excel's “Unicode Text”, or else Windows-1252.

    A wrong guess shows in its cell, since no field may hold a letter that these encodings write differently.
    """
    is_utf16 = data.startswith((b"\xff\xfe", b"\xfe\xff")) and not data.startswith(b"\xff\xfe\x00\x00")
    try:
        if is_utf16:
            return data.decode("utf-16")
        if b"\x00" not in data:
            return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        if not is_utf16:
            return _windows_text(data, error.start)
    raise _Unreadable(0, _("The file is in UTF-16 or is not text at all: save it as “CSV UTF-8”."))


def _windows_text(data: bytes, start: int) -> str:
    try:
        return data.decode("cp1252")
    except UnicodeDecodeError:
        line = data.count(b"\n", 0, start) + 1
        reason = _("Line %d is neither UTF-8 nor Windows-1252: save the file as “CSV UTF-8”.")
        raise _Unreadable(0, reason % line) from None


_JSON = gettext_lazy(
    "This is a JSON file, not CSV. A file from the Developer Console belongs to a technical account: add it "
    "under Accounts, where its secret is encrypted."
)


_EMPTY = gettext_lazy("The file is empty. The first row must have the names of the columns.")


def _records(text: str) -> Iterator[tuple[int, list[str]]]:
    """Yield each row that is neither blank nor a comment, numbered as a spreadsheet does.

    A cell of many lines is one row.
    """
    told = _SEPARATOR_LINE.match(text)
    delimiter = told[1] if told else _delimiter(text)
    text = _without_blanks_around_quotes(text[told.end() :] if told else text, delimiter)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    number = 0
    while True:
        number += 1
        try:
            cells = next(reader, None)
        except csv.Error as error:
            raise _Unreadable(number, _why(error)) from None
        if cells is None:
            return
        if any(map(str.strip, cells)) and not _is_comment(cells):
            yield number, cells


# Excel's own line, which it does not count. Saved again by another program, it has empty cells behind it.
_SEPARATOR_LINE = re.compile(r'"?sep=([,;\t|])"?[,;\t|]*(?:\r\n|\r|\n|\Z)', re.IGNORECASE)


def _without_blanks_around_quotes(text: str, delimiter: str) -> str:
    """Return the text with each quoted cell right next to its delimiters, as the reader needs it."""
    blank = f"[{_BLANKS.replace(delimiter, '')}]"
    if not re.search(f'{blank}"|"{blank}', text):
        return text
    end = f"[{re.escape(delimiter)}\r\n]"
    cell = re.compile(
        f'{blank}*(?P<quoted>(?>"[^"]*(?:""[^"]*)*")){blank}*(?P<end>{end}|\\Z)'
        f"|(?P<other>[^{re.escape(delimiter)}\r\n]*(?:{end}|\\Z))"
    )
    return cell.sub(lambda found: found["other"] or (found["quoted"] or "") + (found["end"] or ""), text)


def _is_comment(cells: list[str]) -> bool:
    """Whether a row is none: no instance begins with #, but what a broken formula shows does."""
    text = cells[0].strip()
    if not text.startswith("#") or _SPREADSHEET_ERROR.fullmatch(text):
        return False
    return not {_column(cell) for cell in cells}.issuperset(REQUIRED)  # some write # before the names


def _why(error: csv.Error) -> str:
    if "limit" in str(error):
        return _(
            "A cell is far too long: a closing quotation mark may be missing. Nothing was read from here on."
        )
    return _("A quotation mark is not closed, or something follows it. Nothing was read from here on.")


def _delimiter(text: str) -> str:
    lines = (
        line for line in re.split(r"[\r\n]+", text[:100_000]) if line.strip() and not _is_comment([line])
    )
    header = re.sub(r'"[^"]*"', "", next(lines, ""))
    return max(_DELIMITERS, key=header.count)


def _header(records: Iterator[tuple[int, list[str]]], report: _Report) -> list[str]:
    """Return the column of each cell, an empty text for one without a name; nothing if one is wrong."""
    number, cells = next(records, (0, []))
    if not cells:
        raise _Unreadable(0, _EMPTY)
    while not cells[-1].strip():  # spreadsheets add empty columns at the end
        cells.pop()
    if len(cells) > MAX_COLUMNS:
        raise _Unreadable(number, _("There are far too many columns: this row must have their names."))
    names = [_column(cell) for cell in cells]
    for position, name in enumerate(names):
        if name and name not in COLUMNS:
            report.add(number, _shown(cells[position]), _unknown(name))
        elif name and name in names[:position]:
            reason = _("This column appears twice in the file, here as “%s”: remove one.")
            report.add(number, name, reason % _shown(cells[position]))
    for name in (name for name in REQUIRED if name not in names):
        report.add(
            number, name, _("This column is missing. The first row must have the names of the columns.")
        )
    return [] if report.count else names


@lru_cache(maxsize=256)
def _column(cell: str) -> str:
    """Return which column a name means, whatever its letter case, blanks, hyphens and marks at the end."""
    words = re.sub(r"[\s_-]+", "_", _plain(cell).lstrip("# ").rstrip("*?:. ").casefold()).strip("_")
    return _OTHER_COLUMNS.get(words, words)


def _plain(cell: str) -> str:
    """Return a cell without what has no meaning in any field: blanks and quotes around it, odd hyphens."""
    text = cell.strip().strip(_AT_THE_ENDS).translate(_PLAIN).strip()
    if text.startswith('="') and text.endswith('"'):  # keeps spreadsheets from turning it into a number
        text = text[1:]
    return text.strip(_QUOTES).strip()


def _unknown(name: str) -> str:
    if name in _AMBIGUOUS_COLUMNS:
        return _("Say which one is meant: container (your name for the server) or address (host name or IP).")
    close = difflib.get_close_matches(name[:40], COLUMNS, n=1)
    if close:
        return _("There is no such column: did you mean %s?") % close[0]
    return _("There is no such column. The columns are: %s.") % ", ".join(COLUMNS)


def _shown(text: str) -> str:
    """Return a name from the file, fit for a page and a terminal."""
    return "".join(char if char.isprintable() else "?" for char in cut_out(text).strip()[:40])


class _Reader:
    """Turns records into rows, cell by cell. Equal cells are judged once: files repeat themselves."""

    def __init__(self, names: list[str], report: _Report, allow_loopback: bool) -> None:
        self.names = names
        self.report = report
        self.cleaners = _cleaners(allow_loopback)
        self.known: dict[tuple[str, str], object] = {}

    def read(self, records: Iterator[tuple[int, list[str]]]) -> list[CsvRow]:
        rows: list[CsvRow] = []
        if not self.names:
            return rows
        count = 0
        for count, (number, cells) in enumerate(records, 1):
            if count > MAX_ROWS:
                raise _Unreadable(number, _("There are more than 100,000 rows: split the file."))
            rows += self._row(number, cells)
        if not count:
            self.report.add(0, "", _("The file has the names of the columns, but no rows below them."))
        return rows

    def _row(self, number: int, cells: list[str]) -> list[CsvRow]:
        if any(map(str.strip, cells[len(self.names) :])):
            reason = _(
                "This row has more cells (%(cells)d) than there are columns (%(columns)d). A value that "
                "contains the separator needs quotation marks around it."
            )
            self.report.add(number, "", reason % {"cells": len(cells), "columns": len(self.names)})
            return []
        if _column(cells[0]) == self.names[0] and [_column(cell) for cell in cells] == self.names:
            return []  # files put behind each other repeat the names of the columns
        found: dict[str, object] = {}
        for name, cell in zip(self.names, cells, strict=False):  # Excel leaves out empty cells at the end
            value = self._value(name, cell)
            if isinstance(value, _Wrong):
                self.report.add(number, name, value.reason)
            elif value is not None:
                found[name] = value
        if "instance" not in found:
            if number not in self.report.wrong_rows:
                self.report.add(number, "instance", _("The name of the instance is missing."))
            return []
        # The keys are column names and each cleaner returns the type of its field.
        return [CsvRow(number, **found)]  # type: ignore[arg-type]

    def _value(self, name: str, cell: str) -> object:
        key = (name, cell)
        if key not in self.known:
            self.known[key] = self._judge(name, _plain(cell))
        return self.known[key]

    def _judge(self, name: str, text: str) -> object:
        if not text:
            return None
        if not name:
            return _Wrong(_("This column has no name: give it one in the first row, or empty the cell."))
        try:
            _refuse_odd_text(name, text)
            return self.cleaners[name](text)
        except ValidationError as error:
            return _Wrong(error.messages[0])


@dataclass(frozen=True)
class _Wrong:
    reason: str


def _refuse_odd_text(name: str, text: str) -> None:
    if len(text) > MAX_CELL:
        raise ValidationError(_("This is longer than %d characters.") % MAX_CELL)
    if not text.isprintable():
        raise ValidationError(
            _("This has a line break or an invisible character inside: delete it and type it again.")
        )
    refuse_secret(text)
    if text == "-" or _SPREADSHEET_ERROR.fullmatch(text):
        raise ValidationError(_("This is not a value: enter one, or leave the cell empty if there is none."))
    if name in ("instance", "container") and _MADE_BY_A_SPREADSHEET.fullmatch(text):
        raise ValidationError(
            _(
                "A spreadsheet turned this name into a date or number: format the column as text and type "
                "the name again."
            )
        )
    if text[0] in "=+@" or (text[0] == "-" and name != "address"):
        raise ValidationError(
            _("This begins like a spreadsheet formula (“%s”): give the plain value.") % text[0]
        )


def _cleaners(allow_loopback: bool) -> dict[str, Callable[[str], object]]:
    return {
        "instance": clean_instance_name,
        "container": clean_container_name,
        "address": lambda text: clean_address(text, allow_loopback),
        "port": lambda text: clean_port(_NUMBER_AS_TEXT.sub(r"\1", text)),
        "jump_host": clean_container_name,
        "login": clean_login,
        "become": lambda text: clean_choice(text, BECOME),
        "install_root": clean_install_root,
        "by_hand": clean_yes_no,
        "environment": lambda text: clean_choice(text, ENVIRONMENT),
        "deployment": lambda text: clean_choice(text, DEPLOYMENT),
        "role": lambda text: clean_choice(text, ROLE),
        "uses_triggers": clean_yes_no,
        "host_key": clean_host_key_fingerprint,
    }


class _Consistency:
    """Compares rows with each other: one instance or container is described by several of them."""

    def __init__(self, report: _Report) -> None:
        self.report = report
        self.said: dict[tuple[str, str, str], tuple[object, int]] = {}
        self.seen: dict[tuple[str, str], int] = {}

    def check(self, rows: list[CsvRow]) -> None:
        for row in rows:
            self._compare(row, "instance", row.instance, _INSTANCE_FACTS)
            if row.container:
                # Letter case alone does not tell two servers apart for people.
                self._compare(row, "container", row.container.casefold(), _CONTAINER_FACTS)
            self._refuse_repeated(row)
        for row in rows:
            self._refuse_incomplete(row)

    def _compare(self, row: CsvRow, kind: str, name: str, columns: Sequence[str]) -> None:
        for column in columns:
            value = getattr(row, column)
            if value in (None, ""):
                continue
            first, number = self.said.setdefault((kind, name, column), (value, row.number))
            if first != value:
                self.report.add(row.number, column, self._contradiction(kind, column) % number)

    @staticmethod
    def _contradiction(kind: str, column: str) -> str:
        if column == "container":
            return _("Row %d writes the name of this container with different upper and lower case letters.")
        if kind == "container":
            return _("Row %d has a different value for the same container: make both the same.")
        return _("Row %d has a different value for the same instance: make both the same.")

    def _refuse_repeated(self, row: CsvRow) -> None:
        if row.number in self.report.wrong_rows:
            return  # its container may be unknown
        first = self.seen.setdefault((row.instance, row.container.casefold()), row.number)
        if first != row.number:
            reason = _(
                "Row %d already has this instance on this container: correct one of them, or remove it."
            )
            self.report.add(row.number, "container", reason % first)

    def _refuse_incomplete(self, row: CsvRow) -> None:
        if row.number in self.report.wrong_rows:
            return
        deployment, _row_number = self.said.get(("instance", row.instance, "deployment"), (None, 0))
        if not row.container and (row.address or deployment != "hosted"):
            self.report.add(row.number, "container", _("The name of the container is missing."))
        elif row.container and ("container", row.container.casefold(), "address") not in self.said:
            self.report.add(row.number, "address", _("The address of the container is missing."))
