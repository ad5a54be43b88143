"""The keys of a portal. Every room registers the ones it uses."""

import hashlib
import hmac
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from django.conf import settings
from django.core.exceptions import ImproperlyConfigured
from django.utils.translation import gettext as _

from portal.private_files import lines_of, random_key


def _no_evidence() -> list[str]:
    return []


@dataclass(frozen=True)
class Key:
    """One key: where it is, what this process holds of it, and what the database can say about it."""

    name: str
    """The name of its file below PORTAL_HOME/keys."""
    held: Callable[[], list[str]]
    """Returns the fingerprints of what this process holds; none if the key is missing or unusable.

    The first one is recorded. A recorded one must be among them: a key ring holds several keys.
    """
    make: Callable[[], str] = random_key
    evidence: Callable[[], list[str]] = _no_evidence
    """Reads rows that the key made, and returns why it cannot be the key that made them. Never writes."""
    can_be_replaced: bool = False
    """Whether a lost one may be given up for another: not where rows were made with it."""
    takes_over: Callable[..., str] | None = None
    """Moves what the former key made to the newest one, in `keys accept`; takes `actor`, returns a sentence.

    None where nothing depends on the key but what processes do with it.
    """
    still_needed: Callable[[], list[str]] = _no_evidence
    """Returns who could not do without the former key, a name each: then only a typed reason moves on."""
    is_optional: bool = False
    """True if processes that never use it may go without it."""
    first_made_by: str = "migrate"
    """The command that makes it for a portal that never had one."""
    path_setting: str = ""
    """The setting that names its file, where it is a file alone and never a text in the environment."""
    is_made_late: bool = False
    """True if the portal makes it when it needs it for the first time: until then it is not missing."""

    @property
    def setting(self) -> str:
        return self.path_setting or self.name.upper()

    @property
    def path(self) -> Path | None:
        """The file that holds it or should; None if it is given by the environment."""
        if self.path_setting:
            return Path(getattr(settings, self.path_setting))
        named = os.environ.get(f"{self.setting}_FILE", "")
        if not named and os.environ.get(self.setting, "").strip():
            return None
        return Path(named) if named else Path(settings.KEYS) / self.name

    @property
    def place(self) -> str:
        return str(self.path or _("the variable %s") % self.setting)


_keys: dict[str, Key] = {}


def register(key: Key) -> None:
    """Register a key: from then on no process writes without it, or with another one."""
    _keys[key.name] = key


def registered() -> list[Key]:
    return [_keys[name] for name in sorted(_keys)]


def named(name: str) -> Key:
    return _keys[name]


def configured(setting: str) -> str:
    """Return a key's text, or an empty string: Django raises for an empty SECRET_KEY."""
    try:
        text: str = getattr(settings, setting)
    except ImproperlyConfigured:
        return ""
    if setting == "SECRET_KEY":  # Django has the others in a setting of their own
        return "\n".join([text, *(each for each in settings.SECRET_KEY_FALLBACKS if "\n" not in each)])
    return text


def fingerprint(key: bytes, name: str) -> str:
    """Return 16 hex digits that show whether two keys are the same, and nothing else about them.

    The name is part of it, so that one key in two places does not show.
    """
    return hmac.new(key, f"portal key|{name}".encode(), hashlib.sha256).hexdigest()[:16]


def keys_of(name: str) -> list[str]:
    """Return the keys that a setting holds, one a line; the first one is the newest."""
    return lines_of(configured(name.upper()))


def held_text(name: str) -> Callable[[], list[str]]:
    """Return the `held` of a key that is a line of one setting's text."""

    def held() -> list[str]:
        return [fingerprint(key.encode(), name) for key in keys_of(name)]

    return held
