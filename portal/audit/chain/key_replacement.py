"""Replaces the audit key and records that: from then on the new key seals, and the former only verifies."""

from django.db import transaction
from django.utils.translation import gettext as _

from portal.audit.chain import audit_keys, kept_head
from portal.audit.chain.verification import verify
from portal.audit.models import AuditHead
from portal.audit.trail import Actor, Entry, record_all
from portal.keys import holders, known, registry


def replace_audit_key(*, actor: Actor) -> str:
    """Go on under the newest audit key that this process holds; return what was done.

    `KeysRefused` while the history does not verify, or a running process does not hold the new key.
    """
    key = registry.named(audit_keys.NAME)
    new = audit_keys.held()[0]
    if known.is_first(key):
        return _("The history is sealed with the newest audit key already.")
    result = verify()
    if not result.is_intact:
        raise known.KeysRefused(
            [_("The history does not verify, and a new key would cover that up: verify_audit says where.")]
        )
    holders.refuse_while_lacking(key)
    with transaction.atomic():
        head = AuditHead.objects.select_for_update().get(pk=1)
        details: dict[str, object] = {
            "key": key.name,
            "before": audit_keys.fingerprint(head.key_in_use),
            "after": audit_keys.fingerprint(new),
            "head": str(head),
        }
        holders.refuse_while_lacking(key)  # one may have been started meanwhile
        known.replace(key)
        [event] = record_all([Entry(audit_keys.REPLACED, details=details)], actor=actor, key=new)
    kept_head.keep()
    text = _(
        "From event %s on the new audit key seals the history. Keep the former one on the second line for "
        "ever: it verifies what came before."
    )
    return text % event.seq
