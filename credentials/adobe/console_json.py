"""Reads the two JSON files that the Adobe Developer Console offers: *Download JSON* and the workspace file.

Pure: no models, no requests. Errors say where something is wrong, never what is written there: the file
holds secrets.
"""

import json
import re
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Literal, NoReturn

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext
from django.utils.translation import gettext_lazy as _

from portal.plaintext import PREFIX, Secret
from portal.punctuation import labelled

MAX_BYTES = 256 * 1024
MAX_DEPTH = 32
MAX_DIGITS = 30
MAX_ITEMS = 200
MAX_TEXT = 1000

# What may be repeated in an error: no value of a secret looks like this.
_PLAIN_CLIENT_ID = re.compile(r"[0-9a-f]{32}")
# A whole string (closed or not, so that no second attempt starts inside it) or one bracket.
_TOKENS = re.compile(r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\[\]{}]', re.DOTALL)
_NO_TEXT = re.compile(rb"[\x00-\x08\x0b\x0e-\x1f]")
_FENCES = re.compile(r"\A\s*(?:`+|~{3,})[ \t]*(?:json\w*)?(?=\s*[{\[])|(?:`+|~{3,})\s*\Z", re.IGNORECASE)
_VISIBLE = re.compile(r"\S")
_CURLY = re.compile("[\u201c\u201d\u201e\u201f\u00ab\u00bb\uff02]")
_UNSEEN = re.compile(
    r'"[^"\\]*(?:\\.[^"\\]*)*"?|[\u00a0\u2000-\u200d\u2028\u2029\u202f\u2060\ufeff]', re.DOTALL
)
_BETWEEN_SCOPES = re.compile(r"[\s,]+")
_TWICE = object()
"""The value of a name that has two: nobody knows which one counts."""
_TOO_LONG = object()
"""Stands for a number that is too long to be read."""
_CREDENTIAL_KEYS = ("CLIENT_ID", "API_KEY", "ORG_ID", "TECHNICAL_ACCOUNT_ID")
_SECRET_KEYS = ("client_secret", "secret", "value")
_JWT_KEYS = ("PUBLIC_KEYS_WITH_EXPIRY", "META_SCOPE", "METASCOPES", "CLIENT_SECRET")
_MIGRATE_FIRST = _(
    "This is a retired Service Account (JWT) credential: migrate it to OAuth Server-to-Server in the "
    "Developer Console, then download the JSON again."
)
_NOT_ADOBE = _(
    "This is not a file from the Developer Console: use Download JSON on the OAuth Server-to-Server "
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
        return labelled(self.path, self.message) if self.path else str(self.message)


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
    """Return the values in `data`, a file of the console (at most MAX_BYTES, as `decode` reads it).

    `client_id` chooses one of several credentials. What no push needs is taken if it is usable, and ignored
    otherwise. Raises ConsoleJSONError for anything else.
    """
    parsed = _parse(_text_of(data))
    document = _Node(parsed[0] if isinstance(parsed, list) and len(parsed) == 1 else parsed, "")
    is_credential = any(map(document.has, _CREDENTIAL_KEYS))
    is_workspace = document.has("project") and not is_credential
    found = _workspace(document, client_id) if is_workspace else _credential(document)
    if client_id and found.client_id != client_id:
        raise ConsoleJSONError(
            _("This file belongs to another Client ID: download the file for this account.")
        )
    return found


def decode(raw: bytes) -> str:
    """Return the text of a file that an editor may have saved: UTF-8, UTF-16 or UTF-32, else Windows-1252.

    The four values are plain ASCII in each of these, so no guess can change one. Raises ConsoleJSONError for
    what is no text.
    """
    with suppress(UnicodeDecodeError):
        return raw.decode(json.detect_encoding(raw)).removeprefix("\ufeff")
    with suppress(UnicodeDecodeError):
        if not _NO_TEXT.search(raw):
            return raw.decode("cp1252")
    # Raised outside the handlers: the exception of the codec carries the whole file.
    raise ConsoleJSONError(
        _("This is not a text file: use it as downloaded, without saving it in an editor.")
    )


def _text_of(data: bytes | str) -> str:
    size = len(data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data)
    if size > MAX_BYTES:
        raise ConsoleJSONError(
            _("The file is larger than 256 KiB: this is not a file from the Developer Console.")
        )
    text = data.removeprefix("\ufeff") if isinstance(data, str) else decode(data)
    if not text.strip():
        raise ConsoleJSONError(
            _("There is nothing to read: paste or choose the JSON file of the Developer Console.")
        )
    if text.lstrip().startswith("{\\rtf"):
        raise ConsoleJSONError(_("This is a rich-text document: use the JSON file as downloaded."))
    return _plain(text)


def _plain(text: str) -> str:
    """Undo what chats and word processors do to a pasted file, without moving any character.

    Marks of a code block around it, invisible characters between the strings, and typographic quotation
    marks if there are no others. What such a program did inside a value is for `values` to find.
    """
    text = _FENCES.sub(lambda found: _VISIBLE.sub(" ", found[0]), text)
    if '"' not in text:
        text = _CURLY.sub('"', text)
    return _UNSEEN.sub(lambda found: found[0] if found[0][0] == '"' else " ", text)


def _parse(text: str) -> object:
    _refuse_deep(text)
    try:
        # not strict: a line break inside a text is refused where the text is needed
        document: object = json.loads(text, strict=False, object_pairs_hook=_object, parse_int=_integer)
    except json.JSONDecodeError as exc:
        place = {"line": exc.lineno, "column": exc.colno}
        message = _why_no_json(text, exc)
    else:
        return document
    raise ConsoleJSONError(message.format(**place))


def _why_no_json(text: str, error: json.JSONDecodeError) -> str:
    if error.msg == "Extra data" and text[error.pos] in "{[":
        return gettext("A second JSON file follows (line {line}, column {column}): use one at a time.")
    if error.msg == "Extra data":
        return gettext(
            "The JSON ends before line {line}, column {column}, and something else follows: remove that, or "
            "use the file as downloaded."
        )
    if text.lstrip()[:1] not in '{["':
        return gettext(
            "Something else comes before the JSON (line {line}, column {column}): begin with the first "
            "{{, or use the file as downloaded."
        )
    return gettext("This is not complete JSON (line {line}, column {column}): copy the whole file again.")


def _refuse_deep(text: str) -> None:
    depth = 0
    for token in _TOKENS.finditer(text):
        depth += {"[": 1, "{": 1, "]": -1, "}": -1}.get(token.group()[0], 0)
        if depth > MAX_DEPTH:
            raise ConsoleJSONError(_NOT_ADOBE)


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found: dict[str, object] = {}
    for key, value in pairs:
        found[key] = _TWICE if key in found and found[key] != value else value
    return found


def _integer(text: str) -> object:
    return int(text) if len(text) <= MAX_DIGITS else _TOO_LONG


@dataclass(frozen=True)
class _Node:
    """One place of the document; every step that is needed checks the type and knows its path."""

    value: object = field(repr=False)
    path: str

    def has(self, key: str) -> bool:
        return isinstance(self.value, dict) and self.value.get(key) is not None

    def at(self, key: str) -> "_Node":
        if not isinstance(self.value, dict):
            self._refuse(_("An object { } was expected here: use the file as downloaded."))
        return _Node(self.value.get(key), f"{self.path}.{key}".lstrip("."))

    def items(self) -> list["_Node"]:
        if not isinstance(self.value, list):
            self._refuse(_("A list [ ] was expected here: use the file as downloaded."))
        if len(self.value) > MAX_ITEMS:
            self._refuse(_("This list is far too long: use the file as downloaded."))
        return [_Node(item, f"{self.path}[{index}]") for index, item in enumerate(self.value)]

    def text(self) -> str:
        """Return a text that a push needs."""
        if self.value is None:
            self._refuse(_("This is missing in the file: download the JSON of the credential again."))
        if not isinstance(self.value, str):
            self._refuse(_("Text was expected here: use the file as downloaded."))
        text = self.value.strip()
        if not text or len(text) > MAX_TEXT or not text.isprintable():
            self._refuse(
                _("This text is empty, too long or has invisible characters: use the file as downloaded.")
            )
        return text

    def optional(self) -> str:
        """Return a text or a number that no push needs, or nothing: whatever else is there is ignored."""
        is_number = isinstance(self.value, int) and not isinstance(self.value, bool)
        text = str(self.value).strip() if is_number or isinstance(self.value, str) else ""
        return text if len(text) <= MAX_TEXT and text.isprintable() else ""

    def _refuse(self, message: Promise) -> NoReturn:
        repeated = _("The same name appears twice in the file: use it as downloaded.")
        raise ConsoleJSONError(repeated if self.value is _TWICE else message, self.path)


def _optional(node: _Node, *keys: str) -> str:
    """Return the first of these that says something."""
    return next((text for key in keys if (text := node.at(key).optional())), "")


def _scopes(node: _Node) -> tuple[str, ...]:
    """Return the scopes of a list, or of a text as the console shows it."""
    value = node.value
    items = _BETWEEN_SCOPES.split(value) if isinstance(value, str) else value
    if not isinstance(items, list):
        return ()
    return tuple(text for each in items[:MAX_ITEMS] if (text := _Node(each, "").optional()))


def _secrets(node: _Node) -> tuple[Secret, ...]:
    """Return the secrets of a list, or the only one where there is no list; the same one counts once."""
    if node.value is None:
        return ()
    found = map(_secret, node.items() if isinstance(node.value, list) else [node])
    return tuple(map(Secret, dict.fromkeys(filter(None, found))))


def _secret(node: _Node) -> str:
    """Return a secret, alone or as the only one in an object with its dates; nothing where it is empty."""
    if isinstance(node.value, dict):
        keys = [key for key in _SECRET_KEYS if node.has(key)]
        return (node.at(keys[0]) if len(keys) == 1 else node).text()
    is_empty = node.value is None or (isinstance(node.value, str) and not node.value.strip())
    return "" if is_empty else node.text()


def _credential(document: _Node) -> ConsoleValues:
    if not document.has("CLIENT_SECRETS") and _is_jwt(document):
        raise ConsoleJSONError(_MIGRATE_FIRST)
    if not any(map(document.has, _CREDENTIAL_KEYS)):
        raise ConsoleJSONError(_NOT_ADOBE)
    return ConsoleValues(
        source="credential",
        organization_id=document.at("ORG_ID").text(),
        client_id=_client_id(document),
        technical_account_id=document.at("TECHNICAL_ACCOUNT_ID").text(),
        technical_account_email=_optional(document, "TECHNICAL_ACCOUNT_EMAIL"),
        client_secrets=_secrets(
            document.at("CLIENT_SECRETS" if document.has("CLIENT_SECRETS") else "CLIENT_SECRET")
        ),
        scopes=_scopes(document.at("SCOPES")),
    )


def _is_jwt(document: _Node) -> bool:
    """Tell a JWT credential; a single secret of today's form, without the other keys of one, is none."""
    marks = {key for key in _JWT_KEYS if document.has(key)}
    return bool(marks - {"CLIENT_SECRET"}) or (
        "CLIENT_SECRET" in marks and not document.at("CLIENT_SECRET").optional().startswith(PREFIX)
    )


def _client_id(document: _Node) -> str:
    """Return the client id, which older files call API key; where both say something, they must agree."""
    found = {key: text for key in ("CLIENT_ID", "API_KEY") if (text := _optional(document, key))}
    if len(set(found.values())) > 1:
        raise ConsoleJSONError(_("CLIENT_ID and API_KEY differ: download the JSON again."), "API_KEY")
    only_key = not found.get("CLIENT_ID") and found.get("API_KEY")
    return document.at("API_KEY" if only_key else "CLIENT_ID").text()


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
        client_secrets=_secrets(oauth.at("client_secrets")),
        scopes=_scopes(oauth.at("scopes")),
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
    if len(oauth) == 1:
        return oauth[0]
    names = [_optional(node.at("oauth_server_to_server"), "client_id") for node in oauth]
    if client_id and names.count(client_id) == 1:
        return oauth[names.index(client_id)]
    known = tuple(name for name in dict.fromkeys(names) if _PLAIN_CLIENT_ID.fullmatch(name))
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
