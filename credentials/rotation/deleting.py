"""The end of a version at Adobe: the intention first, then the call, then its ciphertext is destroyed."""

from datetime import datetime, timedelta
from uuid import UUID

from django.conf import settings
from django.db.models import Max, Min, Q
from django.utils import timezone

from credentials.desired import desire_nothing
from credentials.models import ClientSecret, TechnicalAccount, Why
from credentials.rotation import gates
from credentials.rotation.actions import Action, Deleting, Listing
from credentials.rotation.models import ConsoleCall, PassedGate, Rotation, Wave
from credentials.rotation.outcomes import Waits
from credentials.rotation.waits import Wait
from instances.discovery.models import Reading
from instances.discovery.services import queue
from instances.models import Container
from portal.audit.trail import PORTAL, record

CLOCKS_APART = timedelta(seconds=2)
"""How far the clocks of a worker and of the database are apart where both are kept right."""
FINAL = timedelta(hours=1)
"""A second version that is to make room: what was not read in this time is read once more before."""
AGAIN = timedelta(minutes=5)
"""A reading that failed is asked for again after this time."""
AFTER_DELETION = timedelta(seconds=10)
"""So long after a deletion another one is asked for, if Adobe's list still has the secret."""
RECENT = timedelta(minutes=1)
JUST_NOW = timedelta(seconds=10)
"""So old is Adobe's list at most by which a secret is taken out of use."""


def is_recent(moment: datetime | None, age: timedelta) -> bool:
    """Whether a moment is at most so old. One far in the future says nothing: the clock was set back."""
    return moment is not None and -gates.CLOCKS < timezone.now() - moment < age


def passed(rotation: Rotation, gate: str) -> PassedGate | None:
    """Return how a person passed a gate early; None if nobody did."""
    return rotation.passed.filter(gate=gate).last()


def in_the_way(rotation: Rotation) -> gates.Ways:
    """Return what keeps the old version of a rotation from being deleted.

    What a person passed is left out: an installation for what was missing there then, and nothing else.
    """
    rows = rotation.passed.filter(gate=PassedGate.Gate.VERIFIED).values_list("installations", flat=True)
    return gates.in_the_way(
        rotation.old,
        successor=rotation.new,
        since=since_canary(rotation),
        passed={each for names in rows for each in names},
    )


def since_canary(rotation: Rotation) -> datetime:
    """Return since when a report by hand counts: since the canary was pushed, or there was to be none."""
    canaries = rotation.waves.filter(kind=Wave.Kind.CANARY)
    first = canaries.aggregate(first=Min("rollout__requested"))["first"]
    return first or rotation.requested


def readings_of(version: ClientSecret, age: timedelta, *, pause: timedelta = timedelta()) -> Waits | None:
    """Have containers read that nobody read for so long; None if nothing is to be waited for.

    One that was read since, and yet is not known, is asked again after a while: its reading failed. None is
    asked again before `pause` is over.
    """
    stale = gates.not_read_since(version, age)
    rows = Reading.objects.filter(container__in=list(stale)).order_by()
    asked = dict(rows.values_list("container").annotate(last=Max("asked")))
    now = timezone.now()

    def is_due(pk: UUID, since: datetime) -> bool:
        return pk not in asked or asked[pk] < min(max(since, now - AGAIN), now - pause)

    due = [pk for pk, since in stale.items() if is_due(pk, since)]
    if ids := set(Container.objects.in_use().filter(pk__in=due).values_list("pk", flat=True)):
        queue(container_ids=ids, actor=PORTAL)
    # What was read since and is not known all the same waits for nothing: the gates name it.
    told = dict(rows.filter(finished__isnull=False).values_list("container").annotate(last=Max("asked")))
    still = rows.filter(finished=None).values_list("container", flat=True)
    waiting = sum(pk not in told or told[pk] < stale[pk] for pk in still)
    return Waits(Wait.READING, {"count": waiting}) if waiting else None


def begin(rotation: Rotation, version: ClientSecret) -> None:
    """Take a version out of use for good, in the transaction that asked the gates and found nothing.

    From now on nothing can be started or retried with it. The caller holds the lock of starts.
    """
    account = TechnicalAccount.objects.select_for_update().get(pk=version.account_id)
    usable = ClientSecret.objects.usable().filter(pk=version.pk)
    usable.update(state=ClientSecret.State.DELETING)
    desire_nothing(Q(version=version), Why.VERSION_ENDED)
    left_out = [str(each) for each in gates.left_out(version)[:50]]
    record(
        "client_secret.deletion_begun",
        actor=PORTAL,
        target=account,
        details={
            "rotation": rotation.number,
            "version": version.version,
            "fingerprint": version.fingerprint,
            "retired": left_out,
        },
    )


def _is_unconfirmed(rotation: Rotation, adobe_id: str) -> bool:
    """Whether Adobe was asked a moment ago to delete a secret that its list still has."""
    asked = rotation.calls.filter(what=ConsoleCall.What.DELETE, adobe_id=adobe_id).last()
    return asked is not None and is_recent(asked.ended, AFTER_DELETION)


def at_adobe(
    rotation: Rotation, *, signer: ClientSecret, adobe_id: str, must_stay: str = ""
) -> Action | Waits | None:
    """Return what is next until a secret is gone at Adobe; None: it is gone, as the last list shows.

    `must_stay` is the id of a secret that has to be there, or nothing is deleted.
    """
    if not is_recent(rotation.listed, RECENT):
        return Listing(rotation, signer)
    ids = rotation.adobe_ids
    if must_stay and must_stay not in ids:
        return Waits(Wait.NEW_MISSING, {"count": len(ids)}, timedelta(minutes=1))
    if adobe_id not in ids:
        return None
    if _is_unconfirmed(rotation, adobe_id):
        return Waits(Wait.STILL_LISTED, {"id": adobe_id}, AFTER_DELETION)
    return Deleting(rotation, signer, adobe_id)


def finish(rotation: Rotation, version: ClientSecret) -> None:
    """Note that a version is gone at Adobe, and destroy what is stored of it here."""
    # The account before the first event is recorded, as everybody locks them.
    TechnicalAccount.objects.select_for_update().get(pk=rotation.account_id)
    ended = ClientSecret.objects.filter(pk=version.pk, state=ClientSecret.State.DELETING).update(
        state=ClientSecret.State.DELETED, slot=None, ciphertext=None
    )
    if ended:
        details: dict[str, object] = {
            "rotation": rotation.number,
            "version": version.version,
            "fingerprint": version.fingerprint,
            "note": rotation.confirmed_note,
        }
        actor = rotation.actor if rotation.confirmed else PORTAL
        record("client_secret.deleted", actor=actor, target=rotation.account, details=details)


def idle_since(rotation: Rotation) -> datetime | None:
    """Return since when nobody has used the old secret as far as is known; None before the verification."""
    if rotation.verified is None:
        return None
    if rotation.way == Rotation.Way.API:
        entry = rotation.listed_as(rotation.old.adobe_id)
        if entry is None:
            return rotation.verified
        used = datetime.fromisoformat(entry["used"]) if entry["used"] else None
        return max(filter(None, (rotation.verified, used)))
    return max(filter(None, (rotation.verified, rotation.looked_used)))


def idle_time() -> timedelta:
    """Return for how long nobody may have used a secret before it is deleted."""
    return timedelta(seconds=settings.ROTATION_IDLE)


def the_other(rotation: Rotation, adobe_id: str) -> str:
    """Return the id of the other one of two secrets that Adobe lists; empty where that is not known."""
    ids = rotation.adobe_ids
    if len(ids) != 2 or adobe_id not in ids:
        return ""
    return next(each for each in ids if each != adobe_id)
