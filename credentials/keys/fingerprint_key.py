"""Replaces the fingerprint key: each stored secret is opened once, and named anew.

All versions of one client id change in one transaction, because they are compared with each other. A run
that was interrupted is simply repeated: what has its new fingerprint is left alone. Meanwhile a secret is
recognized by any of the keys. A version that was destroyed keeps the fingerprint that it had. Older events
and attempts keep those of their time; an event for each version has both.
"""

from collections.abc import Iterator

from django.db import transaction
from django.utils.translation import gettext as _
from django.utils.translation import ngettext
from django.views.decorators.debug import sensitive_variables

from credentials.keys.keyring import FINGERPRINT_KEY, UnreadableSecret, fingerprint
from credentials.keys.vault import open_version
from credentials.models import ClientSecret, TechnicalAccount
from portal.audit.trail import Actor, Entry, record, record_all
from portal.keys import holders, known, registry
from portal.punctuation import labelled, with_semicolons


def replace_fingerprint_key(*, actor: Actor) -> str:
    """Go on with the newest fingerprint key that this process holds; return what was done.

    `KeysRefused` while a running process does not hold it, or a secret cannot be opened; repeat it then.
    """
    key = registry.named(FINGERPRINT_KEY)
    if not known.is_first(key):
        holders.refuse_while_lacking(key)
        with transaction.atomic():
            former = known.known_keys()[key.name].fingerprint
            details: dict[str, object] = {"key": key.name, "before": former, "after": key.held()[0]}
            known.replace(key)
            record("fingerprint_key.replaced", actor=actor, details=details)
    moved, failed = 0, list[str]()
    while entries := list(_pass(actor, failed)):  # again: one may have been entered meanwhile
        moved += len(entries)
        if failed:
            break
    if failed:
        raise known.KeysRefused(
            [_renamed(moved) + " " + _("These cannot be opened: %s") % with_semicolons(failed)]
        )
    return _renamed(moved) + " " + _("No process needs the former key any more: remove it from the file.")


def _renamed(count: int) -> str:
    return ngettext("%s secret has a new fingerprint.", "%s secrets have a new fingerprint.", count) % count


def _pass(actor: Actor, failed: list[str]) -> Iterator[Entry]:
    """Give every secret that has another one its new fingerprint; yield what was recorded."""
    for client_id in (
        ClientSecret.objects.kept().order_by("client_id").values_list("client_id", flat=True).distinct()
    ):
        try:
            with transaction.atomic():
                list(TechnicalAccount.objects.select_for_update().filter(secrets__client_id=client_id))
                entries = [entry for entry in map(_rename, _versions(client_id)) if entry]
                if entries:
                    record_all(entries, actor=actor)
        except UnreadableSecret as error:
            failed.append(labelled(client_id, error))
        else:
            yield from entries


def _versions(client_id: str) -> list[ClientSecret]:
    stored = ClientSecret.objects.kept().filter(client_id=client_id)
    return list(stored.select_related("account").order_by("pk"))


@sensitive_variables()
def _rename(version: ClientSecret) -> Entry | None:
    """Give one version its fingerprint under the newest key; None if it has it."""
    before, after = version.fingerprint, fingerprint(open_version(version), version.client_id)
    if before == after:
        return None
    ClientSecret.objects.filter(pk=version.pk).update(fingerprint=after)
    details: dict[str, object] = {"version": version.version, "former": before, "fingerprint": after}
    return Entry("client_secret.fingerprint_replaced", version.account, details)
