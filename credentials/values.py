"""The four values of a technical account: what is refused, what a person must confirm, and how it is said.

Pure: no models, no requests. Adobe promises no shape for these values, so an unusual shape alone never
refuses. Messages never quote a value: it may be a secret that was pasted into the wrong field.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from django.utils.functional import Promise
from django.utils.text import format_lazy
from django.utils.translation import gettext_lazy as _

from portal.plaintext import ACCESS_TOKEN, JWT_PREFIX, PEM, PREFIX, USUAL_FORM, may_hold_secret

ORGANIZATION_ID = "organization_id"
CLIENT_ID = "client_id"
TECHNICAL_ACCOUNT_ID = "technical_account_id"
CLIENT_SECRET = "client_secret"  # noqa: S105  # the name of a field

COMMAND_ORDER = (ORGANIZATION_ID, CLIENT_ID, TECHNICAL_ACCOUNT_ID, CLIENT_SECRET)
"""The order of `-setimsoauth:`. The console shows them in another one."""

LABELS: Mapping[str, Promise] = {
    ORGANIZATION_ID: _("Organization ID"),
    CLIENT_ID: _("Client ID"),
    TECHNICAL_ACCOUNT_ID: _("Technical account ID"),
    CLIENT_SECRET: _("Client secret"),
}
SHAPES: Mapping[str, re.Pattern[str]] = {
    ORGANIZATION_ID: re.compile(r"[0-9A-F]{24}@AdobeOrg"),
    CLIENT_ID: re.compile(r"[0-9a-f]{32}"),
    TECHNICAL_ACCOUNT_ID: re.compile(r"[0-9A-F]{24}@techacct\.adobe\.com"),
    CLIENT_SECRET: USUAL_FORM,
}
"""Shapes observed in public examples; Adobe documents none of them."""

USUAL: Mapping[str, Promise] = {
    ORGANIZATION_ID: _("24 characters 0-9 and A-F, then @AdobeOrg"),
    CLIENT_ID: _("32 characters 0-9 and a-f"),
    TECHNICAL_ACCOUNT_ID: _("24 characters 0-9 and A-F, then @techacct.adobe.com"),
    CLIENT_SECRET: format_lazy(_("{prefix} and 32 letters, digits, _ or -"), prefix=PREFIX),
}
MAX_LENGTH = 200
STRIPPED_NOTE = _("Spaces or line breaks around the value were removed.")

# One clear sentence, and what to do. {label} is the field, {owner} the field that the value belongs to.
PROBLEMS = {
    "empty": _("Enter the {label}; the Developer Console shows it on the credential."),
    "json": _("This is a whole JSON file: paste it into the JSON box, and it fills all four fields."),
    "jwt": _(
        "This belongs to a retired JWT credential: migrate it in the console, then copy the OAuth values."
    ),
    "access_token": _("This is an access token, valid for one day: copy the four values of the credential."),
    "line": _(
        "All four values of the command are in this one field: put each into its own field, without the /."
    ),
    "masked": _("This is the masked {label}: use the copy button in the console."),
    "placeholder": _("This is a placeholder: paste the real {label} instead."),
    "swapped": _("This looks like the {owner}, not the {label}: move it to the {owner} field."),
    "secret_inside": _("This contains what looks like a client secret: paste only the {label} here."),
    "repeated": _("The same value is in two fields: copy the {label} again from the console."),
    "too_long": _("This is too long for the {label} (at most {limit} characters): copy only that one value."),
    "slash": _("The {label} contains a slash, which separates the values in the command: copy it again."),
    "line_break": _("The {label} contains a line break: copy it again in one piece."),
    "space": _("The {label} contains a space: copy it again in one piece."),
    "quote": _("The {label} contains a quotation mark: copy only what is between the quotation marks."),
    "dollar": _("The {label} contains a dollar sign, which the command cannot contain: copy it again."),
    "backtick": _("The {label} contains a backtick, which the command cannot contain: copy it again."),
    "backslash": _("The {label} contains a backslash, which the command cannot contain: copy it again."),
    "control": _("The {label} contains an invisible character: copy it again straight from the console."),
    "not_ascii": _(
        "The {label} contains an accented or special character: copy it again straight from the console."
    ),
}
CAUTIONS = {
    "email": _(
        "This looks like the technical account email: copy the Technical account ID, which is next to it."
    ),
    "numeric_organization": _("This looks like the organization number: copy the ID that ends in @AdobeOrg."),
    "suffix_missing": _("The end of the {label} is missing: copy all of it ({usual})."),
    "looks_like_client_id": _("This looks like the Client ID: copy what the console shows as Client secret."),
    "jwt_secret": _(
        "This looks like the secret of a retired JWT credential: copy the one of the OAuth credential."
    ),
    "letter_case": _("The {label} has unusual upper or lower case letters: copy it instead of typing it."),
    "unusual": _("This is not the usual format of the {label} ({usual}): compare it with the console."),
}

# Ends are trimmed of what nobody sees: blanks of every script, zero-width characters and the byte order mark.
_EDGES = "".join(filter(str.isspace, map(chr, range(0x3001)))) + "\u200b\u200c\u200d\u2060\ufeff"
_REFUSED: Mapping[str, re.Pattern[str]] = {
    "slash": re.compile(r"/"),
    "line_break": re.compile(r"[\r\n]"),
    "space": re.compile(r"[ \t]"),
    "quote": re.compile("[\"'\u2018\u2019\u201c\u201d\u00ab\u00bb]"),
    "dollar": re.compile(r"\$"),
    "backtick": re.compile(r"`"),
    "backslash": re.compile(r"\\"),
    "control": re.compile(r"[\x00-\x1f\x7f-\x9f\xad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]"),
    "not_ascii": re.compile(r"[^\x00-\x7f]"),
}
_EMAIL = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}@techacct\.adobe\.com", re.IGNORECASE)
_HALF_ID = re.compile(r"[0-9A-Fa-f]{24}@?")
_NUMBER = re.compile(r"[0-9]{1,15}")
_MASK = re.compile(r"[*\u2022\u25cf\u2219\u00b7\u25aa\u25a0]{3,}")
_PLACEHOLDER = re.compile(
    r"[<{\[(].*[>}\])]|x{3,}(?:@.*)?|\.{3}|\u2026|(?:your|my|the|enter|insert|paste|copy)[\s_-].*|"
    r"(?:ims[\s_-]?)?org(?:anization)?[\s_-]?id|client[\s_-]?(?:id|secret)|api[\s_-]?key|"
    r"technical[\s_-]?account[\s_-]?id|null|none|undefined|nan|string|secret|value|changeme|todo|tbd|test|n/a|"
    rf"{PREFIX}|@adobeorg|@techacct\.adobe\.com",
    re.IGNORECASE | re.DOTALL,
)
_CODES_OF_SECRETS = ("json", "jwt", "access_token", "line")


@dataclass(frozen=True)
class Caution:
    """Something unusual that a person may confirm; `code` is stable, `message` is for people."""

    code: str
    message: Promise


@dataclass(frozen=True)
class Checked:
    """What was found about one value."""

    value: str = field(repr=False)
    """The value without blanks at its ends. Plaintext if it is the secret: hand it to a Secret at once."""
    stripped: bool = False
    """Blanks or invisible characters were removed at the ends: show STRIPPED_NOTE."""
    problem: Promise | None = None
    """Why the value is refused, and what to do; None when it may be used."""
    code: str = ""
    """Stable name of the problem, a key of PROBLEMS."""
    cautions: tuple[Caution, ...] = ()
    """What the person must confirm before the value is used."""
    belongs_to: str = ""
    """The field whose shape the value has, when that is another one."""
    holds_secret: bool = False
    """The raw text is or may contain a secret: never render it back into the page."""
    parts: Mapping[str, str] = field(default_factory=dict, repr=False)
    """All four values by field, when a whole line of the command was pasted. Contains the secret."""

    @property
    def is_accepted(self) -> bool:
        """True when nothing refuses the value; cautions may still ask for a confirmation."""
        return self.problem is None


@dataclass(frozen=True)
class CheckedValues:
    """What was found about all four values together."""

    fields: Mapping[str, Checked]
    suggestion: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The four values in their right fields, when they can be told apart. Contains the secret."""

    @property
    def is_accepted(self) -> bool:
        """True when no field is refused."""
        return all(checked.is_accepted for checked in self.fields.values())

    @property
    def cautions(self) -> tuple[tuple[str, Caution], ...]:
        """Every (field, caution), in the order of the command."""
        return tuple((name, caution) for name, checked in self.fields.items() for caution in checked.cautions)


def check(name: str, raw: str) -> Checked:
    """Judge what was typed or pasted into the field `name` (one of COMMAND_ORDER; KeyError otherwise)."""
    value = raw.strip(_EDGES)
    checked = Checked(
        value=value,
        stripped=value != raw,
        belongs_to=_owner(name, value),
        holds_secret=name == CLIENT_SECRET or may_hold_secret(value),
    )
    code = next(_problems(name, value), "")
    return _refuse(name, checked, code) if code else replace(checked, cautions=_cautions(name, value))


def check_all(values: Mapping[str, str]) -> CheckedValues:
    """Judge the four raw values (by field; a missing one counts as empty), each alone and then together."""
    fields = {name: check(name, values.get(name, "")) for name in COMMAND_ORDER}
    for name in [name for name in fields if _repeats(name, fields)]:
        fields[name] = _refuse(name, fields[name], "repeated")
    return CheckedValues(fields=fields, suggestion=_suggest(fields))


def split_line(text: str) -> dict[str, str]:
    """Return the four values by field when `text` is `-setimsoauth` or its argument, otherwise nothing.

    At least one part must have its known shape: a path or a URL also has slashes.
    """
    line = text.strip(_EDGES).rpartition("-setimsoauth:")[2].split(maxsplit=1)[:1]
    parts = [part.strip("\"'") for part in line[0].split("/")] if line else []
    if len(parts) != len(COMMAND_ORDER) or not all(parts) or not any(map(shape_of, parts)):
        return {}
    return _by_shape(parts) or dict(zip(COMMAND_ORDER, parts, strict=True))


def shape_of(value: str) -> str:
    """Return the name of the field whose usual shape `value` has exactly, or an empty string."""
    return next((name for name, shape in SHAPES.items() if shape.fullmatch(value)), "")


def _by_shape(values: list[str]) -> dict[str, str]:
    found = {shape_of(value): value for value in values}
    return found if set(found) == set(COMMAND_ORDER) else {}


def _owner(name: str, value: str) -> str:
    owner = shape_of(value)
    return owner if owner != name else ""


def _refuse(name: str, checked: Checked, code: str) -> Checked:
    labels = {"label": LABELS[name], "owner": LABELS.get(checked.belongs_to, ""), "limit": MAX_LENGTH}
    return replace(
        checked,
        problem=format_lazy(PROBLEMS[code], **labels),
        code=code,
        cautions=(),
        holds_secret=checked.holds_secret or code in _CODES_OF_SECRETS,
        parts=split_line(checked.value),
    )


def _problems(name: str, value: str) -> Iterator[str]:
    """Yield the codes of what is wrong, the most telling first: only that one is shown."""
    if not value:
        yield "empty"
    yield from _other_things(value)
    if _MASK.search(value):
        yield "masked"
    if _PLACEHOLDER.fullmatch(value):
        yield "placeholder"
    if _owner(name, value) and (name, _owner(name, value)) != (CLIENT_SECRET, CLIENT_ID):
        # Secrets of other forms exist, and one may be 32 hexadecimal digits: that one is only a caution.
        yield "swapped"
    if name != CLIENT_SECRET and may_hold_secret(value):
        # Identifiers are stored and shown in clear: not even with a confirmation.
        yield "secret_inside"
    if len(value) > MAX_LENGTH:
        yield "too_long"
    yield from (code for code, pattern in _REFUSED.items() if pattern.search(value))


def _other_things(value: str) -> Iterator[str]:
    if value[:1] in ("{", "[") and '"' in value:
        yield "json"
    if PEM in value or "-setimsjwtauth" in value:
        yield "jwt"
    if ACCESS_TOKEN.fullmatch(value):
        yield "access_token"
    if split_line(value):
        yield "line"


def _cautions(name: str, value: str) -> tuple[Caution, ...]:
    if SHAPES[name].fullmatch(value):
        return ()
    code = next(_oddities(name, value), "unusual")
    return (Caution(code, caution_in_words(name, code)),)


def caution_in_words(name: str, code: str) -> Promise:
    """Return what is unusual about the field `name`; an unknown code, of another release, is just unusual."""
    text = CAUTIONS.get(code, CAUTIONS["unusual"])
    return format_lazy(text, label=LABELS[name], usual=USUAL[name])


def _oddities(name: str, value: str) -> Iterator[str]:
    """Yield what an unusual shape is known to come from, the most telling first."""
    if _EMAIL.fullmatch(value):
        yield "email"
    if name == ORGANIZATION_ID and _NUMBER.fullmatch(value):
        yield "numeric_organization"
    if name in (ORGANIZATION_ID, TECHNICAL_ACCOUNT_ID) and _HALF_ID.fullmatch(value):
        yield "suffix_missing"
    if name == CLIENT_SECRET and SHAPES[CLIENT_ID].fullmatch(value):
        yield "looks_like_client_id"
    if name == CLIENT_SECRET and value.startswith(JWT_PREFIX):
        yield "jwt_secret"
    if re.fullmatch(SHAPES[name].pattern, value, re.IGNORECASE):
        yield "letter_case"


def _repeats(name: str, fields: Mapping[str, Checked]) -> bool:
    value = fields[name].value
    others = [checked.value for other, checked in fields.items() if other != name]
    return fields[name].is_accepted and value in others and shape_of(value) != name


def _suggest(fields: Mapping[str, Checked]) -> Mapping[str, str]:
    """Return the values in their places: from one pasted line, or when they are a permutation by shape."""
    line: Mapping[str, str] = next((checked.parts for checked in fields.values() if checked.parts), {})
    if line or not any(checked.belongs_to for checked in fields.values()):
        return line
    return _by_shape([checked.value for checked in fields.values()])
