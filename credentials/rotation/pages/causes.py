"""What the page of a rotation names beyond its steps: what failed on installations, and where to see it."""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from django.db.models import Q, QuerySet
from django.urls import reverse
from django.utils.functional import Promise
from django.utils.translation import gettext_lazy as _

from credentials.models import DesiredVersion
from credentials.rollouts.models import Push
from credentials.rotation import gates, moving
from credentials.rotation.models import Rotation
from credentials.rotation.waits import Wait
from instances.discovery.models import Reading
from instances.failures import WRITTEN, Code
from portal.audit.models import AuditEvent

MOST = 50
State = Rotation.State
Missing = gates.Missing
UNREAD = (Missing.NEVER_SEEN, Missing.NOT_READ)
"""Where the portal has not seen the file lately: a failed reading says why."""


@dataclass(frozen=True)
class Known:
    """What failed last, why in the words of its code, and the page that shows it."""

    what: Promise
    why: str
    url: str


def with_causes(ways: Collection[gates.InTheWay]) -> list[tuple[gates.InTheWay, Known | None]]:
    """Return what is in the way with what failed there, as far as the last push or reading says so."""
    pushes = _failed_pushes([each.push for each in ways if each.push])
    unread = {each.container_id for each in ways if each.missing in UNREAD}
    readings = _failed_readings(unread) if unread else {}
    return [(each, _cause(each, pushes, readings)) for each in ways]


def _cause(way: gates.InTheWay, pushes: Mapping[UUID, Known], readings: Mapping[UUID, Known]) -> Known | None:
    reading = readings.get(way.container_id) if way.missing in UNREAD else None
    return reading or pushes.get(way.installation)


def _failed_pushes(ids: Iterable[UUID]) -> dict[UUID, Known]:
    rows = Push.objects.filter(pk__in=list(ids)).exclude(code="")
    rows = rows.filter(state__in=[Push.State.FAILED, Push.State.UNKNOWN]).order_by()
    return {
        place: Known(_("Last push"), str(Code(code).label), reverse("push", args=[pk]))
        for place, pk, code in rows.values_list("installation", "pk", "code")
    }


def _failed_readings(containers: Collection[UUID]) -> dict[UUID, Known]:
    ended = Reading.objects.newest(containers=containers, finished__isnull=False)
    rows = ended.filter(state=Reading.State.FAILED).order_by()
    return {
        place: Known(_("Last reading"), str(Code(code).label), reverse("reading", args=[pk]))
        for place, pk, code in rows.values_list("container", "pk", "code")
    }


def not_reloaded(rotation: Rotation) -> Sequence[Push]:
    """Return the pushes that wrote the new secret and did not see Campaign reload it, `MOST` of them.

    Such an installation holds it and is verified, but Campaign may use the old one until its next restart.
    """
    if rotation.new is None or rotation.state not in (State.VERIFYING, State.WATCHING, State.DELETING):
        return ()
    desired = DesiredVersion.objects.filter(version=rotation.new).exclude(push=None)
    rows = _with_places(Q(pk__in=desired.order_by().values("push"), code__in=WRITTEN))
    rows = rows.filter(installation__in=moving.installations(rotation.account).order_by())
    return list(rows.filter(state=Push.State.FAILED)[:MOST])


def failed(rotation: Rotation) -> Sequence[Push]:
    """Return the pushes for which a rotation stopped, as far as they have not been mended; `MOST` of them."""
    if rotation.wait == Wait.CANARY_FAILED:
        pushes = moving.last_pushes(rotation).filter(installation=rotation.canary_id)
    elif rotation.hold == Rotation.Hold.STOPPED and rotation.new:
        pushes = moving.broken(rotation)
    else:
        return ()
    return list(_with_places(Q(pk__in=pushes.values("pk")))[:MOST])


def _with_places(condition: Q) -> QuerySet[Push]:
    rows = Push.objects.filter(condition).select_related("installation__instance", "container")
    return rows.order_by("installation__instance__name", "container__name")


@dataclass(frozen=True)
class RuleChange:
    """The last change of a rotation's stop rule: who made it, when, and what it was before."""

    event: AuditEvent
    former: str


def stop_rule_change(rotation: Rotation) -> RuleChange | None:
    """Return the last change of the stop rule, as the history has it; None if there was none."""
    told = ("rotation.started", "rotation.continued")
    about = AuditEvent.objects.filter(target_type="rotation", target_id=str(rotation.pk), action__in=told)
    change, former = None, ""
    for event in about.order_by("seq"):
        rule = str(event.details.get("stop", former))
        if former and rule != former:
            change = RuleChange(event, former)
        former = rule
    return change
