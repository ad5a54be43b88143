"""Makes evidence packs: records that a person makes one, signs the head of the history, and writes it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import IO

from django.db import models, transaction
from django.utils import timezone

from credentials.evidence.packing import Packed, write_pack
from credentials.evidence.scopes import MADE, End, Scope, of_account, of_period, of_rotation
from credentials.evidence.segment import around, length_around
from credentials.models import TechnicalAccount
from credentials.rotation.models import Rotation
from portal.audit.models import AuditHead
from portal.audit.signing.heads import sign_head
from portal.audit.trail import Actor, Details, record


class TooLarge(Exception):
    """More of the history than a page should wait for."""


@dataclass(frozen=True)
class Wanted:
    """What somebody asks a pack of."""

    name: str
    """The name of the file, without its end."""
    scope: Callable[[End], Scope]
    details: Details
    target: models.Model | None = field(default=None)


def account_pack(account: TechnicalAccount) -> Wanted:
    """Ask for all that is known of an account."""
    name = f"evidence-account-{account.pk}"
    return Wanted(name, lambda end: of_account(account, end=end), {"pack": "account"}, account)


def rotation_pack(rotation: Rotation) -> Wanted:
    """Ask for all that is known of a rotation."""
    name = f"evidence-rotation-{rotation.number}"
    return Wanted(name, lambda _: of_rotation(rotation), {"pack": "rotation"}, rotation)


def period_pack(since: datetime, until: datetime) -> Wanted:
    """Ask for everything that happened in a period."""
    zone = timezone.get_current_timezone()
    # as the pack says it: a period that is not over ends with the record of the pack
    ends = max(since, min(until, timezone.now()))
    first, last = (each.astimezone(zone).date().isoformat() for each in (since, ends))
    details: Details = {"pack": "period", "from": since.isoformat(), "until": until.isoformat()}
    return Wanted(f"evidence-{first}-to-{last}", lambda end: of_period(since, until, end=end), details)


def make_pack(
    file: IO[bytes], wanted: Wanted, *, actor: Actor, most: int | None = None, folder: Path | None = None
) -> Packed:
    """Write a pack into a file, and record that it was made.

    Raises `NothingToPack`; `TooLarge` if the chain around it has more than `most` entries; `BrokenHistory` or
    `NotSealed` if the history does not verify; and `KeysRefused` if the signing key is not here.
    """
    _try_on(wanted, most)
    with transaction.atomic():
        made = record(MADE, actor=actor, target=wanted.target, details=wanted.details)
        sign_head()  # in the same transaction, so that the signed head is this very entry
    scope = wanted.scope(End(made.seq, made.at))
    return write_pack(file, scope, around(scope.first, scope.last), made=made, folder=folder)


def _try_on(wanted: Wanted, most: int | None) -> None:
    """Find out whether there is anything, and how much, before anything is recorded."""
    newest = AuditHead.objects.filter(pk=1).values_list("seq", flat=True).first() or 0
    scope = wanted.scope(End(newest + 1, timezone.now()))
    if most is not None and length_around(scope.first, scope.last) > most:
        raise TooLarge
