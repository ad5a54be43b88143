"""The key that the portal signs with: one file, made when the portal signs for the first time.

The database knows its fingerprint, so there is one in all, and no process writes with another one. A lost
one is not replaced by itself: people outside know the former one.
"""

from pathlib import Path

from django.conf import settings
from django.db import transaction
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from portal.audit.signing import sshsig
from portal.audit.signing.sshsig import SigningKey, UnusableKey
from portal.audit.trail import Actor, Details, record
from portal.keys import registry
from portal.keys.known import KeysRefused
from portal.keys.making import claimed
from portal.keys.models import KnownKey
from portal.private_files import key_file, read_key

NAME = "signing_key"
UNUSABLE = "no usable key"
"""What is said of a file that holds something else: it is not missing, and must not be taken for that."""


def path() -> Path:
    return Path(settings.SIGNING_KEY_PATH)


def signing_key() -> SigningKey:
    """Return the key; make it for a portal that never had one. `KeysRefused` if it is not here."""
    text = read_key(path())
    return _compared(text) if text else _made()


def known_fingerprint() -> str:
    """Return the fingerprint of the portal's signing key, as the database knows it; empty before it is made.

    The key itself is not read for that: pages show the fingerprint.
    """
    return KnownKey.objects.filter(name=NAME).values_list("fingerprint", flat=True).first() or ""


def _unusable(error: UnusableKey) -> str:
    return _("The signing key in %(path)s is of no use: %(error)s.") % {"path": path(), "error": error}


def _compared(text: str) -> SigningKey:
    try:
        key = sshsig.load_key(text)
    except UnusableKey as error:
        raise KeysRefused([_unusable(error)]) from error
    row, _made_now = KnownKey.objects.get_or_create(name=NAME, defaults={"fingerprint": key.fingerprint})
    if row.fingerprint != key.fingerprint:
        text = _(
            "%(path)s holds %(held)s, and the database has known %(recorded)s since %(since)s. Put the "
            "portal's own signing key back. If it was replaced on purpose: %(command)s"
        ) % {
            "path": path(),
            "held": key.fingerprint,
            "recorded": row.fingerprint,
            "since": f"{row.since:%Y-%m-%d}",
            "command": "manage.py evidence --accept-key",
        }
        raise KeysRefused([text])
    return key


def _made() -> SigningKey:
    if KnownKey.objects.filter(name=NAME).exists():
        text = _(
            "The signing key is missing: %s is not there or cannot be read. Restore it from the backup of "
            "the keys; nothing was made in its place. If it is lost for good, docs/keys.md says what to do."
        )
        raise KeysRefused([text % path()])
    text = sshsig.make_key()
    key = sshsig.load_key(text)
    with claimed(NAME, key.fingerprint):
        key_file(path(), lambda: text)
    return key


def held() -> list[str]:
    """Return the fingerprint of the key in the file; none without a file, `UNUSABLE` for anything else."""
    text = read_key(path())
    if not text and not path().exists():
        return []
    try:
        return [sshsig.load_key(text).fingerprint]
    except UnusableKey:
        return [UNUSABLE]


def evidence() -> list[str]:
    """Return why the file cannot be the portal's signing key, whichever that is."""
    return [f"The signing key in {path()} is of no use."] if held() == [UNUSABLE] else []


def accept_key(*, actor: Actor) -> SigningKey:
    """Make the key in the file the portal's own, and record it. `KeysRefused` if there is none of use."""
    text = read_key(path())
    try:
        key = sshsig.load_key(text)
    except UnusableKey as error:
        raise KeysRefused([_unusable(error)]) from error
    with transaction.atomic():
        row = KnownKey.objects.select_for_update().filter(name=NAME).first()
        former = row.fingerprint if row else ""
        if former != key.fingerprint:
            values = {"fingerprint": key.fingerprint, "since": Now()}
            KnownKey.objects.update_or_create(name=NAME, defaults=values)
            details: Details = {"key": NAME, "before": former, "after": key.fingerprint}
            record("key.accepted", actor=actor, details=details)
    return key


def _take_over(*, actor: Actor) -> str:
    key = accept_key(actor=actor)
    return f"{key.fingerprint} signs from now on. Tell it to everybody who verifies what the portal signs."


registry.register(
    registry.Key(
        NAME,
        held=held,
        make=sshsig.make_key,
        evidence=evidence,
        can_be_replaced=True,
        takes_over=_take_over,
        is_optional=True,
        first_made_by="evidence --key",
        path_setting="SIGNING_KEY_PATH",
        is_made_late=True,
    )
)
