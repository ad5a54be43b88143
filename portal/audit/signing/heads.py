"""Signed heads of the history: once a day, and whenever something that is handed out refers to the chain.

A head that was signed and handed out ties the portal down: with another history it could not be in the
chain. Only a head that the portal itself sealed is signed.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, timedelta

from django.db import transaction
from django.db.models import Count, Max, Min
from django.utils import timezone

from portal.audit.models import AuditEvent, AuditHead, SignedHead
from portal.audit.signing.signing_key import signing_key
from portal.audit.signing.sshsig import fingerprint_of
from portal.keys.known import KeysRefused
from portal.processes.housekeeping import hourly

logger = logging.getLogger(__name__)
NAMESPACE = "campaign-portal-head"
Teller = Callable[["SignedHead"], None]
_tellers: list[Teller] = []
DAILY = timedelta(hours=23)
"""The job runs once an hour."""


class NotSealed(Exception):
    """The head of the history is not as the portal sealed it, so it is not signed."""


def head_text(seq: int, head_hash: str, at: str) -> str:
    """Return the text that is signed: `SEQ:HASH`, and when; `docs/evidence.md` says it."""
    return f"{seq}:{head_hash} {at}\n"


def signed_at(row: SignedHead) -> str:
    """Return the moment of a signature, as it is in the signed text."""
    return row.at.astimezone(UTC).isoformat(timespec="microseconds")


def tells_heads(teller: Teller) -> Teller:
    """Register a function that sends each daily head out; it is called in the transaction that signs it."""
    _tellers.append(teller)
    return teller


@dataclass(frozen=True)
class Signer:
    """A key that signed heads, and the first and the last of these."""

    fingerprint: str
    public: str
    heads: int
    first: int
    last: int


def signers() -> list[Signer]:
    """Return every key that ever signed a head, in the order in which they were in use."""
    rows = SignedHead.objects.order_by().values("public_key")
    found = rows.annotate(heads=Count("pk"), first=Min("seq"), last=Max("seq"), begun=Min("pk"))
    return [
        Signer(fingerprint_of(row["public_key"]), row["public_key"], row["heads"], row["first"], row["last"])
        for row in found.order_by("begun")
    ]


@transaction.atomic
def sign_head() -> SignedHead | None:
    """Sign the head of the history as it is now; None before the first event.

    Raises `NotSealed`, or `KeysRefused` if the signing key is not here.
    """
    key = signing_key()
    head = AuditHead.objects.select_for_update().get(pk=1)
    if not head.seq:
        return None
    if known := SignedHead.objects.filter(seq=head.seq, hash=head.hash).first():
        return known
    if not head.sealed_with or not AuditEvent.objects.filter(seq=head.seq, hash=head.hash).exists():
        raise NotSealed
    row = SignedHead(seq=head.seq, hash=head.hash, at=timezone.now(), public_key=key.public)
    message = head_text(row.seq, row.hash, signed_at(row)).encode()
    row.signature = key.sign(message, namespace=NAMESPACE)
    row.save(force_insert=True)
    return row


@hourly
def sign_daily() -> None:
    """Sign the head if that was not done for a day, and have it sent out.

    The log has it too, since logs are kept elsewhere.
    """
    last = SignedHead.objects.order_by("-pk").first()
    if last and abs(timezone.now() - last.at) < DAILY:
        return
    try:
        row = _sign_and_tell()
    except KeysRefused as error:
        logger.warning("The head of the history was not signed: %s", error)
        return
    except NotSealed:
        logger.error("The head of the history was not signed: it was changed by hand. Run verify_audit.")  # noqa: TRY400  # no traceback
        return
    if row:
        logger.info("The head of the history was signed: %s:%s", row.seq, row.hash)


@transaction.atomic
def _sign_and_tell() -> SignedHead | None:
    row = sign_head()
    if row:
        for teller in _tellers:
            teller(row)
    return row
