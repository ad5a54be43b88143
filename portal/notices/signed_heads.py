"""Sends the signed head of each day out: who receives it holds something that the portal cannot take back."""

from django.urls import reverse
from django.utils.translation import gettext as _
from django.utils.translation import gettext_lazy

from portal.audit.models import SignedHead
from portal.audit.signing.heads import signed_at, tells_heads
from portal.audit.signing.sshsig import fingerprint_of
from portal.notices.kinds import Batch, Kind, Words, register
from portal.notices.notes import note

SIGNED = "head.signed"


@tells_heads
def note_signed(row: SignedHead) -> None:
    """Have people told of a signed head, with all that it takes to verify the signature."""
    details: dict[str, object] = {
        "signed_text": f"{row} {signed_at(row)}",
        "key": fingerprint_of(row.public_key),
        "signature": row.signature.split()[3:-3],  # without its first and its last line: a list of lines
    }
    note(SIGNED, subject=str(row), details=details, link=reverse("history_verify"))


def _words(batch: Batch) -> Words:
    advice = _(
        "Keep this message. With it, anybody can see later whether the history still contains everything "
        "up to here: paste number, colon and digits on the page Verify, or give them to verify.py."
    )
    if only := batch.only:
        signature = only.details.get("signature")
        lines = [
            advice,
            _("Signed text: %s") % only.details.get("signed_text"),
            _("Signed with %s") % only.details.get("key"),
            _("Signature: %s") % " ".join(map(str, signature if isinstance(signature, list) else [])),
        ]
        return Words(_("Head of the history: %s") % only.subject, lines)
    return Words(_("%d heads of the history were signed") % batch.count, [batch.names, advice])


register(Kind(SIGNED, gettext_lazy("Head of the history signed"), _words, quiet=0))
