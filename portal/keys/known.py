"""Compares this process's keys with the ones that the database knows."""

from collections.abc import Collection, Mapping

from django.core.management.base import CommandError
from django.db import connection, models
from django.db.models.functions import Now
from django.utils.translation import gettext as _

from portal.keys.models import KnownKey
from portal.keys.registry import Key, registered

Known = Mapping[str, KnownKey]


class KeysRefused(CommandError):
    """This process may not write: a key is missing, or is not the one of this database.

    As a `CommandError` it ends a command with its text alone; web server, worker and scheduler end by it too.
    """

    STATUS = 3

    def __init__(self, problems: Collection[str]) -> None:
        super().__init__("\n".join(problems), returncode=self.STATUS)


class NotRecorded(KeysRefused):
    """The database does not know this portal's keys yet: it was not migrated."""

    def __init__(self) -> None:
        text = _("This database has not recorded the portal's keys yet, so nothing was written. Run: %s")
        super().__init__([text % "manage.py migrate"])


def has_table(model: type[models.Model]) -> bool:
    """Whether the model's table exists. Asking for rows would break a transaction on PostgreSQL if not."""
    return model._meta.db_table in connection.introspection.table_names()  # noqa: SLF001  # Django's documented API


def is_empty() -> bool:
    """Whether the database holds nothing at all, as before the first start."""
    return not connection.introspection.table_names()


def known_keys() -> Known:
    """Return the recorded keys by name; none before the first migration."""
    return {each.name: each for each in KnownKey.objects.all()} if has_table(KnownKey) else {}


def missing(*, needed: Collection[str] = ()) -> list[str]:
    """Return a line for each key that this process lacks, the optional ones only if they are `needed`."""
    return [
        _lacks(key) for key in registered() if not key.held() and (key.name in needed or not key.is_optional)
    ]


def foreign(known: Known, *, accepted: Collection[str] = ()) -> list[str]:
    """Return a line for each key that is not the one that the database knows, unless it is `accepted`."""
    return [
        _differs(key, known[key.name])
        for key in registered()
        if key.name not in accepted and _is_foreign(key, known)
    ]


def problems(*, needed: Collection[str] = ()) -> list[str]:
    """Return why this process may not write, judging by the keys alone; nothing if it may."""
    known = known_keys()
    if not is_recorded(known):
        return [str(NotRecorded())]
    return missing(needed=needed) + foreign(known)


def problem_of(key: Key) -> str:
    """Return why this one key is of no use with this database, or an empty string."""
    known = known_keys()
    if not key.held():
        return _lacks(key)
    return _differs(key, known[key.name]) if _is_foreign(key, known) else ""


def _is_foreign(key: Key, known: Known) -> bool:
    held = key.held()
    return bool(held) and key.name in known and known[key.name].fingerprint not in held


def _lacks(key: Key) -> str:
    return _(
        "%(setting)s is missing: %(place)s is not there, or holds no usable key. Restore it from the backup "
        "of the keys; nothing was generated in its place. Only a portal that never had one makes it, with: "
        "%(command)s"
    ) % {"setting": key.setting, "place": key.place, "command": f"manage.py {key.first_made_by}"}


def _differs(key: Key, row: KnownKey) -> str:
    text = _(
        "%(setting)s is not the key of this portal: %(place)s holds %(held)s, the database knows "
        "%(recorded)s since %(since)s. Put the portal's own key back, then start again."
    ) % {
        "setting": key.setting,
        "place": key.place,
        "held": key.held()[0],
        "recorded": row.fingerprint,
        "since": f"{row.since:%Y-%m-%d}",
    }
    if key.can_be_replaced:
        text += _(" If it was replaced on purpose: %s") % f"manage.py keys accept {key.name}"
    return text


def is_recorded(known: Known) -> bool:
    """Whether the database knows every key that all processes need."""
    return all(key.name in known or key.is_optional for key in registered())


def unrecorded(known: Known) -> list[Key]:
    """Return the keys that this process holds and the database does not know."""
    return [key for key in registered() if key.name not in known and key.held()]


def record_keys(keys: Collection[Key], *, accepted: Collection[str] = ()) -> None:
    """Write down which keys belong to this database. Of two processes the first one decides."""
    for key in keys:
        KnownKey.objects.get_or_create(name=key.name, defaults={"fingerprint": key.held()[0]})
    if problems := foreign(known_keys(), accepted=accepted):
        raise KeysRefused(problems)


def is_first(key: Key) -> bool:
    """Whether the recorded key is the first one that this process holds: a key ring's active one."""
    return KnownKey.objects.filter(name=key.name, fingerprint=key.held()[0]).exists()


def replace(key: Key) -> KnownKey:
    """Make the key that this process holds the portal's key from now on."""
    values = {"fingerprint": key.held()[0], "since": Now()}
    return KnownKey.objects.update_or_create(name=key.name, defaults=values)[0]
