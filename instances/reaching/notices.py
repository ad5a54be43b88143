"""What people are told of host keys."""

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy, ngettext

from instances.models import Container, HostKey
from portal.notices.kinds import Batch, Kind, Words, register
from portal.notices.notes import note

CHANGED = "host_key.changed"


def note_changed(container: Container, key: HostKey) -> None:
    """Have people told that a server showed another key than the approved one, in this transaction."""
    details: dict[str, object] = {"type": key.type, "fingerprint": key.fingerprint}
    note(CHANGED, subject=container.name, details=details, link=reverse("container", args=[container.pk]))


def _changed(batch: Batch) -> Words:
    advice = _("Nothing is sent there until an admin has approved the new key by its fingerprint.")
    if only := batch.only:
        words = {"type": only.details.get("type"), "fingerprint": only.details.get("fingerprint")}
        shown = _("It showed %(type)s %(fingerprint)s.") % words
        return Words(_("Host key changed: %s") % only.subject, [shown, advice])
    subject = (
        ngettext("Host keys of %d container changed", "Host keys of %d containers changed", batch.count)
        % batch.count
    )
    return Words(subject, [batch.names, advice], reverse("host_keys"))


register(Kind(CHANGED, gettext_lazy("Host key changed"), _changed, quiet=60))
