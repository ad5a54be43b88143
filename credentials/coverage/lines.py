"""Lines of timelines about pushes, and about what is to be held."""

from collections.abc import Mapping, Sequence
from uuid import UUID

from django.urls import reverse
from django.utils.translation import gettext

from credentials.coverage.panels import push_links
from credentials.models import DesiredVersionChange
from credentials.rollouts.models import Push
from instances.discovery.timeline import Line, Link, Scope, Wanted, lines

TONES = {
    Push.State.SUCCEEDED: "ok",
    Push.State.FAILED: "danger",
    Push.State.UNKNOWN: "unknown",
}


@lines
def pushes(scope: Scope, wanted: Wanted) -> Sequence[Line]:
    """Return a line for each push: what it was to bring, and how it is or ended."""
    rows = Push.objects.filter(installation__in=scope.installations.keys()).order_by("-rollout__fence")
    if wanted.until:
        rows = rows.filter(requested__lte=wanted.until)
    found = rows.select_related("rollout__secret__account")[: wanted.most]
    return [_push(row, scope.installations[row.installation_id]) for row in found]


def _push(row: Push, about: str) -> Line:
    version = row.rollout.secret
    facts = {"version": version.version, "account": version.account.name, "state": row.get_state_display()}
    explanation = row.explanation
    return Line(
        at=row.requested,
        title=gettext("Push of version %(version)s of %(account)s: %(state)s") % facts,
        about=about,
        icon=row.state,
        tone=TONES.get(Push.State(row.state), ""),
        notes=[str(explanation.cause)] if explanation and row.code else [],
        links=[Link(gettext("Push of rollout #%d") % row.rollout.number, reverse("push", args=[row.pk]))],
    )


@lines
def desires(scope: Scope, wanted: Wanted) -> Sequence[Line]:
    """Return a line for each change of what is to be held."""
    mine = DesiredVersionChange.objects.filter(installation__in=scope.installations.keys())
    rows = mine.order_by("-pk").select_related("version__account")
    if wanted.until:
        rows = rows.filter(at__lte=wanted.until)
    found = list(rows[: wanted.most])
    links = push_links([row.push for row in found if row.push])
    return [_desire(row, scope.installations[row.installation_id], links) for row in found]


def _desire(row: DesiredVersionChange, about: str, links: Mapping[UUID, Link]) -> Line:
    title = gettext("It should be left as it is")
    if row.version:
        facts = {"version": row.version.version, "account": row.version.account.name}
        title = gettext("It should hold version %(version)s of %(account)s") % facts
    link = links.get(row.push) if row.push else None
    because = gettext("Because %s.") % row.get_why_display()
    return Line(row.at, title, about, "goal", notes=[because], links=[link] if link else [])
