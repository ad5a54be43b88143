"""Retires what is gone: an instance, a container, or one installation; and takes it back.

History stays. Whatever counts, lists, gates or goes somewhere leaves it out: `NONE_RETIRED` in
`instances.models` is the one place that says how. Rooms above register what becomes of their own work there.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from django.core.exceptions import ObjectDoesNotExist, ValidationError
from django.db import IntegrityError, transaction
from django.utils import timezone
from django.utils.translation import gettext as _

from instances.discovery import services as discovery
from instances.failures import Code
from instances.models import Container, Installation, InstallationQuerySet, Instance, KeyScan
from portal.audit.trail import Actor, Details, Entry, record, record_all
from portal.plaintext import cut_out

MOST = 250
Row = Instance | Container | Installation


class RetiringError(Exception):
    """A retirement, or its end, that the rules refuse; the text is for the person who asked."""


@dataclass(frozen=True)
class Ended:
    """The work that a room above ended: counts for the event of the retirement, and events of its own."""

    counts: Mapping[str, int]
    entries: Sequence[Entry] = ()


@dataclass(frozen=True)
class Consequence:
    """What a retirement would do to the work of a room above, in words; and why it cannot be now, if so."""

    texts: tuple[str, ...] = ()
    refusal: str = ""


class Room(Protocol):
    """A room above that has work on installations."""

    def foresee(self, installations: InstallationQuerySet) -> Consequence:
        """Return what the retirement of these installations would do to the room's work."""

    def let_go(self, installations: InstallationQuerySet, why: Code) -> Ended:
        """End the room's work there, in the transaction of the retirement, which records what it returns.

        `why` is how it ends: retired, or by hand, where the portal only connects no more.

        Nothing new may begin there until that transaction ends. `RetiringError`: it cannot be ended now.
        """


_rooms: list[Room] = []


def register(room: Room) -> None:
    """Have a room asked whenever something is retired. Called once for each, when the apps are ready."""
    _rooms.append(room)


@dataclass(frozen=True)
class Forecast:
    """What a retirement, or its end, would do."""

    installations: int
    """How many are left out afterwards, or count again."""
    texts: tuple[str, ...] = ()
    refusal: str = ""


@dataclass(frozen=True)
class Retirement:
    """What was done. `row` is as it is now; not `is_new`: it was so before, and nothing changed."""

    row: Row
    is_new: bool
    installations: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)


def clean_reason(text: str) -> str:
    """Return why something is retired or taken back, as it is kept: one line, not empty."""
    reason = text.strip()
    if not reason:
        raise ValidationError(_("Say why: it is kept in the history."))
    if len(reason) > MOST:
        raise ValidationError(_("This is longer than %d characters.") % MOST)
    if not reason.isprintable():
        raise ValidationError(_("This contains invisible characters. Type it instead of pasting it."))
    return reason


def installations_of(row: Row) -> InstallationQuerySet:
    """Return the installations that are retired with a row."""
    if isinstance(row, Instance):
        return Installation.objects.filter(instance=row)
    if isinstance(row, Container):
        return Installation.objects.filter(container=row)
    return Installation.objects.filter(pk=row.pk)


def foresee(row: Row) -> Forecast:
    """Return what the retirement of a row would do now."""
    installations = installations_of(row).not_retired()
    asked = [room.foresee(installations) for room in _rooms]
    refusals = [each.refusal for each in asked if each.refusal]
    if isinstance(row, Container) and discovery.is_read_now(row):
        refusals.append(str(discovery.READ_NOW))
    texts = tuple(text for each in asked for text in each.texts)
    return Forecast(installations.count(), texts, refusals[0] if refusals else "")


def foresee_return(row: Row) -> int:
    """Return how many installations would count again: those that nothing else keeps retired."""
    kept_by = {
        Instance: ("retired", "container__retired"),
        Container: ("retired", "instance__retired"),
        Installation: ("instance__retired", "container__retired"),
    }
    others = dict.fromkeys(kept_by[type(row)])
    return installations_of(row).filter(**others).count()


@transaction.atomic
def retire(*, row: Row, reason: str, actor: Actor) -> Retirement:
    """Retire a row; `RetiringError` if something runs there just now. Retired already: nothing changes.

    `reason` comes from `clean_reason`. The row is written first: a visit locks its container before
    pushes and readings as well. It is recorded last, since that keeps everybody else's recording waiting.
    """
    installations = installations_of(row).not_retired().count()
    now = {"retired": timezone.now(), "retired_by": cut_out(actor.name)[:150], "retired_reason": reason}
    is_new = type(row).objects.filter(pk=row.pk, retired=None).update(**now)
    row = _fresh(row)
    if not is_new:
        return Retirement(row, is_new=False)
    ended = end_work(row, Code.RETIRED)
    details: Details = {"reason": reason, "installations": installations}
    details |= {name: count for name, count in ended.counts.items() if count}
    record_all([Entry(f"{row.audit_name}.retired", row, details), *ended.entries], actor=actor)
    return Retirement(row, is_new=True, installations=installations, counts=ended.counts)


def end_work(row: Row, why: Code) -> Ended:
    """End all work there, in the caller's transaction, which has written the row and records what comes back.

    `RetiringError`: something runs there just now.
    """
    counts = {"readings": _nobody_goes_to(row, why)} if isinstance(row, Container) else {}
    entries: list[Entry] = []
    for room in _rooms:
        ended = room.let_go(installations_of(row), why)
        counts |= ended.counts
        entries += ended.entries
    return Ended(counts, entries)


def _nobody_goes_to(container: Container, why: Code) -> int:
    """End what waits for a container without being about its installations; return how many readings."""
    KeyScan.objects.filter(container=container, state=KeyScan.State.WAITING).update(
        state=KeyScan.State.STOPPED
    )
    try:
        return discovery.let_go(container, why)
    except discovery.BeingRead as error:
        raise RetiringError(str(error)) from None


@transaction.atomic
def take_back(*, row: Row, reason: str, actor: Actor, seen: str = "") -> Retirement:
    """End a retirement. Nothing is pushed or read by it; what was cancelled stays so.

    `seen` is the moment of the retirement that the person saw, in ISO 8601: `RetiringError` if it was retired
    anew since. In use already: nothing changes.
    """
    row = _fresh(row)
    if row.retired is None:
        return Retirement(row, is_new=False)
    if seen and seen != row.retired.isoformat():
        raise RetiringError(_("Someone retired it again after you opened the page. Read why, then decide."))
    count = foresee_return(row)
    former = row.retired_reason
    values = {"retired": None, "retired_by": "", "retired_reason": ""}
    try:
        with transaction.atomic():
            is_new = type(row).objects.filter(pk=row.pk, retired=row.retired).update(**values)
    except IntegrityError:
        raise RetiringError(
            _("Another container now has its address and port. Change or retire that one first.")
        ) from None
    row = _fresh(row)
    if not is_new:
        return Retirement(row, is_new=False)
    details: Details = {"reason": reason, "retired_because": former, "installations": count}
    record(f"{row.audit_name}.taken_back", actor=actor, target=row, details=details)
    return Retirement(row, is_new=True, installations=count)


def _fresh(row: Row) -> Row:
    """Return a row as it is now, with what its name needs."""
    rows = type(row).objects.all()
    if isinstance(row, Installation):
        rows = Installation.objects.select_related("instance", "container")
    try:
        return rows.get(pk=row.pk)
    except ObjectDoesNotExist:
        raise RetiringError(_("Someone has just removed it.")) from None
