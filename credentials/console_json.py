"""Reads the two JSON files that the Adobe Developer Console offers: *Download JSON* and the workspace file.

Pure: no models, no requests. Errors say where something is wrong, never what stands there: the file holds
secrets.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from portal.plaintext import Secret

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 30
MAX_ITEMS = 200
MAX_TEXT = 1000

# What may be repeated in an error: no value of a secret looks like this.
_PLAIN_KEY = re.compile(r"[A-Za-z_]{1,40}")
_PLAIN_CLIENT_ID = re.compile(r"[0-9a-f]{32}")
# A whole string (closed or not, so that no second attempt starts inside it) or one bracket.
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_JWT_KEYS = ("PUBLIC_KEYS_WITH_EXPIRY", "META_SCOPE", "METASCOPES", "CLIENT_SECRET")
_MIGRATE_FIRST = _(
    "This is a retired Service Account (JWT) credential: migrate it to OAuth Server-to-Server in the "
    "Developer Console, then download the JSON again."
)
_NOT_ADOBE = _(
    "This is not a file of the Developer Console: use Download JSON on the OAuth Server-to-Server "
    "credential, or the JSON of the whole workspace."
)


class ConsoleJSONError(ValueError):
    """Why the JSON was refused: `message` for people, `path` of the place (may be empty).

    `client_ids` is filled when the person has to choose between several credentials.
    """

    def __init__(self, message: str | Promise, path: str = "", client_ids: tuple[str, ...] = ()) -> None:
        super().__init__(message, path, client_ids)
        self.message = message
        self.path = path
        self.client_ids = client_ids

    def __str__(self) -> str:
        return f"{self.path}: {self.message}" if self.path else str(self.message)


@dataclass(frozen=True, eq=False)
class ConsoleValues:
    """What a file of the console says; the four values are as found, still to be checked by `values`."""

    organization_id: str
    client_id: str
    technical_account_id: str
    client_secrets: tuple[Secret, ...]
    """At most two at Adobe; which one is the newest is not in the file. Empty when the file holds none."""
    source: Literal["credential", "workspace"]
    technical_account_email: str = ""
    scopes: tuple[str, ...] = ()
    numeric_org_id: str = ""
    credential_id: str = ""
    project: str = ""
    workspace: str = ""


def read(data: bytes | str, *, client_id: str = "") -> ConsoleValues:
    """Return the values in `data`, a file of the console (UTF-8, at most MAX_BYTES).

    `client_id` chooses one of several credentials. Raises ConsoleJSONError for anything else.
    """
    document = _Node(_parse(_decode(data)), "")
    found = _workspace(document, client_id) if document.has("project") else _credential(document)
    if client_id and found.client_id != client_id:
        raise ConsoleJSONError(_("This file belongs to another Client ID: download the one of this account."))
    return found


def _decode(data: bytes | str) -> str:
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_BYTES:
        raise ConsoleJSONError(
            _("The file is larger than 256 KiB: this is not a file of the Developer Console.")
        )
    if raw.startswith((b"\xff\xfe", b"\xfe\xff")) or b"\x00" in raw:
        raise ConsoleJSONError(
            _("The file is not in UTF-8: use it as downloaded, without saving it in an editor.")
        )
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as exc:
        line = raw.count(b"\n", 0, exc.start) + 1
    # Raised outside the handler: the exception of the codec carries the whole file.
    raise ConsoleJSONError(
        format_lazy(_("The file is not in UTF-8 (line {line}): use it as downloaded."), line=line)
    )


def _parse(text: str) -> object:
    if not text.strip():
        raise ConsoleJSONError(
            _("There is nothing to read: paste or choose the JSON file of the Developer Console.")
        )
    _refuse_deep(text)
    try:
        document: object = json.loads(
            text, object_pairs_hook=_object, parse_constant=_constant, parse_int=_integer
        )
    except json.JSONDecodeError as exc:
        line, column = exc.lineno, exc.colno
    else:
        return document
    raise ConsoleJSONError(
        format_lazy(
            _("This is not complete JSON (line {line}, column {column}): copy the whole file again."),
            line=line,
            column=column,
        )
    )


def _refuse_deep(text: str) -> None:
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group()[0], 0)
        if depth > MAX_DEPTH:
            raise ConsoleJSONError(_NOT_ADOBE)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        if key in found:
            raise ConsoleJSONError(
                _("The same name stands twice in the file: use it as downloaded."), _name(key)
            )
        found[key] = value
    return found


def _constant(text: str) -> NoReturn:
    raise ConsoleJSONError(_("The file contains NaN or Infinity, which is not JSON: use it as downloaded."))


def _integer(text: str) -> int:
    if len(text) > MAX_DIGITS:
        raise ConsoleJSONError(_("The file contains a number that is far too long: use it as downloaded."))
    return int(text)


def _name(key: str) -> str:
    return key if _PLAIN_KEY.fullmatch(key) else "?"


@dataclass(frozen=True)
class _Node:
    """One place of the document; every step checks the type and knows its path."""

    value: object = field(repr=False)
    path: str

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def at(self, key: str) -> "_Node":
        if not isinstance(self.value, dict):
            raise ConsoleJSONError(
                _("An object { } was expected here: use the file as downloaded."), self.path
            )
        return _Node(self.value.get(key), f"{self.path}.{key}".lstrip("."))

    def items(self) -> list["_Node"]:
        if not isinstance(self.value, list):
            raise ConsoleJSONError(_("A list [ ] was expected here: use the file as downloaded."), self.path)
        if len(self.value) > MAX_ITEMS:
            raise ConsoleJSONError(_("This list is far too long: use the file as downloaded."), self.path)
        return [_Node(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]

    def text(self) -> str:
        if self.value is None:
            raise ConsoleJSONError(
                _("This is missing in the file: download the JSON of the credential again."), self.path
            )
        if not isinstance(self.value, str):
            raise ConsoleJSONError(_("A text was expected here: use the file as downloaded."), self.path)
        text = self.value.strip()
        if not text or len(text) > MAX_TEXT or not text.isprintable():
            message = _(
                "This text is empty, too long or has invisible characters: use the file as downloaded."
            )
            raise ConsoleJSONError(message, self.path)
        return text

    def number(self) -> str:
        plain = isinstance(self.value, int) and not isinstance(self.value, bool)
        return str(self.value) if plain else self.text()


def _texts(node: _Node, key: str) -> tuple[str, ...]:
    return tuple(item.text() for item in node.at(key).items()) if node.has(key) else ()


def _secrets(node: _Node, key: str) -> tuple[Secret, ...]:
    return tuple(map(Secret, _texts(node, key)))


def _optional(node: _Node, *keys: str) -> str:
    key = next(filter(node.has, keys), None)
    return node.at(key).number() if key else ""


def _credential(document: _Node) -> ConsoleValues:
    if not document.has("CLIENT_SECRETS") and any(map(document.has, _JWT_KEYS)):
        raise ConsoleJSONError(_MIGRATE_FIRST)
    if not any(map(document.has, ("CLIENT_ID", "API_KEY", "ORG_ID", "TECHNICAL_ACCOUNT_ID"))):
        raise ConsoleJSONError(_NOT_ADOBE)
    return ConsoleValues(
        source="credential",
        organization_id=document.at("ORG_ID").text(),
        client_id=_client_id(document),
        technical_account_id=document.at("TECHNICAL_ACCOUNT_ID").text(),
        technical_account_email=_optional(document, "TECHNICAL_ACCOUNT_EMAIL"),
        client_secrets=_secrets(document, "CLIENT_SECRETS"),
        scopes=_texts(document, "SCOPES"),
    )


def _client_id(document: _Node) -> str:
    found = [document.at(key).text() for key in ("CLIENT_ID", "API_KEY") if document.has(key)]
    if len(set(found)) > 1:
        raise ConsoleJSONError(_("CLIENT_ID and API_KEY differ: download the JSON again."), "API_KEY")
    return found[0] if found else document.at("CLIENT_ID").text()


def _workspace(document: _Node, client_id: str) -> ConsoleValues:
    project = document.at("project")
    organization, workspace = project.at("org"), project.at("workspace")
    credential = _choose(workspace.at("details").at("credentials").items(), client_id)
    oauth = credential.at("oauth_server_to_server")
    return ConsoleValues(
        source="workspace",
        organization_id=organization.at("ims_org_id").text(),
        client_id=oauth.at("client_id").text(),
        technical_account_id=oauth.at("technical_account_id").text(),
        technical_account_email=_optional(oauth, "technical_account_email"),
        client_secrets=_secrets(oauth, "client_secrets"),
        scopes=_texts(oauth, "scopes"),
        numeric_org_id=_optional(organization, "id"),
        credential_id=_optional(credential, "id"),
        project=_optional(project, "title", "name"),
        workspace=_optional(workspace, "title", "name"),
    )


def _choose(credentials: list[_Node], client_id: str) -> _Node:
    """Return the one OAuth Server-to-Server credential that is meant; refuse to guess."""
    oauth = [node for node in credentials if node.has("oauth_server_to_server")]
    if not oauth:
        raise ConsoleJSONError(_why_none(credentials), "project.workspace.details.credentials")
    by_client_id = {node.at("oauth_server_to_server").at("client_id").text(): node for node in oauth}
    if client_id in by_client_id:
        return by_client_id[client_id]
    if len(oauth) == 1:
        return oauth[0]
    known = tuple(name for name in by_client_id if _PLAIN_CLIENT_ID.fullmatch(name))
    message = _(
        "The workspace holds several OAuth Server-to-Server credentials: choose a Client ID ({names})."
    )
    raise ConsoleJSONError(
        format_lazy(message, names=", ".join(known) or "?"), "project.workspace.details.credentials", known
    )


def _why_none(credentials: list[_Node]) -> Promise:
    if any(node.has("jwt") for node in credentials):
        return _MIGRATE_FIRST
    return _(
        "The workspace has no OAuth Server-to-Server credential: add an API with it, then download again."
    )
