"""Lines of timelines about pushes, and about what is to be held."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any
from uuid import UUID

from django.db.models import Case, F, When
from django.db.models.expressions import Combinable
from django.db.models.functions import Coalesce
from django.urls import reverse
from django.utils.html import format_html
from django.utils.translation import gettext

from credentials.coverage.panels import push_links
from credentials.models import DesiredVersionChange
from credentials.rollouts.models import Push
from instances.discovery.timeline import Line, Link, Scope, Wanted, lines
from portal.web.tags import moment

TONES = {
    Push.State.SUCCEEDED: "ok",
    Push.State.FAILED: "danger",
    Push.State.UNKNOWN: "unknown",
}
ENDED, DECIDED, REQUESTED = 1, -1, -2
"""Ranks of lines of one moment: a push is requested, then desired; it is seen what it did, then it ends."""


@lines
def pushes(scope: Scope, wanted: Wanted) -> Sequence[Line]:
    """Return a line for each push: what it was to bring, and how it ended, at the time when it did.

    One that has not ended, or had not at the moment that is asked about, is at the time of its request.
    """
    rows = Push.objects.filter(installation__in=scope.installations.keys())
    ended: Combinable = F("finished")
    if wanted.until:
        rows = rows.filter(requested__lte=wanted.until)
        ended = Case(When(finished__lte=wanted.until, then=F("finished")))
    rows = rows.annotate(ended=ended).order_by(Coalesce("ended", "requested").desc(), "-rollout__fence")
    found: Iterable[Any] = rows.select_related("rollout__secret__account")[: wanted.most]  # Any: annotated
    return [_push(row, row.ended, scope.installations[row.installation_id]) for row in found]


def _push(row: Push, ended: datetime | None, about: str) -> Line:
    version = row.rollout.secret
    facts = {"version": version.version, "account": version.account.name, "state": row.get_state_display()}
    link = Link(gettext("Push of rollout #%d") % row.rollout.number, reverse("push", args=[row.pk]))
    if row.finished and not ended:
        title = gettext("Push of version %(version)s of %(account)s: requested") % facts
        later = gettext("How it ended was not known yet at this time.")
        return Line(
            row.requested, title, about, Push.State.QUEUED, notes=[later], links=[link], rank=REQUESTED
        )
    explanation = row.explanation
    return Line(
        at=ended or row.requested,
        title=gettext("Push of version %(version)s of %(account)s: %(state)s") % facts,
        about=about,
        icon=row.state,
        tone=TONES.get(Push.State(row.state), ""),
        notes=[
            *([format_html(gettext("Requested {moment}."), moment=moment(row.requested))] if ended else []),
            *([str(explanation.cause)] if explanation and row.code else []),
        ],
        links=[link],
        rank=ENDED if ended else REQUESTED,
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
    return Line(row.at, title, about, "goal", notes=[because], links=[link] if link else [], rank=DECIDED)
